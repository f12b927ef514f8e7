//! Image references, as the container runtime reads them: registry, repository, tag, digest. Text only; nothing here
//! asks a registry.
//!
//! The grammar is that of the `distribution/reference` library, which the kubelet uses. Names under which the same
//! registry answers become one, so that a policy can't be walked around by writing another of them.

use std::fmt;

use crate::images::digest::{Digest, DigestError};

/// The registry that is meant when none is named.
const DEFAULT_REGISTRY: &str = "docker.io";

/// What repositories of the default registry are in when they name nothing.
const DEFAULT_FOLDER: &str = "library";

/// The tag that is meant when there is neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// Other names of the default registry.
const DEFAULT_REGISTRY_ALIASES: &[&str] = &["index.docker.io", "registry-1.docker.io"];

/// How long a repository's path may be. Source: `RepositoryNameTotalLengthMax`.
pub const REPOSITORY_BYTES_MAX: usize = 255;

/// How long a tag may be. Source: the grammar.
pub const TAG_BYTES_MAX: usize = 128;

/// How long a whole reference may be: a host name, a repository, a tag, a digest, and room to spare.
pub const REFERENCE_BYTES_MAX: usize = 1024;

/// A reference to an image, complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
    /// Registry and repository as they were written.
    written: String,
}

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing is there.
    #[error("the image reference is empty")]
    Empty,
    /// Longer than anything that makes sense.
    #[error("the image reference is longer than {REFERENCE_BYTES_MAX} bytes")]
    TooLong,
    /// The host is malformed.
    #[error("`{0}` is no registry: a host name and maybe a port is expected")]
    Registry(String),
    /// The path is malformed.
    #[error(
        "`{0}` is no repository: lower-case letters and digits are expected, and `.`, `_`, `__` or dashes between them"
    )]
    Repository(String),
    /// The path is too long.
    #[error("the repository is longer than {REPOSITORY_BYTES_MAX} bytes")]
    RepositoryTooLong,
    /// It looks like the identifier of an image.
    #[error("`{0}` is the identifier of an image and not its name")]
    Identifier(String),
    /// The tag is malformed.
    #[error("`{0}` is no tag")]
    Tag(String),
    /// The digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl Reference {
    /// Reads a reference, and fills in what it leaves out.
    ///
    /// ```
    /// use portcullis::images::Reference;
    ///
    /// let image = Reference::parse("nginx").unwrap();
    /// assert_eq!(image.to_string(), "docker.io/library/nginx:latest");
    /// assert_eq!(Reference::parse("GHCR.io:443/team/app:1").unwrap().registry(), "ghcr.io");
    /// ```
    ///
    /// # Errors
    /// If it is not one. The container runtime could not pull it either.
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (written, tag) = match rest.get(last..).and_then(|part| part.split_once(':')) {
            Some((part, tag)) => {
                (rest.get(..last + part.len()).unwrap_or_default(), Some(tagged(tag)?))
            }
            None => (rest, None),
        };
        let (registry, repository) = split(written);
        let registry = match registry {
            Some(registry) => normal(registry)?,
            None => DEFAULT_REGISTRY.to_owned(),
        };
        check_repository(repository)?;
        if rest == written && digest.is_none() && is_identifier(rest) {
            return Err(ReferenceError::Identifier(rest.to_owned()));
        }
        let in_library = registry == DEFAULT_REGISTRY && !repository.contains('/');
        let repository = if in_library {
            format!("{DEFAULT_FOLDER}/{repository}")
        } else {
            repository.to_owned()
        };
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag,
        };
        Ok(Reference { registry, repository, tag, digest, written: written.to_owned() })
    }

    /// The host of the registry, in lower case, with its port unless that is the usual one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path of the repository in its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it has one or needs one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The reference as it was written, bound to a digest. A tag stays, for the reader; the runtime does not look at it.
    ///
    /// ```
    /// use portcullis::images::{Digest, Reference};
    ///
    /// let digest = Digest::of(b"");
    /// let bound = Reference::parse("nginx:1").unwrap().bound_to(&digest);
    /// assert_eq!(bound, format!("nginx:1@{digest}"));
    /// ```
    pub fn bound_to(&self, digest: &Digest) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}@{digest}", self.written),
            None => format!("{}@{digest}", self.written),
        }
    }

    /// The same image, by this digest too.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> Reference {
        Reference { digest: Some(digest.clone()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.registry)?;
        if !is_host(&self.registry) {
            // A host that was written in capitals would be a folder of the default registry without them.
            f.write_str(":443")?;
        }
        write!(f, "/{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Tells the host from the path. The first part is a host if it could be nothing else.
pub(in crate::images) fn split(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (Some(first), rest),
        _ => (None, name),
    }
}

fn is_host(first: &str) -> bool {
    first.contains(['.', ':', '['])
        || first == "localhost"
        || first.chars().any(|letter| letter.is_ascii_uppercase())
}

/// The one name of a registry.
///
/// # Errors
/// If it is no host name.
pub(in crate::images) fn normal(registry: &str) -> Result<String, ReferenceError> {
    let refused = || ReferenceError::Registry(registry.to_owned());
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(refused)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refused())?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or_else(refused)?),
            };
            (format!("[{}]", address.to_ascii_lowercase()), port)
        }
        None => {
            let (host, port) = match registry.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (registry, None),
            };
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            if !host.split('.').all(is_label) {
                return Err(refused());
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit());
    if port.is_some_and(|port| !is_port(port)) {
        return Err(refused());
    }
    // `0443` is that port, too.
    let port = port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != 443);
    if DEFAULT_REGISTRY_ALIASES.contains(&host.as_str()) && port.is_none() {
        return Ok(DEFAULT_REGISTRY.to_owned());
    }
    Ok(match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

fn check_repository(repository: &str) -> Result<(), ReferenceError> {
    if repository.len() > REPOSITORY_BYTES_MAX {
        return Err(ReferenceError::RepositoryTooLong);
    }
    if repository.split('/').all(is_component) {
        Ok(())
    } else {
        Err(ReferenceError::Repository(repository.to_owned()))
    }
}

/// Runs of lower-case letters and digits, with one dot, one or two underscores, or any dashes between.
fn is_component(text: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(first), Some(last)) = (text.as_bytes().first(), text.as_bytes().last()) else {
        return false;
    };
    is_plain(first)
        && is_plain(last)
        && text
            .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
            .filter(|between| !between.is_empty())
            .all(|between| {
                matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
            })
}

