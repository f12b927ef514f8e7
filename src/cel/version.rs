//! Which Kubernetes release's dialect of the language is spoken.

use std::fmt;
use std::str::FromStr;

/// A Kubernetes minor version. Functions appear with the release that introduced them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// `1` of `1.37`.
    pub major: u8,
    /// `37` of `1.37`.
    pub minor: u8,
}

impl Version {
    /// The first release whose policies had CEL; everything older is taken for it.
    pub const BASE: Version = Version::v1(22);
    /// The newest dialect this engine knows, and the default.
    pub const LATEST: Version = Version::v1(37);

    /// `1.minor`.
    pub const fn v1(minor: u8) -> Version {
        Version { major: 1, minor }
    }
}

impl Default for Version {
    fn default() -> Version {
        Version::LATEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        let parts = text.trim_start_matches('v').split_once('.');
        parts
            .and_then(|(major, minor)| {
                Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
            })
            .ok_or_else(|| format!("`{text}` is not a Kubernetes version such as `1.37`"))
    }
}
