//! Signatures whose time a timestamp authority attests, without a log and with one like Rekor 2, which attests none itself:
//! they count, and whatever is changed they do not.

use crate::authority::{Log, Stamp, Tsa, message};
use crate::keyless::anybody_of;
use crate::sigstore::{
    Entry, Leaf, Sigstore, Wanted, bundle, by_certificate, envelope, layer, pae, parent,
    simple_signing, statement,
};
use crate::{IMAGE, OTHER, check, verified};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::images::{Authority, Digest, Evidence, Layer, SIGNATURE_PREDICATE, TrustRoot};
use rcgen::{KeyPair, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Everything that a signature consists of, before it is put together.
struct Parts<'w> {
    world: &'w World,
    payload: Vec<u8>,
    leaf: Leaf,
    signature: Vec<u8>,
    entry: Option<Entry>,
    stamp: Option<Stamp>,
    /// Who stamps it, if not the authority that is trusted.
    other: Option<Tsa>,
}

/// Who signs, logs and stamps.
struct World {
    sigstore: Sigstore,
    log: Log,
    tsa: Tsa,
}

impl World {
    fn new(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        Self { sigstore: Sigstore::new(), log: Log::new(algorithm), tsa: Tsa::new(true) }
    }

    /// Whoever signed by this Sigstore, with a log like Rekor 2 or with none.
    fn authority(&self, logged: bool) -> Authority {
        let mut root = self.sigstore.trusted_root();
        root["tlogs"] = if logged { json!([self.log.to_json()]) } else { json!([]) };
        let chain = self.tsa.chain();
        let certificates: Vec<Value> = chain
            .split_inclusive("-----END CERTIFICATE-----\n")
            .map(|pem| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .map(|base64| json!({"rawBytes": base64}))
            .collect();
        root["timestampAuthorities"] = json!([{
            "subject": {"organization": "test", "commonName": "tsa.test"},
            "uri": "https://tsa.test",
            "certChain": {"certificates": certificates},
            "validFor": {"start": "2020-01-01T00:00:00Z", "end": "2029-01-01T00:00:00Z"},
        }]);
        let root = Arc::new(TrustRoot::from_json(&root.to_string()).unwrap());
        match anybody_of(&self.sigstore) {
            Authority::Keyless { issuer, subject, .. } => {
                Authority::Keyless { issuer, subject, root }
            }
            other => other,
        }
    }

    fn parts(&self, image: &Digest, wanted: &Wanted, logged: bool) -> Parts<'_> {
        let payload = statement(image, SIGNATURE_PREDICATE, &json!({}));
        let leaf = self.sigstore.issue(wanted);
        let signature = leaf.key.sign(&pae(&payload)).unwrap();
        let entry = logged.then(|| self.log.entry(&pae(&payload), &signature, &leaf.der));
        let stamp = Some(Stamp::of(&signature));
        Parts { world: self, payload, leaf, signature, entry, stamp, other: None }
    }
}

impl Parts<'_> {
    fn evidence(&self) -> Evidence {
        let Self { payload, leaf, signature, entry, stamp, .. } = self;
        let entries = entry.as_slice();
        let mut all = bundle(by_certificate(&leaf.der), entries, envelope(payload, signature));
        if let Some(stamp) = stamp {
            let stamped = self.other.as_ref().unwrap_or(&self.world.tsa).stamp(stamp);
            all["verificationMaterial"]["timestampVerificationData"] =
                json!({"rfc3161Timestamps": [{"signedTimestamp": STANDARD.encode(stamped)}]});
        }
        Evidence::Bundle(all.to_string().into_bytes())
    }

    fn entry(&mut self) -> &mut Entry {
        self.entry.as_mut().unwrap()
    }

    fn stamp(&mut self) -> &mut Stamp {
        self.stamp.as_mut().unwrap()
    }
}

