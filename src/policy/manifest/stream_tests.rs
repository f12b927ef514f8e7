//! Streams as files have them: what is a piece, which objects are in it, and that what machines wrote is read as all YAML is.

use std::fmt::Write;
use std::io::{BufReader, Read};

use serde_json::Value;

use crate::json::{Document, Node};
use crate::policy::manifest::pieces::SPLIT_FROM;
use crate::policy::manifest::text::documents;
use crate::policy::manifest::{PIECE_MAX, Pieces};

/// A document both ways: as plain YAML, if it is that, and as all YAML.
fn both(text: &str) -> (Option<Document>, Option<Value>) {
    let documents = documents("", text).unwrap();
    let [document] = documents.as_slice() else { return (None, None) };
    (document.plain(), document.read().ok())
}

/// Whether it is plain; what is, has to be read alike.
fn is_plain(text: &str) -> bool {
    match both(text) {
        (None, _) => false,
        (Some(plain), full) => {
            let full = full.unwrap_or_else(|| panic!("refused, and read as {plain:?}:\n{text}"));
            assert_eq!(plain.root().text(), Document::from_value(&full).root().text(), "{text}");
            true
        }
    }
}

#[test]
fn what_machines_write_is_plain() {
    for text in [
        "a: 1\nb: two\nc: \"3\"\nd: '4'\n",
        "a:\n- b: 1\n  c:\n  - x\n  - y\n- b: 2\nd: null\ne:\nf: ~\n",
        "- a\n- - b\n  - c\n-\n  d: 1\n-\n",
        "a:\n  b:\n    c: {}\n    d: []\n  e: true\n",
        "a: |\n  x\n\n   y\n  z: 1\nb: |-\n  q\nc: |+\n  r\n\n",
        "a: 500m\nb: 128Mi\nc: 1.5\nd: 0644\ne: 1e3\nf: 10.0.0.1\ng: 2026-11-28\nh: 1_000\ni: 0x1F\nj: 1:30\n",
        "a: yes\nb: No\nc: on\nd: y\ne: nan\nf: .inf\ng: .5\nh: +1\ni: -1\nj: inf\nk: -inf\nl: '0'\n",
        "f:metadata:\n  .: {}\n  f:labels:\n    k:{\"a\":\"b\"}: {}\n",
        "a: \"x \\\"y\\\" \\n z\"\nb: 'it''s'\n\"c\": 'd'\n'e': f\n",
        "# comment\na: 1\n\n  # another\nb:\n# more\n- x\n",
        "args:\n- --flag=a:b\n- -x\n- http://a/b#c\n- $(VAR)\n- /bin/sh\n",
        "a: né\nb: \"ü\"\n",
        "  a: 1\n  b:\n  - 2\n",
        "k: v  \nl:   \n  m: 1\n",
        "a: 9223372036854775808\nb: -9223372036854775808\nc: 999999999999999999\nd: -0\ne: 00\n",
    ] {
        let is = is_plain(text);
        let value = both(text).1;
        assert!(is || text.contains(".inf"), "not plain: {text} ({value:?})");
    }
}

#[test]
fn what_is_not_plain_is_left_to_the_other_reader() {
    for text in [
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "a: {b: 1}\n",
        "a: [1, 2]\n",
        "a: >\n  folded\n",
        "a: |2\n    x\n",
        "a: x\n  y\n",
        "a: \"x\n  y\"\n",
        "a: 1 # comment\n",
        "a: b: c\n",
        "a: 1\na: 2\n",
        "a:\n\t- b\n",
        "a: x\r\n",
        "<<: {a: 1}\n",
        "? a\n: b\n",
        "1: a\n",
        "true: a\n",
        "a: \"\\x41\"\n",
        "a: @x\n",
        "a:\n  b: 1\n c: 2\n",
        "a: |\n x\n  y",
        "- a\nb: 1\n",
        "a: 1\n- b\n",
        "plain\n",
        "...\n",
        "a: \u{85}\n",
        "a: .inf\n",
    ] {
        assert!(!is_plain(text), "{text}");
    }
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }
}

