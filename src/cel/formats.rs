//! The named formats: which texts have each, and what is wrong with those that have not, in Kubernetes'
//! words. Nothing here knows of values.

use std::fmt::Write;

use crate::cel::time::Timestamp;
use crate::cel::url;

/// A format that a text may have.
pub struct NamedFormat {
    /// What `format.named` and `format.NAME()` call it.
    pub key: &'static str,
    /// What Kubernetes calls it.
    pub name: &'static str,
    /// The length of the pattern that stands for it in the cost.
    pub(crate) pattern_size: u64,
    /// Everything that is wrong with a text.
    pub(crate) validate: fn(&str) -> Vec<String>,
}

impl std::fmt::Debug for NamedFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NamedFormat({})", self.key)
    }
}

const fn format(
    key: &'static str,
    name: &'static str,
    pattern_size: u64,
    validate: fn(&str) -> Vec<String>,
) -> NamedFormat {
    NamedFormat { key, name, pattern_size, validate }
}

/// Every format.
pub(crate) static FORMATS: [NamedFormat; 13] = [
    format("dns1123Label", "DNS1123Label", 30, dns1123_label),
    format("dns1123Subdomain", "DNS1123Subdomain", 60, dns1123_subdomain),
    format("dns1035Label", "DNS1035Label", 30, dns1035_label),
    format("qualifiedName", "QualifiedName", 60, qualified_name),
    format("dns1123LabelPrefix", "DNS1123LabelPrefix", 30, |text| dns1123_label(&unended(text))),
    format("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, |text| {
        dns1123_subdomain(&unended(text))
    }),
    format("dns1035LabelPrefix", "DNS1035LabelPrefix", 30, |text| dns1035_label(&unended(text))),
    format("labelValue", "LabelValue", 40, label_value),
    format("uri", "URI", 1103, |text| {
        url::check(text).err().map(|e| e.to_string()).into_iter().collect()
    }),
    format("uuid", "uuid", 70, |text| unless(is_uuid(text), "does not match the UUID format")),
    format("byte", "byte", 84, |text| unless(is_base64(text), "invalid base64")),
    format("date", "date", 71, |text| unless(is_date(text), "invalid date")),
    format("datetime", "datetime", 71, |text| unless(is_datetime(text), "invalid datetime")),
];

/// The format of this key.
pub(crate) fn named(key: &str) -> Option<&'static NamedFormat> {
    FORMATS.iter().find(|format| format.key == key)
}

fn unless(valid: bool, what: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![what.to_owned()] }
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

fn is_lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// Whether a text is not empty, has only such characters, and such ones at its ends.
fn is_made_of(text: &str, inner: fn(u8) -> bool, end: fn(u8) -> bool) -> bool {
    let octets = text.as_bytes();
    octets.first().is_some_and(|c| end(*c))
        && octets.last().is_some_and(|c| end(*c))
        && octets.iter().all(|c| inner(*c))
}

fn is_label(text: &str) -> bool {
    is_made_of(text, |c| is_lower(c) || c == b'-', is_lower)
}

fn is_key(text: &str) -> bool {
    is_made_of(
        text,
        |c| c.is_ascii_alphanumeric() || b"-_.".contains(&c),
        |c| c.is_ascii_alphanumeric(),
    )
}

/// What a text has to be, with examples and the pattern.
fn described(what: &str, examples: &[&str], pattern: &str) -> String {
    let mut text = format!("{what} (e.g. ");
    for (index, example) in examples.iter().enumerate() {
        let or = if index > 0 { " or " } else { "" };
        let _ = write!(text, "{or}'{example}', ");
    }
    let _ = write!(text, "regex used for validation is '{pattern}')");
    text
}

fn too_long(text: &str, max: usize, units: &str) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} {units}"))
}

fn dns1123_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::from_iter(too_long(text, 63, "characters"));
    if !is_label(text) {
        wrong.push(if text.split('.').all(is_label) {
            "must not contain dots".to_owned()
        } else {
            let what = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                        characters or '-', and must start and end with an alphanumeric character";
            described(what, &["my-name", "123-abc"], LABEL)
        });
    }
    wrong
}

fn dns1123_subdomain(text: &str) -> Vec<String> {
    subdomain(text, "characters")
}

fn subdomain(text: &str, units: &str) -> Vec<String> {
    let mut wrong = Vec::from_iter(too_long(text, 253, units));
    if !text.split('.').all(is_label) {
        let what = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                    characters, '-' or '.', and must start and end with an alphanumeric character";
        wrong.push(described(what, &["example.com"], SUBDOMAIN));
    }
    wrong
}

fn dns1035_label(text: &str) -> Vec<String> {
    let mut wrong = Vec::from_iter(too_long(text, 63, "characters"));
    if !(is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        let what = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', \
                    start with an alphabetic character, and end with an alphanumeric character";
        wrong.push(described(what, &["my-name", "abc-123"], LABEL_1035));
    }
    wrong
}

