//! URLs, read as Go's `net/url` reads them and refused in its words. Nothing here opens them.

use std::fmt::{self, Write};

use crate::cel::net;
use crate::cel::quote::Quoted;
use crate::cel::value::{Arena, Exhausted};

/// How many parameters a query may have before Go reads none of them.
const QUERY_PARAMETERS_MAX: usize = 10_000;

/// An absolute URL, or an absolute path.
#[derive(Clone, Copy, Debug)]
pub struct Url<'a> {
    pub(crate) scheme: &'a str,
    /// What follows the scheme where that is no path.
    opaque: &'a str,
    /// Escaped, with the password.
    user: Option<&'a str>,
    pub(crate) host: &'a str,
    host_escaped: &'a str,
    pub(crate) escaped_path: &'a str,
    pub(crate) query: &'a str,
    /// Whether there is a question mark with nothing after it.
    force_query: bool,
    /// Whether a scheme is followed by a path without an authority.
    omit_host: bool,
    escaped_fragment: &'a str,
}

/// Why a text is no URL.
#[derive(Debug)]
pub(crate) enum UrlError {
    /// In Go's words.
    Syntax(String),
    Full,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::Syntax(what) => f.write_str(what),
            UrlError::Full => f.write_str("operation cancelled: memory limit exceeded"),
        }
    }
}

impl From<Exhausted> for UrlError {
    fn from(_: Exhausted) -> UrlError {
        UrlError::Full
    }
}

fn syntax<T>(what: impl fmt::Display) -> Result<T, UrlError> {
    Err(UrlError::Syntax(what.to_string()))
}

/// A part of a URL; each has its own characters that are escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    Zone,
    Path,
    Query,
    Fragment,
}

fn is_escaped(c: u8, part: Part) -> bool {
    if c.is_ascii_alphanumeric() || b"-_.~".contains(&c) {
        return false;
    }
    match part {
        Part::Host | Part::Zone => !b"!$&'()*+,;=:[]<>\"".contains(&c),
        Part::Path => !b"$&+,/:;=@".contains(&c),
        Part::User => !b"$&+,;=".contains(&c),
        Part::Query => true,
        Part::Fragment => !b"$&+,/:;=?@!()*".contains(&c),
    }
}

fn hex(c: Option<&u8>) -> Option<u8> {
    char::from(*c?).to_digit(16).map(|digit| digit as u8)
}

fn invalid_escape<T>(octets: &[u8]) -> Result<T, UrlError> {
    let shown = octets.get(..3).unwrap_or(octets);
    syntax(format_args!("invalid URL escape {}", Quoted(shown)))
}

/// Resolves escapes.
fn unescape(text: &str, part: Part) -> Result<Vec<u8>, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match first {
            b'%' => {
                let (Some(high), Some(low)) = (hex(after.first()), hex(after.get(1))) else {
                    return invalid_escape(rest);
                };
                let octet = high << 4 | low;
                let refused = match part {
                    _ if rest.starts_with(b"%25") => false,
                    Part::Host => high < 8,
                    Part::Zone => octet != b' ' && is_escaped(octet, Part::Host),
                    _ => false,
                };
                if refused {
                    return invalid_escape(rest);
                }
                out.push(octet);
                rest = after.get(2..).unwrap_or(&[]);
                continue;
            }
            b'+' if part == Part::Query => out.push(b' '),
            c if matches!(part, Part::Host | Part::Zone)
                && c.is_ascii()
                && is_escaped(*c, part) =>
            {
                let shown = char::from(*c).to_string();
                return syntax(format_args!("invalid character {} in host name", Quoted(&shown)));
            }
            c => out.push(*c),
        }
        rest = after;
    }
    Ok(out)
}

fn escape(octets: &[u8], part: Part) -> String {
    let mut out = String::with_capacity(octets.len());
    for c in octets {
        if is_escaped(*c, part) {
            let _ = write!(out, "%{c:02X}");
        } else {
            out.push(char::from(*c));
        }
    }
    out
}

/// Octets as text; each that is not UTF-8 becomes a replacement character.
fn lossy(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    out
}

/// Reads an absolute URI or an absolute path; what Go's `ParseRequestURI` refuses is an error.
pub(crate) fn check(text: &str) -> Result<(), UrlError> {
    Pieces::of(text, true).map(|_| ()).map_err(|error| in_text(text, error))
}

