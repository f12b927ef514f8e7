//! What a registry asks for when it answers 401 (RFC 9110, 11.6; the distribution specification's token flow). Text only.

/// How a client is to show who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::images::registry) enum Challenge {
    /// With user and password.
    Basic,
    /// With a token, which is to be had there.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header.
    pub fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service) = (None, None);
        let mut rest = rest.trim_start();
        while let Some((name, after)) = rest.split_once('=') {
            let (value, left) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    (after.get(..end)?, after.get(end..)?)
                }
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                _ => {}
            }
            rest = left.trim_start().trim_start_matches(',').trim_start();
        }
        Some(Challenge::Bearer { realm: realm?, service })
    }
}

/// A text as a part of a query.
pub(in crate::images::registry) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        let check = |header: &str, expect: Option<Challenge>| {
            assert_eq!(Challenge::parse(header), expect, "{header}");
        };
        check("Basic realm=\"x\"", Some(Challenge::Basic));
        check("basic", Some(Challenge::Basic));
        check(
            "Bearer realm=\"https://a.b/token\",service=\"a.b\",scope=\"repository:c:pull\"",
            bearer("https://a.b/token", Some("a.b")),
        );
        check(
            "bearer  realm=\"https://a.b/t?x=1,2\" , scope=\"a,b\"",
            bearer("https://a.b/t?x=1,2", None),
        );
        check("Bearer service=s,realm=r", bearer("r", Some("s")));
        check("Bearer service=s", None);
        check("Bearer realm=\"open", None);
        check("Bearer", None);
        check("Negotiate abc", None);
        check("", None);
        assert_eq!(encoded("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
