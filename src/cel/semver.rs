//! Semantic versions, read strictly or made regular first. Nothing here knows of values.

use std::cmp::Ordering;
use std::fmt;

use crate::cel::quote::Quoted;
use crate::cel::value::Arena;

/// A semantic version.
#[derive(Clone, Copy, Debug)]
pub struct Semver<'a> {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) patch: u64,
    /// What follows the hyphen, and what follows the plus sign.
    prerelease: Option<&'a str>,
    build: Option<&'a str>,
}

/// Why a text is no version, in the words of the library that Kubernetes uses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SemverError<'t> {
    What(&'static str),
    Part(&'static str, &'t str),
    Range(&'t str),
    Full,
}

impl fmt::Display for SemverError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SemverError::What(what) => f.write_str(what),
            SemverError::Part(what, part) => write!(f, "{what} {}", Quoted(part)),
            SemverError::Range(part) => {
                write!(f, "strconv.ParseUint: parsing {}: value out of range", Quoted(part))
            }
            SemverError::Full => f.write_str("operation cancelled: memory limit exceeded"),
        }
    }
}

impl<'a> Semver<'a> {
    /// Reads `major.minor.patch[-prerelease][+build]`.
    pub(crate) fn parse(text: &'a str) -> Result<Semver<'a>, SemverError<'a>> {
        if text.is_empty() {
            return Err(SemverError::What("Version string empty"));
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(SemverError::What("No Major.Minor.Patch elements found"));
        };
        let major = number(
            major,
            "Invalid character(s) found in major number",
            "Major number must not contain leading zeroes",
        )?;
        let minor = number(
            minor,
            "Invalid character(s) found in minor number",
            "Minor number must not contain leading zeroes",
        )?;
        let (rest, build) = cut(rest, '+');
        let (patch, prerelease) = cut(rest, '-');
        let patch = number(
            patch,
            "Invalid character(s) found in patch number",
            "Patch number must not contain leading zeroes",
        )?;
        for part in prerelease.iter().flat_map(|prerelease| prerelease.split('.')) {
            check_prerelease(part)?;
        }
        for part in build.iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err(SemverError::What("Build meta data is empty"));
            }
            if !is_alphanumeric(part) {
                let what = "Invalid character(s) found in build meta data";
                return Err(SemverError::Part(what, part));
            }
        }
        Ok(Semver { major, minor, patch, prerelease, build })
    }

    /// Reads a version that may begin with `v`, lack parts, and have leading zeros.
    pub(crate) fn parse_normalized(
        text: &'a str,
        arena: &'a Arena,
    ) -> Result<Semver<'a>, SemverError<'a>> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(without_leading_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err(SemverError::What(
                    "short version cannot contain PreRelease/Build meta data",
                ));
            }
            parts.resize(3, "0".to_owned());
        }
        let text = arena.text(&parts.join(".")).map_err(|_| SemverError::Full)?;
        Semver::parse(text)
    }

    /// Which comes first; build metadata does not count.
    pub(crate) fn compare(&self, other: &Semver<'_>) -> Ordering {
        let numbers = |v: &Semver<'_>| (v.major, v.minor, v.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.prerelease, other.prerelease) {
            (Some(one), Some(two)) => compare_prereleases(one, two),
            (one, two) => one.is_none().cmp(&two.is_none()),
        })
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_numeric(part: &str) -> bool {
    part.bytes().all(|c| c.is_ascii_digit())
}

fn is_alphanumeric(part: &str) -> bool {
    part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

fn number<'t>(
    part: &'t str,
    not_numeric: &'static str,
    leading_zero: &'static str,
) -> Result<u64, SemverError<'t>> {
    if !is_numeric(part) {
        return Err(SemverError::Part(not_numeric, part));
    }
    if part.len() > 1 && part.starts_with('0') {
        return Err(SemverError::Part(leading_zero, part));
    }
    if part.is_empty() {
        return Err(SemverError::What("strconv.ParseUint: parsing \"\": invalid syntax"));
    }
    part.parse().map_err(|_| SemverError::Range(part))
}

fn check_prerelease(part: &str) -> Result<(), SemverError<'_>> {
    if part.is_empty() {
        return Err(SemverError::What("Prerelease is empty"));
    }
    if is_numeric(part) {
        return number(part, "", "Numeric PreRelease version must not contain leading zeroes")
            .map(|_| ());
    }
    if !is_alphanumeric(part) {
        return Err(SemverError::Part("Invalid character(s) found in prerelease", part));
    }
    Ok(())
}

/// Part by part: numbers by value and before words; of equal beginnings the shorter comes first.
fn compare_prereleases(one: &str, two: &str) -> Ordering {
    let rank = |part: &str| (!is_numeric(part), part.parse::<u64>().unwrap_or(0));
    let (mut one, mut two) = (one.split('.'), two.split('.'));
    loop {
        let (one, two) = match (one.next(), two.next()) {
            (Some(one), Some(two)) => (one, two),
            (one, two) => return one.is_some().cmp(&two.is_some()),
        };
        let order = rank(one)
            .cmp(&rank(two))
            .then_with(|| if is_numeric(one) { Ordering::Equal } else { one.cmp(two) });
        if order.is_ne() {
            return order;
        }
    }
}

fn without_leading_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        rest.to_owned()
    } else {
        format!("0{rest}")
    }
}

impl fmt::Display for Semver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if let Some(prerelease) = self.prerelease {
            write!(f, "-{prerelease}")?;
        }
        if let Some(build) = self.build {
            write!(f, "+{build}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_order() {
        let order = [
            "0.0.1",
            "1.0.0-1",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0",
            "1.0.1",
            "1.10.0",
        ];
        for pair in order.windows(2) {
            let [one, two] = pair else { continue };
            let (one, two) = (Semver::parse(one).unwrap(), Semver::parse(two).unwrap());
            assert_eq!(one.compare(&two), Ordering::Less, "{one} {two}");
        }
    }

    #[test]
    fn normal_forms() {
        let arena = Arena::new();
        for (text, expect) in [
            ("v1", "1.0.0"),
            ("01.002.0003-rc", "1.2.3-rc"),
            ("v00.1", "0.1.0"),
            ("1-rc", "short version cannot contain PreRelease/Build meta data"),
            ("1.x.0", "Invalid character(s) found in minor number \"x\""),
        ] {
            let seen = match Semver::parse_normalized(text, &arena) {
                Ok(version) => version.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(seen, expect, "{text}");
        }
    }
}