fn in_text(text: &str, error: UrlError) -> UrlError {
    match error {
        UrlError::Syntax(what) => UrlError::Syntax(format!("parse {}: {what}", Quoted(text))),
        UrlError::Full => UrlError::Full,
    }
}

/// A URL taken apart, escapes resolved where they have to be valid.
#[derive(Default)]
struct Pieces<'t> {
    scheme: String,
    opaque: &'t str,
    user: Option<String>,
    host: Vec<u8>,
    path: &'t str,
    query: &'t str,
    force_query: bool,
    omit_host: bool,
}

impl<'t> Pieces<'t> {
    fn of(text: &'t str, request: bool) -> Result<Pieces<'t>, UrlError> {
        if text.bytes().any(|c| c < b' ' || c == 0x7f) {
            return syntax("net/url: invalid control character in URL");
        }
        if text.is_empty() && request {
            return syntax("empty url");
        }
        if text == "*" {
            return Ok(Pieces { path: "*", ..Pieces::default() });
        }
        let (scheme, rest) = split_scheme(text)?;
        let mut pieces = Pieces { scheme: scheme.to_ascii_lowercase(), ..Pieces::default() };
        let (mut rest, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
        pieces.force_query = query == Some("");
        pieces.query = query.unwrap_or("");
        let has_scheme = !scheme.is_empty();
        if !rest.starts_with('/') {
            if has_scheme {
                pieces.opaque = rest;
                return Ok(pieces);
            }
            if request {
                return syntax("invalid URI for request");
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return syntax("first path segment in URL cannot contain colon");
            }
        }
        let may_have_host = has_scheme || (!request && !rest.starts_with("///"));
        if may_have_host && let Some(after) = rest.strip_prefix("//") {
            let end = after.find('/').unwrap_or(after.len());
            let (authority, path) = after.split_at(end);
            rest = path;
            pieces.read_authority(authority)?;
        } else if has_scheme && rest.starts_with('/') {
            pieces.omit_host = true;
        }
        unescape(rest, Part::Path)?;
        pieces.path = rest;
        Ok(pieces)
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), UrlError> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        self.host = read_host(host, &self.scheme)?;
        let Some(user) = user else { return Ok(()) };
        let valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
        if !user.chars().all(valid) {
            return syntax("net/url: invalid userinfo");
        }
        let again = |text| unescape(text, Part::User).map(|octets| escape(&octets, Part::User));
        self.user = Some(match user.split_once(':') {
            None => again(user)?,
            Some((name, password)) => format!("{}:{}", again(name)?, again(password)?),
        });
        Ok(())
    }

    /// The path as it is written: as it was, if that is a valid way to write it.
    fn escaped_path(&self) -> Result<String, UrlError> {
        if self.path == "*" {
            return Ok("*".to_owned());
        }
        written(self.path, Part::Path)
    }
}

/// A part as it was written, if that is valid, and otherwise escaped anew.
fn written(text: &str, part: Part) -> Result<String, UrlError> {
    let octets = unescape(text, part)?;
    let valid = |c: &u8| b"!$&'()*+,;=:@[]%".contains(c) || !is_escaped(*c, part);
    if text.as_bytes().iter().all(valid) {
        return Ok(text.to_owned());
    }
    Ok(escape(&octets, part))
}

fn split_scheme(text: &str) -> Result<(&str, &str), UrlError> {
    for (at, c) in text.bytes().enumerate() {
        match c {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return syntax("missing protocol scheme"),
            b':' => {
                return Ok((text.get(..at).unwrap_or(""), text.get(at + 1..).unwrap_or("")));
            }
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|c| c.is_ascii_digit()))
}

fn read_host(host: &str, scheme: &str) -> Result<Vec<u8>, UrlError> {
    match host.rfind('[') {
        Some(0) => return read_literal(host),
        Some(_) => return syntax("invalid IP-literal"),
        None => {}
    }
    let colon = match scheme {
        "http" | "https" => host.find(':'),
        _ => host.rfind(':'),
    };
    let port = colon.and_then(|at| host.get(at..)).unwrap_or("");
    if !is_port(port) {
        return syntax(format_args!("invalid port {} after host", Quoted(port)));
    }
    unescape(host, Part::Host)
}

/// `[address]:port`
fn read_literal(host: &str) -> Result<Vec<u8>, UrlError> {
    let Some((inner, port)) = host.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) else {
        return syntax("missing ']' in host");
    };
    if !is_port(port) {
        return syntax(format_args!("invalid port {} after host", Quoted(port)));
    }
    let name = match inner.find("%25") {
        Some(zone) => {
            let (address, zone) = inner.split_at(zone);
            let mut name = unescape(address, Part::Host)?;
            name.extend(unescape(zone, Part::Zone)?);
            name
        }
        None => unescape(inner, Part::Host)?,
    };
    match net::parse_address(&lossy(&name)) {
        Ok((address, _)) if address.is_ipv4() => return syntax("invalid IP-literal"),
        Ok(_) => {}
        Err(error) => return syntax(format_args!("invalid host: {error}")),
    }
    Ok([b"[", name.as_slice(), b"]", port.as_bytes()].concat())
}

