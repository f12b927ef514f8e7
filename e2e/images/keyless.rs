//! Signatures with short-lived certificates: what the certificate, the log and the signature have to do with each other.

use crate::sigstore::{
    Entry, Leaf, SIGNED_AT, Sigstore, VALID_SECONDS, Wanted, bundle, by_certificate, envelope,
    layer, pae, parent, simple_signing, statement,
};
use crate::{IMAGE, OTHER, check, verified};
use portcullis::images::{
    Authority, Claim, Digest, Evidence, SIGNATURE_PREDICATE, Signer, TextMatch, TrustRoot,
};
use rcgen::{KeyPair, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Everything that a signature consists of, before it is put together.
pub struct Parts<'s> {
    sigstore: &'s Sigstore,
    pub payload: Vec<u8>,
    pub leaf: Leaf,
    pub signature: Vec<u8>,
    pub entry: Entry,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Bundle,
    Signature,
    Attestation,
}

const FORMS: [Form; 3] = [Form::Bundle, Form::Signature, Form::Attestation];

impl<'s> Parts<'s> {
    /// A good signature of an image.
    pub fn new(sigstore: &'s Sigstore, form: Form, image: &Digest, wanted: &Wanted) -> Self {
        let payload = match form {
            Form::Signature => simple_signing(image),
            Form::Bundle | Form::Attestation => statement(image, SIGNATURE_PREDICATE, &json!({})),
        };
        Self::of(sigstore, form, payload, sigstore.issue(wanted))
    }

    fn of(sigstore: &'s Sigstore, form: Form, payload: Vec<u8>, leaf: Leaf) -> Self {
        let signed = match form {
            Form::Signature => payload.clone(),
            Form::Bundle | Form::Attestation => pae(&payload),
        };
        let signature = leaf.key.sign(&signed).unwrap();
        let mut parts = Self {
            sigstore,
            payload,
            leaf,
            entry: sigstore.log_content(b"", &signature, ""),
            signature,
            form,
        };
        parts.entry = parts.logged();
        parts
    }

    /// The entry of the log that belongs to it.
    fn logged(&self) -> Entry {
        let Self { payload, signature, leaf, .. } = self;
        match self.form {
            Form::Signature => self.sigstore.log_content(payload, signature, &leaf.pem),
            _ => self.sigstore.log_envelope(payload, signature, &leaf.pem),
        }
    }

    pub fn evidence(&self) -> Evidence {
        let Self { payload, signature, leaf, entry, .. } = self;
        let signed = envelope(payload, signature);
        match self.form {
            Form::Bundle => {
                let entries = std::slice::from_ref(entry);
                let bundle = bundle(by_certificate(&leaf.der), entries, signed);
                Evidence::Bundle(bundle.to_string().into_bytes())
            }
            Form::Signature => {
                Evidence::Signature(layer(payload, signature, Some(&leaf.pem), Some(entry)))
            }
            Form::Attestation => {
                let content = signed.to_string().into_bytes();
                Evidence::Attestation(layer(&content, b"", Some(&leaf.pem), Some(entry)))
            }
        }
    }
}

pub fn anybody_of(sigstore: &Sigstore) -> Authority {
    Authority::Keyless {
        issuer: TextMatch::Exact("https://idp.test".to_owned()),
        subject: TextMatch::pattern("https://ci.test/team/.*@refs/heads/main").unwrap(),
        root: sigstore.root(),
    }
}

#[test]
fn a_good_signature_counts_in_every_form() {
    let sigstore = Sigstore::new();
    for form in FORMS {
        let parts = Parts::new(&sigstore, form, &IMAGE, &Wanted::default());
        let verified = verified(parts.evidence(), &anybody_of(&sigstore)).unwrap();
        let whole = TrustRoot::from_json(&sigstore.trusted_root().to_string()).unwrap();
        let by_file = match anybody_of(&sigstore) {
            Authority::Keyless { issuer, subject, .. } => {
                Authority::Keyless { issuer, subject, root: Arc::new(whole) }
            }
            other => other,
        };
        check("by trusted_root.json", parts.evidence(), &by_file, Ok(()));
        assert_eq!(verified.claim(), &Claim::Signature, "{form:?}");
        assert_eq!(verified.signed_at().map(jiff::Timestamp::as_second), Some(SIGNED_AT));
        assert!(verified.logged());
        let Signer::Identity { issuer, subject, .. } = verified.signer() else {
            panic!("{verified:?}");
        };
        assert_eq!(
            (issuer.as_str(), subject.as_str()),
            (Wanted::default().issuer, Wanted::default().subject)
        );
    }
}

/// What is changed, how, and what is said then.
type Row = (&'static str, fn(&mut Parts<'_>), &'static str);

