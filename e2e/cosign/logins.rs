//! Logins of all kinds, and mirrors: who is shown what, and who is asked first, in both formats of signatures.

use crate::faults::{front, guarded, through};
use crate::front::{Answer, Asked, Front};
use crate::program::Program;
use crate::tools::{Said, verify};
use crate::world::{FORMATS, Format, WORLD};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Writes a file of logins.
fn config(name: &str, content: &Value) -> PathBuf {
    let path = WORLD.folder.join(format!("login-{name}.json"));
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

fn realm_of(front: &Front) -> &'static str {
    format!("http://{}/token", front.host).leak()
}

#[test]
fn a_refresh_token_is_posted_to_the_token_server_and_shown_to_nobody_else() {
    for format in FORMATS {
        let tokens = front(|asked| {
            let wants = ["grant_type=refresh_token", "refresh_token=r3fresh", "service=s"];
            let scope = "scope=repository%3A";
            let good = wants.iter().chain([&scope]).all(|part| asked.form.contains(part));
            if good && asked.authorization.is_none() {
                Answer::Body("application/json", br#"{"access_token": "t0ken"}"#.to_vec())
            } else {
                Answer::Status(401, vec![])
            }
        });
        let front = guarded(String::new(), realm_of(&tokens));
        let login = json!({"auths": {&front.host: {"auth": "MDow", "identitytoken": "r3fresh"}}});
        let file = config(&format!("identity-{format:?}"), &login);
        let with = ["--registry-config", file.to_str().unwrap(), "--plain-http", &tokens.host];
        through(&front, format, "signed", &with).expect(0, "passed");
        let secret = |asked: &Asked| format!("{asked:?}").contains("r3fresh");
        assert!(tokens.asked().iter().all(secret) && !front.asked().iter().any(secret));
        // Once for one image.
        assert_eq!(tokens.asked().len(), 1, "{:?}", tokens.asked());

        // A token server that sends elsewhere gets nothing sent there.
        let elsewhere = self::front(|_| Answer::Honest);
        let to = format!("http://{}/token", elsewhere.host);
        let sends = self::front(move |_| Answer::Status(307, vec![("Location", to.clone())]));
        let front = guarded(String::new(), realm_of(&sends));
        let login = json!({"auths": {&front.host: {"identitytoken": "r3fresh"}}});
        let file = config(&format!("identity-{format:?}"), &login);
        let plain = ["--plain-http", &sends.host, "--plain-http", &elsewhere.host];
        let with = [&["--registry-config", file.to_str().unwrap()], &plain[..]].concat();
        through(&front, format, "signed", &with).expect(1, "sends elsewhere what is posted to it");
        assert!(elsewhere.asked().is_empty());
    }
}

#[test]
fn a_helper_is_run_where_somebody_said_so() {
    let folder = WORLD.folder.join("helpers");
    std::fs::create_dir_all(&folder).unwrap();
    let helper = folder.join("docker-credential-cloud");
    let script = r#"#!/bin/sh
echo "$1 $(cat)" >>"$0.log"
echo '{"Username": "u", "Secret": "p"}'
"#;
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    for format in FORMATS {
        let front = front(|asked| match asked.authorization.as_deref() {
            Some("Basic dTpw") => Answer::Honest,
            _ => Answer::Status(401, vec![("WWW-Authenticate", "Basic realm=\"r\"".to_owned())]),
        });
        let file = config("helper", &json!({"credHelpers": {&front.host: "cloud"}}));
        let with = ["--registry-config", file.to_str().unwrap()];
        through(&front, format, "signed", &with).expect(1, "without credentials");
        let with = [&with[..], &["--credential-helpers", folder.to_str().unwrap()]].concat();
        through(&front, format, "signed", &with).expect(0, "passed");
        let log = std::fs::read_to_string(folder.join("docker-credential-cloud.log")).unwrap();
        assert_eq!(log.lines().last(), Some(&*format!("get {}", front.host)));
        let file = config("helper", &json!({"credsStore": "gone"}));
        let with = ["--registry-config", file.to_str().unwrap(), "--credential-helpers"];
        let said =
            through(&front, format, "signed", &[&with[..], &[folder.to_str().unwrap()]].concat());
        said.expect(1, "UNKNOWN");
        said.expect(1, "the credential helper `gone` does not say how to log in");
    }
}

#[test]
fn logins_that_change_are_read_again_while_it_serves() {
    let front = front(|asked| match asked.authorization.as_deref() {
        Some("Basic dTpw") => Answer::Honest,
        _ => Answer::Status(401, vec![("WWW-Authenticate", "Basic realm=\"r\"".to_owned())]),
    });
    let login =
        |password: &str| json!({"auths": {&front.host: {"username": "u", "password": password}}});
    let file = config("changes", &login("old"));
    let more = ["--plain-http", &front.host, "--registry-config", file.to_str().unwrap()];
    let program = Program::serve_with(&WORLD.policy("release"), &more);
    let image = WORLD.image(Format::Bundle, "signed").replace(&WORLD.registry.host, &front.host);
    let asked = || program.validate(&crate::admission::created(&image));
    let denied = asked();
    assert_eq!(denied["allowed"], false, "{denied}");
    assert!(denied.to_string().contains("it does not accept the credentials"), "{denied}");
    config("changes", &login("p"));
    // What failed is kept for 15 s, what was read for 10.
    let started = Instant::now();
    while asked()["allowed"] != true {
        assert!(started.elapsed() < Duration::from_secs(40), "{}", program.log());
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Verifies the signed image of a registry that has a mirror.
fn mirrored(registry: &Front, mirror: &Front, folder: &str, format: Format, more: &[&str]) -> Said {
    let image = WORLD.image(format, "signed").replace(&WORLD.registry.host, &registry.host);
    let rule = format!("{}={}{folder}", registry.host, mirror.host);
    let with = ["--registry-mirror", &rule, "--plain-http", &mirror.host];
    verify(&image, &WORLD.policy("release"), &[&with[..], more].concat())
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_where_it_has_nothing() {
    type Row = (&'static str, fn(&Asked) -> Answer, bool);
    let rows: [Row; 6] = [
        ("honest", |_| Answer::Honest, false),
        ("empty", |_| Answer::Status(404, vec![]), true),
        ("broken", |_| Answer::Status(503, vec![]), true),
        ("closed", |_| Answer::Status(403, vec![]), true),
        ("gone", |_| Answer::Reset, true),
        (
            "changes layers",
            |asked| {
                if asked.path.contains("/blobs/") {
                    Answer::Body("application/json", b"{}".to_vec())
                } else {
                    Answer::Honest
                }
            },
            true,
        ),
    ];
    for format in FORMATS {
        for (what, behaviour, needs_registry) in rows {
            let (registry, mirror) = (front(|_| Answer::Honest), front(behaviour));
            mirrored(&registry, &mirror, "", format, &[]).expect(0, "passed");
            assert!(!mirror.asked().is_empty(), "{what}");
            let of_bundle = |asked: &Asked| asked.path.contains("/referrers/");
            if !needs_registry && format == Format::Legacy {
                // The lists that a mirror has nothing in are asked of the registry: it may not know yet.
                assert!(!registry.asked().iter().any(|asked| asked.path.ends_with("/v1")));
            }
            assert!(registry.asked().iter().any(of_bundle) || !needs_registry, "{what}");
            // Where only mirrors may be asked, only mirrors are.
            let before = registry.asked().len();
            let said = mirrored(&registry, &mirror, "", format, &["--mirrors-only"]);
            assert_eq!(said.code, i32::from(needs_registry), "{what}: {said:?}");
            assert_eq!(registry.asked().len(), before, "{what}");
        }
        // A mirror keeps what it has in a folder.
        let registry = front(|_| Answer::Honest);
        let mirror = front(|_| Answer::Status(404, vec![]));
        mirrored(&registry, &mirror, "/hub/", format, &[]).expect(0, "passed");
        let name = WORLD.repository(format, "signed").name;
        let in_folder = format!("/v2/hub/{name}/");
        assert!(mirror.asked().iter().all(|asked| asked.path.starts_with(&in_folder)));
        // The login of one is not shown to the other.
        let login = json!({"auths": {&registry.host: {"auth": "dTpw"}}});
        let file = config("mirror", &login);
        let mirror = front(|_| {
            Answer::Status(401, vec![("WWW-Authenticate", "Basic realm=\"r\"".to_owned())])
        });
        let with = ["--registry-config", file.to_str().unwrap()];
        mirrored(&registry, &mirror, "", format, &with).expect(0, "passed");
        assert!(mirror.asked().iter().all(|asked| asked.authorization.is_none()));
    }
}