impl<'a> Url<'a> {
    /// Reads an absolute URI or an absolute path, with its fragment.
    pub(crate) fn parse(text: &'a str, arena: &'a Arena) -> Result<Url<'a>, UrlError> {
        check(text)?;
        let (start, fragment) = text.split_once('#').unwrap_or((text, ""));
        let pieces = Pieces::of(start, false).map_err(|error| in_text(start, error))?;
        let fragment = written(fragment, Part::Fragment).map_err(|error| in_text(text, error))?;
        let path = pieces.escaped_path()?;
        Ok(Url {
            scheme: arena.text(&pieces.scheme)?,
            opaque: pieces.opaque,
            user: pieces.user.as_deref().map(|user| arena.text(user)).transpose()?,
            host: arena.text(&lossy(&pieces.host))?,
            host_escaped: arena.text(&escape(&pieces.host, Part::Host))?,
            escaped_path: if path == pieces.path { pieces.path } else { arena.text(&path)? },
            query: pieces.query,
            force_query: pieces.force_query,
            omit_host: pieces.omit_host,
            escaped_fragment: arena.text(&fragment)?,
        })
    }

    /// The host without brackets, and the port.
    pub(crate) fn host_and_port(&self) -> (&'a str, &'a str) {
        let colon = self.host.rfind(':').filter(|at| self.host.get(*at..).is_some_and(is_port));
        let (host, port) = match colon {
            Some(at) => self.host.split_at(at),
            None => (self.host, ""),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        (bare.unwrap_or(host), port.strip_prefix(':').unwrap_or(port))
    }

    /// The parameters of the query, escapes resolved, in their order; those that are not valid are
    /// left out.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        if self.query.matches('&').count() >= QUERY_PARAMETERS_MAX {
            return Vec::new();
        }
        let valid = |pair: &&str| !pair.is_empty() && !pair.contains(';');
        let read = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = |text| unescape(text, Part::Query).ok().map(|octets| lossy(&octets));
            Some((read(key)?, read(value)?))
        };
        self.query.split('&').filter(valid).filter_map(read).collect()
    }
}

/// The URL put together again.
impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_scheme = !self.scheme.is_empty();
        if has_scheme {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let has_authority = !self.host.is_empty() || self.user.is_some();
            let omitted = self.omit_host && !has_authority;
            if (has_scheme || has_authority) && !omitted {
                if has_authority || !self.escaped_path.is_empty() {
                    f.write_str("//")?;
                }
                if let Some(user) = self.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(self.host_escaped)?;
            }
            f.write_str(self.escaped_path)?;
        } else {
            f.write_str(self.opaque)?;
        }
        if self.force_query || !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if !self.escaped_fragment.is_empty() {
            write!(f, "#{}", self.escaped_fragment)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_go_reads_them() {
        let arena = Arena::new();
        for (text, expect) in [
            (
                "https://user:pass@example.com:80/a b?q=1#f",
                "https://user:pass@example.com:80/a%20b?q=1#f",
            ),
            ("/path", "/path"),
            ("mailto:a@b", "mailto:a@b"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("../relative", "parse \"../relative\": invalid URI for request"),
            ("http://a%zz/", "parse \"http://a%zz/\": invalid URL escape \"%zz\""),
            ("https://a:b/", "parse \"https://a:b/\": invalid port \":b\" after host"),
            ("", "parse \"\": empty url"),
        ] {
            let seen = match Url::parse(text, &arena) {
                Ok(url) => url.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(seen, expect);
        }
    }
}
