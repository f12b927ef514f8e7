//! Globs over image names, with a meaning that can't slip: a host is matched whole, `*` stays inside one part of a path,
//! `**` stands for whole parts.

use std::fmt;

use crate::images::reference::{Reference, ReferenceError, normal, split};

/// How long a glob may be: as long as what it matches.
pub const GLOB_BYTES_MAX: usize = 512;

/// A glob over registry and repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageGlob {
    text: String,
    host: Host,
    path: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Is(String),
    /// Under this domain, which begins with its dot.
    Under(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Whole parts: one or more at the end, any number elsewhere.
    Rest,
    /// One part: what is between the stars.
    One(Vec<String>),
}

/// Why a text is no glob of images.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing is there.
    #[error("the glob is empty; `**` matches every image")]
    Empty,
    /// Longer than any name.
    #[error("the glob is longer than {GLOB_BYTES_MAX} bytes")]
    TooLong,
    /// A star in a host could match another host.
    #[error(
        "`{0}` is no host: it is matched whole, so write a name, `*.` before a domain, or `*` for any registry"
    )]
    Host(String),
    /// A host without the slash would be a repository of the default registry.
    #[error(
        "`{0}` looks like a registry, and would be a repository of docker.io; write `{0}/**` for all its images"
    )]
    NoSlash(String),
    /// Tags move, and an image by its digest has none.
    #[error(
        "`{0}` has a tag or digest: a glob is about repositories, because a tag can be moved or left out"
    )]
    Tagged(String),
    /// `**` must be a part of its own.
    #[error("`{0}`: `**` stands for whole parts of a path, as in `team/**`")]
    Stars(String),
    /// Something that no name has.
    #[error("`{0}` can match no image: repositories have lower-case letters, digits and `._-`")]
    Letters(String),
    /// The host is malformed.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl ImageGlob {
    /// Reads a glob.
    ///
    /// ```
    /// use portcullis::images::{ImageGlob, Reference};
    ///
    /// let glob = ImageGlob::parse("ghcr.io/team/**").unwrap();
    /// let matches = |image| glob.matches(&Reference::parse(image).unwrap());
    /// assert!(matches("ghcr.io/team/app:1"));
    /// assert!(!matches("ghcr.io/team-of-others/app:1"));
    /// assert!(ImageGlob::parse("ghcr.io*").is_err());
    /// ```
    ///
    /// # Errors
    /// If it is malformed, or would not mean what it looks like.
    pub fn parse(text: &str) -> Result<ImageGlob, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > GLOB_BYTES_MAX {
            return Err(GlobError::TooLong);
        }
        let last = text.rsplit('/').next().unwrap_or_default();
        if text.contains('@') || (last.contains(':') && text.contains('/')) {
            return Err(GlobError::Tagged(text.to_owned()));
        }
        let of_all = |host, path: &str| -> Result<ImageGlob, GlobError> {
            Ok(ImageGlob { text: text.to_owned(), host, path: parts(path, text)? })
        };
        if text == "**" {
            return of_all(Host::Any, text);
        }
        let Some((first, rest)) = text.split_once('/') else {
            let name = text.trim_end_matches('*');
            if name.contains(['.', ':']) || name == "localhost" {
                return Err(match text.split_once(':') {
                    Some((before, _)) if !before.contains('.') && before != "localhost" => {
                        GlobError::Tagged(text.to_owned())
                    }
                    _ => GlobError::NoSlash(name.trim_end_matches('.').to_owned()),
                });
            }
            return of_all(Host::Is("docker.io".to_owned()), &format!("library/{text}"));
        };
        if let Some(host) = host(first)? {
            let is_default = host == Host::Is("docker.io".to_owned());
            return if rest.contains('/') || rest == "**" || !is_default {
                of_all(host, rest)
            } else {
                of_all(host, &format!("library/{rest}"))
            };
        }
        of_all(Host::Is("docker.io".to_owned()), text)
    }

    /// Whether it matches the image, whatever its tag or digest.
    pub fn matches(&self, image: &Reference) -> bool {
        let host = match &self.host {
            Host::Any => true,
            Host::Is(host) => image.registry() == host,
            Host::Under(domain) => {
                image.registry().strip_suffix(domain.as_str()).is_some_and(|left| !left.is_empty())
            }
        };
        let path: Vec<&str> = image.repository().split('/').collect();
        host && path_matches(&self.path, &path)
    }
}

impl fmt::Display for ImageGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The host that the first part is, if it is one.
fn host(first: &str) -> Result<Option<Host>, GlobError> {
    if first == "*" || first == "**" {
        return Ok(Some(Host::Any));
    }
    if let Some(domain) = first.strip_prefix("*.") {
        if domain.contains('*') {
            return Err(GlobError::Host(first.to_owned()));
        }
        return Ok(Some(Host::Under(format!(".{}", normal(domain)?))));
    }
    match split(&format!("{first}/")).0 {
        Some(_) if first.contains('*') => Err(GlobError::Host(first.to_owned())),
        Some(_) => Ok(Some(Host::Is(normal(first)?))),
        None => Ok(None),
    }
}

fn parts(path: &str, text: &str) -> Result<Vec<Part>, GlobError> {
    path.split('/')
        .map(|part| match part {
            "**" => Ok(Part::Rest),
            _ if part.contains("**") => Err(GlobError::Stars(text.to_owned())),
            _ if part.is_empty() || !part.bytes().all(is_letter) => {
                Err(GlobError::Letters(text.to_owned()))
            }
            _ => Ok(Part::One(part.split('*').map(str::to_owned).collect())),
        })
        .collect()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-*".contains(&byte)
}

