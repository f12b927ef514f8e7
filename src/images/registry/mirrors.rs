//! Mirrors: where a registry's images are asked for before the registry itself. A mirror is believed no more than a
//! registry is: content is what its digest says, and signatures are verified.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::images::reference::{Reference, normal};
use crate::images::registry::error::RegistryError;

/// Where the default registry really answers.
const DEFAULT_REGISTRY_HOST: &str = "registry-1.docker.io";

/// How long a mirror that does not answer is passed over.
const PASSED_OVER: Duration = Duration::from_secs(30);

/// How many mirrors one registry may have: each is one more to wait for.
const MIRRORS_MAX: usize = 4;

/// A repository, and the host that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::images::registry) struct Repository {
    pub host: String,
    pub name: String,
    /// What the host is called, by those who have credentials for it too.
    pub registry: String,
    /// Whether something else is asked when this has nothing.
    pub is_mirror: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    host: String,
    folder: String,
}

/// The mirrors of all registries.
#[derive(Debug, Default)]
pub(in crate::images::registry) struct Mirrors {
    of: BTreeMap<String, Vec<Mirror>>,
    /// Whether the registry itself is never asked where it has a mirror.
    only: bool,
    silent: Mutex<HashMap<String, Instant>>,
}

impl Mirrors {
    /// Reads mirrors, each as `registry=host/folder`.
    pub fn new(texts: &[String], only: bool) -> Result<Mirrors, RegistryError> {
        let mut of: BTreeMap<String, Vec<Mirror>> = BTreeMap::new();
        for text in texts {
            let refused = |why: &str| RegistryError::Refused(format!("the mirror `{text}`: {why}"));
            let (registry, mirror) = text
                .split_once('=')
                .ok_or_else(|| refused("`registry=mirror.example.com/folder` is expected"))?;
            let (host, folder) = mirror.split_once('/').unwrap_or((mirror, ""));
            let normal = |host: &str| normal(host).map_err(|why| refused(&why.to_string()));
            let folder = folder.trim_end_matches('/').to_owned();
            if !folder.is_empty() {
                let image = format!("{host}/{folder}");
                Reference::parse(&image).map_err(|why| refused(&why.to_string()))?;
            }
            let mirrors = of.entry(normal(registry)?).or_default();
            if mirrors.len() == MIRRORS_MAX {
                return Err(refused(&format!("{registry} has more than {MIRRORS_MAX}")));
            }
            mirrors.push(Mirror { host: normal(host)?, folder });
        }
        Ok(Mirrors { of, only, silent: Mutex::default() })
    }

    /// The hosts of all mirrors.
    pub fn hosts(&self) -> BTreeSet<String> {
        self.of.values().flatten().map(|mirror| mirror.host.clone()).collect()
    }

    /// Where an image is looked for, in this order: what does not answer is passed over, unless nobody else is left.
    pub fn of(&self, image: &Reference) -> Vec<Repository> {
        let all = self.all(image);
        let answers = |one: &Repository| !one.is_mirror || !self.is_silent(&one.host);
        let answering: Vec<Repository> = all.iter().filter(|one| answers(one)).cloned().collect();
        if answering.is_empty() { all } else { answering }
    }

    /// Everywhere where an image is looked for.
    pub fn all(&self, image: &Reference) -> Vec<Repository> {
        let mirrors = self.of.get(image.registry()).map(Vec::as_slice).unwrap_or_default();
        let mut all: Vec<Repository> = mirrors.iter().map(|mirror| mirror.has(image)).collect();
        if !self.only || all.is_empty() {
            let host = match image.registry() {
                "docker.io" => DEFAULT_REGISTRY_HOST,
                host => host,
            };
            let (host, name) = (host.to_owned(), image.repository().to_owned());
            let registry = image.registry().to_owned();
            all.push(Repository { host, name, registry, is_mirror: false });
        }
        all
    }

    fn is_silent(&self, host: &str) -> bool {
        let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get(host).is_some_and(|since| since.elapsed() < PASSED_OVER)
    }

    /// A mirror did not answer as one that is up does.
    pub fn fell_silent(&self, host: &str) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.insert(host.to_owned(), Instant::now());
    }
}

impl Mirror {
    fn has(&self, image: &Reference) -> Repository {
        let name = match self.folder.as_str() {
            "" => image.repository().to_owned(),
            folder => format!("{folder}/{}", image.repository()),
        };
        let (host, registry) = (self.host.clone(), self.host.clone());
        Repository { host, name, registry, is_mirror: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(texts: &[&str], only: bool) -> Result<Mirrors, RegistryError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Mirrors::new(&texts, only)
    }

    fn asked(mirrors: &Mirrors, image: &str) -> Vec<String> {
        let repositories = mirrors.of(&Reference::parse(image).unwrap());
        repositories.into_iter().map(|one| format!("{}/{}", one.host, one.name)).collect()
    }

    #[test]
    fn mirrors_are_asked_first_and_the_registry_last() {
        let texts = ["index.docker.io=m.test/hub/", "docker.io=n.test:5000", "ghcr.io=m.test/gh"];
        let all = mirrors(&texts, false).unwrap();
        let check = |mirrors: &Mirrors, image: &str, expect: &[&str]| {
            assert_eq!(asked(mirrors, image), expect, "{image}");
        };
        let hub = "registry-1.docker.io/library/nginx";
        check(&all, "nginx", &["m.test/hub/library/nginx", "n.test:5000/library/nginx", hub]);
        check(&all, "GHCR.io:443/a/b:1", &["m.test/gh/a/b", "ghcr.io/a/b"]);
        check(&all, "quay.io/a/b", &["quay.io/a/b"]);
        assert_eq!(all.hosts().into_iter().collect::<Vec<_>>(), ["m.test", "n.test:5000"]);
        all.fell_silent("m.test");
        check(&all, "nginx", &["n.test:5000/library/nginx", hub]);
        let only = mirrors(&texts, true).unwrap();
        check(&only, "ghcr.io/a/b", &["m.test/gh/a/b"]);
        check(&only, "quay.io/a/b", &["quay.io/a/b"]);
        only.fell_silent("m.test");
        check(&only, "ghcr.io/a/b", &["m.test/gh/a/b"]);
    }

    #[test]
    fn what_is_no_mirror_is_told() {
        let check = |texts: &[&str], expect: &str| {
            let error = mirrors(texts, false).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&["docker.io"], "`registry=mirror.example.com/folder` is expected");
        check(&["a..b=m.test"], "is no registry");
        check(&["docker.io=https://m.test"], "is no registry");
        check(&["docker.io=m.test/A"], "is no repository");
        check(&["a.b=m.test"; 5], "more than 4");
    }
}
