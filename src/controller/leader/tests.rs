//! Candidates for one Lease of an API server that exists in memory and refuses what follows an old version.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// The Lease, as an API server keeps it.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                // So that others come in between reading and writing.
                tokio::task::yield_now().await;
                let (status, answer) = server.answer(&parts.method, &body);
                let answer = Body::from(answer.to_string().into_bytes());
                let answer = Response::builder().status(status).body(answer).unwrap();
                Ok::<_, Error>(answer)
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let mut lease = self.lease.lock().unwrap();
        let version =
            |lease: &Value| lease["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let conflict = || refusal(StatusCode::CONFLICT, "Conflict");
        let next = match (method, lease.as_ref()) {
            (&Method::GET, Some(lease)) => return (StatusCode::OK, lease.clone()),
            (&Method::GET | &Method::PUT, None) => {
                return refusal(StatusCode::NOT_FOUND, "NotFound");
            }
            (&Method::POST, Some(_)) => return conflict(),
            (_, found) => {
                let mut next: Value = serde_json::from_slice(body).unwrap();
                let number = match found.map(version) {
                    Some(current) if current != version(&next) => return conflict(),
                    Some(Some(current)) => current.parse::<u64>().unwrap() + 1,
                    _ => 1,
                };
                next["metadata"]["resourceVersion"] = json!(number.to_string());
                next
            }
        };
        *lease = Some(next.clone());
        (StatusCode::OK, next)
    }

    fn candidate(&self, identity: &str) -> Candidate {
        let options = Options {
            namespace: "portcullis-system".into(),
            lease: "portcullis".into(),
            identity: Some(identity.into()),
        };
        Candidate::new(self.client(), &options, clock)
    }

    fn spec(&self) -> Value {
        self.lease.lock().unwrap().as_ref().unwrap()["spec"].clone()
    }
}

/// Another time whenever it is asked, so that a renewal is seen.
fn clock() -> Timestamp {
    static SECONDS: AtomicI64 = AtomicI64::new(0);
    Timestamp::from_second(SECONDS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

fn refusal(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let code = status.as_u16();
    (
        status,
        json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": reason}),
    )
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Seconds after a beginning, who looks then, and whether it is theirs.
#[track_caller]
fn check(server: &Server, looks: &[(u64, &str, bool)]) {
    run(async {
        let from = Instant::now();
        let mut candidates = ["a", "b", "c"].map(|name| (name, server.candidate(name)));
        for (second, who, expect) in looks {
            let (_, candidate) = candidates.iter_mut().find(|(name, _)| name == who).unwrap();
            let holds = candidate.claim(from + Duration::from_secs(*second)).await.unwrap();
            assert_eq!(holds, *expect, "{who} after {second} s");
        }
    });
}

#[test]
fn the_first_has_it_as_long_as_it_renews_it() {
    let renewed =
        [(0, "a", true), (0, "b", false), (5, "a", true), (7, "b", false), (12, "b", false)];
    check(&Server::default(), &renewed);
    check(&Server::default(), &[(0, "a", true), (1, "b", false), (6, "b", false), (7, "b", true)]);
    check(&Server::default(), &[(0, "a", true), (1, "b", false), (7, "b", true), (8, "a", false)]);
}

#[test]
fn one_that_is_gone_is_made_again() {
    let server = Server::default();
    check(&server, &[(0, "a", true)]);
    server.lease.lock().unwrap().take();
    check(&server, &[(1, "b", true), (1, "a", false)]);
}

#[test]
fn whoever_has_its_name_has_it_at_once() {
    let server = Server::default();
    check(&server, &[(0, "a", true)]);
    check(&server, &[(0, "a", true), (0, "b", false)]);
    assert_eq!(server.spec()["leaseTransitions"], 1);
}

#[test]
fn one_that_lasts_for_ever_is_not_believed() {
    let server = Server::default();
    check(&server, &[(0, "a", true)]);
    if let Some(lease) = server.lease.lock().unwrap().as_mut() {
        lease["spec"]["leaseDurationSeconds"] = json!(i32::MAX);
    }
    check(&server, &[(0, "b", false), (59, "b", false), (60, "b", true)]);
}

#[test]
fn one_of_many_gets_what_is_free() {
    run(async {
        let server = Server::default();
        for round in 0..20 {
            let mut candidates: Vec<_> =
                (0..8).map(|n| server.candidate(&format!("{round}-{n}"))).collect();
            let now = Instant::now();
            let claims = candidates.iter_mut().map(|candidate| candidate.claim(now));
            let holds = futures::future::join_all(claims).await;
            let holders = holds.into_iter().filter(|holds| *holds.as_ref().unwrap()).count();
            assert_eq!(holders, 1, "round {round}: {}", server.spec());
            for candidate in &mut candidates {
                candidate.release().await.unwrap();
            }
            assert_eq!(server.spec()["holderIdentity"], Value::Null, "round {round}");
        }
    });
}

#[test]
fn whoever_lost_it_does_not_give_it_back() {
    run(async {
        let server = Server::default();
        let (mut lost, mut holds) = (server.candidate("a"), server.candidate("b"));
        let now = Instant::now();
        assert!(lost.claim(now).await.unwrap());
        assert!(!holds.claim(now).await.unwrap());
        assert!(holds.claim(now + LEASE_DURATION).await.unwrap());
        lost.release().await.unwrap();
        assert_eq!(server.spec()["holderIdentity"], "b");
    });
}
