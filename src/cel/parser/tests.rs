//! What the grammar accepts and refuses.

use super::*;
use crate::cel::parser::unexpected::OPERAND;

fn check(source: &str, expect: &str) {
    let seen = match parse(source, Version::LATEST) {
        Ok((expr, _)) => show(&expr),
        Err(error) => format!("{}: {}", error.at, error.message),
    };
    assert_eq!(seen, expect, "{source}");
}

fn show(expr: &Expr) -> String {
    let list = |exprs: &[Expr]| exprs.iter().map(show).collect::<Vec<_>>().join(" ");
    match &expr.kind {
        ExprKind::Literal(literal) => format!("{literal:?}"),
        ExprKind::Ident(name) => name.clone(),
        ExprKind::Select { operand, field, test } => {
            format!("({}{} {field})", if *test { "has " } else { "." }, show(operand))
        }
        ExprKind::OptSelect { operand, field } => format!("(.?{} {field})", show(operand)),
        ExprKind::Call { target, function, args } => {
            let target = target.as_ref().map(|t| format!("{}.", show(t))).unwrap_or_default();
            format!("({target}{function} {})", list(args))
        }
        ExprKind::And(terms) => format!("(&& {})", list(terms)),
        ExprKind::Or(terms) => format!("(|| {})", list(terms)),
        ExprKind::List(elements) => {
            let elements: Vec<_> = elements.iter().map(|e| show(&e.value)).collect();
            format!("[{}]", elements.join(" "))
        }
        ExprKind::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|e| format!("{}:{}", show(&e.key), show(&e.value))).collect();
            format!("{{{}}}", entries.join(" "))
        }
        ExprKind::Struct { name, fields } => {
            let fields: Vec<_> =
                fields.iter().map(|f| format!("{}:{}", f.name, show(&f.value))).collect();
            format!("{name}{{{}}}", fields.join(" "))
        }
        ExprKind::Fold(fold) => {
            format!("({:?} {} {} {})", fold.kind, show(&fold.range), fold.var, show(&fold.body))
        }
    }
}

#[test]
fn text_becomes_a_tree() {
    for (source, expect) in [
        ("a + b * c - d", "(_-_ (_+_ a (_*_ b c)) d)"),
        ("a || b && c || d", "(|| a (&& b c) d)"),
        ("a ? b : c ? d : e", "(_?_:_ a b (_?_:_ c d e))"),
        ("!a.b", "(!_ (.a b))"),
        ("!!a", "a"),
        ("-1", "Int(-1)"),
        ("--1", "Int(1)"),
        ("-a", "(-_ a)"),
        ("a.b(c)[0].?d[?1]", "(_[?_] (.?(_[_] (a.b c) Int(0)) d) Int(1))"),
        ("a.b.C{x: 1, ?y: z}", "a.b.C{x:Int(1) y:z}"),
        ("[1, 2u, 3.0,]", "[Int(1) Uint(2) Double(3.0)]"),
        ("[,]", "[]"),
        ("{'a': null}", r#"{String("a"):Null}"#),
        ("has(a.b)", "(has a b)"),
        ("x.all(i, i > 0)", "(All x i (_>_ i Int(0)))"),
        ("-9223372036854775808", "Int(-9223372036854775808)"),
        ("a in b == c", "(_==_ (@in a b) c)"),
    ] {
        check(source, expect);
    }
}

#[test]
fn what_is_no_expression_is_refused_where_it_breaks() {
    for (source, expect) in [
        ("1 +", &format!("3: Syntax error: mismatched input '<EOF>' expecting {OPERAND}")[..]),
        ("&& a", &format!("0: Syntax error: extraneous input '&&' expecting {OPERAND}")[..]),
        ("a b", "2: Syntax error: extraneous input 'b' expecting <EOF>"),
        ("a b c", "2: Syntax error: mismatched input 'b' expecting <EOF>"),
        ("(a", "2: Syntax error: missing ')' at '<EOF>'"),
        ("(a b", "3: Syntax error: mismatched input 'b' expecting ')'"),
        ("f(1", "3: Syntax error: missing ')' at '<EOF>'"),
        ("[1", "2: Syntax error: mismatched input '<EOF>' expecting {']', ','}"),
        ("[1, ", "4: Syntax error: missing ']' at '<EOF>'"),
        ("[1, )", "4: Syntax error: mismatched input ')' expecting ']'"),
        ("[1 2]", "3: Syntax error: extraneous input '2' expecting {']', ','}"),
        ("{1: 2,", "6: Syntax error: missing '}' at '<EOF>'"),
        ("a.", "2: Syntax error: no viable alternative at input '.'"),
        ("a..b", "2: Syntax error: no viable alternative at input '..'"),
        ("for", "0: reserved identifier: for"),
        ("9223372036854775808", "0: invalid int literal"),
        ("x.all(1, true)", "6: argument must be a simple name"),
        ("has(a)", "4: invalid argument to has() macro"),
    ] {
        check(source, expect);
    }
}

#[test]
fn nesting_has_a_limit() {
    let chain = |count: usize| vec!["1"; count].join(" + ");
    assert!(parse(&chain(NESTING_MAX + 1), Version::LATEST).is_ok());
    assert!(parse(&chain(NESTING_MAX + 2), Version::LATEST).is_err());
    let brackets = |count: usize| format!("{}1{}", "(".repeat(count), ")".repeat(count));
    assert!(parse(&brackets(NESTING_MAX - 1), Version::LATEST).is_ok());
    assert!(parse(&brackets(100_000 / 3), Version::LATEST).is_err());
    let terms = vec!["a"; 10_000].join(" || ");
    assert!(parse(&terms, Version::LATEST).is_ok());
}