#[test]
fn what_is_changed_at_random_is_read_alike_or_not_as_plain() {
    const PODS: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    x: 'y'\n    m: 12\nspec:\n  \
        containers:\n  - name: \"c\"\n    image: a/b:1\n    args: [] \n    env:\n    - name: A\n      value: \"1\"\n    \
        resources:\n      limits: {}\n  - name: d\n    script: |\n      if x; then\n\n        y: 1\n      fi\n  nodes:\n  \
        - - 1\n    - 2.5\n  -\n    z: ~\n";
    const BITS: &[&str] = &[
        " ", "  ", "\n", ":", ": ", "- ", "-", "#", " #", "'", "\"", "|", "|-\n", ">", "&a ", "*a",
        "{}", "[]", "{", "]", "~", "null", "yes", "0", "0o7", "1e5", "_", ".", "...", "?", "!",
        "\\n", "\t", "é", "\u{85}", "x: y\n", "<<: ",
    ];
    let mut dice = Dice(7);
    let mut plain = 0;
    for _ in 0..5_000 {
        let mut text = PODS.to_owned();
        for _ in 0..=dice.roll(3) {
            let mut at = dice.roll(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let bit = BITS[dice.roll(BITS.len())];
            match dice.roll(3) {
                0 => text.insert_str(at, bit),
                1 => {
                    text.remove(at);
                }
                _ => {
                    text.remove(at);
                    text.insert_str(at, bit);
                }
            }
        }
        plain += usize::from(is_plain(&text));
    }
    assert!((500..4_500).contains(&plain), "{plain} of 5000 are plain");
}

/// Gives a few bytes at a time.
struct Slow<'b>(&'b [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.min(buffer.len()).min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

/// The names of the objects with their lines, and what is wrong.
fn names(stream: &[u8], chunk: usize) -> Vec<String> {
    let mut names = Vec::new();
    for piece in Pieces::new("f", BufReader::with_capacity(chunk.max(3), Slow(stream, chunk))) {
        match piece.and_then(|piece| piece.objects("f")) {
            Ok(objects) => names.extend(objects.iter().map(|object| {
                let text = |field: &str| {
                    object.document.root().get(field).and_then(Node::as_str).unwrap_or("-")
                };
                format!("{}:{}/{}", object.line, text("apiVersion"), text("kind"))
            })),
            Err(error) => names.push(error.to_string()),
        }
    }
    names
}

#[test]
fn streams_are_read_as_kubectl_reads_them() {
    let check = |stream: &str, expect: &[&str]| {
        for chunk in [3, 4, 7, 4096] {
            assert_eq!(names(stream.as_bytes(), chunk), expect, "by {chunk}: {stream}");
        }
    };
    let a = "apiVersion: v1\nkind: A\n";
    let b = r#"{"apiVersion":"v1","kind":"B"}"#;
    check("", &[]);
    check("\n---\n# nothing\n---\n", &[]);
    check(a, &["1:v1/A"]);
    check(&format!("---\n{a}---\n---\n{a}--- # c\n# d\n{a}"), &["2:v1/A", "6:v1/A", "10:v1/A"]);
    check(&format!("\u{feff}{a}"), &["1:v1/A"]);
    check(b, &["1:v1/B"]);
    check(&format!("{b}\n{b}\n\n  {b}{b}"), &["1:v1/B", "2:v1/B", "4:v1/B", "4:v1/B"]);
    check(&format!("\n\n{b}\n---\n{b}\n---\n{a}"), &["3:v1/B", "5:v1/B", "7:v1/A"]);
    check(&format!("{a}---\n{b}\n"), &["1:v1/A", "4:v1/B"]);
    check(&format!("{b} x"), &["1:v1/B", "f:1:32: text after a JSON value"]);
    check("{apiVersion: v1, kind: C}\n", &["1:v1/C"]);
    check("{\"a\": [1,", &["f:1:7: unclosed bracket '['"]);
    check("[1]", &["f:1:1: no object, but a value of another kind"]);
    check("text", &["f:1:1: no object, but a value of another kind"]);
    check(
        &format!("a: 1\n---\n{a}"),
        &["f:1:1: an object without `kind` and `apiVersion`", "3:v1/A"],
    );
}

#[test]
fn lists_are_flattened() {
    let check = |stream: &str, expect: &[&str]| {
        for chunk in [3, 4096] {
            assert_eq!(names(stream.as_bytes(), chunk), expect, "{stream}");
        }
    };
    check(
        "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: A\n- kind: B\n  apiVersion: w\nkind: List\n",
        &["3:v1/A", "5:w/B"],
    );
    check("apiVersion: v1\nkind: List\nitems: []\n", &[]);
    check("apiVersion: v1\nkind: PodList\nitems: null\n", &[]);
    check("apiVersion: v1\nkind: A\nitems: {}\n", &["f:1:1: `items` is no list"]);
    check("apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n", &["4:v1/Pod"]);
    check("kind: List\nitems:\n- x: 1\n", &["f:3:1: an object without `kind` and `apiVersion`"]);
    check(
        "kind: List\nitems: [{apiVersion: v1, kind: A},\n  {apiVersion: v1, kind: B}]\n",
        &["2:v1/A", "3:v1/B"],
    );
    check("kind: List\nitems:\n- &x\n  apiVersion: v1\n  kind: A\n- *x\n", &["4:v1/A", "6:v1/A"]);
    check(
        "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":[\n{\"metadata\":{}},\n{\"metadata\":{}}]}",
        &["2:v1/Pod", "3:v1/Pod"],
    );
}

/// A List that is too long to be held whole, in both syntaxes.
#[test]
fn long_lists_are_split_while_they_are_read() {
    let filling = "x".repeat(1_000);
    let count = 3 * SPLIT_FROM / 1_000;
    let mut yaml = "apiVersion: v1\nkind: PodList\nitems:\n".to_owned();
    let mut json = "{\"apiVersion\":\"v1\",\"kind\":\"PodList\",\n\"items\":[".to_owned();
    for number in 0..count {
        let _ = write!(yaml, "- metadata:\n    name: p{number}\n    filling: {filling}\n");
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            json,
            "{comma}\n{{\"metadata\":{{\"name\":\"p{number}\",\"x\":[{{}},\"]{filling}\"]}}}}"
        );
    }
    yaml.push_str("metadata:\n  resourceVersion: '1'\n---\napiVersion: v1\nkind: Last\n");
    json.push_str(
        "],\"metadata\":{\"a\":{\"b\":[{}]}}}\n{\"apiVersion\":\"v1\",\"kind\":\"Last\"}",
    );
    for (stream, line) in [(&yaml, 3), (&json, 1)] {
        let pieces: Vec<_> = Pieces::new("f", stream.as_bytes()).map(Result::unwrap).collect();
        let longest = pieces.iter().map(|piece| piece.text.len()).max().unwrap();
        assert!(pieces.len() > count && longest < 2_000, "{}, {longest}", pieces.len());
        let objects: Vec<_> = pieces.iter().flat_map(|piece| piece.objects("f").unwrap()).collect();
        assert_eq!(objects.len(), count + 1);
        for (number, object) in objects.iter().take(count).enumerate() {
            let root = object.document.root();
            let name = root.pointer("/metadata/name").and_then(Node::as_str);
            assert_eq!(name, Some(format!("p{number}").as_str()));
            assert_eq!(root.get("kind").and_then(Node::as_str), Some("Pod"));
            let per_item = if line == 3 { 3 } else { 1 };
            assert_eq!(object.line, line + 1 + per_item * number as u64 + u64::from(line == 1));
        }
    }
    let broken = json.replacen(",\n{", "\n{", 1);
    let errors = names(broken.as_bytes(), 65_536)
        .into_iter()
        .filter(|name| name.contains("expected one `,`"));
    assert_eq!(errors.count(), 1);
    let unending = json.split_at(json.len() - 100).0;
    assert!(names(unending.as_bytes(), 65_536).last().unwrap().contains("does not end"));
}

#[test]
fn what_kubectl_does_not_take_is_refused_with_its_line() {
    let check = |rest: &str, expect: &str| {
        let stream = format!("apiVersion: v1\nkind: A\n{rest}");
        assert_eq!(names(stream.as_bytes(), 4096).last().map(String::as_str), Some(expect));
    };
    check("metadata: []\n", "f:3:1: `metadata` is not an object");
    check("metadata:\n  name: 1\n", "f:4:3: `metadata.name` is not a string");
    check("metadata:\n  labels: x\n", "f:4:3: `metadata.labels` is not an object");
    check(
        "metadata:\n  labels:\n    a: b\n    c: true\n",
        "f:6:5: `metadata.labels.c` is not a string: it needs quotes",
    );
    check("metadata: {name: a, labels: null, annotations: {a: null}}\n", "1:v1/A");
    check("--- {apiVersion: v1}\n", "f:3:1: nothing but a comment may follow a document separator");
    check(
        "data:\n  a: 1_0.5\n",
        "f:4:6: `1_0.5` is the number 10.5: it needs quotes, or no underscores",
    );
    check("data:\n  \ta: b\n", "f:4:3: a tab, which does not indent");
}

#[test]
fn what_is_hostile_is_refused_with_its_place() {
    let check = |stream: &[u8], expect: &[&str]| {
        let names = names(stream, 65_536);
        let short: Vec<_> = names.iter().map(|name| name.get(..60).unwrap_or(name)).collect();
        assert_eq!(short.len(), expect.len(), "{short:?}");
        for (name, expect) in short.iter().zip(expect) {
            assert!(name.contains(expect), "{name} has no {expect}");
        }
    };
    let long =
        [b"a: ".as_slice(), &vec![b'x'; PIECE_MAX + 10], b"\n---\napiVersion: v1\nkind: A\n"]
            .concat();
    check(&long, &["f:1:1: a document of more than", "3:v1/A"]);
    check(&vec![b'x'; 2 * PIECE_MAX], &["a document of more than"]);
    check(
        &[b"{\"a\":\"".as_slice(), &vec![b'x'; PIECE_MAX + 10]].concat(),
        &["a document of more than"],
    );
    check(b"a: \xff\n---\napiVersion: v1\nkind: A\n", &["f:1:4: no UTF-8 text", "3:v1/A"]);
    check(b"a: \0\n", &["f:1:"]);
    check("[".repeat(100_000).as_bytes(), &["f:1:"]);
    check("{\"a\":".repeat(100_000).as_bytes(), &["f:1:"]);
    check("- ".repeat(100_000).as_bytes(), &["f:1:"]);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
        g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    check(bomb.as_bytes(), &["f:"]);
}

#[test]
fn a_piece_holds_no_more_memory_than_its_text() {
    let lines = "{\"a\": 1}\n".repeat(1_000);
    for piece in Pieces::new("a.jsonl", lines.as_bytes()) {
        let text = piece.unwrap().text;
        assert!(text.capacity() <= 2 * text.len(), "{} for {}", text.capacity(), text.len());
    }
}
