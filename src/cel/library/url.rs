//! URLs and their parts.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, function, overload};
use crate::cel::url::{Url, UrlError, check};
use crate::cel::value::{Context, Exhausted, List, Map, Opaque, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "url",
        about: "A URL from an absolute URI or an absolute path.",
        overloads: &[overload("string_to_url", "(string) -> kubernetes.URL")],
        examples: &[("url('https://example.com:80/').getHost()", "\"example.com:80\"")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: url,
    },
    function(
        "isURL",
        "Whether a text is an absolute URI or an absolute path.",
        &[overload("is_url_string", "(string) -> bool")],
        &[("isURL('/path')", "true"), ("isURL('../path')", "false")],
        is_url,
    ),
    function(
        "getScheme",
        "The scheme in lower case, or nothing.",
        &[overload("url_get_scheme", "kubernetes.URL.() -> string")],
        &[("url('https://example.com/').getScheme()", "\"https\"")],
        scheme,
    ),
    function(
        "getHost",
        "The host and the port, or nothing.",
        &[overload("url_get_host", "kubernetes.URL.() -> string")],
        &[("url('https://[::1]:80/').getHost()", "\"[::1]:80\"")],
        host,
    ),
    function(
        "getHostname",
        "The host without the port and without brackets, or nothing.",
        &[overload("url_get_hostname", "kubernetes.URL.() -> string")],
        &[("url('https://[::1]:80/').getHostname()", "\"::1\"")],
        hostname,
    ),
    function(
        "getPort",
        "The port, or nothing.",
        &[overload("url_get_port", "kubernetes.URL.() -> string")],
        &[("url('https://example.com:80/').getPort()", "\"80\"")],
        port,
    ),
    function(
        "getEscapedPath",
        "The path, escaped, or nothing.",
        &[overload("url_get_escaped_path", "kubernetes.URL.() -> string")],
        &[("url('https://example.com/a b').getEscapedPath()", "\"/a%20b\"")],
        escaped_path,
    ),
    function(
        "getQuery",
        "The parameters of the query, each with all its values.",
        &[overload("url_get_query", "kubernetes.URL.() -> map(string, list(string))")],
        &[("url('/p?k=a&k=b').getQuery()", "{\"k\": [\"a\", \"b\"]}")],
        query,
    ),
];

fn url<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let [Value::String(text)] = args else { return Err(Fault::no_overload(arena)) };
    match Url::parse(text, arena) {
        Ok(url) => Ok(Value::Opaque(Opaque::Url(arena.keep(url)))),
        Err(UrlError::Full) => Err(Exhausted.fault(arena)),
        Err(error) => {
            let message = format_args!("URL parse error during conversion from string: {error}");
            Err(Fault::text(arena, message))
        }
    }
}

fn is_url<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(check(text).is_ok())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn part<'a>(context: Context<'a>, args: &[Value<'a>], of: fn(&Url<'a>) -> &'a str) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Url(url))] => Ok(Value::String(of(url))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn scheme<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |url| url.scheme)
}

fn host<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |url| url.host)
}

fn hostname<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |url| url.host_and_port().0)
}

fn port<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |url| url.host_and_port().1)
}

fn escaped_path<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |url| url.escaped_path)
}

fn query<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let arena = context.arena;
    let full = |exhausted: Exhausted| exhausted.fault(arena);
    let [Value::Opaque(Opaque::Url(url))] = args else { return Err(Fault::no_overload(arena)) };
    let mut parameters = url.parameters();
    // The sort is stable: the values of a key keep their order.
    parameters.sort_by(|one, two| one.0.cmp(&two.0));
    let mut entries = arena.vec(parameters.len()).map_err(full)?;
    for same in parameters.chunk_by(|one, two| one.0 == two.0) {
        let Some((key, _)) = same.first() else { continue };
        let mut values = arena.vec(same.len()).map_err(full)?;
        for (_, value) in same {
            values.push(Value::String(arena.text(value).map_err(full)?));
        }
        let key = Value::String(arena.text(key).map_err(full)?);
        entries.push((key, Value::List(List::values(values.into_bump_slice()))));
    }
    Map::entries(entries.into_bump_slice(), arena).map(Value::Map).map_err(full)
}
