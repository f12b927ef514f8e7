//! Random and mutated text into everything that reads text of others: the language, JSON documents, manifests, images. Nothing may
//! panic, take long, or take much memory. `FUZZ_SECONDS` says how long each reader is tried, `FUZZ_SEED` where it begins; the
//! inputs of a seed are always the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../images/authority.rs"]
#[allow(dead_code, reason = "shared with the tests of images")]
mod authority;
mod images;
mod mutate;
mod nesting;
#[path = "../differential/random.rs"]
mod random;
mod seeds;
#[path = "../images/sigstore.rs"]
#[allow(dead_code, reason = "shared with the tests of images")]
mod sigstore;

use std::io::BufReader;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use portcullis::cel::{Arena, Env, Evaluation, NoAnswers, Type, Value, Version};
use portcullis::json::Document;
use portcullis::policy::manifest;

use crate::mutate::mutated;
use crate::random::Random;

/// How long each reader is tried in every run of the tests.
const SECONDS: u64 = 2;

/// One input may take no longer, on a busy machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one evaluation may hold on to: the limit of its arena, and the last piece that it asked for.
const ARENA_BYTES_MAX: usize = 160 << 20;

/// Expressions of random bytes are as long as this, those that were mutated a few times as long as what they come from.
const BYTES_MAX: usize = 4_096;

#[test]
fn the_language_takes_any_text() {
    let env = Env::kubernetes(Version::LATEST)
        .declare("o", Type::Dyn)
        .declare("s", Type::String)
        .declare("i", Type::Int)
        .declare("l", Type::list(Type::Int))
        .declare("object", Type::Dyn)
        .mutation();
    let document = Document::parse(seeds::OBJECT.as_bytes().to_vec()).unwrap();
    fuzz(&seeds::expressions(), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        match env.compile(text, &[]) {
            Ok(program) => {
                let arena = Arena::new();
                let object = Value::from_json(document.root());
                let numbers = document.root().get("numbers").unwrap();
                let list = Value::from_json(numbers);
                let roots = [object, Value::String("texté"), Value::Int(-1), list, object];
                let run = Evaluation::new(&arena, &env, &roots, &NoAnswers).run(&program);
                let shown = match run.result {
                    Ok(value) => value.to_json().map(|json| json.to_string()).unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                drop(shown);
                assert!(arena.allocated_bytes() <= ARENA_BYTES_MAX, "{}", arena.allocated_bytes());
            }
            Err(error) => assert!(!error.render().is_empty()),
        }
    });
}

#[test]
fn documents_are_read_or_refused() {
    let seeds =
        vec![seeds::OBJECT.as_bytes().to_vec(), b"[[[1,-0.5e-3,\"\\ud83d\\ude00\"]]]".to_vec()];
    fuzz(&seeds, |bytes| match Document::parse(bytes.to_vec()) {
        Ok(document) => {
            let again = document.root().to_string();
            let read = Document::parse(again.clone().into_bytes()).unwrap();
            assert_eq!(read.root().to_string(), again);
            // Whoever reads more strictly than that reads the same.
            if let Ok(other) = serde_json::from_slice::<serde_json::Value>(bytes) {
                assert!(document.root() == Document::from_value(&other).root());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    });
}

#[test]
fn manifests_are_read_or_refused() {
    fuzz(&seeds::manifests(), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let _ = manifest::read("fuzz.yaml", text);
    });
}

#[test]
fn streams_are_the_same_however_they_arrive() {
    fuzz(&seeds::manifests(), |bytes| {
        let objects = |chunk: usize| -> Vec<String> {
            let stream = BufReader::with_capacity(chunk, bytes);
            let pieces = manifest::Pieces::new("fuzz.yaml", stream);
            let read =
                pieces.map(|piece| match piece.and_then(|piece| piece.objects("fuzz.yaml")) {
                    Ok(objects) => {
                        let text =
                            |o: &manifest::Placed| format!("{} {}", o.line, o.document.root());
                        objects.iter().map(text).collect::<Vec<_>>().join(" ")
                    }
                    Err(error) => error.to_string(),
                });
            read.collect()
        };
        assert_eq!(objects(7), objects(1 << 16));
    });
}

/// Tries a reader with the seeds, with mutations of them, and with noise.
fn fuzz(seeds: &[Vec<u8>], read: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let random = &mut Random::new(number("FUZZ_SEED", 1));
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", SECONDS));
    let mut count = 0u64;
    let mut queue = seeds.to_vec();
    while Instant::now() < end || count < 100 {
        let input = match queue.pop() {
            Some(seed) => seed,
            None if random.percent(5) => {
                (0..random.below(BYTES_MAX)).map(|_| random.next() as u8).collect()
            }
            None => mutated(random, seeds),
        };
        let started = Instant::now();
        let outcome = catch_unwind(|| read(&input));
        let took = started.elapsed();
        assert!(
            outcome.is_ok() && took < PATIENCE,
            "after {count} inputs, {took:?}: {:?}",
            String::from_utf8_lossy(&input)
        );
        count += 1;
    }
    println!("{count} inputs");
}

#[expect(clippy::disallowed_methods, reason = "the only arguments that a test can be given")]
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}
