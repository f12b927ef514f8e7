//! Credentials for registries, as `docker login` and image pull secrets keep them. Which are whose is decided here, and
//! that they go to nobody else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::images::reference::{Reference, normal};

/// How large the file may be. Source: a Secret has at most 1 MiB.
pub const CREDENTIALS_BYTES_MAX: usize = 1 << 20;

/// How many registries one file may name.
const ENTRIES_MAX: usize = 1000;

/// Why a file of credentials can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// It is no such file. What is in it is not repeated: it is secret.
    #[error(
        "the credentials can't be read: a JSON object with `auths` is expected (line {0}, column {1})"
    )]
    Json(usize, usize),
    /// Too large.
    #[error("the credentials are larger than {CREDENTIALS_BYTES_MAX} bytes")]
    TooLarge,
    /// Too many.
    #[error("there are credentials for more than {ENTRIES_MAX} registries")]
    TooMany,
    /// An entry is malformed.
    #[error("the credentials of `{0}` can't be read: base64 of `user:password` is expected")]
    Entry(String),
}

/// Credentials by registry.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    /// Labels of a host; `*` stands for one.
    host: String,
    /// The folder that they are for; empty for all.
    path: String,
    /// `user:password`, in base64.
    basic: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "auth")]
    basic: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// Reads a Docker configuration file: `.dockerconfigjson` of a Secret, or `~/.docker/config.json`. Entries without a
    /// password, such as those that a credential helper keeps, say nothing here.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn from_docker_config(text: &str) -> Result<Credentials, CredentialsError> {
        if text.len() > CREDENTIALS_BYTES_MAX {
            return Err(CredentialsError::TooLarge);
        }
        let file: File = serde_json::from_str(text)
            .map_err(|error| CredentialsError::Json(error.line(), error.column()))?;
        if file.auths.len() > ENTRIES_MAX {
            return Err(CredentialsError::TooMany);
        }
        let mut entries = Vec::new();
        for (key, value) in file.auths {
            let malformed = || CredentialsError::Entry(key.clone());
            let login = Login::deserialize(value).map_err(|_| malformed())?;
            let basic = match login {
                Login { basic: Some(basic), .. } if !basic.is_empty() => {
                    let basic = basic.trim();
                    let decoded = STANDARD.decode(basic).map_err(|_| malformed())?;
                    if !decoded.contains(&b':') {
                        return Err(malformed());
                    }
                    basic.to_owned()
                }
                Login { username: Some(user), password: Some(password), .. } => {
                    STANDARD.encode(format!("{user}:{password}"))
                }
                _ => continue,
            };
            let (host, path) = place(&key).ok_or_else(malformed)?;
            entries.push(Entry { host, path, basic });
        }
        // The most particular first.
        entries
            .sort_by_key(|entry| std::cmp::Reverse((entry.path.len(), !entry.host.contains('*'))));
        Ok(Credentials { entries })
    }

    /// What `Authorization: Basic` is sent for this image, if anything.
    pub(in crate::images::registry) fn of(&self, image: &Reference) -> Option<&str> {
        let is_for = |entry: &&Entry| {
            host_matches(&entry.host, image.registry())
                && (entry.path.is_empty()
                    || image.repository() == entry.path
                    || image
                        .repository()
                        .strip_prefix(&entry.path)
                        .is_some_and(|rest| rest.starts_with('/')))
        };
        self.entries.iter().find(is_for).map(|entry| entry.basic.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are for nobody's eyes.
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.host)).finish()
    }
}

/// Host and folder of a key: `https://index.docker.io/v1/`, `ghcr.io`, `*.example.com/team`.
fn place(key: &str) -> Option<(String, String)> {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    // Versions of the API are no folders.
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let host = if host.contains('*') { host.to_ascii_lowercase() } else { normal(host).ok()? };
    Some((host, path.to_owned()))
}

/// Whether a host is meant; a star stands for part of one label, as the kubelet has it.
fn host_matches(pattern: &str, host: &str) -> bool {
    let (patterns, hosts): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), host.split('.').collect());
    patterns.len() == hosts.len()
        && patterns.iter().zip(&hosts).all(|(pattern, label)| match pattern.split_once('*') {
            Some((before, after)) => {
                label.len() >= before.len() + after.len()
                    && label.starts_with(before)
                    && label.ends_with(after)
            }
            None => pattern == label,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, image: &str) -> Option<String> {
        let credentials = Credentials::from_docker_config(text).unwrap();
        let basic = credentials.of(&Reference::parse(image).unwrap())?.to_owned();
        Some(String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap())
    }

    #[test]
    fn credentials_are_for_their_registry_only() {
        let auth = |text: &str| STANDARD.encode(text);
        let file = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "ghcr.io": {{"username": "u", "password": "p:q"}},
                "ghcr.io/team": {{"auth": "{}"}},
                "*.example.com": {{"auth": "{}"}},
                "helper.example.org": {{}},
                "localhost:5000": {{"auth": "{}"}}
            }}, "credsStore": "desktop"}}"#,
            auth("hub:1"),
            auth("team:2"),
            auth("star:3"),
            auth("local:4"),
        );
        let check = |image: &str, expect: Option<&str>| {
            assert_eq!(of(&file, image).as_deref(), expect, "{image}");
        };
        check("nginx", Some("hub:1"));
        check("docker.io/a/b", Some("hub:1"));
        check("ghcr.io/other/app", Some("u:p:q"));
        check("ghcr.io/team/app", Some("team:2"));
        check("ghcr.io/teams/app", Some("u:p:q"));
        check("GHCR.io:443/team/app", Some("team:2"));
        check("ghcr.io:5000/team/app", None);
        check("ghcr.io.evil.example/team/app", None);
        check("a.example.com/b", Some("star:3"));
        check("a.b.example.com/b", None);
        check("example.com/b", None);
        check("helper.example.org/a", None);
        check("localhost:5000/a", Some("local:4"));
        check("localhost:5001/a", None);
    }

    #[test]
    fn what_is_malformed_is_told_without_the_secret() {
        let check = |text: &str, expect: &str| {
            let error = Credentials::from_docker_config(text).unwrap_err().to_string();
            assert!(error.contains(expect) && !error.contains("hunter2"), "{error}");
        };
        check("hunter2", "line 1");
        check(r#"{"auths": {"a.b": {"auth": "hunter2 "}}}"#, "`a.b` can't be read");
        check(r#"{"auths": {"a.b": {"auth": "aHVudGVyMg=="}}}"#, "`a.b` can't be read");
        check(r#"{"auths": {"a.b": "hunter2"}}"#, "`a.b` can't be read");
        check(&" ".repeat(CREDENTIALS_BYTES_MAX + 1), "larger than");
        let many: Vec<String> = (0..1001).map(|n| format!(r#""a{n}.b": {{}}"#)).collect();
        check(&format!(r#"{{"auths": {{{}}}}}"#, many.join(",")), "more than 1000");
        let shown = format!(
            "{:?}",
            Credentials::from_docker_config(
                r#"{"auths": {"a.b": {"username": "u", "password": "hunter2"}}}"#
            )
            .unwrap()
        );
        assert_eq!(shown, r#"["a.b"]"#);
    }
}
