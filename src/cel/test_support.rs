//! What the tests of this room share.

use crate::cel::answers::NoAnswers;
use crate::cel::env::Env;
use crate::cel::evaluation::Evaluation;
use crate::cel::value::{Arena, Literal, Value};

/// The value of an expression as a literal, or why it has none.
pub(crate) fn evaluate(env: &Env, source: &str) -> String {
    evaluate_with(env, source, &[])
}

/// The same, over values for what the environment declares.
pub(crate) fn evaluate_with(env: &Env, source: &str, roots: &[Value<'_>]) -> String {
    let program = match env.compile(source, &[]) {
        Ok(program) => program,
        Err(error) => return format!("refused: {}", error.message()),
    };
    let arena = Arena::new();
    let run = Evaluation::new(&arena, env, roots, &NoAnswers).run(&program);
    match run.result {
        Ok(value) => Literal(value).to_string(),
        Err(error) => format!("error: {error}"),
    }
}