/// Everything that is bound in every form.
const SPOILED: &[Row] = &[
    ("payload changed", |parts| parts.payload.push(b' '), ""),
    (
        "payload and log entry changed",
        |parts| {
            parts.payload.push(b' ');
            parts.entry = parts.logged();
        },
        "what it signed was changed",
    ),
    (
        "signature of another payload",
        |parts| {
            parts.signature = parts.leaf.key.sign(b"other").unwrap();
            parts.entry = parts.logged();
        },
        "what it signed was changed",
    ),
    (
        "signature by another key",
        |parts| {
            let signed = if parts.form == Form::Signature {
                parts.payload.clone()
            } else {
                pae(&parts.payload)
            };
            parts.signature = KeyPair::generate().unwrap().sign(&signed).unwrap();
            parts.entry = parts.logged();
        },
        "what it signed was changed",
    ),
    (
        "certificate of somebody else",
        |parts| {
            parts.leaf = parts.sigstore.issue(&Wanted::default());
        },
        "",
    ),
    (
        "certificate of somebody else, logged so",
        |parts| {
            parts.leaf = parts.sigstore.issue(&Wanted::default());
            parts.entry = parts.logged();
        },
        "what it signed was changed",
    ),
    (
        "certificate of another authority",
        |parts| {
            let leaf = Sigstore::new().issue(&Wanted::default());
            let signed = if parts.form == Form::Signature {
                parts.payload.clone()
            } else {
                pae(&parts.payload)
            };
            parts.signature = leaf.key.sign(&signed).unwrap();
            parts.leaf = leaf;
            parts.entry = parts.logged();
        },
        "certificate is not trusted",
    ),
    (
        "entry of an unrelated signature",
        |parts| {
            parts.entry = match parts.form {
                Form::Signature => parts.sigstore.log_content(b"other", b"sig", &parts.leaf.pem),
                _ => parts.sigstore.log_envelope(b"other", b"sig", &parts.leaf.pem),
            };
        },
        "",
    ),
    (
        "entry of another signature of the payload",
        |parts| {
            let other = parts.leaf.key.sign(b"other").unwrap();
            parts.entry = match parts.form {
                Form::Signature => {
                    parts.sigstore.log_content(&parts.payload, &other, &parts.leaf.pem)
                }
                _ => parts.sigstore.log_envelope(&parts.payload, &other, &parts.leaf.pem),
            };
        },
        "log does not confirm it",
    ),
    (
        "entry of another certificate",
        |parts| {
            let other = parts.sigstore.issue(&Wanted::default()).pem;
            parts.entry = match parts.form {
                Form::Signature => {
                    parts.sigstore.log_content(&parts.payload, &parts.signature, &other)
                }
                _ => parts.sigstore.log_envelope(&parts.payload, &parts.signature, &other),
            };
        },
        "log does not confirm it",
    ),
    ("time changed", |parts| parts.entry.time += 1, "SET verification failed"),
    ("index changed", |parts| parts.entry.index += 1, ""),
    (
        "promise of another entry",
        |parts| {
            parts.entry.promise = parts.sigstore.log_content(b"", b"", "").promise;
        },
        "SET verification failed",
    ),
    (
        "another log",
        |parts| {
            let other = Sigstore::new();
            parts.entry = match parts.form {
                Form::Signature => {
                    other.log_content(&parts.payload, &parts.signature, &parts.leaf.pem)
                }
                _ => other.log_envelope(&parts.payload, &parts.signature, &parts.leaf.pem),
            };
        },
        "",
    ),
    (
        "another log, under this one's name",
        |parts| {
            let (other, id) = (Sigstore::new(), parts.entry.log_id.clone());
            parts.entry = match parts.form {
                Form::Signature => {
                    other.log_content(&parts.payload, &parts.signature, &parts.leaf.pem)
                }
                _ => other.log_envelope(&parts.payload, &parts.signature, &parts.leaf.pem),
            };
            parts.entry.log_id = id;
        },
        "SET verification failed",
    ),
    (
        "body changed",
        |parts| {
            parts.entry = parts.entry.clone().with_body("/apiVersion", "0.0.1 ");
        },
        "",
    ),
];

#[test]
fn whatever_is_changed_it_does_not_count() {
    let sigstore = Sigstore::new();
    let authority = anybody_of(&sigstore);
    for form in FORMS {
        for (what, spoil, expect) in SPOILED {
            let mut parts = Parts::new(&sigstore, form, &IMAGE, &Wanted::default());
            spoil(&mut parts);
            check(&format!("{form:?}: {what}"), parts.evidence(), &authority, Err(expect));
        }
    }
}

#[test]
fn a_signature_is_good_for_its_image_only() {
    let sigstore = Sigstore::new();
    for form in FORMS {
        // Copied from another image: good in every other respect.
        let parts = Parts::new(&sigstore, form, &OTHER, &Wanted::default());
        let expect = format!("about another image: {}", *OTHER);
        let what = format!("{form:?}: copied");
        check(&what, parts.evidence(), &anybody_of(&sigstore), Err(&expect));
    }
}

