//! The operations between two values. What they are used for, and how they are applied, is `patch`.
//!
//! Objects are compared member by member. Elements of arrays are aligned first: the common beginning and end, then by
//! dynamic programming over how alike two elements are, so that a container put in front of others is one `add`.

use std::iter;

use crate::json::node::{Array, Kind, Node, Object};
use crate::json::patch::Operation;
use crate::json::pointer::Pointer;

/// Pairs of elements that are compared to align two arrays: 64 changed elements on either side take well under a
/// millisecond. Longer changes are paired in order, which gives a correct but longer patch.
const ALIGNED_PAIRS_MAX: usize = 64 * 64;

/// How alike two equal elements are; everything else is less.
const EQUAL: u32 = 1_000;

pub(in crate::json) fn diff(from: Node<'_>, to: Node<'_>) -> Vec<Operation> {
    let mut operations = Vec::new();
    value(&mut operations, &Pointer::root(), from, to);
    operations
}

fn value(operations: &mut Vec<Operation>, path: &Pointer, from: Node<'_>, to: Node<'_>) {
    match (from.kind(), to.kind()) {
        (Kind::Object(from), Kind::Object(to)) => object(operations, path, from, to),
        (Kind::Array(from), Kind::Array(to)) => array(operations, path, from, to),
        _ if from == to => {}
        _ => operations.push(Operation::Replace { path: path.clone(), value: to.to_value() }),
    }
}

fn object(operations: &mut Vec<Operation>, path: &Pointer, from: Object<'_>, to: Object<'_>) {
    for (key, old) in from.iter() {
        match to.get(key) {
            Some(new) if old == new => {}
            Some(new) => value(operations, &path.child(key), old, new),
            None => operations.push(Operation::Remove { path: path.child(key) }),
        }
    }
    for (key, new) in to.iter().filter(|(key, _)| !from.contains(key)) {
        operations.push(Operation::Add { path: path.child(key), value: new.to_value() });
    }
}

fn array(operations: &mut Vec<Operation>, path: &Pointer, from: Array<'_>, to: Array<'_>) {
    let equal = |(a, b): &(Node<'_>, Node<'_>)| a == b;
    let before = iter::zip(from.iter(), to.iter()).take_while(equal).count();
    let shorter = from.len().min(to.len()) - before;
    let ends = iter::zip(from.iter().rev(), to.iter().rev()).take(shorter);
    let after = ends.take_while(equal).count();
    let changed = |array: Array<'_>| before..array.len() - after;
    let from: Vec<Node<'_>> = changed(from).filter_map(|at| from.get(at)).collect();
    let to: Vec<Node<'_>> = changed(to).filter_map(|at| to.get(at)).collect();

    let mut position = before;
    let (mut old, mut new) = (from.iter(), to.iter());
    let (mut old_at, mut new_at) = (0, 0);
    let end = (from.len(), to.len());
    for (old_next, new_next) in align(&from, &to).into_iter().chain([end]) {
        let gone: Vec<Node<'_>> = old.by_ref().take(old_next - old_at).copied().collect();
        let come: Vec<Node<'_>> = new.by_ref().take(new_next - new_at).copied().collect();
        gap(operations, path, &mut position, &gone, &come);
        if let (Some(old), Some(new)) = (old.next(), new.next()) {
            value(operations, &path.child(position), *old, *new);
            position += 1;
        }
        (old_at, new_at) = (old_next + 1, new_next + 1);
    }
}