#[test]
fn what_is_stamped_counts_with_a_log_and_without() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let world = World::new(algorithm);
        for logged in [true, false] {
            let parts = world.parts(&IMAGE, &Wanted::default(), logged);
            let verified = verified(parts.evidence(), &world.authority(logged)).unwrap();
            assert_eq!(verified.logged(), logged);
            let signed_at = verified.signed_at().map(jiff::Timestamp::as_second);
            assert_eq!(signed_at, Some(crate::sigstore::SIGNED_AT));
            let copied = world.parts(&OTHER, &Wanted::default(), logged);
            let expect = format!("about another image: {}", *OTHER);
            check("copied", copied.evidence(), &world.authority(logged), Err(&expect));
        }
    }
}

#[test]
fn a_message_signature_in_a_log_like_rekor_2_counts() {
    let world = World::new(&rcgen::PKCS_ED25519);
    let with = |signed: &[u8], logged: &[u8], image: &Digest| {
        let leaf = world.sigstore.issue(&Wanted::default());
        let signature = leaf.key.sign(signed).unwrap();
        let entry = world.log.entry(logged, &signature, &leaf.der);
        let mut all = bundle(by_certificate(&leaf.der), &[entry], Value::Null);
        all.as_object_mut().unwrap().remove("dsseEnvelope");
        all["messageSignature"] = message(image, &signature);
        let stamped = world.tsa.stamp(&Stamp::of(&signature));
        all["verificationMaterial"]["timestampVerificationData"] =
            json!({"rfc3161Timestamps": [{"signedTimestamp": STANDARD.encode(stamped)}]});
        Evidence::Bundle(all.to_string().into_bytes())
    };
    let (content, authority) = (b"the image", world.authority(true));
    check("good", with(content, content, &IMAGE), &authority, Ok(()));
    check("logged other", with(content, b"other", &IMAGE), &authority, Err("does not confirm"));
    check("signed other", with(b"other", content, &IMAGE), &authority, Err("was changed"));
    check("of another", with(content, content, &OTHER), &authority, Err("about another image"));
}

/// What is changed, how, and what is said then.
type Row = (&'static str, fn(&mut Parts<'_>), &'static str);

/// Everything that a timestamp binds.
const STAMPS: &[Row] = &[
    ("no timestamp", |parts| parts.stamp = None, "nothing confirms when it was signed"),
    (
        "a timestamp of another signature",
        |parts| parts.stamp().imprint = b"other".to_vec(),
        "nothing confirms when it was signed",
    ),
    (
        "a time that was changed",
        |parts| parts.stamp().signed_time = Some("20231114221319Z"),
        "nothing confirms when it was signed",
    ),
    (
        "a timestamp by somebody else in the authority's name",
        |parts| parts.stamp().impostor = Some(KeyPair::generate().unwrap()),
        "nothing confirms when it was signed",
    ),
    (
        "a timestamp of another authority",
        |parts| parts.other = Some(Tsa::new(true)),
        "nothing confirms when it was signed",
    ),
    (
        "a timestamp that was not granted",
        |parts| parts.stamp().status = 2,
        "nothing confirms when it was signed",
    ),
    (
        "before the authority's certificate",
        |parts| parts.stamp().time = "20191231235959Z",
        "nothing confirms when it was signed",
    ),
    (
        "after the authority's time",
        |parts| parts.stamp().time = "20290101000001Z",
        "nothing confirms when it was signed",
    ),
    (
        "before the signer's certificate",
        |parts| parts.stamp().time = "20231114220000Z",
        "certificate is not trusted",
    ),
    (
        "after the signer's certificate",
        |parts| parts.stamp().time = "20231115000000Z",
        "certificate is not trusted",
    ),
];

const KEY_DETAILS: &str = "signature/verifier/keyDetails";

/// Logs what the entry would say if one field of it were another.
fn relog(parts: &mut Parts<'_>, field: &str, value: &str) {
    let place = format!("/spec/hashedRekordV002/{field}");
    let body = parts.entry().clone().with_body(&place, value).body;
    parts.entry = Some(parts.world.log.logged(body));
}