#[test]
fn only_the_identity_that_is_asked_for_counts() {
    let sigstore = Sigstore::new();
    let of = |issuer: &str, subject: TextMatch| Authority::Keyless {
        issuer: TextMatch::Exact(issuer.to_owned()),
        subject,
        root: sigstore.root(),
    };
    let exact = |text: &str| TextMatch::Exact(text.to_owned());
    let pattern = |text: &str| TextMatch::pattern(text).unwrap();
    let (idp, subject) = ("https://idp.test", Wanted::default().subject);
    let rows = [
        (of(idp, exact(subject)), Ok(())),
        (of(idp, pattern(".*")), Ok(())),
        (of("https://idp.test/", exact(subject)), Err("the issuer is `https://idp.test`")),
        (of("", exact(subject)), Err("the issuer is")),
        (
            of(idp, exact("https://ci.test/team/app")),
            Err("and `https://ci.test/team/app` is required"),
        ),
        (of(idp, pattern("https://ci.test/team")), Err("a match of")),
        (of(idp, pattern("https://ci.test/other/.*")), Err("the subject is")),
    ];
    for form in FORMS {
        for (authority, expect) in &rows {
            let parts = Parts::new(&sigstore, form, &IMAGE, &Wanted::default());
            check(&format!("{form:?}: {authority:?}"), parts.evidence(), authority, *expect);
        }
    }
    let mail = Wanted { subject: "dev@team.test", ..Wanted::default() };
    let parts = Parts::new(&sigstore, Form::Bundle, &IMAGE, &mail);
    check("an address", parts.evidence(), &of(idp, exact("dev@team.test")), Ok(()));
}

#[test]
fn a_certificate_counts_only_as_it_should_be() {
    let sigstore = Sigstore::new();
    let rows = [
        (
            "expired when it was used",
            Wanted { not_before: SIGNED_AT - VALID_SECONDS - 1, ..Wanted::default() },
            "certificate is not trusted",
        ),
        (
            "used before it was good",
            Wanted { not_before: SIGNED_AT + 1, ..Wanted::default() },
            "certificate is not trusted",
        ),
        (
            "not for signing",
            Wanted { for_signing: false, ..Wanted::default() },
            "certificate is not trusted",
        ),
        (
            "in no certificate log",
            Wanted { logged: false, ..Wanted::default() },
            "signed certificate timestamp",
        ),
    ];
    for form in FORMS {
        for (what, wanted, expect) in &rows {
            let parts = Parts::new(&sigstore, form, &IMAGE, wanted);
            let what = format!("{form:?}: {what}");
            check(&what, parts.evidence(), &anybody_of(&sigstore), Err(expect));
        }
    }
}

#[test]
fn a_bundle_proves_that_it_is_in_the_log() {
    let sigstore = Sigstore::new();
    let authority = anybody_of(&sigstore);
    let rows: &[Row] = &[
        ("proof of another tree", |parts| parts.entry.hashes[0][0] ^= 1, "inclusion proof"),
        (
            "root of another tree",
            |parts| {
                let neighbour: [u8; 32] = Sha256::digest(b"other").into();
                parts.entry.root = parent(&neighbour, &neighbour);
                parts.entry.checkpoint = parts.sigstore.checkpoint(&parts.entry.root);
            },
            "inclusion proof",
        ),
        (
            "checkpoint of another root",
            |parts| {
                parts.entry.checkpoint = parts.sigstore.checkpoint(&[7; 32]);
            },
            "log does not confirm it",
        ),
        (
            "checkpoint of another log",
            |parts| {
                parts.entry.checkpoint = Sigstore::new().checkpoint(&parts.entry.root);
            },
            "checkpoint",
        ),
        (
            "checkpoint without signature",
            |parts| {
                let (text, _) = parts.entry.checkpoint.split_once("\n\n").unwrap();
                parts.entry.checkpoint = format!("{text}\n\n");
            },
            "",
        ),
    ];
    for (what, spoil, expect) in rows {
        let mut parts = Parts::new(&sigstore, Form::Bundle, &IMAGE, &Wanted::default());
        spoil(&mut parts);
        check(what, parts.evidence(), &authority, Err(expect));
    }
}

#[test]
fn an_attestation_says_what_was_signed() {
    let sigstore = Sigstore::new();
    for form in [Form::Bundle, Form::Attestation] {
        let payload = statement(&IMAGE, "https://slsa.dev/provenance/v1", &json!({"a": 1}));
        let leaf = sigstore.issue(&Wanted::default());
        let parts = Parts::of(&sigstore, form, payload, leaf);
        let verified = verified(parts.evidence(), &anybody_of(&sigstore)).unwrap();
        let predicate_type = "https://slsa.dev/provenance/v1".to_owned();
        assert_eq!(
            verified.claim(),
            &Claim::Attestation { predicate_type, predicate: json!({"a": 1}) }
        );
    }
}
