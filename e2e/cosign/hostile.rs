//! Registries that answer in ways no registry should: what is said of their images, in both formats of signatures, and that
//! it takes neither long nor much.

use crate::faults::{credentials, front, is_evidence, through};
use crate::front::{Answer, Asked};
use crate::tools::verify;
use crate::world::{FORMATS, Format, WORLD};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// 100 MiB of nothing in 100 KiB.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let script = "head -c 104857600 /dev/zero | gzip -9";
    Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap().stdout
});

fn raw(text: &str) -> Answer {
    Answer::Raw(text.as_bytes().to_vec())
}

fn json(text: &str) -> Answer {
    Answer::Body("application/json", text.as_bytes().to_vec())
}

/// What a registry does, whether nobody can say then or the image fails, and what is said.
type Row = (&'static str, fn(&Asked) -> Answer, &'static str, &'static str);

const ROWS: &[Row] = &[
    ("endless chunks", |_| Answer::endless_chunks(), "FAILED", "is larger than 4194304 bytes"),
    ("an endless head", |_| Answer::endless_head(), "UNKNOWN", "message head is too large"),
    ("a byte at a time", |_| Answer::Drip, "UNKNOWN", "did not answer in 5 s"),
    (
        "a bomb",
        |_| {
            let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n";
            let head = format!("{head}Content-Length: {}\r\n\r\n", BOMB.len());
            Answer::Raw([head.as_bytes(), BOMB.as_slice()].concat())
        },
        // Nothing is unpacked: it is what its bytes are.
        "FAILED",
        "",
    ),
    (
        "half of what it announced",
        |_| raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"),
        "UNKNOWN",
        "can't be reached",
    ),
    (
        "another protocol",
        |_| Answer::Raw(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64".to_vec()),
        "UNKNOWN",
        "can't be reached",
    ),
    ("a status of its own", |_| Answer::Status(418, vec![]), "FAILED", "answers with status 418"),
    ("nothing at all", |_| Answer::Status(204, vec![]), "FAILED", "answers with status 204"),
    ("no JSON", |_| json("{"), "FAILED", ""),
    ("other JSON", |_| json("[[[]]]"), "FAILED", ""),
    (
        "a redirect to nowhere",
        |_| Answer::Status(307, vec![("Location", "ftp://".to_owned())]),
        "FAILED",
        "sends to what is no address",
    ),
    (
        "a redirect without a place",
        |_| Answer::Status(302, vec![]),
        "FAILED",
        "sends to no address",
    ),
    (
        "a redirect to a cloud's secrets",
        |_| Answer::Status(307, vec![("Location", "https://169.254.169.254/latest".to_owned())]),
        "FAILED",
        "169.254.169.254 is at 169.254.169.254, a link-local address",
    ),
    (
        "a redirect into this machine",
        |_| Answer::Status(307, vec![("Location", "https://[::1]:1/a".to_owned())]),
        "FAILED",
        "is at ::1, a loopback address",
    ),
    (
        "a redirect into this machine by name",
        |_| Answer::Status(307, vec![("Location", "https://localhost:1/a".to_owned())]),
        "FAILED",
        "a loopback address",
    ),
];

#[test]
fn whatever_it_answers_nothing_passes() {
    std::thread::scope(|scope| {
        for format in FORMATS {
            for (what, fault, verdict, expect) in ROWS {
                scope.spawn(move || {
                    for evidence_only in [false, true] {
                        let front = front(move |asked| {
                            let honest = evidence_only && !is_evidence(asked);
                            if honest { Answer::Honest } else { fault(asked) }
                        });
                        let started = Instant::now();
                        let said = through(&front, format, "signed", &[]);
                        println!("{format:?}, {what}, {evidence_only}: {said:?}");
                        said.expect(1, verdict);
                        said.expect(1, expect);
                        assert!(started.elapsed() < Duration::from_secs(20), "{what}: too slow");
                    }
                });
            }
        }
    });
}

#[test]
fn what_is_no_json_is_told() {
    for format in FORMATS {
        let deep = "[".repeat(100_000);
        for text in ["{", "[]", "null", "{\"layers\": 1, \"manifests\": 1}", &deep] {
            let text = text.to_owned();
            let front =
                front(move |asked| if is_evidence(asked) { json(&text) } else { Answer::Honest });
            let said = through(&front, format, "signed", &[]);
            said.expect(1, "FAILED");
            said.expect(1, "can't be read");
        }
    }
}

#[test]
fn lists_without_an_end_are_not_followed_to_it() {
    let image = WORLD.digest(Format::Bundle, "signed");
    let list = format!("/referrers/{image}");
    let front = front(move |asked| {
        if asked.path.contains(&list) {
            let next = format!("<{}{list}?n={}>; rel=\"next\"", "/v2/bundle/signed", asked.before);
            let body = r#"{"manifests": []}"#;
            let head = format!("HTTP/1.1 200 OK\r\nLink: {next}\r\nConnection: close\r\n");
            return raw(&format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        }
        if is_evidence(asked) { Answer::Status(404, vec![]) } else { Answer::Honest }
    });
    let said = through(&front, Format::Bundle, "signed", &[]);
    said.expect(1, "1 more signatures or attestations were not looked at");
    let pages = front.asked().iter().filter(|asked| asked.path.contains("/referrers/")).count();
    assert_eq!(pages, 4);
}

#[test]
fn who_asks_for_a_login_again_and_again_is_answered_a_few_times() {
    type Guard = fn(&Asked, &str) -> Answer;
    fn denied(header: &str) -> Answer {
        Answer::Status(401, vec![("WWW-Authenticate", header.to_owned())])
    }
    fn to_itself(asked: &Asked, host: &str, token: fn() -> Answer) -> Answer {
        if asked.path.starts_with("/token") {
            return token();
        }
        denied(&format!("Bearer realm=\"http://{host}/token\",service=\"s\""))
    }
    let rows: [(&str, Guard, &str); 9] = [
        (
            "a token that never is enough",
            |asked, host| to_itself(asked, host, || json(r#"{"token": "t"}"#)),
            "it does not accept the credentials",
        ),
        (
            "no token",
            |asked, host| to_itself(asked, host, || Answer::Status(401, vec![])),
            "it does not accept the credentials",
        ),
        (
            "a token that is none",
            |asked, host| to_itself(asked, host, || json("hunter2")),
            "a JSON object with `token` is expected",
        ),
        (
            "a token with a line in it",
            |asked, host| to_itself(asked, host, || json("{\"token\": \"a\\nb\"}")),
            "letters that it can't have",
        ),
        (
            "a token of 100 MiB",
            |asked, host| to_itself(asked, host, Answer::endless),
            "the token is larger than 65536 bytes",
        ),
        (
            "a password that never is right",
            |_, _| denied("Basic realm=\"r\""),
            "it does not accept the credentials",
        ),
        ("no challenge", |_, _| Answer::Status(401, vec![]), "does not let us read"),
        ("a challenge that is none", |_, _| denied("Bearer realm=\"open"), "does not let us read"),
        (
            "a token from a cloud's secrets",
            |_, _| denied("Bearer realm=\"https://169.254.169.254/token\""),
            "169.254.169.254 is at 169.254.169.254, a link-local address",
        ),
    ];
    for format in FORMATS {
        for (what, guard, expect) in rows {
            let host = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
            let own = std::sync::Arc::clone(&host);
            let front = front(move |asked| guard(asked, own.get().unwrap()));
            host.set(front.host.clone()).unwrap();
            let file = credentials(&format!("{format:?}-again"), &front.host);
            let said = through(&front, format, "signed", &["--registry-config", &file]);
            said.expect(1, "FAILED");
            said.expect(1, expect);
            assert!(!format!("{said:?}").contains("hunter2"), "{said:?}");
            let asked = front.asked().len();
            assert!(asked <= 6, "{what}: {asked} questions");
        }
    }
}

#[test]
fn nobody_is_asked_where_no_registry_is() {
    let policy = WORLD.policy("release");
    let rows = [
        ("169.254.169.254/a/b:1", "169.254.169.254, a link-local address"),
        ("[fe80::1]/a/b:1", "a link-local address"),
        ("[::ffff:169.254.169.254]/a/b:1", "a link-local address"),
        ("0.0.0.0:80/a/b:1", "no address at all"),
        ("[::1]:5000/a/b:1", "a loopback address"),
        ("localhost:1/a/b:1", "a loopback address"),
        ("224.0.0.1:1/a/b:1", "a multicast address"),
    ];
    for (image, expect) in rows {
        let said = verify(image, &policy, &[]);
        said.expect(1, "FAILED");
        said.expect(1, expect);
        said.expect(1, "such hosts are asked only where they are allowed by name");
    }
    let private = verify("10.0.0.1:1/a/b:1", &policy, &["--no-private-addresses"]);
    private.expect(1, "10.0.0.1 is at 10.0.0.1, a private address");
    // Named, it is asked, over TLS.
    let said = verify("localhost:1/a/b:1", &policy, &["--any-address", "localhost:1"]);
    said.expect(1, "localhost:1 can't be reached");
    let said = verify("localhost:1/a/b:1", &policy, &["--any-address", "localhost:2"]);
    said.expect(1, "a loopback address");
}
