//! Which declared names an expression speaks of, and what it reads of each. What they stand for is not known here.

use std::collections::BTreeSet;

use crate::cel::ast::{Expr, ExprKind, Literal};
use crate::cel::diagnostic::{CompileError, Stage};
use crate::cel::env::Env;
use crate::cel::parser;

/// A name that an expression uses, and what it reads of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading {
    /// The name.
    pub name: String,
    /// The field that is read; none if the value is used whole, or under a key that is computed.
    pub field: Option<String>,
}

impl Env {
    /// What an expression reads of what is around it. The variables of its own comprehensions are not among it.
    ///
    /// ```
    /// use portcullis::cel::{Env, Version};
    ///
    /// let readings = Env::kubernetes(Version::default()).readings("a.b.c == 1 && [d].all(a, a.x)").unwrap();
    /// let told: Vec<_> = readings.iter().map(|r| (r.name.as_str(), r.field.as_deref())).collect();
    /// assert_eq!(told, [("a", Some("b")), ("d", None)]);
    /// ```
    ///
    /// # Errors
    /// If it does not parse.
    pub fn readings(&self, source: &str) -> Result<BTreeSet<Reading>, CompileError> {
        let (expr, _) = parser::parse(source, self.version())
            .map_err(|error| CompileError::new(source, Stage::Compile, vec![error]))?;
        let mut reader = Reader { readings: BTreeSet::new(), own: Vec::new() };
        reader.read(&expr);
        Ok(reader.readings)
    }
}

struct Reader<'e> {
    readings: BTreeSet<Reading>,
    /// The variables of the comprehensions around.
    own: Vec<&'e str>,
}

impl<'e> Reader<'e> {
    fn read(&mut self, expr: &'e Expr) {
        match &expr.kind {
            ExprKind::Ident(name) => self.add(name, None),
            ExprKind::Select { operand, field, .. } | ExprKind::OptSelect { operand, field } => {
                self.field(operand, field);
            }
            ExprKind::Call { function, args, .. }
                if matches!(function.as_str(), "_[_]" | "_[?_]") =>
            {
                match args.as_slice() {
                    [operand, Expr { kind: ExprKind::Literal(Literal::String(key)), .. }] => {
                        self.field(operand, key);
                    }
                    args => args.iter().for_each(|arg| self.read(arg)),
                }
            }
            ExprKind::Fold(fold) => {
                self.read(&fold.range);
                let outside = self.own.len();
                self.own.extend(
                    [Some(&fold.var), fold.var2.as_ref()].into_iter().flatten().map(String::as_str),
                );
                fold.filter.iter().chain([&fold.body]).for_each(|expr| self.read(expr));
                self.own.truncate(outside);
            }
            kind => kind.children().into_iter().for_each(|child| self.read(child)),
        }
    }

    fn field(&mut self, operand: &'e Expr, field: &str) {
        match &operand.kind {
            ExprKind::Ident(name) => self.add(name, Some(field)),
            _ => self.read(operand),
        }
    }

    fn add(&mut self, name: &str, field: Option<&str>) {
        // With a leading dot it is never a comprehension's.
        let plain = name.trim_start_matches('.');
        if plain == name && self.own.contains(&name) {
            return;
        }
        let field = field.map(str::to_owned);
        self.readings.insert(Reading { name: plain.to_owned(), field });
    }
}

#[cfg(test)]
mod tests {
    use crate::cel::{Env, Version};

    #[test]
    fn what_is_read_is_told_with_its_field() {
        let check = |source: &str, expect: &[&str]| {
            let readings = Env::kubernetes(Version::default()).readings(source).unwrap();
            let told: Vec<String> = readings
                .iter()
                .map(|r| r.field.as_ref().map_or(r.name.clone(), |f| format!("{}.{f}", r.name)))
                .collect();
            assert_eq!(told, expect, "{source}");
        };
        check("1 + 2", &[]);
        check("request.userInfo.username == 'a'", &["request.userInfo"]);
        check("request['userInfo'].username == 'a'", &["request.userInfo"]);
        check("request[?'userInfo'].hasValue()", &["request.userInfo"]);
        check("request.?userInfo.?username.orValue('') == ''", &["request.userInfo"]);
        check("has(request.userInfo)", &["request.userInfo"]);
        check(".request.userInfo == a", &["a", "request.userInfo"]);
        check(
            "request == null ? a.b : [c.d, {e.f: g.h}]",
            &["a.b", "c.d", "e.f", "g.h", "request"],
        );
        check("request[object.key]", &["object.key", "request"]);
        check("a.all(request, request.userInfo)", &["a"]);
        check("a.all(request, .request.userInfo)", &["a", "request.userInfo"]);
        check("request.x.all(request, request.y) && request.z", &["request.x", "request.z"]);
        check("a.b.transformMap(k, v, k == oldObject.k, v)", &["a.b", "oldObject.k"]);
        check("optional.of(x).optMap(v, v.y)", &["optional", "x"]);
        check("authorizer.requestResource.check('get').allowed()", &["authorizer.requestResource"]);
        check("Object{spec: Object.spec{replicas: variables.n}}", &["variables.n"]);
    }
}
