//! Everything that nests, as deep as the language lets it: each has to be answered on the stack that the server gives a worker.

use portcullis::cel::{Arena, Env, Evaluation, NoAnswers, Type, Value, Version};
use portcullis::json::Document;

use crate::number;

/// How deep the language lets expressions nest.
const LEVELS: usize = 250;

/// The stack without optimisation; `FUZZ_STACK_KIB` tries another.
const STACK_KIB: u64 = 16 << 10;

/// What comes before and after the innermost piece, once for each level.
const CONSTRUCTS: [(&str, &str, &str); 17] = [
    ("(", "1", ")"),
    ("[", "1", "]"),
    ("{'a': ", "1", "}"),
    ("-(", "1", ")"),
    ("!(", "true", ")"),
    ("1 + (", "1", ")"),
    ("(true ? ", "1", " : 2)"),
    ("dyn(", "1", ")"),
    ("true && (false || ", "true", ")"),
    ("[1].map(x, ", "1", ")"),
    ("[1].all(x, ", "true", ")"),
    ("[1].transformList(i, v, ", "1", ")"),
    ("optional.of(1).optMap(x, ", "1", ")"),
    ("", "o", ".a"),
    ("", "o", "[0]"),
    ("", "'a'", ".trim()"),
    ("Object{a: ", "1", "}"),
];

#[test]
fn the_deepest_expressions_fit_the_stack() {
    let kib = number("FUZZ_STACK_KIB", STACK_KIB);
    let work = move || {
        for (before, inner, after) in CONSTRUCTS {
            let mut deepest = 0;
            for levels in [LEVELS / 4, LEVELS / 2, LEVELS - 2, LEVELS, LEVELS * 4] {
                let text = before.repeat(levels) + inner + &after.repeat(levels);
                if answer(&text) {
                    deepest = levels;
                }
            }
            assert!(deepest > 0, "{before}..{after} compiles at no depth");
        }
    };
    std::thread::Builder::new()
        .stack_size(kib as usize * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

/// Compiles and evaluates; whether it compiled.
fn answer(text: &str) -> bool {
    let env = Env::kubernetes(Version::LATEST).declare("o", Type::Dyn).mutation();
    let Ok(program) = env.compile(text, &[]) else { return false };
    let document = Document::parse(b"{}".to_vec()).unwrap();
    let arena = Arena::new();
    let roots = [Value::from_json(document.root())];
    let run = Evaluation::new(&arena, &env, &roots, &NoAnswers).run(&program);
    if let Ok(value) = run.result {
        let _ = (value.to_json(), value.to_string());
    }
    true
}