/// Everything that an entry of the log binds.
const ENTRIES: &[Row] = &[
    ("no entry", |parts| parts.entry = None, "log"),
    (
        "an entry of another payload",
        |parts| {
            parts.entry = Some(parts.world.log.entry(b"other", &parts.signature, &parts.leaf.der));
        },
        "log does not confirm it",
    ),
    (
        "an entry of another signature",
        |parts| {
            let signed = pae(&parts.payload);
            parts.entry = Some(parts.world.log.entry(&signed, b"other", &parts.leaf.der));
        },
        "log does not confirm it",
    ),
    (
        "an entry of another certificate",
        |parts| {
            let (signed, world) = (pae(&parts.payload), parts.world);
            let other = world.sigstore.issue(&Wanted::default()).der;
            parts.entry = Some(world.log.entry(&signed, &parts.signature, &other));
        },
        "log does not confirm it",
    ),
    (
        "an entry of another log",
        |parts| {
            let other = Log::new(&rcgen::PKCS_ED25519);
            let signed = pae(&parts.payload);
            parts.entry = Some(other.entry(&signed, &parts.signature, &parts.leaf.der));
        },
        "log does not confirm it",
    ),
    (
        "a checkpoint by somebody else in the log's name",
        |parts| {
            let other = Log { key: KeyPair::generate().unwrap(), ..Log::new(&rcgen::PKCS_ED25519) };
            let root = parts.entry().root;
            let forged = other.checkpoint(&root, 2);
            let hint = STANDARD.encode(&parts.world.log.id()[..3]);
            let (text, signed) = forged.rsplit_once(' ').unwrap();
            parts.entry().checkpoint = format!("{text} {hint}{}", &signed[4..]);
        },
        "log does not confirm it",
    ),
    ("a body that was changed", |parts| parts.entry().body.push(b' '), "log does not confirm it"),
    (
        "a digest that was changed",
        |parts| {
            let digest = STANDARD.encode(Sha256::digest(b"other"));
            let place = "/spec/hashedRekordV002/data/digest";
            *parts.entry() = parts.entry().clone().with_body(place, &digest);
        },
        "log does not confirm it",
    ),
    ("an entry by another hash", |parts| relog(parts, "data/algorithm", "SHA2_512"), ""),
    ("an entry by another algorithm", |parts| relog(parts, KEY_DETAILS, "PKIX_ED25519"), ""),
    ("an entry of no body", |parts| parts.entry = Some(parts.world.log.logged(b"{}".to_vec())), ""),
    ("the place of another", |parts| parts.entry().index = 1, "log does not confirm it"),
    (
        "a proof that was changed",
        |parts| parts.entry().hashes[0][0] ^= 1,
        "log does not confirm it",
    ),
    ("half a proof", |parts| parts.entry().hashes.clear(), "log does not confirm it"),
    (
        "a checkpoint of another tree",
        |parts| {
            let root = parent(&[1; 32], &[2; 32]);
            parts.entry().checkpoint = parts.world.log.checkpoint(&root, 2);
        },
        "log does not confirm it",
    ),
    (
        "a checkpoint of another size",
        |parts| {
            let root = parts.entry().root;
            parts.entry().checkpoint = parts.world.log.checkpoint(&root, 3);
        },
        "log does not confirm it",
    ),
    (
        "a root that was changed",
        |parts| {
            let text = parts.entry().checkpoint.clone();
            let root = STANDARD.encode(parts.entry().root);
            parts.entry().checkpoint = text.replace(&root, &STANDARD.encode([7; 32]));
        },
        "log does not confirm it",
    ),
    ("no checkpoint", |parts| parts.entry().checkpoint.clear(), ""),
    ("another kind", |parts| parts.entry().kind = "dsse", ""),
    ("another version", |parts| parts.entry().version = "0.0.1", ""),
];

/// Everything that the signature itself binds.
const SIGNED: &[Row] = &[
    ("a payload that was changed", |parts| parts.payload.push(b' '), ""),
    (
        "a signature by another key",
        |parts| {
            let signed = pae(&parts.payload);
            parts.signature = KeyPair::generate().unwrap().sign(&signed).unwrap();
            parts.stamp = Some(Stamp::of(&parts.signature));
            if parts.entry.is_some() {
                let entry = parts.world.log.entry(&signed, &parts.signature, &parts.leaf.der);
                parts.entry = Some(entry);
            }
        },
        "what it signed was changed",
    ),
    (
        "a certificate of somebody else",
        |parts| parts.leaf = parts.world.sigstore.issue(&Wanted::default()),
        "",
    ),
];

