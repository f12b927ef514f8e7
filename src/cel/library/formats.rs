//! The named formats, such as `format.dns1123Label()`.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::formats;
use crate::cel::library::{Function, overload};
use crate::cel::value::{Context, List, Opaque, Value};

/// A function that gives a format.
macro_rules! constant {
    ($key:literal, $about:literal, $valid:literal) => {
        Function {
            name: concat!("format.", $key),
            about: $about,
            overloads: &[
                overload(concat!("format.", $key), "() -> kubernetes.NamedFormat").since(31)
            ],
            examples: &[(
                concat!("format.", $key, "().validate('", $valid, "').hasValue()"),
                "false",
            )],
            cost: None,
            run: |_, _| Ok(by_name($key)),
        }
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    constant!("dns1123Label", "A DNS label that may begin with a digit.", "my-name"),
    constant!("dns1123Subdomain", "DNS labels with dots between them.", "example.com"),
    constant!("dns1035Label", "A DNS label that begins with a letter.", "my-name"),
    constant!("qualifiedName", "The key of a label or an annotation.", "example.com/MyName"),
    constant!(
        "dns1123LabelPrefix",
        "The beginning of such a label; a hyphen may end it.",
        "my-name-"
    ),
    constant!(
        "dns1123SubdomainPrefix",
        "The beginning of such labels; a hyphen may end it.",
        "example.com-"
    ),
    constant!(
        "dns1035LabelPrefix",
        "The beginning of such a label; a hyphen may end it.",
        "my-name-"
    ),
    constant!("labelValue", "The value of a label.", "my_value"),
    constant!("uri", "An absolute URI or an absolute path.", "https://example.com"),
    constant!("uuid", "A UUID, with or without hyphens.", "123e4567-e89b-12d3-a456-426614174000"),
    constant!("byte", "Octets in base64.", "YWJj"),
    constant!("date", "A day such as `2006-01-02`.", "2006-01-02"),
    constant!("datetime", "An instant such as `2006-01-02T15:04:05Z`.", "2006-01-02T15:04:05Z"),
    Function {
        name: "format.named",
        about: "The format of a name, if there is one.",
        overloads: &[
            overload("format-named", "(string) -> optional_type(kubernetes.NamedFormat)").since(31)
        ],
        examples: &[("format.named('no-such-format').hasValue()", "false")],
        cost: None,
        run: named,
    },
    Function {
        name: "validate",
        about: "What is wrong with a text that should have a format; nothing, if nothing is.",
        overloads: &[overload(
            "format-validate",
            "kubernetes.NamedFormat.(string) -> optional_type(list(string))",
        )
        .since(31)],
        examples: &[("format.byte().validate('!').value()", "[\"invalid base64\"]")],
        cost: Some(Charge::Args(|args| match args {
            [Value::Opaque(Opaque::Format(format)), _] => {
                cost::search(cost::size(args, 1), format.pattern_size)
            }
            _ => 1,
        })),
        run: validate,
    },
];

fn by_name<'a>(key: &str) -> Value<'a> {
    formats::named(key).map_or(Value::Null, |format| Value::Opaque(Opaque::Format(format)))
}

fn named<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::String(key)] = args else { return Err(Fault::no_overload(context.arena)) };
    let format = formats::named(key).map(|format| Value::Opaque(Opaque::Format(format)));
    Ok(Value::Optional(format.map(|format| context.arena.keep(format))))
}

fn validate<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [Value::Opaque(Opaque::Format(format)), Value::String(text)] = args else {
        return Err(Fault::no_overload(arena));
    };
    let wrong = (format.validate)(text);
    if wrong.is_empty() {
        return Ok(Value::Optional(None));
    }
    let full = |exhausted: crate::cel::value::Exhausted| exhausted.fault(arena);
    let mut texts = arena.vec(wrong.len()).map_err(full)?;
    for text in &wrong {
        texts.push(Value::String(arena.text(text).map_err(full)?));
    }
    let list = Value::List(List::values(texts.into_bump_slice()));
    Ok(Value::Optional(Some(arena.keep(list))))
}
