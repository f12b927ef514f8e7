//! What names, labels and keys must look like, and what the API server says of those that don't.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validate/content` and `pkg/util/validation`.

use crate::cel::is_reserved;

/// The longest label of a DNS name, and the longest name or value of a label.
const LABEL_MAX: usize = 63;

/// The longest DNS name.
const SUBDOMAIN_MAX: usize = 253;

const QUALIFIED_FORM: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_FORM: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN_FORM: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035_FORM: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// What is wrong with a DNS name, the form of most names of objects.
pub(in crate::policy) fn subdomain_errors(name: &str) -> Vec<String> {
    subdomain_errors_in(name, "characters")
}

/// The API server has this twice, with another word for the length.
fn subdomain_errors_in(name: &str, unit: &str) -> Vec<String> {
    let mut errors = too_long(name, SUBDOMAIN_MAX, unit);
    if !name.split('.').all(is_dns_label) {
        errors.push(SUBDOMAIN_FORM.to_owned());
    }
    errors
}

/// What is wrong with a label of RFC 1035, the form of versions and kinds.
pub(in crate::policy) fn dns_1035_errors(label: &str) -> Vec<String> {
    let mut errors = too_long(label, LABEL_MAX, "characters");
    if !(is_dns_label(label) && label.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(DNS_1035_FORM.to_owned());
    }
    errors
}

/// What is wrong with a name that may have a DNS name and a slash before it, the form of the keys of labels.
pub(in crate::policy) fn qualified_name_errors(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match text.split('/').collect::<Vec<&str>>()[..] {
        [name] => name,
        ["", name] => {
            errors.push("prefix part must be non-empty".to_owned());
            name
        }
        [prefix, name] => {
            let complaints = subdomain_errors_in(prefix, "bytes").into_iter();
            errors.extend(complaints.map(|error| format!("prefix part {error}")));
            name
        }
        _ => {
            let prefixed =
                "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {QUALIFIED_FORM} {prefixed}")];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    }
    let long = too_long(name, LABEL_MAX, "bytes").into_iter();
    errors.extend(long.map(|error| format!("name part {error}")));
    if !is_qualified(name) {
        errors.push(format!("name part {QUALIFIED_FORM}"));
    }
    errors
}

/// What is wrong with the value of a label.
pub(in crate::policy) fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX, "bytes");
    if !(value.is_empty() || is_qualified(value)) {
        errors.push(VALUE_FORM.to_owned());
    }
    errors
}

/// What is wrong with a name that only has to fit into a path, the form of all names of objects.
pub(in crate::policy) fn path_segment_errors(name: &str) -> Vec<String> {
    if [".", ".."].contains(&name) {
        return vec![format!("may not be '{name}'")];
    }
    let contained = ["/", "%"].into_iter().filter(|part| name.contains(part));
    contained.map(|part| format!("may not contain '{part}'")).collect()
}

/// Whether expressions can name it: the language's identifiers without its own words.
pub(in crate::policy) fn is_cel_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !is_reserved(name)
}

fn too_long(text: &str, max: usize, unit: &str) -> Vec<String> {
    let error = (text.len() > max).then(|| format!("must be no more than {max} {unit}"));
    error.into_iter().collect()
}

fn is_qualified(name: &str) -> bool {
    let ends = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    ends(name.bytes().next())
        && ends(name.bytes().last())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
}

fn is_dns_label(label: &str) -> bool {
    let lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    label.bytes().next().is_some_and(lower)
        && label.bytes().last().is_some_and(lower)
        && label.bytes().all(|c| lower(c) || c == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        type Check = fn(&str) -> Vec<String>;
        let long = "a".repeat(64);
        let rows: &[(Check, &str, &[&str])] = &[
            (subdomain_errors, "a-b.c", &[]),
            (subdomain_errors, "A", &["RFC 1123"]),
            (subdomain_errors, "a..b", &["RFC 1123"]),
            (subdomain_errors, "", &["RFC 1123"]),
            (dns_1035_errors, "v1", &[]),
            (dns_1035_errors, "1v", &["DNS-1035"]),
            (dns_1035_errors, "v.1", &["DNS-1035"]),
            (dns_1035_errors, &long, &["no more than 63 characters"]),
            (qualified_name_errors, "a.example/B_c", &[]),
            (qualified_name_errors, "a/b/c", &["optional DNS subdomain prefix"]),
            (qualified_name_errors, "/a", &["prefix part must be non-empty"]),
            (qualified_name_errors, "A/a", &["prefix part a lowercase"]),
            (qualified_name_errors, "a/", &["name part must be non-empty", "name part must cons"]),
            (qualified_name_errors, &long, &["name part must be no more than 63 bytes"]),
            (label_value_errors, "", &[]),
            (label_value_errors, "-", &["a valid label must be"]),
            (path_segment_errors, "A b", &[]),
            (path_segment_errors, "..", &["may not be '..'"]),
            (path_segment_errors, "a/%", &["may not contain '/'", "may not contain '%'"]),
        ];
        for (check, text, expected) in rows {
            let errors = check(text);
            assert_eq!(errors.len(), expected.len(), "{text}: {errors:?}");
            assert!(errors.iter().zip(*expected).all(|(e, part)| e.contains(part)), "{errors:?}");
        }
    }

    #[test]
    fn identifiers_are_not_the_words_of_the_language() {
        for (text, is_one) in
            [("_a1", true), ("1a", false), ("a-b", false), ("in", false), ("", false)]
        {
            assert_eq!(is_cel_identifier(text), is_one, "{text}");
        }
    }
}
