//! What evaluation costs, in Kubernetes' units, so that an expression ends where the API server would
//! end it. The numbers are those of cel-go's runtime cost and of k8s.io/apiserver's estimator.

use crate::cel::value::Value;

/// What one expression may cost: Kubernetes' `PerCallLimit`.
pub const EXPRESSION_COST_MAX: u64 = 1_000_000;

/// Making a list.
pub(crate) const LIST: u64 = 10;
/// Making a map.
pub(crate) const MAP: u64 = 30;
/// Making a struct.
pub(crate) const STRUCT: u64 = 40;

/// What a call costs.
#[derive(Clone, Copy)]
pub(crate) enum Charge {
    /// 1.
    One,
    /// Always the same.
    Fixed(u64),
    /// By the arguments; one that is an error counts as `null`.
    Args(fn(&[Value<'_>]) -> u64),
    /// By the arguments and the result, `null` if it is an error.
    Result(fn(&[Value<'_>], Value<'_>) -> u64),
}

/// Tenths of a unit a code point, rounded up.
pub(crate) fn traverse(size: u64) -> u64 {
    (size as f64 * 0.1).ceil() as u64
}

/// Going through a text with a regular expression of this length.
pub(crate) fn search(text: u64, pattern: u64) -> u64 {
    let text = ((1.0 + text as f64) * 0.1).ceil() as u64;
    text.saturating_mul((pattern as f64 * 0.25).ceil() as u64)
}

/// Going through the first argument once.
pub(crate) fn traverse_first(args: &[Value<'_>]) -> u64 {
    traverse(size(args, 0))
}

/// The size of an argument.
pub(crate) fn size(args: &[Value<'_>], index: usize) -> u64 {
    args.get(index).map_or(1, |arg| arg.size())
}

/// Comparing two values for equality. Those of libraries always cost the same.
pub(crate) fn equality(one: Value<'_>, two: Value<'_>) -> u64 {
    if matches!(one, Value::Opaque(_)) { 1 } else { inequality(one, two) }
}

/// Comparing two values with `!=`.
pub(crate) fn inequality(one: Value<'_>, two: Value<'_>) -> u64 {
    traverse(one.size().min(two.size()))
}

/// Visiting everything in a value, as Kubernetes counts it for functions of lists. It stops counting
/// past the limit of an expression: what is more than that ends the evaluation anyway.
pub(crate) fn visit_all(value: Value<'_>) -> u64 {
    let mut cost = 0;
    visit(value, &mut cost);
    cost
}

fn visit(value: Value<'_>, cost: &mut u64) {
    match value {
        Value::String(text) => *cost += (text.len() as f64 * 0.1) as u64,
        Value::Bytes(octets) => *cost += (octets.len() as f64 * 0.1) as u64,
        Value::List(list) => {
            // Elements may be free (an empty string), so the elements are counted too.
            for (visited, element) in (0..).zip(list.iter()) {
                visit(element, cost);
                if (*cost).max(visited / 10) > EXPRESSION_COST_MAX {
                    *cost = (*cost).max(EXPRESSION_COST_MAX + 1);
                    return;
                }
            }
        }
        Value::Map(map) => {
            for (key, value) in map.iter() {
                visit(key, cost);
                visit(value, cost);
                if *cost > EXPRESSION_COST_MAX {
                    return;
                }
            }
        }
        _ => *cost += 1,
    }
}