/// Whether a service account or a namespace may be called so: a subdomain, a label.
pub(crate) fn is_account(namespace: &str, name: &str) -> (bool, bool) {
    (dns1123_label(namespace).is_empty(), dns1123_subdomain(name).is_empty())
}

fn qualified_name(text: &str) -> Vec<String> {
    let what = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                with an alphanumeric character";
    let shape = || described(what, &["MyName", "my.name", "123-abc"], KEY);
    let mut wrong = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, rest)) if rest.contains('/') => {
            let optional =
                " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {}{optional}", shape())];
        }
        Some(("", name)) => {
            wrong.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            wrong.extend(subdomain(prefix, "bytes").iter().map(|w| format!("prefix part {w}")));
            name
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    }
    wrong.extend(too_long(name, 63, "bytes").map(|w| format!("name part {w}")));
    if !is_key(name) {
        wrong.push(format!("name part {}", shape()));
    }
    wrong
}

fn label_value(text: &str) -> Vec<String> {
    let mut wrong = Vec::from_iter(too_long(text, 63, "bytes"));
    if !text.is_empty() && !is_key(text) {
        let what = "a valid label must be an empty string or consist of alphanumeric characters, \
                    '-', '_' or '.', and must start and end with an alphanumeric character";
        let examples = ["MyValue", "my_value", "12345"];
        wrong.push(described(what, &examples, &format!("({KEY})?")));
    }
    wrong
}

/// The beginning of a name: a hyphen at its end makes way for what follows, as Kubernetes does it.
fn unended(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut kept = rest.to_owned();
            // Of a character of several octets Kubernetes keeps all but one: it is wrong either way.
            let whole = kept.pop().is_some_and(|last| last.is_ascii());
            kept.push(if whole { 'a' } else { char::REPLACEMENT_CHARACTER });
            kept
        }
        _ => text.to_owned(),
    }
}

fn is_uuid(text: &str) -> bool {
    let mut rest = text;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((part, after)) = rest.split_at_checked(length) else { return false };
        if !part.bytes().all(|c| c.is_ascii_hexdigit()) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    !text.is_empty()
        && text.len().is_multiple_of(4)
        && padding <= 2
        && digits.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/')
}

fn is_date(text: &str) -> bool {
    if text.len() != 10 {
        return false;
    }
    // Go knows a year 0; timestamps begin with 1, and year 4 has as many days.
    let text = text.strip_prefix("0000-").map_or(text.to_owned(), |rest| format!("0004-{rest}"));
    Timestamp::parse(&format!("{text}T00:00:00Z")).is_some()
}

fn is_datetime(text: &str) -> bool {
    let text = text.to_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    is_date(date) && is_clock(time).is_some()
}

/// `hh:mm:ss`, a fraction, and a zone. Kubernetes takes any character before a fraction.
fn is_clock(text: &str) -> Option<()> {
    let (clock, rest) = text.split_at_checked(8)?;
    let mut parts = clock.split(':');
    for greatest in ["23", "59", "59"] {
        let part = parts.next().filter(|part| is_digits(part, 2))?;
        (part <= greatest).then_some(())?;
    }
    parts.next().is_none().then_some(())?;
    let is_zone = |zone: &str| {
        let offset = zone.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':'));
        zone == "z" || offset.is_some_and(|(h, m)| is_digits(h, 2) && is_digits(m, 2))
    };
    if is_zone(rest) {
        return Some(());
    }
    let mut after = rest.chars();
    after.next().filter(|point| *point != '\n')?;
    let after = after.as_str();
    let zone = after.trim_start_matches(|c: char| c.is_ascii_digit());
    (zone.len() < after.len() && is_zone(zone)).then_some(())
}

fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_formats_or_not() {
        for (key, text, valid) in [
            ("dns1123Label", "my-name", true),
            ("dns1123Label", "my.name", false),
            ("dns1123LabelPrefix", "my-name-", true),
            ("dns1123Subdomain", "a.b-c.d", true),
            ("dns1035Label", "1a", false),
            ("qualifiedName", "example.com/My_Name", true),
            ("qualifiedName", "a/b/c", false),
            ("labelValue", "", true),
            ("uuid", "123e4567e89b12d3a456426614174000", true),
            ("byte", "YWJj", true),
            ("byte", "YWJ", false),
            ("date", "2024-02-29", true),
            ("date", "2023-02-29", false),
            ("datetime", "2024-02-29T23:59:59.5Z", true),
            ("datetime", "2024-02-29T24:00:00Z", false),
            ("uri", "https://example.com", true),
        ] {
            let wrong = named(key).map(|format| (format.validate)(text));
            assert_eq!(wrong.map(|wrong| wrong.is_empty()), Some(valid), "{key} {text}");
        }
    }
}
