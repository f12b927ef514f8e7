//! Which expressions the checker accepts, and of which type they are.

use crate::cel::env::Env;
use crate::cel::types::{StructType, Type};
use crate::cel::version::Version;

fn env() -> Env {
    let request = StructType::new(
        "kubernetes.AdmissionRequest",
        [("name", Type::String), ("dryRun", Type::Bool)],
    );
    Env::kubernetes(Version::LATEST)
        .declare("object", Type::Dyn)
        .declare("request", request)
        .declare("labels", Type::map(Type::String, Type::String))
}

fn check(source: &str, expect: &str) {
    let seen = match env().compile(source, &[]) {
        Ok(program) => program.output().to_string(),
        Err(error) => error.message().to_owned(),
    };
    assert_eq!(seen, expect, "{source}");
}

#[test]
fn types_are_inferred() {
    for (source, expect) in [
        ("1 + 2", "int"),
        ("object.spec.replicas", "dyn"),
        ("object.spec.replicas > 5", "bool"),
        ("request.name", "string"),
        ("labels.app", "string"),
        ("labels.?app", "optional_type(string)"),
        ("labels.?app.orValue('x')", "string"),
        ("[1, 2].map(x, string(x))", "list(string)"),
        ("object.items.filter(i, i.ok)", "list(dyn)"),
        ("{'a': [1]}", "map(string, list(int))"),
        ("[]", "list(dyn)"),
        ("true ? 1 : object.x", "dyn"),
        ("type(1)", "type(int)"),
        ("labels.transformList(k, v, k + v)", "list(string)"),
        ("has(object.spec)", "bool"),
    ] {
        check(source, expect);
    }
}

#[test]
fn what_does_not_agree_is_refused() {
    for (source, expect) in [
        ("objet.spec", "undeclared reference to 'objet' (in container '')"),
        ("1 + 'a'", "found no matching overload for '_+_' applied to '(int, string)'"),
        ("request.nam", "undefined field 'nam'"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("'a'.matches('(')", "invalid matches argument"),
        ("duration('1 day')", "invalid duration argument"),
        (
            "1.all(x, true)",
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1].all(x, x + 1)", "expected type 'bool' but found 'int'"),
        ("'a'.size", "type 'string' does not support field selection"),
        ("foo(1)", "undeclared reference to 'foo' (in container '')"),
        ("JSONPatch{op: 'add'}", "undeclared reference to 'JSONPatch' (in container '')"),
    ] {
        check(source, expect);
    }
}

#[test]
fn a_type_is_asked_for() {
    let error = env().compile("object.spec.ok", &[Type::Bool]).unwrap_err();
    assert_eq!(error.message(), "must evaluate to bool but got dyn");
    let error = env().compile("1", &[Type::String, Type::Bool]).unwrap_err();
    assert_eq!(error.message(), "must evaluate to one of [string bool] but got int");
}
