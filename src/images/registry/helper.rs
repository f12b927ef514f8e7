//! Credential helpers: programs that know how to log in where passwords are made anew every few hours, as the clouds have
//! it (`docker-credential-ecr-login`, `-gcr`, `-acr-env`). What they are asked and answer is Docker's protocol.
//!
//! # Guarantees
//! - Only programs of one folder are run, and only those that the configuration names: never what a Pod or Secret names.
//! - A helper is given a host and nothing else of a request. It is ended when it takes too long, and what it says is bounded.
//! - What it answers is kept for a while: one run for many images.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::images::memo::Memo;
use crate::images::registry::credentials::{CredentialsError, Login, Place, read};
use crate::images::registry::error::Unread;

/// What the names of helpers begin with.
const PREFIX: &str = "docker-credential-";

/// How long a helper may take: it asks its cloud once.
const HELPER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often is looked whether it is done.
const POLL: Duration = Duration::from_millis(5);

/// How much a helper may answer: tokens have some KiB.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// How long an answer counts. What the clouds give is good for an hour at least, and helpers keep it themselves.
const ANSWER_KEPT: Duration = Duration::from_mins(5);

/// How long it counts that there was none.
const FAILURE_KEPT: Duration = Duration::from_secs(15);

/// How many answers are kept, one a host. Whoever names hosts in Pods must not fill the memory.
const ANSWERS_MAX: usize = 256;

/// How many helpers run at once.
const RUNNING_MAX: usize = 4;

/// What a helper says where it knows of nothing. Source: `docker-credential-helpers`.
const NOTHING: &str = "credentials not found";

/// Which helper knows about which host.
#[derive(Clone, Debug, Default)]
pub(in crate::images::registry) struct Chosen {
    of_hosts: Vec<(Place, String)>,
    of_all: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

impl Chosen {
    /// Reads `credHelpers` and `credsStore` of a Docker configuration file.
    pub fn from_docker_config(text: &str) -> Result<Chosen, CredentialsError> {
        let File { cred_helpers, creds_store } = read(text)?;
        let mut of_hosts = Vec::with_capacity(cred_helpers.len());
        for (key, name) in cred_helpers {
            let place = Place::read(&key).ok_or_else(|| CredentialsError::Entry(key.clone()))?;
            of_hosts.push((place, named(name)?));
        }
        of_hosts.sort_by_key(|(place, _)| place.order());
        Ok(Chosen { of_hosts, of_all: creds_store.map(named).transpose()? })
    }

    fn of(&self, host: &str, repository: &str) -> Option<&str> {
        let own = self.of_hosts.iter().find(|(place, _)| place.has(host, repository));
        own.map(|(_, name)| name).or(self.of_all.as_ref()).map(String::as_str)
    }
}

/// A name that leads to no other folder.
fn named(name: String) -> Result<String, CredentialsError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(good) {
        return Ok(name);
    }
    Err(CredentialsError::Helper(name))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

type Known = Result<Option<Login>, Unread>;

/// The helpers of a folder.
pub(in crate::images::registry) struct Helpers {
    folder: PathBuf,
    /// By helper and host.
    answers: Memo<(String, String), Known>,
    running: Semaphore,
}

impl Helpers {
    pub fn new(folder: PathBuf) -> Helpers {
        Helpers { folder, answers: Memo::new(ANSWERS_MAX), running: Semaphore::new(RUNNING_MAX) }
    }

    /// How to log in, as the helper says that is chosen for the place, if there is one.
    pub async fn login(&self, chosen: &Chosen, host: &str, repository: &str) -> Known {
        let Some(name) = chosen.of(host, repository) else { return Ok(None) };
        let find = async {
            let known = self.ask(name, host).await;
            let lifetime = if known.is_ok() { ANSWER_KEPT } else { FAILURE_KEPT };
            (known, lifetime)
        };
        self.answers.get(&(name.to_owned(), host.to_owned()), find).await
    }

