//! Whole documents: manifests read as `kubectl` reads them, policies refused as the API server refuses them, and warned
//! of as it warns.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use portcullis::cel::Version;
use portcullis::policy::Definitions;
use portcullis::policy::api::PolicyDiagnostic;
use portcullis::policy::manifest::{Manifest, ManifestError, Pieces, Placed, read};
use portcullis::policy::snapshot::Snapshot;
use portcullis::policy::types;
use portcullis::schema::Catalog;
use serde_json::Value as Json;

use crate::Tally;

/// The lines of a corpus's index, if it is there.
fn index(folder: &Path) -> Vec<Json> {
    let text = fs::read_to_string(folder.join("index.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Manifests that are read differently.
pub fn misread(corpora: &Path) -> Tally {
    let folder = corpora.join("manifests");
    let mut wrong = Vec::new();
    let (mut agreed, mut plain) = (0, 0);
    for case in index(&folder) {
        let id = case["id"].as_str().unwrap().to_owned();
        let (Some(file), Some(json)) = (case["file"].as_str(), case["json"].as_str()) else {
            continue;
        };
        // Some large ones are left out of the data.
        let files = [file, json].map(|name| fs::read_to_string(folder.join(name)));
        let [Ok(text), Ok(expected)] = files else { continue };
        let expected = expected.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let expected: Vec<Json> = expected.filter(|value| !value.is_null()).collect();
        match read(file, &text) {
            Err(error) => wrong.push((id, error.to_string())),
            Ok(read) => {
                let read: Vec<Json> = read.iter().filter_map(value).collect();
                plain += read.len();
                let differs = read.iter().zip(&expected).find(|(one, other)| !same(one, other));
                match differs {
                    _ if read.len() != expected.len() => {
                        wrong.push((
                            id,
                            format!("{} documents, not {}", read.len(), expected.len()),
                        ));
                    }
                    Some((got, _)) => wrong.push((id, format!("{}", got["metadata"]["name"]))),
                    None => agreed += 1,
                }
            }
        }
    }
    println!("manifests: {agreed} files agree, {plain} objects, {} differ", wrong.len());
    Tally { agreed, known: 0, wrong }
}

fn same(one: &Json, other: &Json) -> bool {
    use portcullis::json::Document;
    Document::from_value(one).root() == Document::from_value(other).root()
}

fn value(manifest: &Manifest) -> Option<Json> {
    match manifest {
        Manifest::Namespace(document) | Manifest::Object(document) => {
            Some(document.root().to_value())
        }
        _ => None,
    }
}

/// Manifests that an audit reads differently, in which Lists are their items.
pub fn misread_by_an_audit(corpora: &Path) -> Tally {
    let folder = corpora.join("manifests");
    let mut tally = Tally::default();
    let mut objects = 0;
    for case in index(&folder) {
        let id = case["id"].as_str().unwrap().to_owned();
        let (Some(file), Some(json)) = (case["file"].as_str(), case["json"].as_str()) else {
            continue;
        };
        // Some large ones are left out of the data.
        let files = [file, json].map(|name| fs::read(folder.join(name)));
        let [Ok(text), Ok(expected)] = files else { continue };
        let expected = String::from_utf8(expected).unwrap();
        let expected = expected.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
        let expected: Vec<Json> =
            expected.filter(|value| !value.is_null()).flat_map(items).collect();
        let pieces = Pieces::new(file, text.as_slice());
        let read: Result<Vec<_>, _> =
            pieces.map(|piece| piece.and_then(|piece| piece.objects(file))).collect();
        let why = match read.map(|read| read.into_iter().flatten().collect::<Vec<_>>()) {
            Err(error) => Some(error.to_string()),
            Ok(read) if read.len() != expected.len() => {
                Some(format!("{} objects, not {}", read.len(), expected.len()))
            }
            Ok(read) => {
                objects += read.len();
                let differs =
                    |(one, other): &(&Placed, &Json)| !same(&one.document.root().to_value(), other);
                let found = read.iter().zip(&expected).find(differs);
                found.map(|(one, _)| format!("line {}", one.line))
            }
        };
        match why {
            None => tally.agreed += 1,
            Some(why) => tally.wrong.push((id, why)),
        }
    }
    println!(
        "manifests, audited: {} files agree, {objects} objects, {} differ",
        tally.agreed,
        tally.wrong.len()
    );
    tally
}

/// The items of a List, or the object itself.
fn items(value: Json) -> Vec<Json> {
    match value.get("items") {
        Some(Json::Array(items)) => items.clone(),
        _ => vec![value],
    }
}

/// Policies and bindings of which we do not say what the API server says.
pub fn misjudged(corpora: &Path, name: &str) -> Tally {
    let folder = corpora.join(name);
    let mut tally = Tally::default();
    for case in index(&folder) {
        let [expected, oracle] = [&case["expected"], &case["oracle"]];
        let expected = if oracle.is_object() { oracle } else { expected };
        if expected["valid"].as_bool().is_none() {
            continue;
        }
        let id = case["id"].as_str().unwrap().to_owned();
        let file = case["doc"].as_str().unwrap();
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let errors = expected["errors"].as_array().into_iter().flatten();
        let mut expected: Vec<String> =
            errors.map(|error| error["error"].as_str().unwrap().to_owned()).collect();
        let mut said = refusals(file, &text);
        expected.sort();
        said.sort();
        if said == expected {
            tally.agreed += 1;
        } else if same_but_for_syntax(&said, &expected) {
            tally.known += 1;
        } else {
            let more: Vec<_> = said.iter().filter(|text| !expected.contains(text)).collect();
            let less: Vec<_> = expected.iter().filter(|text| !said.contains(text)).collect();
            tally.wrong.push((id, format!("said {more:#?}\nnot {less:#?}")));
        }
    }
    println!(
        "{name}: {} agree, {} differ, {} differ for known reasons",
        tally.agreed,
        tally.wrong.len(),
        tally.known
    );
    tally
}

/// The words of syntax errors. Only the field has to be the same.
const SYNTAX: &str = ": Syntax error: ";

/// Whether the other texts are the same.
fn same_but_for_syntax(said: &[String], expected: &[String]) -> bool {
    let rest = |texts: &[String]| {
        let is_compared = |text: &&String| !text.contains(SYNTAX);
        texts.iter().filter(is_compared).cloned().collect::<Vec<String>>()
    };
    let fields = |texts: &[String]| {
        let with_syntax = texts.iter().filter(|text| text.contains(SYNTAX));
        with_syntax.filter_map(|text| Some(text.split_once(": ")?.0.to_owned())).collect::<Vec<_>>()
    };
    rest(said) == rest(expected) && fields(said) == fields(expected)
}

/// Policies for which the warnings of the second type check are not the API server's.
pub fn warned_differently(corpora: &Path, name: &str) -> Tally {
    let folder = corpora.join(name);
    let mut tally = Tally::default();
    for case in index(&folder) {
        let [expected, oracle] = [&case["expected"], &case["oracle"]];
        let expected = if oracle.is_object() { oracle } else { expected };
        if case["policy_kind"] != "ValidatingAdmissionPolicy"
            || expected["valid"] != true
            || expected.get("type_warnings").is_none()
        {
            continue;
        }
        let id = case["id"].as_str().unwrap().to_owned();
        let file = case["doc"].as_str().unwrap();
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let expected: Vec<Warned> = expected["type_warnings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|warning| [&warning["fieldRef"], &warning["warning"]])
            .map(|texts| texts.map(|text| without_moment(text.as_str().unwrap())))
            .collect();
        let given = warnings(file, &text);
        if given == expected {
            tally.agreed += 1;
            continue;
        }
        let differs = given.iter().zip(&expected).find(|(one, other)| one != other);
        let counts = || format!("{} warnings, not {}", given.len(), expected.len());
        let why = differs.map_or_else(counts, |(one, other)| format!("{one:?}\nnot {other:?}"));
        tally.wrong.push((format!("{id} (warnings)"), why));
    }
    if tally.agreed + tally.wrong.len() > 0 {
        println!("{name} (warnings): {} agree, {} differ", tally.agreed, tally.wrong.len());
    }
    tally
}

/// The field of a warning, and its text.
type Warned = [String; 2];

fn warnings(file: &str, text: &str) -> Vec<Warned> {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::built_in);
    let manifests = read(file, text).unwrap();
    let policies = manifests.iter().filter_map(|manifest| match manifest {
        Manifest::Validating(policy) => Some(&policy.spec),
        _ => None,
    });
    let warnings = policies.flat_map(|spec| types::warnings(spec, &CATALOG, Version::default()));
    warnings.map(|warning| [warning.field.clone(), warning.text()]).collect()
}

/// The text without the nanoseconds that the API server writes behind the kind in the names of types.
fn without_moment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, after) = rest.split_at(at);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = after.split_at(digits);
        out.push_str(before);
        let follows_name = before.ends_with(|c: char| c.is_ascii_alphabetic());
        if !(follows_name && (6..=9).contains(&number.len())) {
            out.push_str(number);
        }
        rest = after;
    }
    out + rest
}

/// Everything that is wrong with the policies and bindings of a file.
fn refusals(file: &str, text: &str) -> Vec<String> {
    let text_of = |diagnostic: &PolicyDiagnostic| {
        let PolicyDiagnostic { field, message, .. } = diagnostic;
        format!("{field}: {message}")
    };
    let manifests = match read(file, text) {
        Ok(manifests) => manifests,
        Err(ManifestError { refused, .. }) if !refused.is_empty() => {
            let refusals = refused.iter().flat_map(|refused| &refused.refusals);
            return refusals.map(|refusal| text_of(&refusal.diagnostic)).collect();
        }
        Err(error) => return vec![error.to_string()],
    };
    let mut definitions = Definitions::default();
    for manifest in manifests {
        definitions.add(manifest);
    }
    let snapshot = Snapshot::build(definitions, Version::default(), None);
    let bound = snapshot.policies().flat_map(|bound| &bound.bindings);
    let of_bindings = bound.chain(snapshot.orphans()).flat_map(|binding| &binding.diagnostics);
    let of_policies = snapshot.policies().flat_map(|bound| bound.policy.diagnostics());
    of_policies.chain(of_bindings).map(text_of).collect()
}