#[test]
fn whatever_is_changed_it_does_not_count() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
        let world = World::new(algorithm);
        for logged in [true, false] {
            let entries = if logged { ENTRIES } else { &[] };
            for (what, spoil, expect) in STAMPS.iter().chain(SIGNED).chain(entries) {
                let mut parts = world.parts(&IMAGE, &Wanted::default(), logged);
                spoil(&mut parts);
                let what = format!("{what}, logged: {logged}");
                check(&what, parts.evidence(), &world.authority(logged), Err(expect));
            }
        }
    }
}

/// What cosign 2 kept: a payload or an envelope, with everything else in annotations.
fn legacy(parts: &Parts<'_>, as_attestation: bool) -> Evidence {
    let Parts { payload, leaf, signature, stamp, world, .. } = parts;
    let token = |stamp: &Stamp| {
        let stamped = STANDARD.encode(parts.other.as_ref().unwrap_or(&world.tsa).stamp(stamp));
        json!({"SignedRFC3161Timestamp": stamped}).to_string()
    };
    let with = |content: &[u8], signature: &[u8]| {
        let timestamp = stamp.as_ref().map(token);
        Layer { timestamp, ..layer(content, signature, Some(&leaf.pem), None) }
    };
    if as_attestation {
        let content = envelope(payload, signature).to_string().into_bytes();
        Evidence::Attestation(with(&content, b""))
    } else {
        Evidence::Signature(with(payload, signature))
    }
}

#[test]
fn signatures_of_cosign_2_may_be_stamped() {
    let world = World::new(&rcgen::PKCS_ED25519);
    let authority = world.authority(false);
    let of = |as_attestation: bool, image: &Digest| {
        let mut parts = world.parts(image, &Wanted::default(), false);
        if !as_attestation {
            parts.payload = simple_signing(image);
            parts.signature = parts.leaf.key.sign(&parts.payload).unwrap();
            parts.stamp = Some(Stamp::of(&parts.signature));
        }
        parts
    };
    for as_attestation in [false, true] {
        let what = |what: &str| format!("{what}, attestation: {as_attestation}");
        let good = legacy(&of(as_attestation, &IMAGE), as_attestation);
        check(&what("good"), good, &authority, Ok(()));
        let copied = legacy(&of(as_attestation, &OTHER), as_attestation);
        check(&what("copied"), copied, &authority, Err("about another image"));
        for (change, spoil, expect) in STAMPS {
            let mut parts = of(as_attestation, &IMAGE);
            spoil(&mut parts);
            check(&what(change), legacy(&parts, as_attestation), &authority, Err(expect));
        }
        let mut parts = of(as_attestation, &IMAGE);
        parts.payload.push(b' ');
        check(&what("changed"), legacy(&parts, as_attestation), &authority, Err("was changed"));
    }
}

#[test]
fn an_authority_of_something_else_attests_no_time() {
    let mut world = World::new(&rcgen::PKCS_ED25519);
    world.tsa = Tsa::new(false);
    let parts = world.parts(&IMAGE, &Wanted::default(), false);
    let expect = "nothing confirms when it was signed";
    check("for code", parts.evidence(), &world.authority(false), Err(expect));
}

#[test]
fn own_keys_may_have_a_timestamp_authority() {
    let world = World::new(&rcgen::PKCS_ED25519);
    let root = world.sigstore.root_with(&[&world.tsa.chain()]);
    let authority = match anybody_of(&world.sigstore) {
        Authority::Keyless { issuer, subject, .. } => Authority::Keyless { issuer, subject, root },
        other => other,
    };
    // The keys have a log of the first kind too, so that both are needed.
    let mut parts = world.parts(&IMAGE, &Wanted::default(), false);
    check("not logged", parts.evidence(), &authority, Err("log"));
    parts.entry =
        Some(world.sigstore.log_envelope(&parts.payload, &parts.signature, &parts.leaf.pem));
    check("logged and stamped", parts.evidence(), &authority, Ok(()));
    parts.stamp().imprint.push(0);
    check("stamped wrongly", parts.evidence(), &authority, Err(""));
}