/// Elements that are like no other: pairs replace each other, the rest goes or comes.
fn gap(
    operations: &mut Vec<Operation>,
    path: &Pointer,
    position: &mut usize,
    gone: &[Node<'_>],
    come: &[Node<'_>],
) {
    for (old, new) in iter::zip(gone, come) {
        if likeness(*old, *new) == 0 {
            let path = path.child(*position);
            operations.push(Operation::Replace { path, value: new.to_value() });
        } else {
            value(operations, &path.child(*position), *old, *new);
        }
        *position += 1;
    }
    for _ in come.len()..gone.len() {
        operations.push(Operation::Remove { path: path.child(*position) });
    }
    for new in come.iter().skip(gone.len()) {
        operations.push(Operation::Add { path: path.child(*position), value: new.to_value() });
        *position += 1;
    }
}

/// Pairs of positions in both arrays, rising in both, whose likeness is the greatest in sum.
fn align(from: &[Node<'_>], to: &[Node<'_>]) -> Vec<(usize, usize)> {
    if from.len().saturating_mul(to.len()) > ALIGNED_PAIRS_MAX {
        return Vec::new();
    }
    let width = to.len() + 1;
    let likeness: Vec<u32> =
        from.iter().flat_map(|old| to.iter().map(move |new| likeness(*old, *new))).collect();
    // best[i * width + j]: the greatest sum for the elements from i and from j on.
    let mut best = vec![0_u32; (from.len() + 1) * width];
    let at = |best: &[u32], i: usize, j: usize| best.get(i * width + j).copied().unwrap_or(0);
    let pair = |i: usize, j: usize| likeness.get(i * to.len() + j).copied().unwrap_or(0);
    for i in (0..from.len()).rev() {
        for j in (0..to.len()).rev() {
            let skip = at(&best, i + 1, j).max(at(&best, i, j + 1));
            let sum = skip.max(pair(i, j) + at(&best, i + 1, j + 1));
            if let Some(slot) = best.get_mut(i * width + j) {
                *slot = sum;
            }
        }
    }
    let mut pairs = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() && j < to.len() {
        let sum = at(&best, i, j);
        if pair(i, j) > 0 && sum == pair(i, j) + at(&best, i + 1, j + 1) {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if sum == at(&best, i + 1, j) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// From 0 (nothing in common) to [`EQUAL`]. Objects are as alike as their members; any two arrays a little.
fn likeness(a: Node<'_>, b: Node<'_>) -> u32 {
    match (a.kind(), b.kind()) {
        _ if a == b => EQUAL,
        (Kind::Object(a), Kind::Object(b)) => {
            let common = a.iter().filter_map(|(key, a)| Some((a, b.get(key)?)));
            let (shared, equal) = common
                .fold((0, 0), |(shared, equal), (a, b)| (shared + 1, equal + usize::from(a == b)));
            if shared == 0 {
                return 0;
            }
            1 + (equal * (EQUAL as usize - 2) / a.len().max(b.len())) as u32
        }
        (Kind::Array(_), Kind::Array(_)) => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::json::patch::{apply, diff};

    #[track_caller]
    fn check(from: Value, to: Value, expect: &[&str]) {
        let patch = diff(&from, &to);
        let found: Vec<String> = patch.0.iter().map(|op| json!(op).to_string()).collect();
        assert_eq!(found, expect, "{from} -> {to}");
        let mut value = from;
        apply(&mut value, &patch).unwrap();
        assert_eq!(value, to);
    }

    #[test]
    fn members() {
        check(json!({"a": 1}), json!({"a": 1}), &[]);
        check(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), &[]);
        check(
            json!({"a": {"b": {"c": 1, "d": 2}}}),
            json!({"a": {"b": {"c": 3, "d": 2}}}),
            &[r#"{"op":"replace","path":"/a/b/c","value":3}"#],
        );
        check(
            json!({"a": 1, "b/~": 2}),
            json!({"b/~": 3, "c": null}),
            &[
                r#"{"op":"remove","path":"/a"}"#,
                r#"{"op":"replace","path":"/b~1~0","value":3}"#,
                r#"{"op":"add","path":"/c","value":null}"#,
            ],
        );
        check(json!({"a": [1]}), json!({"a": {}}), &[r#"{"op":"replace","path":"/a","value":{}}"#]);
        check(json!(1), json!(2), &[r#"{"op":"replace","path":"","value":2}"#]);
        check(
            json!({"a": 1}),
            json!({"b": 1}),
            &[r#"{"op":"remove","path":"/a"}"#, r#"{"op":"add","path":"/b","value":1}"#],
        );
    }

    #[test]
    fn elements_are_aligned() {
        check(json!([1, 2, 3]), json!([1, 3]), &[r#"{"op":"remove","path":"/1"}"#]);
        check(json!([1, 3]), json!([1, 2, 3]), &[r#"{"op":"add","path":"/1","value":2}"#]);
        check(json!([1, 1]), json!([1]), &[r#"{"op":"remove","path":"/1"}"#]);
        check(json!([]), json!([1]), &[r#"{"op":"add","path":"/0","value":1}"#]);
        check(json!([1, 2, 3]), json!([1, 9, 3]), &[r#"{"op":"replace","path":"/1","value":9}"#]);
        check(
            json!([1, 2, 3, 4]),
            json!([2, 4, 5]),
            &[
                r#"{"op":"remove","path":"/0"}"#,
                r#"{"op":"remove","path":"/1"}"#,
                r#"{"op":"add","path":"/2","value":5}"#,
            ],
        );
    }

    #[test]
    fn a_changed_element_is_patched_within() {
        check(
            json!([{"name": "app", "image": "a:1"}]),
            json!([{"name": "side", "image": "s:1"}, {"name": "app", "image": "a:2"}]),
            &[
                r#"{"op":"add","path":"/0","value":{"name":"side","image":"s:1"}}"#,
                r#"{"op":"replace","path":"/1/image","value":"a:2"}"#,
            ],
        );
        check(
            json!([{"name": "a", "x": 1}, {"name": "b", "x": 1}, {"name": "c", "x": 1}]),
            json!([{"name": "a", "x": 2}, {"name": "c", "x": 2}]),
            &[
                r#"{"op":"replace","path":"/0/x","value":2}"#,
                r#"{"op":"remove","path":"/1"}"#,
                r#"{"op":"replace","path":"/1/x","value":2}"#,
            ],
        );
        check(json!([[1, 2]]), json!([[1, 2, 3]]), &[r#"{"op":"add","path":"/0/2","value":3}"#]);
        check(
            json!([{"a": 1}]),
            json!([{"b": 1}]),
            &[r#"{"op":"replace","path":"/0","value":{"b":1}}"#],
        );
    }

    #[test]
    fn long_changes_are_paired_in_order() {
        let from: Vec<u32> = (0..1_000).collect();
        let to: Vec<u32> = (500..1_200).collect();
        let (from, to) = (json!(from), json!(to));
        let patch = diff(&from, &to);
        assert_eq!(patch.0.len(), 1_000);
        let mut value = from;
        apply(&mut value, &patch).unwrap();
        assert_eq!(value, to);
    }
}