/// Whether a path matches: what is left of the glob, against what is left of the path. Marks which suffixes of the path
/// can be reached, so that it takes time for both lengths once.
fn path_matches(glob: &[Part], path: &[&str]) -> bool {
    let mut reached: Vec<bool> = (0..=path.len()).map(|at| at == 0).collect();
    for (place, part) in glob.iter().enumerate() {
        let is_last = place + 1 == glob.len();
        let mut next = vec![false; path.len() + 1];
        match part {
            Part::Rest => {
                let from = reached.iter().position(|reached| *reached).unwrap_or(path.len() + 1);
                let from = from + usize::from(is_last);
                next.iter_mut().skip(from).for_each(|reached| *reached = true);
            }
            Part::One(pieces) => {
                for ((text, was), to) in path.iter().zip(&reached).zip(next.iter_mut().skip(1)) {
                    *to = *was && part_matches(pieces, text);
                }
            }
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

/// Whether one part matches: its beginning, its end, and the pieces between, each as early as it can be.
fn part_matches(pieces: &[String], text: &str) -> bool {
    let [first, between @ .., last] = pieces else {
        return pieces.first().is_some_and(|whole| whole == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
    for piece in between {
        let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
        rest = after;
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_what_they_say() {
        let check = |glob: &str, image: &str, expect: bool| {
            let parsed = ImageGlob::parse(glob).unwrap();
            let image = Reference::parse(image).unwrap();
            assert_eq!(parsed.matches(&image), expect, "{glob} of {image}");
        };
        check("**", "ghcr.io/a/b/c:1", true);
        check("**", "nginx", true);
        check("*/**", "ghcr.io/a/b", true);
        check("*/*", "ghcr.io/a", true);
        check("*/*", "ghcr.io/a/b", false);
        check("nginx", "docker.io/library/nginx:1", true);
        check("nginx", "evil.example/library/nginx", false);
        check("nginx*", "nginx-debug", true);
        check("team/*", "docker.io/team/app", true);
        check("team/*", "team.example/app", false);
        check("docker.io/nginx", "nginx", true);
        check("docker.io/**", "nginx", true);
        check("docker.io/*", "nginx", true);
        check("docker.io/*", "team/app", false);
        check(
            "ghcr.io/team/*",
            "ghcr.io/team/app@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            true,
        );
        check("ghcr.io/team/*", "ghcr.io/team/a/b", false);
        check("ghcr.io/team/**", "ghcr.io/team/a/b", true);
        check("ghcr.io/team/**", "ghcr.io/team", false);
        check("ghcr.io/team/**", "ghcr.io/teams/a", false);
        check("ghcr.io/team", "ghcr.io/team", true);
        check("ghcr.io/team", "ghcr.io/team/a", false);
        // No other host.
        check("ghcr.io/**", "ghcr.io.evil.example/a", false);
        check("ghcr.io/**", "evil.example/ghcr.io/a", false);
        check("ghcr.io/**", "ghcr.io:5000/a", false);
        check("ghcr.io/**", "GHCR.io:443/a", true);
        check("GHCR.io:443/**", "ghcr.io/a", true);
        check("*.example.com/**", "a.example.com/b", true);
        check("*.example.com/**", "a.b.example.com/b", true);
        check("*.example.com/**", "example.com/b", false);
        check("*.example.com/**", "evilexample.com/b", false);
        check("*.example.com/**", "a.example.com:5000/b", false);
        check("*.example.com:5000/**", "a.example.com:5000/b", true);
        check("localhost:5000/**", "localhost:5000/a", true);
        // Stars inside.
        check("a.b/x/**/y", "a.b/x/y", true);
        check("a.b/x/**/y", "a.b/x/1/2/y", true);
        check("a.b/x/**/y", "a.b/x/1/2/z", false);
        check("a.b/**/**", "a.b/x", true);
        check("a.b/a*b*c", "a.b/aabbcc", true);
        check("a.b/a*b*c", "a.b/ac", false);
        check("a.b/a*a", "a.b/a", false);
        check("a.b/*-x", "a.b/y-x", true);
        check("a.b/*-x", "a.b/y-x/z", false);
    }

    #[test]
    fn what_would_not_mean_what_it_looks_like_is_refused() {
        let check = |glob: &str, expect: &str| {
            let error = ImageGlob::parse(glob).unwrap_err().to_string();
            assert!(error.contains(expect), "{glob}: {error}");
        };
        check("", "empty");
        check(&"a".repeat(513), "longer than 512");
        check("ghcr.io*", "write `ghcr.io/**`");
        check("ghcr.io", "write `ghcr.io/**`");
        check("ghcr.io.*", "write `ghcr.io/**`");
        check("localhost", "write `localhost/**`");
        check("localhost:5000", "write `localhost:5000/**`");
        check("ghcr.io*/team/a", "`ghcr.io*` is no host");
        check("*ghcr.io/a", "is no host");
        check("gh*.io/a", "is no host");
        check("*.*.io/a", "is no host");
        check("ghcr.io:*/a", "is no host");
        check("nginx:1", "has a tag or digest");
        check("ghcr.io/a:*", "has a tag or digest");
        check("ghcr.io/a@sha256:*", "has a tag or digest");
        check("ghcr.io/a**", "stands for whole parts");
        check("ghcr.io/***", "stands for whole parts");
        check("ghcr.io/Team/*", "can match no image");
        check("ghcr.io/", "can match no image");
        check("ghcr.io//a", "can match no image");
        check("ghcr.io/a?", "can match no image");
        check("ghcr..io/a", "is no registry");
    }
}
