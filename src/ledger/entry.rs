//! What the ledger says about one decision. How it is stored is `store`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its place, from 0.
    pub index: u64,
    /// What it says.
    #[serde(flatten)]
    pub body: Body,
}

/// What a [`Record`] says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// A decision.
    Decision(Box<Entry>),
    /// Decisions that are not here, because the queue was full.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was made.
    pub time: Timestamp,
    /// The request's uid.
    pub uid: String,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: String,
    /// `group/version/resource/subresource`, as far as there are any: `apps/v1/deployments/scale`, `v1/pods`.
    pub resource: String,
    /// Empty for what has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Empty if the API server is to make it up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who asked.
    pub user: String,
    /// Whether nothing was to be stored anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The answer.
    pub decision: Verdict,
    /// How many policies were evaluated.
    pub evaluated: u32,
    /// Those that did not just pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// Hash of the set of policies in force.
    pub policies: String,
}

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Allowed as it is.
    Allow,
    /// Allowed, changed.
    Patch,
    /// Denied.
    Deny,
}

/// What one policy said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The policy's name.
    pub policy: String,
    /// The binding's name; empty if it needed none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub binding: String,
    /// `deny`, `warn`, `audit`, `error` or `patch`.
    pub result: String,
    /// What the user was told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Record {
    /// The line, without its end. It has no line feed within, as JSON escapes them.
    pub fn line(&self) -> String {
        // Strings, numbers and times always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
pub(in crate::ledger) fn sample(uid: impl std::fmt::Display) -> Entry {
    Entry {
        time: "2026-11-20T13:00:00.000001Z".parse().unwrap(),
        uid: uid.to_string(),
        operation: "CREATE".into(),
        resource: "apps/v1/deployments".into(),
        namespace: "shop".into(),
        name: "web".into(),
        user: "alice".into(),
        dry_run: false,
        decision: Verdict::Deny,
        evaluated: 3,
        outcomes: vec![Outcome {
            policy: "no-latest".into(),
            binding: String::new(),
            result: "deny".into(),
            message: "line one\nline two".into(),
        }],
        policies: "3f9a".into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::ledger::entry::{Body, Record, sample};

    #[test]
    fn a_record_is_one_line_and_reads_back() {
        let check = |record: Record, expect: &str| {
            assert_eq!(record.line(), expect);
            assert_eq!(serde_json::from_str::<Record>(expect).unwrap(), record);
        };
        check(Record { index: 7, body: Body::Gap { lost: 3 } }, r#"{"index":7,"gap":{"lost":3}}"#);
        check(
            Record { index: 0, body: Body::Decision(Box::new(sample("u"))) },
            concat!(
                r#"{"index":0,"decision":{"time":"2026-11-20T13:00:00.000001Z","uid":"u","#,
                r#""operation":"CREATE","resource":"apps/v1/deployments","namespace":"shop","#,
                r#""name":"web","user":"alice","decision":"deny","evaluated":3,"#,
                r#""outcomes":[{"policy":"no-latest","result":"deny","#,
                r#""message":"line one\nline two"}],"policies":"3f9a"}}"#
            ),
        );
    }
}
