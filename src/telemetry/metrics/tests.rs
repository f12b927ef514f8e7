//! What each family is called, counts and forgets.

use std::time::Duration;

use jiff::Timestamp;

use crate::telemetry::metrics::{
    Answer, FindingLabels, ImageAnswer, ImageResult, KindLabels, LedgerTotals, LeftOutLabels,
    Metrics, Operation, PolicyCount, PolicyResult, Question, Refusal, Webhook, Written,
};

/// The lines that are no comments and are not zero, sorted.
fn lines(metrics: &Metrics) -> Vec<String> {
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"));
    let is_zero = |line: &str| line.ends_with(" 0") || line.ends_with(" 0.0");
    let counted = text.lines().filter(|line| !line.starts_with('#') && !is_zero(line));
    let mut counted: Vec<_> = counted.map(str::to_owned).collect();
    counted.sort();
    counted
}

#[track_caller]
fn check(record: impl Fn(&Metrics), expect: &[&str]) {
    let metrics = Metrics::new();
    assert!(lines(&metrics).is_empty());
    record(&metrics);
    assert_eq!(lines(&metrics), expect);
}

#[test]
fn families_have_their_names_and_labels() {
    check(
        |metrics| metrics.outcome("no-latest", PolicyResult::Deny),
        &[r#"portcullis_policy_outcomes_total{policy="no-latest",result="deny"} 1"#],
    );
    check(
        |metrics| {
            metrics.reload(true);
            metrics.reload(false);
            metrics.reload(false);
        },
        &[
            r#"portcullis_reloads_total{result="error"} 2"#,
            r#"portcullis_reloads_total{result="ok"} 1"#,
        ],
    );
    check(
        |metrics| metrics.written(Written::Status, false),
        &[r#"portcullis_cluster_writes_total{what="status",result="error"} 1"#],
    );
    check(Metrics::watch_failure, &["portcullis_watch_failures_total 1"]);
    check(|m| m.certificate_expires(7), &["portcullis_certificate_expiry_timestamp_seconds 7"]);
    check(
        |metrics| {
            metrics.question(Question::Authorization, true);
            metrics.question(Question::Namespace, false);
        },
        &[
            r#"portcullis_questions_total{about="authorization",result="ok"} 1"#,
            r#"portcullis_questions_total{about="namespace",result="error"} 1"#,
        ],
    );
    check(
        |metrics| metrics.image_answer(ImageAnswer::Kept),
        &[r#"portcullis_image_answers_total{from="kept"} 1"#],
    );
    check(|m| m.watched("params", 3), &[r#"portcullis_watched_objects{kind="params"} 3"#]);
    check(|m| m.http_error(413), &[r#"portcullis_http_errors_total{code="413"} 1"#]);
    check(
        |metrics| metrics.refuse(Refusal::Limit),
        &[r#"portcullis_connections_refused_total{reason="limit"} 1"#],
    );
    check(
        |metrics| metrics.ledger(LedgerTotals { written: 7, lost: 2, failed: 1 }),
        &[
            "portcullis_ledger_lost_total 2",
            "portcullis_ledger_records_total 7",
            "portcullis_ledger_write_failures_total 1",
        ],
    );
}

#[test]
fn every_family_is_documented_and_exists() {
    let documentation = include_str!("../../../docs/operations.md");
    let metrics = Metrics::new();
    metrics.request(Webhook::Mutate, Operation::Create, Answer::Allow, Duration::ZERO);
    metrics.outcome("a", PolicyResult::Deny);
    metrics.policies([PolicyCount { kind: "a", state: "b", count: 1 }], 1);
    metrics.reload(true);
    metrics.http_error(400);
    metrics.refuse(Refusal::Limit);
    metrics.written(Written::Status, true);
    metrics.question(Question::Namespace, true);
    metrics.image_verified(ImageResult::Passed, Duration::ZERO);
    metrics.image_answer(ImageAnswer::Kept);
    metrics.registry_asked("registry.example.com", "200", Duration::from_millis(5));
    metrics.trust_roots(1, 0, Timestamp::UNIX_EPOCH);
    metrics.watched("params", 1);
    metrics.registered([(Webhook::Validate, 1), (Webhook::Mutate, 1)], 1);
    let labels = FindingLabels { kind: "k", policy: "a".into(), severity: "high", result: "fail" };
    metrics.findings([(labels, 1)]);
    let kind = KindLabels { group: "g".into(), resource: "r".into() };
    metrics.unreadable([(kind, 1)]);
    let policy = LeftOutLabels { kind: "k", policy: "a".into(), reason: "user" };
    metrics.left_out([(policy, 1)]);
    metrics.events("written", 1);
    let text = metrics.text();
    let mut families: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| format!("{name}{}", if kind == "counter" { "_total" } else { "" }))
        .collect();
    families.sort();
    let row = |line: &str| Some(line.strip_prefix("| `portcullis_")?.split('`').next()?.to_owned());
    let mut documented: Vec<String> =
        documentation.lines().filter_map(row).map(|name| format!("portcullis_{name}")).collect();
    documented.sort();
    assert_eq!(documented, families);
}

#[test]
fn a_verification_is_counted_and_timed() {
    let metrics = Metrics::new();
    metrics.image_verified(ImageResult::Failed, Duration::from_millis(20));
    let lines = lines(&metrics);
    for expect in [
        r#"portcullis_image_verifications_total{result="failed"} 1"#,
        r#"portcullis_image_verification_duration_seconds_bucket{le="0.025"} 1"#,
    ] {
        assert!(lines.iter().any(|line| line == expect), "{lines:?}");
    }
}

#[test]
fn a_request_is_counted_and_timed() {
    let metrics = Metrics::new();
    let duration = Duration::from_micros(60);
    metrics.request(Webhook::Validate, Operation::Create, Answer::Deny, duration);
    let lines = lines(&metrics);
    let labels = r#"webhook="validate",operation="CREATE",answer="deny""#;
    assert!(lines.contains(&format!("portcullis_requests_total{{{labels}}} 1")), "{lines:?}");
    let bucket = format!("portcullis_request_duration_seconds_bucket{{le=\"0.0001\",{labels}}} 1");
    assert!(lines.contains(&bucket), "{lines:?}");
}

#[test]
fn policies_that_are_gone_are_not_counted() {
    let metrics = Metrics::new();
    let count = |state, count| PolicyCount { kind: "ValidatingPolicy", state, count };
    metrics.policies([count("active", 3), count("broken", 1)], 5);
    metrics.policies([count("active", 4)], 6);
    metrics.outcome("gone", PolicyResult::Warn);
    metrics.outcome("here", PolicyResult::Warn);
    metrics.forget_outcomes(&["gone"]);
    assert_eq!(
        lines(&metrics),
        [
            "portcullis_last_reload_timestamp_seconds 6",
            r#"portcullis_policies{kind="ValidatingPolicy",state="active"} 4"#,
            r#"portcullis_policy_outcomes_total{policy="here",result="warn"} 1"#,
        ]
    );
}

#[test]
fn a_connection_counts_while_it_is_open() {
    let metrics = Metrics::new();
    let first = metrics.connection();
    let second = metrics.connection();
    assert_eq!(lines(&metrics), ["portcullis_connections 2"]);
    drop(first);
    assert_eq!(lines(&metrics), ["portcullis_connections 1"]);
    drop(second);
    assert!(lines(&metrics).is_empty());
    let asked = metrics.in_flight();
    assert_eq!(lines(&metrics), ["portcullis_requests_in_flight 1"]);
    drop(asked);
    assert!(lines(&metrics).is_empty());
}

#[test]
fn only_who_registers_says_what_is_registered() {
    let metrics = Metrics::new();
    metrics.registered([(Webhook::Validate, 2), (Webhook::Mutate, 0)], 7);
    let said = [
        r#"portcullis_registered_webhooks{webhook="validate"} 2"#,
        "portcullis_registration_timestamp_seconds 7",
    ];
    assert_eq!(lines(&metrics), said);
    metrics.registers_no_more();
    assert!(lines(&metrics).is_empty());
}

#[test]
fn hosts_that_anybody_names_do_not_become_series_without_end() {
    let metrics = Metrics::new();
    for place in 0..100 {
        let host = format!("r{place}.example.com");
        metrics.registry_asked(&host, "timeout", Duration::from_secs(5));
        metrics.registry_asked(&host, "404", Duration::from_millis(5));
    }
    let text = metrics.text();
    let counts: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("portcullis_image_registry_duration_seconds_count"))
        .collect();
    assert_eq!(counts.len(), 2 * 33, "{counts:#?}");
    let others =
        "portcullis_image_registry_duration_seconds_count{host=\"other\",result=\"none\"} 68";
    assert!(counts.contains(&others), "{counts:#?}");
}
