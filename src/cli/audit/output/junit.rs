//! An audit as JUnit XML: a test suite for each policy, a test for each object that has a finding, and one for all others.

use std::collections::BTreeMap;
use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use crate::audit::Verdict;
use crate::cli::audit::tally::{Found, PolicyTally, Report};

/// Everything: known findings are skipped tests.
pub fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut by_policy: BTreeMap<(&str, &str), Vec<&Found>> = BTreeMap::new();
    for found in &report.found {
        let policy = &found.finding.policy;
        by_policy.entry((&policy.name, policy.kind)).or_default().push(found);
    }
    let mut junit = Junit::new("portcullis audit");
    for PolicyTally { policy, summary } in &report.policies {
        let mut suite = TestSuite::new(policy.name.as_str());
        let found = by_policy.remove(&(policy.name.as_str(), policy.kind)).unwrap_or_default();
        suite.add_test_cases(found.into_iter().map(case));
        if summary.pass > 0 {
            let name = format!("{} objects pass", summary.pass);
            let mut passes = TestCase::new(name, TestCaseStatus::success());
            passes.set_classname(policy.name.as_str());
            suite.add_test_case(passes);
        }
        if suite.tests > 0 {
            junit.add_test_suite(suite);
        }
    }
    if !report.unreadable.is_empty() {
        let mut suite = TestSuite::new("files");
        suite.add_test_cases(report.unreadable.iter().map(|error| {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(error.message.as_str());
            let mut case = TestCase::new(format!("{}:{}", error.file, error.line), status);
            case.set_classname("files");
            case
        }));
        junit.add_test_suite(suite);
    }
    // Its writer would not say why it could not write.
    out.write_all(junit.to_string().map_err(io::Error::other)?.as_bytes())
}

fn case(found: &Found) -> TestCase {
    let finding = &found.finding;
    let mut status = match finding.verdict {
        _ if found.known => TestCaseStatus::skipped(),
        // What only warns fails nobody's build.
        Verdict::Warn => TestCaseStatus::skipped(),
        Verdict::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
        _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    status.set_message(&*finding.message);
    status.set_type(finding.rule.to_string());
    if found.line > 0 {
        status.set_description(format!("{}:{}: {}", found.file, found.line, finding.message));
    }
    let mut case = TestCase::new(format!("{} {}", finding.object, finding.rule), status);
    case.set_classname(finding.policy.name.as_str());
    case
}
