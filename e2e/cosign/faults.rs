//! Registries that are slow, full, broken or hostile: what is said of their images, in both formats of signatures.

use crate::front::{Answer, Asked, Front};
use crate::push::{BUNDLE, INDEX, MANIFEST, tag_of};
use crate::tools::{Said, verify};
use crate::world::{FORMATS, Format, WORLD};
use portcullis::images::Digest;
use serde_json::json;
use std::time::{Duration, Instant};

/// Verifies the signed image through a front.
pub fn through(front: &Front, format: Format, image: &str, more: &[&str]) -> Said {
    let reference = WORLD.image(format, image).replace(&WORLD.registry.host, &front.host);
    verify(&reference, &WORLD.policy("release"), more)
}

pub fn front(behaviour: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Front {
    Front::start(&WORLD.registry.host, behaviour)
}

/// Whether something that carries signatures is asked for, and not the image.
pub fn is_evidence(asked: &Asked) -> bool {
    asked.path.contains("sha256-") || asked.path.contains("/referrers/")
}

#[test]
fn an_honest_front_changes_nothing() {
    for format in FORMATS {
        let front = front(|_| Answer::Honest);
        through(&front, format, "signed", &[]).expect(0, "passed");
        through(&front, format, "unsigned", &[]).expect(1, "no signature was found");
    }
}

#[test]
fn a_registry_that_does_not_answer_leaves_it_unknown() {
    type Row = (&'static str, fn(&Asked) -> Answer, &'static str);
    let rows: [Row; 4] = [
        ("hangs", |_| Answer::Silence, "did not answer in 5 s"),
        ("resets", |_| Answer::Reset, "can't be reached"),
        ("500", |_| Answer::Status(500, vec![]), "answers with status 500"),
        (
            "429",
            |_| Answer::Status(429, vec![("Retry-After", "60".to_owned())]),
            "has had too many requests, and asks to wait 60 s",
        ),
    ];
    std::thread::scope(|scope| {
        for format in FORMATS {
            for (what, fault, expect) in rows {
                scope.spawn(move || {
                    for evidence_only in [false, true] {
                        let front = front(move |asked| {
                            if evidence_only && !is_evidence(asked) {
                                Answer::Honest
                            } else {
                                fault(asked)
                            }
                        });
                        let started = Instant::now();
                        let said = through(&front, format, "signed", &[]);
                        said.expect(1, "UNKNOWN");
                        said.expect(1, expect);
                        assert!(
                            !said.stdout.contains("no signature was found;"),
                            "{what}: {said:?}"
                        );
                        assert!(started.elapsed() < Duration::from_secs(15), "{what}: too slow");
                    }
                });
            }
        }
    });
}

#[test]
fn what_passes_by_itself_is_waited_for() {
    for format in FORMATS {
        let rows: [fn(&Asked) -> Answer; 3] = [
            |_| Answer::Status(429, vec![("Retry-After", "1".to_owned())]),
            |_| Answer::Status(503, vec![]),
            |_| Answer::Reset,
        ];
        for fault in rows {
            let front =
                front(move |asked| if asked.before == 0 { fault(asked) } else { Answer::Honest });
            through(&front, format, "signed", &[]).expect(0, "passed");
        }
    }
}

#[test]
fn the_time_for_an_image_is_bounded() {
    for format in FORMATS {
        let front =
            front(|asked| if is_evidence(asked) { Answer::Silence } else { Answer::Honest });
        let said = through(&front, format, "signed", &["--timeout", "1"]);
        said.expect(1, "did not answer in 1 s");
    }
}

#[test]
fn what_is_too_large_is_not_read() {
    for format in FORMATS {
        // Where signatures are listed, and the image itself.
        let front =
            front(|asked| if is_evidence(asked) { Answer::endless() } else { Answer::Honest });
        let said = through(&front, format, "signed", &[]);
        said.expect(1, "FAILED");
        said.expect(1, "is larger than 4194304 bytes");
        let front = self::front(|_| Answer::endless());
        through(&front, format, "signed", &[]).expect(1, "is larger than 4194304 bytes");
        // A layer is not larger than its manifest says.
        let front = self::front(|asked| {
            if asked.path.contains("/blobs/") { Answer::endless() } else { Answer::Honest }
        });
        through(&front, format, "signed", &[]).expect(1, "is larger than");
    }
}

#[test]
fn of_too_many_signatures_some_are_looked_at_and_the_rest_is_told() {
    let many = 10_000;
    let repository = WORLD.repository(Format::Legacy, "many");
    let image = repository.image("v1", "many");
    let layer = repository.layer("application/vnd.dev.cosign.simplesigning.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": vec![layer; many]});
    repository.manifest(&tag_of(&image, ".sig"), MANIFEST, manifest.to_string().as_bytes());
    let said = verify(&WORLD.image(Format::Legacy, "many"), &WORLD.policy("release"), &[]);
    said.expect(1, "9968 more signatures or attestations were not looked at");

    let repository = WORLD.repository(Format::Bundle, "many");
    let image = repository.image("v1", "many too");
    let bundle = repository.layer(BUNDLE, b"{}");
    let referrer = repository.artifact("r", &[bundle], Some(&image));
    let listed = json!({"mediaType": MANIFEST, "digest": referrer.to_string(), "size": 1});
    repository.list(&image, &vec![listed; many]);
    let said = verify(&WORLD.image(Format::Bundle, "many"), &WORLD.policy("release"), &[]);
    said.expect(1, "9968 more signatures or attestations were not looked at");
    said.expect(1, "it can't be read");
}

