//! What the signatures of functions do not say: a template with as many arguments as it names, selectors that chain, objects
//! of mutations, names that shadow, lists that are long.

use crate::generate::Generator;
use crate::tree::Node;
use crate::types::{Ty, list, map};

/// Clauses of templates, and what they take; the last ones take nothing that there is.
const CLAUSES: &[(&str, &[Ty])] = &[
    ("%s", &[Ty::String, Ty::Int, Ty::Dyn, Ty::Bytes, Ty::Type, Ty::Null, Ty::Timestamp]),
    ("%s", &[Ty::Duration, Ty::Double, Ty::Bool, Ty::Uint]),
    ("%d", &[Ty::Int, Ty::Uint, Ty::Double, Ty::Dyn]),
    ("%f", &[Ty::Double, Ty::Int, Ty::Uint]),
    ("%.0f", &[Ty::Double, Ty::Dyn]),
    ("%.3f", &[Ty::Double, Ty::Int]),
    ("%.20f", &[Ty::Double]),
    ("%e", &[Ty::Double, Ty::Int]),
    ("%.1e", &[Ty::Double]),
    ("%x", &[Ty::Int, Ty::Uint, Ty::String, Ty::Bytes, Ty::Dyn]),
    ("%X", &[Ty::Int, Ty::String, Ty::Bytes]),
    ("%o", &[Ty::Int, Ty::Uint]),
    ("%b", &[Ty::Int, Ty::Uint, Ty::Bool]),
    ("%%", &[]),
    ("%q", &[Ty::String]),
    ("%", &[Ty::String]),
];

/// Ways into an `Object`.
const FIELDS: &[&str] = &["spec", "metadata", "a", "labels"];

impl Generator<'_> {
    /// Something of this type that no signature leads to.
    pub fn special(&mut self, ty: &Ty, depth: usize) -> Option<Node> {
        match ty {
            Ty::String => Some(self.formatted(depth)),
            Ty::Dyn if self.has_mutation => Some(self.object_field(depth)),
            Ty::Bool if self.has_mutation && self.random.percent(40) => {
                let object = self.object("Object", depth);
                let field = *self.random.pick(FIELDS);
                Some(Node::of(Ty::Bool, &format!("has($.{field})"), vec![object]))
            }
            Ty::List(of) if **of == Ty::Int => {
                let count = self.random.below(2_000);
                Some(Node::text(ty.clone(), format!("lists.range({count})")))
            }
            Ty::Bool => {
                // A name of a type as that of a variable.
                let of = self.random.pick(&[Ty::Int, Ty::Type, Ty::Dyn]).clone();
                let range = self.expr(&list(of), depth - 1);
                let name = *self.random.pick(&["int", "string", "type", "v"]);
                let call = format!("$.filter({name}, type({name}) == {name} || true).size() < 2");
                Some(Node::of(Ty::Bool, &call, vec![range]))
            }
            _ => None,
        }
    }

    fn formatted(&mut self, depth: usize) -> Node {
        let mut template = String::new();
        let mut args = Vec::new();
        for _ in 0..=self.random.below(3) {
            let (clause, types) = *self.random.pick(CLAUSES);
            template.push_str(clause);
            let after: &&str = self.random.pick(&["", " ", "é", "%%"]);
            template.push_str(after);
            if !types.is_empty() {
                let ty = match self.random.below(12) {
                    0 => list(self.random.pick(types).clone()),
                    1 => map(Ty::String, self.random.pick(types).clone()),
                    _ => self.random.pick(types).clone(),
                };
                let arg = self.expr(&ty, depth - 1);
                args.push(Node::of(Ty::Dyn, "dyn($)", vec![arg]));
            }
        }
        if self.random.percent(8) {
            args.pop();
        }
        let args = Node::sequence(list(Ty::Dyn), "[", args, "]");
        let quote = if self.random.percent(80) { "'" } else { "string('" };
        let close = if quote == "'" { "'" } else { "')" };
        Node::of(Ty::String, &format!("{quote}{template}{close}.format($)"), vec![args])
    }

    fn object(&mut self, name: &str, depth: usize) -> Node {
        let ty = Ty::Opaque(name.to_owned());
        let mut fields = Vec::new();
        for field in FIELDS {
            if self.random.percent(60) {
                continue;
            }
            let value = if depth > 1 && self.random.percent(40) {
                self.object(&format!("{name}.{field}"), depth - 1)
            } else {
                let ty = self.random.pick(&[Ty::Int, Ty::Dyn, Ty::Type, Ty::String]).clone();
                self.expr(&ty, depth - 1)
            };
            fields.push(Node::of(Ty::Null, &format!("{field}: $"), vec![value]));
        }
        Node::sequence(ty, &format!("{name}{{"), fields, "}")
    }

    fn patch(&mut self, depth: usize) -> Node {
        let mut fields = Vec::new();
        for field in ["op", "path", "from", "value"] {
            if self.random.percent(50) {
                let text = field != "value" && self.random.percent(80);
                let value = self.expr(if text { &Ty::String } else { &Ty::Dyn }, depth - 1);
                fields.push(Node::of(Ty::Null, &format!("{field}: $"), vec![value]));
            }
        }
        Node::sequence(Ty::Opaque("JSONPatch".to_owned()), "JSONPatch{", fields, "}")
    }

    fn object_field(&mut self, depth: usize) -> Node {
        let is_patch = self.random.percent(30);
        let object = if is_patch { self.patch(depth) } else { self.object("Object", depth) };
        let fields = if is_patch { &["op", "value", "from"][..] } else { FIELDS };
        let around = *self.random.pick(&["$", "$", "dyn($)", "[$][0]", "optional.of($)"]);
        let mut way = around.to_owned();
        for _ in 0..self.random.below(3) {
            let dot = *self.random.pick(&[".", ".", ".?"]);
            way.push_str(dot);
            let field: &&str = self.random.pick(fields);
            way.push_str(field);
        }
        Node::of(Ty::Dyn, &way, vec![object])
    }
}
