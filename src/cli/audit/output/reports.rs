//! An audit as the reports that clusters have: one for each namespace, and one for what is in none, split by size.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::json;

use crate::audit::report::{Flavor, failure, report as shape};
use crate::cli::audit::tally::{Found, Report};

/// Results in one report. The API server takes no object above 3 MiB, and etcd none above 1.5.
const RESULTS_MAX: usize = 1_000;

/// All reports, as YAML documents.
pub fn write(out: &mut dyn Write, report: &Report, flavor: Flavor) -> io::Result<()> {
    let mut by_namespace: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for namespace in report.namespaces.keys() {
        by_namespace.insert(namespace, Vec::new());
    }
    for found in &report.found {
        by_namespace.entry(&found.finding.object.namespace).or_default().push(found);
    }
    for (namespace, found) in by_namespace {
        let mut summary = report.namespaces.get(namespace).copied().unwrap_or_default();
        let parts = found.chunks(RESULTS_MAX).chain(found.is_empty().then_some([].as_slice()));
        for (number, part) in parts.enumerate() {
            let name = if number == 0 {
                "portcullis-audit".to_owned()
            } else {
                format!("portcullis-audit-{}", number + 1)
            };
            let mut metadata = json!({"name": name});
            if let Some(fields) = metadata.as_object_mut().filter(|_| !namespace.is_empty()) {
                fields.insert("namespace".into(), namespace.into());
            }
            // The first of several has the counts of all.
            let counts = std::mem::take(&mut summary);
            let results = part.iter().map(|found| failure(&found.finding, None)).collect();
            let document = shape(flavor, metadata, counts, results);
            let text = serde_saphyr::to_string(&document).map_err(io::Error::other)?;
            write!(out, "---\n{text}")?;
        }
    }
    Ok(())
}
