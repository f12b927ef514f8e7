//! A client that writes all the time, whatever happens: dry runs at a fixed rate, good and bad objects in turn, for each
//! kind of policy. It knows what each answer should be, and says what it was.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client as Cluster, Config};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::processes::eventually;

/// From one burst to the next. Everything that there is to ask is asked at once, so that the API server needs many
/// connections, to all replicas: 120 requests a second.
const TICK: Duration = Duration::from_millis(100);

/// Requests in flight; more are not sent until some are answered. A control plane that hangs must not end in thousands.
const IN_FLIGHT_MAX: usize = 300;

/// The API server waits 10 s for a webhook, and there may be a mutating and a validating one.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Which guard a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    Closed,
    Open,
    Warned,
    Mutated,
    Params,
    Authorized,
}

use Guard::{Authorized, Closed, Mutated, Open, Params, Warned};

const GUARDS: [Guard; 6] = [Closed, Open, Warned, Mutated, Params, Authorized];

impl Guard {
    fn resource(self) -> &'static str {
        match self {
            Closed => "pods",
            Open => "configmaps",
            Warned => "secrets",
            Mutated => "serviceaccounts",
            Params => "limitranges",
            Authorized => "resourcequotas",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Closed => "this guard fails closed",
            Open => "this guard fails open",
            Warned => "this guard warns",
            Mutated => "was-here",
            Params => "this guard has params",
            Authorized => "this guard asks the authorizer",
        }
    }

    fn object(self, good: bool) -> Value {
        let name = if good { "good" } else { "bad" };
        let mut object = json!({"metadata": {"name": name}});
        if self == Closed {
            object["spec"] = json!({"containers": [{"name": "app", "image": "nginx:1"}]});
        }
        object
    }
}

/// What an answer was worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Right,
    /// Admitted although it is bad, denied although it is good, or not changed.
    Wrong(String),
    /// Refused because nobody answered, or because a fact could not be had.
    Unanswered(String),
    /// Bad and admitted because nobody answered, as `Ignore` has it.
    Unguarded,
    /// The API server itself did not answer.
    Down(String),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub guard: Guard,
    pub good: bool,
    pub begun: Instant,
    pub took: Duration,
    pub verdict: Verdict,
}

pub struct Client {
    cluster: Cluster,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    paused: AtomicBool,
    in_flight: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
}

impl Client {
    /// Makes one that is paused.
    pub async fn start(kubeconfig: &Path) -> Client {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let cluster = Cluster::try_from(config).unwrap();
        let shared = Arc::new(Shared { paused: AtomicBool::new(true), ..Shared::default() });
        tokio::spawn(write_all_the_time(cluster.clone(), Arc::clone(&shared)));
        Client { cluster, shared }
    }

    /// Asks once about everything; answers what is not right.
    pub async fn ask_each(&self) -> Vec<Answer> {
        let mut wrong = Vec::new();
        for (guard, good) in questions() {
            let answer = ask(&self.cluster, guard, good, &guard.object(good)).await;
            if answer.verdict != Verdict::Right {
                wrong.push(answer);
            }
        }
        wrong
    }

    /// Asks once about a Pod of this many bytes.
    pub async fn ask_large(&self, good: bool, bytes: usize) -> Answer {
        let mut object = Closed.object(good);
        object["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "x".repeat(bytes)}]);
        ask(&self.cluster, Closed, good, &object).await
    }

    pub fn go_on(&self) {
        self.shared.paused.store(false, Ordering::SeqCst);
    }

    /// Stops asking, waits for what is in flight, and hands over all answers since the last pause.
    pub fn pause(&self) -> Vec<Answer> {
        self.shared.paused.store(true, Ordering::SeqCst);
        eventually("every request has its answer", ANSWER_PATIENCE * 2, || {
            match self.shared.in_flight.load(Ordering::SeqCst) {
                0 => Ok(()),
                left => Err(format!("{left} are in flight")),
            }
        });
        std::mem::take(&mut *self.shared.answers.lock().unwrap())
    }
}

async fn write_all_the_time(cluster: Cluster, shared: Arc<Shared>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (guard, good) in questions() {
            // Counted before the pause is looked at, so that whoever pauses waits for this one too.
            let in_flight = shared.in_flight.fetch_add(1, Ordering::SeqCst);
            if shared.paused.load(Ordering::SeqCst) || in_flight >= IN_FLIGHT_MAX {
                shared.in_flight.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let (cluster, shared) = (cluster.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                let answer = ask(&cluster, guard, good, &guard.object(good)).await;
                shared.answers.lock().unwrap().push(answer);
                shared.in_flight.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
}

/// All there is to ask: about each guard, with a good and with a bad object.
fn questions() -> impl Iterator<Item = (Guard, bool)> {
    GUARDS.into_iter().flat_map(|guard| [(guard, true), (guard, false)])
}

async fn ask(cluster: &Cluster, guard: Guard, good: bool, object: &Value) -> Answer {
    let begun = Instant::now();
    let said = match timeout(ANSWER_PATIENCE, create(cluster, guard.resource(), object)).await {
        Ok(Ok(said)) => Ok(said),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    };
    let verdict = said.map_or_else(Verdict::Down, |said| judge(guard, good, &said));
    Answer { guard, good, begun, took: begun.elapsed(), verdict }
}

/// What the API server said.
struct Said {
    admitted: bool,
    warnings: String,
    body: String,
}

async fn create(cluster: &Cluster, resource: &str, object: &Value) -> Result<Said, kube::Error> {
    let request = Request::post(format!("/api/v1/namespaces/chaos/{resource}?dryRun=All"))
        .header("content-type", "application/json")
        .body(Body::from(object.to_string().into_bytes()))
        .unwrap();
    let (head, body) = cluster.send(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let warnings = head.headers.get_all("warning").iter();
    let warnings: Vec<_> = warnings.map(|w| String::from_utf8_lossy(w.as_bytes())).collect();
    Ok(Said {
        admitted: head.status.is_success(),
        warnings: warnings.join(" "),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn judge(guard: Guard, good: bool, said: &Said) -> Verdict {
    let Said { admitted, warnings, body } = said;
    let tell = || {
        let body: String = body.chars().take(600).collect();
        format!("admitted: {admitted}, warnings: {warnings}, body: {body}")
    };
    let nobody_answered = ["failed calling webhook", "the authorizer can't be asked"];
    if !admitted && nobody_answered.iter().any(|text| body.contains(text)) {
        return Verdict::Unanswered(tell());
    }
    let says = guard.says();
    let is_right = match (guard, good) {
        (Mutated, _) => *admitted && body.contains(says),
        (Warned, true) => *admitted && !warnings.contains(says),
        (Warned, false) => *admitted && warnings.contains(says),
        (_, true) => *admitted,
        (_, false) => !admitted && body.contains(says),
    };
    match (is_right, admitted) {
        (true, _) => Verdict::Right,
        (false, true) if guard == Open => Verdict::Unguarded,
        (false, true) => Verdict::Wrong(tell()),
        // It says so itself when it starts, or when it has lost its store.
        (false, false) if is_of_api_server(body) => Verdict::Down(tell()),
        (false, false) => Verdict::Wrong(tell()),
    }
}

fn is_of_api_server(body: &str) -> bool {
    let code = serde_json::from_str::<Value>(body).ok().and_then(|status| status["code"].as_u64());
    let texts = ["not yet ready to handle request", "RBAC: ", "forbidden: User"];
    code.is_none_or(|code| code >= 500 || code == 429) || texts.iter().any(|t| body.contains(t))
}
