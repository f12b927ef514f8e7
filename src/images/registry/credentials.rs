//! Credentials for registries, as `docker login` and image pull secrets keep them. Which are whose is decided here, and
//! that they go to nobody else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::images::reference::normal;

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
    /// The name of a credential helper is none.
    #[error("`{0}` is no name of a credential helper: letters, digits and dashes are expected")]
    Helper(String),
}

/// What shows who we are.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::images::registry) enum Login {
    /// `user:password`, in base64.
    Basic(String),
    /// A refresh token, for which a token server gives others: Docker's `identitytoken`.
    Identity(String),
    /// A token that the registry takes as it is: Docker's `registrytoken`.
    Bearer(String),
}

impl Login {
    /// As `docker login` and credential helpers have it: a user of this name has a refresh token for a password.
    pub fn of(user: &str, password: &str) -> Login {
        match user {
            "<token>" => Login::Identity(password.to_owned()),
            _ => Login::Basic(STANDARD.encode(format!("{user}:{password}"))),
        }
    }
}

/// Credentials by registry.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    place: Place,
    login: Login,
}

/// What credentials are for.
#[derive(Clone, Debug)]
pub(in crate::images::registry) struct Place {
    /// Labels of a host; `*` stands for one.
    host: String,
    /// The folder; empty for all.
    path: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: Map,
}

type Map = serde_json::Map<String, serde_json::Value>;

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "auth")]
    basic: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Credentials {
    /// Reads a Docker configuration file: `.dockerconfigjson` of a Secret, or `~/.docker/config.json`. Entries without a
    /// password, such as those that a credential helper keeps, say nothing here.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn from_docker_config(text: &str) -> Result<Credentials, CredentialsError> {
        Credentials::new(read::<File>(text)?.auths)
    }

    /// Reads the older form, `.dockercfg` of a Secret, which has nothing around its entries.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn from_docker_cfg(text: &str) -> Result<Credentials, CredentialsError> {
        Credentials::new(read::<Map>(text)?)
    }

    fn new(auths: Map) -> Result<Credentials, CredentialsError> {
        if auths.len() > ENTRIES_MAX {
            return Err(CredentialsError::TooMany);
        }
        let mut entries = Vec::new();
        for (key, value) in auths {
            let malformed = || CredentialsError::Entry(key.clone());
            let written = Written::deserialize(value).map_err(|_| malformed())?;
            let Some(login) = written.login(&key)? else { continue };
            entries.push(Entry { place: Place::read(&key).ok_or_else(malformed)?, login });
        }
        // The most particular first.
        entries.sort_by_key(|entry| entry.place.order());
        Ok(Credentials { entries })
    }

    /// What is shown to a registry for this repository, if anything.
    pub(in crate::images::registry) fn of(&self, host: &str, repository: &str) -> Option<&Login> {
        let is_for = |entry: &&Entry| entry.place.has(host, repository);
        self.entries.iter().find(is_for).map(|entry| &entry.login)
    }
}

/// Reads JSON without repeating it in what is said: it is secret.
pub(in crate::images::registry) fn read<T: DeserializeOwned>(
    text: &str,
) -> Result<T, CredentialsError> {
    if text.len() > CREDENTIALS_BYTES_MAX {
        return Err(CredentialsError::TooLarge);
    }
    serde_json::from_str(text).map_err(|error| CredentialsError::Json(error.line(), error.column()))
}

impl Written {
    /// What is written, if it is a login.
    fn login(self, key: &str) -> Result<Option<Login>, CredentialsError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        // As Docker has it: a token is there instead of the password.
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Login::Identity(token)));
        }
        if let Some(token) = given(self.registrytoken) {
            return Ok(Some(Login::Bearer(token)));
        }
        if let Some(basic) = given(self.basic) {
            let basic = basic.trim();
            let is_login = STANDARD.decode(basic).is_ok_and(|decoded| decoded.contains(&b':'));
            let login = is_login.then(|| Login::Basic(basic.to_owned()));
            return login.map(Some).ok_or_else(|| CredentialsError::Entry(key.to_owned()));
        }
        Ok(match (self.username, self.password) {
            (Some(user), Some(password)) => Some(Login::of(&user, &password)),
            _ => None,
        })
    }
}

impl Place {
    /// Host and folder of a key: `https://index.docker.io/v1/`, `ghcr.io`, `*.example.com/team`.
    pub fn read(key: &str) -> Option<Place> {
        let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        let bare = bare.unwrap_or(key);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        let path = path.trim_end_matches('/');
        // Versions of the API are no folders.
        let path = if matches!(path, "v1" | "v2") { "" } else { path };
        let host =
            if host.contains('*') { host.to_ascii_lowercase() } else { normal(host).ok()? };
        Some(Place { host, path: path.to_owned() })
    }

    /// The most particular first.
    pub fn order(&self) -> impl Ord + use<> {
        std::cmp::Reverse((self.path.len(), !self.host.contains('*')))
    }

    /// Whether a repository is in it.
    pub fn has(&self, host: &str, repository: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        host_matches(&self.host, host)
            && (self.path.is_empty() || repository.strip_prefix(&self.path).is_some_and(below))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are for nobody's eyes.
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.place.host)).finish()
    }
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
    use crate::images::Reference;

    fn said(credentials: &Credentials, image: &str) -> Option<String> {
        let image = Reference::parse(image).unwrap();
        Some(match credentials.of(image.registry(), image.repository())? {
            Login::Basic(basic) => String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap(),
            Login::Identity(token) => format!("identity {token}"),
            Login::Bearer(token) => format!("bearer {token}"),
        })
    }

    fn of(text: &str, image: &str) -> Option<String> {
        said(&Credentials::from_docker_config(text).unwrap(), image)
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
    fn tokens_are_read_and_the_older_form_too() {
        let file = r#"{"auths": {
            "a.azurecr.io": {"auth": "MDowMDo=", "identitytoken": "refresh"},
            "b.example.com": {"registrytoken": "ready"},
            "c.example.com": {"username": "<token>", "password": "refresh too"},
            "d.example.com": {"identitytoken": "", "username": "u", "password": ""}
        }}"#;
        let check = |image: &str, expect: &str| {
            assert_eq!(of(file, image).as_deref(), Some(expect), "{image}");
        };
        check("a.azurecr.io/a", "identity refresh");
        check("b.example.com/a", "bearer ready");
        check("c.example.com/a", "identity refresh too");
        check("d.example.com/a", "u:");
        let older = r#"{"https://a.b/v1/": {"auth": "dTpw", "email": "m"}}"#;
        let older = Credentials::from_docker_cfg(older).unwrap();
        assert_eq!(said(&older, "a.b/c").as_deref(), Some("u:p"));
        assert_eq!(said(&older, "b.b/c"), None);
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
