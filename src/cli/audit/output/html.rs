//! An audit as a page for people: one file, which asks for nothing and runs nothing but its own script. All that comes from
//! objects and policies is taken for hostile.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use jiff::{Timestamp, Unit};
use serde_json::{Value as Json, json};

use crate::audit::Verdict;
use crate::audit::report::{Summary, word};
use crate::cli::audit::output::page::{BARS_MAX, Bar, bars, escaped, json_in_page, source_hash};
use crate::cli::audit::output::severity;
use crate::cli::audit::tally::{Found, Report};
use crate::policy::api::Severity;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Findings in a page. A browser takes them in within a second; it is some 10 MB.
const FINDINGS_MAX: usize = 20_000;

const SEVERITIES: [Severity; 5] =
    [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info];

/// The page, as of now.
pub fn write(out: &mut dyn Write, report: &Report, now: Timestamp) -> io::Result<()> {
    let time = now.round(Unit::Second).unwrap_or(now);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; script-src {}; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>Portcullis audit</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>Audit</h1><p>{time}, by Portcullis {}</p>\
         <button id=\"theme\" type=\"button\">Light or dark</button></header>\n<main>\n",
        source_hash(STYLE),
        source_hash(SCRIPT),
        env!("CARGO_PKG_VERSION"),
    )?;
    cards(out, report)?;
    charts(out, report)?;
    notes(out, report)?;
    out.write_all(FILTERS.as_bytes())?;
    write!(
        out,
        "</main>\n<footer>A finding is what a policy has against an object that exists. Nothing on this page was asked for \
         from anywhere; it can be kept, sent and printed.</footer>\n<script type=\"application/json\" id=\"data\">"
    )?;
    write_data(out, report)?;
    write!(out, "</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

/// What the script fills and shows.
const FILTERS: &str = "\
<div class=\"filters\" id=\"filters\" role=\"search\" hidden>
<input id=\"text\" type=\"search\" placeholder=\"Search\" aria-label=\"Search\">
<select id=\"severity\" aria-label=\"Severity\"><option value=\"\">Any severity</option><option>critical</option><option>high</option>\
<option>medium</option><option>low</option><option>info</option></select>
<select id=\"policy\" aria-label=\"Policy\"><option value=\"\">Any policy</option></select>
<select id=\"namespace\" aria-label=\"Namespace\"><option value=\"\">Any namespace</option></select>
<select id=\"result\" aria-label=\"Result\"><option value=\"\">Any result</option><option>fail</option><option>warn</option>\
<option>error</option><option value=\"new\">new only</option></select>
<button id=\"clear\" type=\"button\">Clear</button>
<span id=\"count\" aria-live=\"polite\"></span>
</div>
<noscript><p class=\"card\">The findings are listed by a script, which is not allowed to run here.</p></noscript>
<div id=\"findings\"></div>
<p class=\"none\" id=\"none\" hidden>Nothing to show.</p>
<button id=\"show\" type=\"button\" hidden>Show more</button>
";

fn cards(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Summary { pass, fail, warn, error, .. } = report.summary;
    let share = |part: u64, of: u64| {
        (part * 1000)
            .checked_div(of)
            .map_or("-".to_owned(), |share| format!("{}.{} %", share / 10, share % 10))
    };
    let cards = [
        ("", report.objects.to_string(), "objects"),
        ("", share(report.covered, report.objects), "of them with a policy"),
        ("tone fail", fail.to_string(), "failures, by policy and object"),
        ("tone warn", warn.to_string(), "warnings"),
        ("tone error", error.to_string(), "errors"),
        ("tone pass", share(pass, pass + fail + warn + error), "of all answers are passes"),
    ];
    out.write_all(b"<section class=\"cards\">\n")?;
    for (class, number, what) in cards {
        writeln!(out, "<div class=\"card {class}\"><b>{number}</b><span>{what}</span></div>")?;
    }
    if report.known > 0 {
        let known = report.known;
        writeln!(out, "<div class=\"card\"><b>{known}</b><span>findings are known</span></div>")?;
    }
    out.write_all(b"</section>\n")
}

fn charts(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut severities: BTreeMap<Severity, u64> = BTreeMap::new();
    for found in &report.found {
        *severities.entry(severity(found)).or_default() += 1;
    }
    let by_severity = SEVERITIES.iter().map(|severity| Bar {
        name: word(*severity).to_owned(),
        segments: vec![(word(*severity), severities.get(severity).copied().unwrap_or(0))],
    });
    let policies = report.policies.iter().map(|tally| (tally.policy.name.as_str(), tally.summary));
    let none = "(no namespace)";
    let namespaces = report
        .namespaces
        .iter()
        .map(|(name, summary)| (if name.is_empty() { none } else { name.as_str() }, *summary));
    let charts = [
        ("Findings by severity", by_severity.collect()),
        ("Policies that most objects fail", most(policies)),
        ("Namespaces with most failures", most(namespaces)),
    ];
    out.write_all(b"<section class=\"charts\">\n")?;
    for (title, chart) in charts {
        let drawn = if chart.is_empty() { "<p>None.</p>".to_owned() } else { bars(title, &chart) };
        writeln!(out, "<div class=\"card\"><h2>{title}</h2>{drawn}</div>")?;
    }
    out.write_all(b"</section>\n")
}

/// Those with most findings.
fn most<'s>(counted: impl Iterator<Item = (&'s str, Summary)>) -> Vec<Bar> {
    let wrong = |summary: &Summary| summary.fail + summary.warn + summary.error;
    let mut counted: Vec<_> = counted.filter(|(_, summary)| wrong(summary) > 0).collect();
    counted.sort_by_key(|(name, summary)| (std::cmp::Reverse(wrong(summary)), *name));
    let bar = |(name, summary): (&str, Summary)| Bar {
        name: name.to_owned(),
        segments: vec![("fail", summary.fail), ("error", summary.error), ("warn", summary.warn)],
    };
    counted.into_iter().take(BARS_MAX).map(bar).collect()
}

