//! Baselines: findings that are known, so that only new ones count. A finding is the same as long as policy, rule and object
//! are; what the message says, and where the object stands, may change.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audit::{Finding, ObjectRef};
use crate::cli::Failure;

/// Bytes of a baseline: more than [`IDENTITIES_MAX`](crate::cli::audit::tally::IDENTITIES_MAX) take.
const BYTES_MAX: u64 = 512 << 20;

/// What makes a finding the same: a hash of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 32]);

/// Findings that are known.
#[derive(Debug, Default)]
pub struct Baseline(HashSet<Identity>);

/// The file: one array of hashes, in order, so that a change of it can be read in a review.
#[derive(Debug, Deserialize, Serialize)]
struct File {
    /// So that another form can be told from it.
    version: u32,
    findings: Vec<String>,
}

const VERSION: u32 = 1;

/// What makes a finding the same: policy, rule and object, whichever version the object is written in.
pub fn identity(finding: &Finding) -> Identity {
    let ObjectRef { api_version, kind, namespace, name, .. } = &*finding.object;
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let mut hasher = Sha256::new();
    let rule = finding.rule.to_string();
    for part in [finding.policy.kind, &finding.policy.name, &rule, group, kind, namespace, name] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    Identity(hasher.finalize().into())
}

impl Identity {
    /// In hexadecimal.
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn parse(text: &str) -> Option<Identity> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Identity(bytes))
    }
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// If there is none in the file.
    pub fn read(path: &Path) -> Result<Baseline, Failure> {
        let failed = |why: &dyn std::fmt::Display| Failure::file(path, why);
        let size = fs::metadata(path).map_err(|error| failed(&error))?.len();
        if size > BYTES_MAX {
            return Err(failed(&format!("more than {BYTES_MAX} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
        let file: File = serde_json::from_str(&text)
            .map_err(|error| failed(&format!("no baseline: {error}")))?;
        if file.version != VERSION {
            return Err(failed(&format!("a baseline of version {}, not {VERSION}", file.version)));
        }
        let known = file.findings.iter().map(|text| {
            Identity::parse(text).ok_or_else(|| failed(&format!("no finding: `{text}`")))
        });
        Ok(Baseline(known.collect::<Result<_, _>>()?))
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it knows this one.
    pub fn knows(&self, identity: &Identity) -> bool {
        self.0.contains(identity)
    }
}

/// Writes a baseline, whole or not at all.
///
/// # Errors
/// If the file can't be written.
pub fn write(path: &Path, identities: &BTreeSet<Identity>) -> Result<(), Failure> {
    let findings = identities.iter().map(Identity::hex).collect();
    let file = File { version: VERSION, findings };
    let mut text = serde_json::to_string_pretty(&file).map_err(Failure::new)?;
    text.push('\n');
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let failed = |error: std::io::Error| Failure::file(path, &error);
    // What is no file can't be replaced by one.
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return fs::write(path, text).map_err(failed);
    }
    let mut new = tempfile::Builder::new();
    let new = new.permissions(fs::Permissions::from_mode(0o666));
    let mut new = new.tempfile_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    new.persist(path).map_err(|error| Failure::file(path, &error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::{PolicyRef, Rule, Verdict};

    fn finding(name: &str, rule: usize, version: &str, message: &str) -> Finding {
        let object = ObjectRef {
            api_version: version.into(),
            kind: "Deployment".into(),
            namespace: "a".into(),
            name: name.into(),
            uid: message.into(),
        };
        let policy =
            PolicyRef { kind: "ValidatingPolicy", name: "p".into(), ..PolicyRef::default() };
        Finding {
            object: Arc::new(object),
            policy: Arc::new(policy),
            rule: Rule::Validation(rule),
            verdict: Verdict::Fail,
            message: message.into(),
            binding: None,
            param: None,
        }
    }

    #[test]
    fn a_finding_is_the_same_by_policy_rule_and_object() {
        let one = identity(&finding("x", 0, "apps/v1", "says this"));
        assert_eq!(one, identity(&finding("x", 0, "apps/v1beta1", "says that")));
        assert_ne!(one, identity(&finding("y", 0, "apps/v1", "says this")));
        assert_ne!(one, identity(&finding("x", 1, "apps/v1", "says this")));
        assert_ne!(one, identity(&finding("x", 0, "v1", "says this")));
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let error = write(Path::new("/dev/full"), &BTreeSet::new()).unwrap_err();
        assert!(error.to_string().starts_with("/dev/full: "), "{error}");
        assert!(!fs::metadata("/dev/full").unwrap().is_file());
    }

    #[test]
    fn what_is_written_is_known_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        let known = identity(&finding("x", 0, "apps/v1", ""));
        write(&path, &BTreeSet::from([known])).unwrap();
        let baseline = Baseline::read(&path).unwrap();
        assert!(baseline.knows(&known));
        assert!(!baseline.knows(&identity(&finding("y", 0, "apps/v1", ""))));
        for broken in
            ["", "{}", r#"{"version":2,"findings":[]}"#, r#"{"version":1,"findings":["x"]}"#]
        {
            fs::write(&path, broken).unwrap();
            assert!(Baseline::read(&path).is_err(), "{broken}");
        }
    }
}