#[test]
fn content_is_what_its_digest_says_or_nothing() {
    for format in FORMATS {
        let front = front(|asked| {
            if asked.path.contains("/blobs/") {
                Answer::Body("application/json", b"{}".to_vec())
            } else {
                Answer::Honest
            }
        });
        through(&front, format, "signed", &[]).expect(1, "is not what its digest says");
    }
    // The registry's word for the digest of a tag is not taken: this is the manifest of another image.
    let other = WORLD.repository(Format::Bundle, "unsigned").read("manifests/v1").unwrap();
    let digest = Digest::of(&other);
    let front = front(move |asked| {
        if asked.path.ends_with("/manifests/v1") {
            Answer::Body(MANIFEST, other.clone())
        } else {
            Answer::Honest
        }
    });
    let said = through(&front, Format::Bundle, "signed", &[]);
    said.expect(1, &format!("digest: {digest}"));
    said.expect(1, "no signature was found");
}

/// A registry that wants to know who asks, and sends to a store for layers.
pub fn guarded(store: String, realm: &'static str) -> Front {
    front(move |asked| {
        if asked.path.starts_with("/token") {
            let good = asked.authorization.as_deref() == Some("Basic dTpw");
            let token = br#"{"token": "t0ken"}"#.to_vec();
            return if good {
                Answer::Body("application/json", token)
            } else {
                Answer::Status(401, vec![])
            };
        }
        if asked.authorization.as_deref() != Some("Bearer t0ken") {
            let header =
                format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"registry:catalog:*\"");
            return Answer::Status(401, vec![("WWW-Authenticate", header)]);
        }
        if asked.path.contains("/blobs/") && !store.is_empty() {
            Answer::Status(307, vec![("Location", format!("http://{store}{}", asked.path))])
        } else {
            Answer::Honest
        }
    })
}

pub fn credentials(name: &str, host: &str) -> String {
    let path = WORLD.folder.join(format!("{name}.json"));
    std::fs::write(&path, json!({"auths": {host: {"auth": "dTpw"}}}).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn credentials_go_to_their_registry_and_not_where_it_sends() {
    for format in FORMATS {
        let store = front(|_| Answer::Honest);
        // The realm is named once the port is known.
        let tokens = front(|asked| {
            assert!(asked.path.contains("scope=repository%3A"), "{asked:?}");
            match asked.authorization.as_deref() {
                Some("Basic dTpw") => {
                    Answer::Body("application/json", br#"{"token": "t0ken"}"#.to_vec())
                }
                _ => Answer::Status(401, vec![]),
            }
        });
        let realm: &'static str = format!("http://{}/token", tokens.host).leak();
        let front = guarded(store.host.clone(), realm);
        let file = credentials(&format!("{format:?}"), &front.host);
        let named = ["--plain-http", &tokens.host, "--plain-http", &store.host];
        let with = [&named[..], &["--registry-config", &file]].concat();
        through(&front, format, "signed", &with).expect(0, "passed");
        let asked = store.asked();
        assert!(!asked.is_empty(), "nothing was read from the store");
        assert!(asked.iter().all(|asked| asked.authorization.is_none()), "{asked:?}");
        through(&front, format, "signed", &named).expect(1, "without credentials");
        let other = credentials(&format!("{format:?}-other"), "ghcr.io");
        let with = [&named[..], &["--registry-config", &other]].concat();
        through(&front, format, "signed", &with).expect(1, "without credentials");
        // A store, and a token server, that nobody named may not be without TLS.
        let with = ["--plain-http", &tokens.host, "--registry-config", &file];
        through(&front, format, "signed", &with)
            .expect(1, "without TLS, which is not allowed there");
        let with = ["--plain-http", &store.host, "--registry-config", &file];
        through(&front, format, "signed", &with).expect(1, "somewhere without TLS for a token");
    }
}

#[test]
fn a_registry_that_sends_in_circles_is_left_alone() {
    for format in FORMATS {
        let front = front(|asked| {
            let next = format!("{}x", asked.path);
            Answer::Status(307, vec![("Location", next)])
        });
        through(&front, format, "signed", &[]).expect(1, "more than 3 times");
    }
}

#[test]
fn a_registry_with_the_list_of_referrers_is_asked_for_it() {
    let image = WORLD.digest(Format::Bundle, "signed");
    let tag = image.replace(':', "-");
    let index =
        WORLD.repository(Format::Bundle, "signed").read(&format!("manifests/{tag}")).unwrap();
    let front = front(move |asked| {
        if asked.path.ends_with(&format!("/referrers/{image}")) {
            return Answer::Body(INDEX, index.clone());
        }
        // The tag that stands for the list elsewhere is not there.
        if asked.path.ends_with(&tag) { Answer::Status(404, vec![]) } else { Answer::Honest }
    });
    through(&front, Format::Bundle, "signed", &[]).expect(0, "passed");
}