/// What can't be seen from the findings.
fn notes(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut note = |class: &str, open: &str, title: String, lines: Vec<String>| {
        if lines.is_empty() {
            return Ok(());
        }
        writeln!(out, "<details class=\"card note {class}\"{open}><summary>{title}</summary><ul>")?;
        for line in lines {
            writeln!(out, "<li>{}</li>", escaped(&line))?;
        }
        writeln!(out, "</ul></details>")
    };
    let total = report.unreadable.len() as u64 + report.more_unreadable;
    let unreadable = report.unreadable.iter().map(ToString::to_string).collect();
    note(
        "error",
        " open",
        format!("{total} things could not be read, and were not audited"),
        unreadable,
    )?;
    let left_out = report.left_out.iter().map(|(policy, why)| format!("{policy}: {why}"));
    let title = format!("{} policies can't be asked about what exists", report.left_out.len());
    note("", "", title, left_out.collect())?;
    let hidden = report.more + report.found.len().saturating_sub(FINDINGS_MAX) as u64;
    let more =
        (hidden > 0).then(|| "The counts above are of all of them; -o jsonl has more.".to_owned());
    note(
        "error",
        " open",
        format!("{hidden} more findings are not on this page"),
        more.into_iter().collect(),
    )
}

/// The findings, with everything that several of them share written once.
fn write_data(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut shared = Shared::default();
    let found = || report.found.iter().take(FINDINGS_MAX);
    for found in found() {
        shared.add(report, found);
    }
    let head = json!({
        "policies": shared.policies,
        "rules": shared.rules,
        "files": shared.files,
    });
    let head = json_in_page(&head.to_string());
    write!(out, "{},\"findings\":[", head.trim_end_matches('}'))?;
    for (number, found) in found().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(out, "{comma}{}", json_in_page(&shared.line(found).to_string()))?;
    }
    out.write_all(b"]}")
}

#[derive(Default)]
struct Shared<'r> {
    policies: Vec<Json>,
    rules: Vec<Json>,
    files: Vec<&'r str>,
    policy_places: HashMap<(&'r str, &'r str), usize>,
    rule_places: HashMap<(&'r str, &'r str, crate::audit::Rule), usize>,
    file_places: HashMap<&'r str, usize>,
}

impl<'r> Shared<'r> {
    fn add(&mut self, report: &Report, found: &'r Found) {
        let finding = &found.finding;
        let policy = &finding.policy;
        let at = self.policies.len();
        let place = *self.policy_places.entry((policy.kind, &policy.name)).or_insert(at);
        if place == at {
            self.policies.push(json!({
                "name": policy.name,
                "kind": policy.kind,
                "severity": word(severity(found)),
                "category": policy.category,
                "owner": policy.owner,
                "description": policy.description,
            }));
        }
        let rule = (policy.kind, policy.name.as_str(), finding.rule);
        if !self.rule_places.contains_key(&rule) {
            self.rule_places.insert(rule, self.rules.len());
            let stands = report.places.of(finding);
            self.rules.push(json!({
                "policy": place,
                "rule": finding.rule,
                "expression": stands.expression,
                "file": stands.file,
                "line": stands.line,
            }));
        }
        if !found.file.is_empty() && !self.file_places.contains_key(&*found.file) {
            self.file_places.insert(&found.file, self.files.len());
            self.files.push(&found.file);
        }
    }

    fn line(&self, found: &Found) -> Json {
        let finding = &found.finding;
        let (object, policy) = (&finding.object, &finding.policy);
        let verdict = match finding.verdict {
            Verdict::Warn => 0,
            Verdict::Error => 1,
            _ => 2,
        };
        json!([
            self.rule_places.get(&(policy.kind, policy.name.as_str(), finding.rule)),
            verdict,
            object.api_version,
            object.kind,
            object.namespace,
            object.name,
            self.file_places.get(&*found.file),
            found.line,
            finding.message,
            found.known,
            finding.binding,
            finding.param,
        ])
    }
}
