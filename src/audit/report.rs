//! Reports: findings in the shapes that other tools read. How findings are spread over reports, and where reports are
//! kept, is not known here.
//!
//! Sources: `openreports.io/v1alpha1`, and `wgpolicyk8s.io/v1alpha2`, from which it came and whose results are the same.

use std::ops::{AddAssign, SubAssign};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::audit::finding::{Finding, ObjectRef, Verdict};
use crate::policy::api::Severity;

/// Who made a report, in its `source`, and whose reports are ours.
pub const SOURCE: &str = "portcullis";

/// Which of the two shapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavor {
    /// `openreports.io/v1alpha1`: Report and ClusterReport.
    #[default]
    OpenReports,
    /// `wgpolicyk8s.io/v1alpha2`: PolicyReport and ClusterPolicyReport.
    PolicyReport,
}

impl Flavor {
    /// The API group.
    pub fn group(self) -> &'static str {
        match self {
            Flavor::OpenReports => "openreports.io",
            Flavor::PolicyReport => "wgpolicyk8s.io",
        }
    }

    /// The version of it.
    pub fn version(self) -> &'static str {
        match self {
            Flavor::OpenReports => "v1alpha1",
            Flavor::PolicyReport => "v1alpha2",
        }
    }

    /// The kind and the resource of reports about a namespace, or about what is in none.
    pub fn kind(self, is_namespaced: bool) -> (&'static str, &'static str) {
        match (self, is_namespaced) {
            (Flavor::OpenReports, true) => ("Report", "reports"),
            (Flavor::OpenReports, false) => ("ClusterReport", "clusterreports"),
            (Flavor::PolicyReport, true) => ("PolicyReport", "policyreports"),
            (Flavor::PolicyReport, false) => ("ClusterPolicyReport", "clusterpolicyreports"),
        }
    }
}

/// How many answers of each kind there are: one for each policy and object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The object meets the policy.
    pub pass: u64,
    /// It does not.
    pub fail: u64,
    /// It does not, and the policy only warns.
    pub warn: u64,
    /// It could not be evaluated.
    pub error: u64,
    /// The policy is not about it.
    pub skip: u64,
}

impl Summary {
    /// The count of one verdict.
    pub fn of(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Fail => &mut self.fail,
            Verdict::Warn => &mut self.warn,
            Verdict::Error => &mut self.error,
            Verdict::Skip => &mut self.skip,
        }
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.pass + self.fail + self.warn + self.error + self.skip
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Summary) {
        self.pass += other.pass;
        self.fail += other.fail;
        self.warn += other.warn;
        self.error += other.error;
        self.skip += other.skip;
    }
}

impl SubAssign for Summary {
    fn sub_assign(&mut self, other: Summary) {
        self.pass = self.pass.saturating_sub(other.pass);
        self.fail = self.fail.saturating_sub(other.fail);
        self.warn = self.warn.saturating_sub(other.warn);
        self.error = self.error.saturating_sub(other.error);
        self.skip = self.skip.saturating_sub(other.skip);
    }
}

/// A whole report. `metadata` needs a name, and for a namespace's report the namespace.
pub fn report(flavor: Flavor, metadata: Json, summary: Summary, results: Vec<Json>) -> Json {
    let is_namespaced = metadata.get("namespace").is_some();
    let (kind, _) = flavor.kind(is_namespaced);
    let mut report = json!({
        "apiVersion": format!("{}/{}", flavor.group(), flavor.version()),
        "kind": kind,
        "metadata": metadata,
        "summary": summary,
        "results": results,
    });
    if let (Flavor::OpenReports, Some(fields)) = (flavor, report.as_object_mut()) {
        fields.insert("source".to_owned(), SOURCE.into());
    }
    report
}

/// A finding as a result of a report. `since` is when it was first seen, if that is known.
pub fn failure(finding: &Finding, since: Option<Timestamp>) -> Json {
    let mut properties = Map::new();
    let policy = &finding.policy;
    let named = [
        ("policyKind", Some(policy.kind.to_owned())),
        ("binding", finding.binding.clone()),
        ("param", finding.param.clone()),
        ("owner", policy.owner.clone()),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            properties.insert(name.to_owned(), value.into());
        }
    }
    let mut result = json!({
        "source": SOURCE,
        "policy": policy.name,
        "rule": finding.rule,
        "result": finding.verdict,
        // What only warns counts for nothing.
        "scored": finding.verdict != Verdict::Warn,
        "message": finding.message,
        "resources": [reference(&finding.object)],
        "properties": properties,
    });
    if let Some(fields) = result.as_object_mut() {
        if let Some(category) = &policy.category {
            fields.insert("category".to_owned(), category.as_str().into());
        }
        if let Some(severity) = policy.severity {
            fields.insert("severity".to_owned(), word(severity).into());
        }
        if let Some(since) = since {
            let nanos = since.subsec_nanosecond();
            let timestamp = json!({"seconds": since.as_second(), "nanos": nanos});
            fields.insert("timestamp".to_owned(), timestamp);
        }
    }
    result
}

/// An object that meets a policy, as a result of a report.
pub fn pass(object: &ObjectRef, policy: &str, kind: &str) -> Json {
    json!({
        "source": SOURCE,
        "policy": policy,
        "result": Verdict::Pass,
        "scored": true,
        "resources": [reference(object)],
        "properties": {"policyKind": kind},
    })
}

fn reference(object: &ObjectRef) -> Json {
    let ObjectRef { api_version, kind, namespace, name, uid } = object;
    let mut reference = json!({"apiVersion": api_version, "kind": kind, "name": name});
    if let Some(fields) = reference.as_object_mut() {
        for (field, text) in [("namespace", namespace), ("uid", uid)] {
            if !text.is_empty() {
                fields.insert(field.to_owned(), text.as_str().into());
            }
        }
    }
    reference
}

/// The word that reports have for it.
pub fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}
