//! How `portcullis images verify` is written: for people, step by step, and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::images::Verified;
use crate::policy::images::{Attempt, Check, Judgement, Verdict};

/// Every step, for people.
pub(in crate::cli::images) fn text(out: &mut impl Write, all: &[Verified]) -> io::Result<()> {
    for Verified { image, answers } in all {
        if answers.is_empty() {
            writeln!(out, "{image}: no policy is about it")?;
        }
        for answer in answers {
            let Judgement { verdict, digest, message, checks, problems, .. } = &answer.judgement;
            let word = match verdict {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::Unknown => "UNKNOWN",
            };
            writeln!(out, "{image}: {word} by ImagePolicy `{}`", answer.policy)?;
            if let Some(digest) = digest {
                writeln!(out, "  digest: {digest}")?;
            }
            for problem in problems {
                writeln!(out, "  problem: {problem}")?;
            }
            checks.iter().try_for_each(|check| step(out, check))?;
            if !message.is_empty() {
                writeln!(out, "  {message}")?;
            }
        }
    }
    Ok(())
}

fn step(out: &mut impl Write, check: &Check) -> io::Result<()> {
    let mark = if check.passed { "ok" } else { "no" };
    writeln!(out, "  [{mark}] {}: {}", check.subject, check.reason)?;
    for Attempt { place, rejected, signer, signed_at, .. } in &check.attempts {
        if let Some(why) = rejected {
            writeln!(out, "       {place}: {why}")?;
            continue;
        }
        let who = signer.as_ref().map(who).unwrap_or_default();
        let when = signed_at.as_ref().map(|time| format!(", at {time}")).unwrap_or_default();
        writeln!(out, "       {place}: by {who}{when}")?;
    }
    Ok(())
}

fn who(signer: &Value) -> String {
    let text = |field: &str| signer.get(field).and_then(Value::as_str).unwrap_or_default();
    match text("kind") {
        "key" => format!("the key {}", text("fingerprint")),
        "identity" => format!("{} of {}", text("subject"), text("issuer")),
        _ => format!("the certificate of `{}`", text("subject")),
    }
}

/// Everything, as one array.
pub(in crate::cli::images) fn json(out: &mut impl Write, all: &[Verified]) -> io::Result<()> {
    let written: Vec<Value> = all
        .iter()
        .map(|Verified { image, answers }| {
            let answers: Vec<Value> = answers
                .iter()
                .map(|answer| json!({"policy": answer.policy, "judgement": answer.judgement}))
                .collect();
            json!({"image": image, "answers": answers})
        })
        .collect();
    serde_json::to_writer_pretty(&mut *out, &written)?;
    writeln!(out)
}