    async fn ask(&self, name: &str, host: &str) -> Known {
        let program = self.folder.join(format!("{PREFIX}{name}"));
        // As Docker names its default registry.
        let address = match host {
            "docker.io" => "https://index.docker.io/v1/".to_owned(),
            host => host.to_owned(),
        };
        let Ok(_permit) = self.running.acquire().await else { return Ok(None) };
        let ran = tokio::task::spawn_blocking(move || run(&program, &address)).await;
        let said = ran.unwrap_or_else(|_| Err("it was cut off".to_owned()));
        said.map_err(|why| Unread {
            why: format!("the credential helper `{name}` does not say how to log in: {why}"),
            is_passing: true,
        })
    }
}

/// Runs a helper to its end, or until it takes too long.
fn run(program: &Path, address: &str) -> Result<Option<Login>, String> {
    let started = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.map_err(|error| error.to_string())?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not want to know has its answer already.
        let _ = input.write_all(address.as_bytes());
    }
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let read = output.map(|output| output.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut said));
        read.and_then(Result::ok).map(|_| said)
    });
    let succeeded = ended(&mut child)?;
    let said = reader.join().ok().flatten().ok_or("its answer can't be read")?;
    if said.len() as u64 > ANSWER_BYTES_MAX {
        return Err(format!("its answer is larger than {ANSWER_BYTES_MAX} bytes"));
    }
    if !succeeded {
        let nothing = String::from_utf8_lossy(&said).contains(NOTHING);
        return if nothing { Ok(None) } else { Err("it failed".to_owned()) };
    }
    // What is in it is secret, also when it is malformed.
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|_| "a JSON object with `Username` and `Secret` is expected")?;
    Ok(Some(Login::of(&answer.username, &answer.secret)))
}

/// Waits until it ends, and ends it when it takes too long. Whether it succeeded.
fn ended(child: &mut Child) -> Result<bool, String> {
    let started = std::time::Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if started.elapsed() < HELPER_TIMEOUT => std::thread::sleep(POLL),
            waited => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match waited {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("it took longer than {} s", HELPER_TIMEOUT.as_secs()),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn helpers(scripts: &[(&str, &str)]) -> (tempfile::TempDir, Helpers) {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(format!("{PREFIX}{name}"));
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let helpers = Helpers::new(folder.path().to_owned());
        (folder, helpers)
    }

    #[tokio::test]
    async fn helpers_are_asked_for_their_hosts_and_once() {
        let counts =
            r#"echo "$(cat)" >>"$0.log"; echo '{"ServerURL":"x","Username":"AWS","Secret":"s"}'"#;
        let token = r#"echo '{"Username":"<token>","Secret":"refresh"}'"#;
        let nothing = r#"echo "credentials not found in native keychain"; exit 1"#;
        let (folder, helpers) =
            helpers(&[("ecr-login", counts), ("acr", token), ("store", nothing)]);
        let chosen = Chosen::from_docker_config(
            r#"{"credHelpers": {"*.ecr.test": "ecr-login", "a.acr.test": "acr", "b.test": "gone"},
                "credsStore": "store"}"#,
        )
        .unwrap();
        let aws = Login::of("AWS", "s");
        for _ in 0..3 {
            let login = helpers.login(&chosen, "1.ecr.test", "team/app").await.unwrap();
            assert!(login == Some(aws.clone()));
        }
        let log = std::fs::read_to_string(folder.path().join("docker-credential-ecr-login.log"));
        assert_eq!(log.unwrap(), "1.ecr.test\n");
        let login = helpers.login(&chosen, "a.acr.test", "app").await.unwrap();
        assert!(login == Some(Login::Identity("refresh".to_owned())));
        assert!(helpers.login(&chosen, "elsewhere.test", "app").await.unwrap().is_none());
        let gone = helpers.login(&chosen, "b.test", "app").await.err().unwrap();
        assert!(gone.why.starts_with("the credential helper `gone` does not"), "{gone}");
        assert!(gone.is_passing);
        let none = Chosen::from_docker_config("{}").unwrap();
        assert!(helpers.login(&none, "1.ecr.test", "app").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_helper_that_misbehaves_is_told_and_does_not_hold_up() {
        let check = async |script: &str, expect: &str| {
            let (_folder, helpers) = helpers(&[("bad", script)]);
            let chosen = Chosen::from_docker_config(r#"{"credsStore": "bad"}"#).unwrap();
            let error = helpers.login(&chosen, "a.b", "c").await.err().unwrap();
            assert!(error.why.contains(expect) && !error.why.contains("hunter2"), "{error}");
        };
        check("exec sleep 60", "longer than 5 s").await;
        check("head -c 100000 /dev/zero", "larger than 65536 bytes").await;
        check("echo hunter2", "`Username` and `Secret` is expected").await;
        check("echo hunter2; exit 3", "it failed").await;
    }

    #[test]
    fn names_lead_to_no_other_folder() {
        for name in ["../sh", "a/b", "", "a b", "."] {
            let text = serde_json::json!({"credsStore": name}).to_string();
            let error = Chosen::from_docker_config(&text).unwrap_err();
            assert_eq!(error, CredentialsError::Helper(name.to_owned()));
        }
    }
}