fn tagged(tag: &str) -> Result<String, ReferenceError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let well_formed = (1..=TAG_BYTES_MAX).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
    if well_formed { Ok(tag.to_owned()) } else { Err(ReferenceError::Tag(tag.to_owned())) }
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed() {
        let digest = format!("sha256:{}", "a1".repeat(32));
        let check = |text: &str, expect: &str| {
            let image = Reference::parse(text).map(|image| image.to_string());
            assert_eq!(image.as_deref().ok(), Some(expect), "{text}: {image:?}");
        };
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.27", "docker.io/library/nginx:1.27");
        check("team/app", "docker.io/team/app:latest");
        check("docker.io/nginx", "docker.io/library/nginx:latest");
        check("index.docker.io/nginx", "docker.io/library/nginx:latest");
        check("registry-1.docker.io/library/nginx", "docker.io/library/nginx:latest");
        check("localhost/app", "localhost/app:latest");
        check("localhost:5000/app", "localhost:5000/app:latest");
        check("127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1");
        check("[::1]:5000/a", "[::1]:5000/a:latest");
        check("ghcr.io/a/b-c__d.e_f:V_1.2-3", "ghcr.io/a/b-c__d.e_f:V_1.2-3");
        check("ghcr.io/a---b", "ghcr.io/a---b:latest");
        // The same registry by other names.
        check("GHCR.IO/a/b", "ghcr.io/a/b:latest");
        check("ghcr.io:443/a/b", "ghcr.io/a/b:latest");
        check("ghcr.io:0443/a/b", "ghcr.io/a/b:latest");
        check("docker.io:443/nginx", "docker.io/library/nginx:latest");
        // Upper case makes a host of what could be a folder.
        check("Team/app", "team:443/app:latest");
        check(&format!("nginx@{digest}"), &format!("docker.io/library/nginx@{digest}"));
        check(&format!("nginx:1@{digest}"), &format!("docker.io/library/nginx:1@{digest}"));
        check(&format!("a.b/{}", "c".repeat(255)), &format!("a.b/{}:latest", "c".repeat(255)));
    }

    #[test]
    fn what_is_shown_names_the_same() {
        let check = |text: &str, expect: &str| {
            let shown = Reference::parse(text).unwrap().to_string();
            assert_eq!(shown, expect);
            assert_eq!(Reference::parse(&shown).unwrap().to_string(), expect);
        };
        check("nginx", "docker.io/library/nginx:latest");
        check("GH3/team/app:1", "gh3:443/team/app:1");
        check("gh3/team/app:1", "docker.io/gh3/team/app:1");
        check("LOCALHOST/a", "localhost/a:latest");
        check("[::1]:05000/a", "[::1]:5000/a:latest");
    }

    #[test]
    fn what_is_no_reference_is_told() {
        let check = |text: &str, expect: &str| {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("", "empty");
        check(&"a/".repeat(600), "longer than 1024");
        check(&format!("a.b/{}", "c".repeat(256)), "longer than 255");
        check("nginx:", "`` is no tag");
        check("nginx:-a", "`-a` is no tag");
        check(&format!("nginx:{}", "a".repeat(129)), "is no tag");
        check("Nginx", "`Nginx` is no repository");
        check("ghcr.io/A", "`A` is no repository");
        check("ghcr.io/", "`` is no repository");
        check("/a", "is no repository");
        check("ghcr.io//a", "is no repository");
        check("ghcr.io/a..b", "is no repository");
        check("ghcr.io/a___b", "is no repository");
        check("ghcr.io/a_-b", "is no repository");
        check("ghcr.io/-a", "is no repository");
        check("ghcr.io/../a", "is no repository");
        check("ghcr.io/a/b?c", "is no repository");
        check("ghcr.io./a", "is no registry");
        check("ghcr..io/a", "is no registry");
        check("-ghcr.io/a", "is no registry");
        check("user:pass@ghcr.io/a", "is no digest");
        check("ghcr.io:port/a", "is no registry");
        check("ghcr.io:+80/a", "is no registry");
        check("ghcr.io:70000/a", "is no registry");
        check("[::1/a", "is no registry");
        check("[zz]/a", "is no registry");
        check("https://ghcr.io/a", "is no registry");
        check("nginx@sha256:12", "64 lower-case");
        check("nginx@md5:12", "not supported");
        check("nginx@", "is no digest");
        check(&"a1".repeat(32), "identifier of an image");
        check("ghcr.io/ä", "is no repository");
        check("gh\u{430}r.io/a", "is no registry");
        check("nginx\n", "is no repository");
    }

    #[test]
    fn a_bound_reference_keeps_what_was_written() {
        let digest = Digest::of(b"a");
        let other = Digest::of(b"b");
        let check = |text: &str, expect: String| {
            assert_eq!(Reference::parse(text).unwrap().bound_to(&digest), expect);
        };
        check("nginx", format!("nginx:latest@{digest}"));
        check("GHCR.io/a:1", format!("GHCR.io/a:1@{digest}"));
        check(&format!("a@{other}"), format!("a@{digest}"));
        check(&format!("localhost:5000/a:1@{other}"), format!("localhost:5000/a:1@{digest}"));
    }
}
