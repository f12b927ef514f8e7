//! What the mutations start from: every example of every function, expressions of each kind, the policies of the tree.

use std::path::Path;

use portcullis::cel::LIBRARIES;

pub const OBJECT: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"é":"\u00e9"}},
 "numbers":[1,2,-3],"spec":{"containers":[{"name":"c","image":"r/i:1","ports":[{"containerPort":80}]},{}],"d":1.5e3,"n":null}}"#;

const EXPRESSIONS: [&str; 16] = [
    "object.spec.containers.all(c, has(c.image) && c.image.startsWith('r/'))",
    "o.spec.?containers[?0].?name.orValue('x') + s",
    "l.map(x, x > 0, x * 2).filter(y, y % 3 == 1).exists_one(z, z == 4)",
    "o.metadata.labels.transformMap(k, v, k + v)",
    "[1, 2, 3].transformList(i, v, i * v).sortBy(x, -x)",
    "{'a': 1, ?'b': o.?b}.all(k, v, k != '')",
    "true ? [1, i] : l + [2]",
    "optional.of(s).optMap(x, x.size()).value() / i",
    "timestamp('2024-01-01T00:00:00Z') + duration('1h') - duration('1s')",
    "'%s %d %.2f'.format([s, i, 1.5])",
    "s.matches('^(a|b)+[a-z]{1,20}$') || s.find('[0-9]+') == ''",
    "b'\\xff' + bytes(s) == b\"\"\"x\"\"\" ",
    "r'\\d' + \"\\u00e9\\U0001F600\\101\"",
    "Object{spec: Object.spec{replicas: 1}}",
    "[JSONPatch{op: 'add', path: '/a', value: {}}]",
    "-(-9223372036854775808) < 18446744073709551615u // comment",
];

pub fn expressions() -> Vec<Vec<u8>> {
    let functions = LIBRARIES.iter().flat_map(|library| library.functions);
    let examples = functions.flat_map(|function| function.examples.iter().map(|(text, _)| *text));
    EXPRESSIONS.into_iter().chain(examples).map(|text| text.as_bytes().to_vec()).collect()
}

/// The manifests of the tree: the starter set and the samples.
pub fn manifests() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "yaml" || ext == "json") {
                found.push(std::fs::read(path).unwrap());
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}
