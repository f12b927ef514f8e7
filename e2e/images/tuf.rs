//! Trust roots that are kept up to date, against a repository that is in order, and against one that is not.

use crate::sigstore::Sigstore;
use crate::tuf_repository::{TufRepository, root};
use jiff::Timestamp;
use portcullis::images::registry::{Options, Registry};
use portcullis::images::{Digest, Tuf};
use rcgen::KeyPair;
use std::sync::Arc;

const NOW: &str = "2026-06-01T00:00:00Z";

struct Client {
    tuf: Tuf,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    fn of(repository: &TufRepository) -> Self {
        let plain_http = vec![repository.host().to_owned()];
        let options = Options { plain_http, ..Options::default() };
        let registry = Arc::new(Registry::new(options).unwrap());
        let tuf = Tuf::new(registry, &repository.url(), &repository.root);
        Self { tuf, runtime: tokio::runtime::Runtime::new().unwrap() }
    }

    fn update(&self) -> Result<String, String> {
        let now: Timestamp = NOW.parse().unwrap();
        self.runtime.block_on(self.tuf.update(now)).map_err(|error| error.to_string())
    }

    fn refuses(&self, what: &str, expect: &str) {
        let said = self.update().expect_err(what);
        assert!(said.contains(expect), "{what}: {said}");
    }
}

fn trust_root() -> String {
    Sigstore::new().trusted_root().to_string()
}

#[test]
fn what_is_new_is_learned_and_keys_may_change() {
    let repository = TufRepository::start();
    let [first, second, third] = [trust_root(), trust_root(), trust_root()];
    repository.publish(1, &first);
    let client = Client::of(&repository);
    assert_eq!(client.update().unwrap(), first);
    assert_eq!(client.update().unwrap(), first, "nothing is new");
    repository.publish(2, &second);
    assert_eq!(client.update().unwrap(), second);
    // The keys of everything change, as the old one says.
    let new = TufRepository::start();
    let signers = [&repository.root_key, &new.root_key];
    repository.put("2.root.json", root(2, &new.root_key, &new.online_key, &signers));
    let rotated = TufRepository { online_key: new.online_key, ..repository };
    rotated.publish(3, &third);
    assert_eq!(client.update().unwrap(), third);
    assert_eq!(Client::of(&rotated).update().unwrap(), third, "from the first root on");
}

/// What is spoiled, how, and what is said then; a good trust root is given.
type Row = (&'static str, fn(&TufRepository, &str), &'static str);

const ROWS: &[Row] = &[
    (
        "an older version",
        |repository, good| repository.publish(1, good),
        "rollback detected for timestamp",
    ),
    (
        "one that has expired",
        |repository, good| repository.publish_until(3, good, "2026-05-31T23:59:59Z"),
        "timestamp metadata expired at",
    ),
    (
        "somebody else's signature",
        |repository, good| {
            let spoiled = TufRepository::start();
            spoiled.publish(3, good);
            repository.put("timestamp.json", spoiled.file("timestamp.json"));
        },
        "threshold not met for role timestamp",
    ),
    (
        "a target that was changed",
        |repository, _| {
            let other = trust_root();
            repository.publish(3, &other);
            let name = format!("targets/{}.trusted_root.json", Digest::of(other.as_bytes()).hex());
            repository.put(&name, other.replace("fulcio.test", "fulcio.evil"));
        },
        "mismatch",
    ),
    (
        "a target that is too large",
        |repository, _| repository.publish(3, &" ".repeat(300_000)),
        "exceeds configured max",
    ),
    ("no trust root", |repository, _| repository.publish(3, "{}"), "`trusted_root.json`"),
    (
        "a root that the last did not sign",
        |repository, _| {
            let others = KeyPair::generate().unwrap();
            repository.put("2.root.json", root(2, &others, &others, &[&others]));
        },
        "threshold not met for role root",
    ),
    (
        "a root of another version",
        |repository, _| {
            let (key, online) = (&repository.root_key, &repository.online_key);
            repository.put("2.root.json", root(3, key, online, &[key]));
        },
        "version",
    ),
    (
        "a root without an end",
        |repository, _| repository.put("2.root.json", " ".repeat(600_000)),
        "is larger than 524288 bytes",
    ),
    ("no JSON", |repository, _| repository.put("timestamp.json", "{"), "JSON"),
    ("an error", |repository, _| repository.put("timestamp.json", "500"), "status 500"),
];

#[test]
fn what_is_wrong_is_refused_and_told() {
    let good = trust_root();
    for (what, spoil, expect) in ROWS {
        let repository = TufRepository::start();
        repository.publish(2, &good);
        let client = Client::of(&repository);
        assert_eq!(client.update().unwrap(), good);
        spoil(&repository, &good);
        client.refuses(what, expect);
    }
    let repository = TufRepository::start();
    Client::of(&repository).refuses("nothing there", "timestamp.json");
    let options = Options::default();
    let registry = Arc::new(Registry::new(options).unwrap());
    let tuf = Tuf::new(registry, &repository.url(), &repository.root);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let said = runtime.block_on(tuf.update(NOW.parse().unwrap())).unwrap_err().to_string();
    assert!(said.contains("is without TLS, which is not allowed there"), "{said}");
    let client = Client::of(&TufRepository { root: "{}".to_owned(), ..repository });
    client.refuses("no root", "missing `signed`");
}
