//! Networks in CIDR notation.

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, overload};
use crate::cel::net::{Cidr, parse_ip};
use crate::cel::value::{Context, Opaque, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "cidr",
        about: "A network from text such as `192.168.0.0/16`.",
        overloads: &[overload("string_to_cidr", "(string) -> net.CIDR").since(30)],
        examples: &[("cidr('::1/128').prefixLength()", "128")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: cidr,
    },
    Function {
        name: "isCIDR",
        about: "Whether a text is a network.",
        overloads: &[overload("is_cidr", "(string) -> bool").since(30)],
        examples: &[("isCIDR('10.0.0.0/8')", "true"), ("isCIDR('10.0.0.0/33')", "false")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: is_cidr,
    },
    Function {
        name: "containsIP",
        about: "Whether a network has an address.",
        overloads: &[
            overload("cidr_contains_ip_string", "net.CIDR.(string) -> bool")
                .since(30)
                .costs(Charge::Args(|args| search(args) + cost::traverse(cost::size(args, 1)))),
            overload("cidr_contains_ip_ip", "net.CIDR.(net.IP) -> bool").since(30),
        ],
        examples: &[("cidr('192.168.0.0/24').containsIP('192.168.0.1')", "true")],
        cost: Some(Charge::Args(search)),
        run: contains_ip,
    },
    Function {
        name: "containsCIDR",
        about: "Whether a network has every address of another.",
        overloads: &[
            overload("cidr_contains_cidr_string", "net.CIDR.(string) -> bool")
                .since(30)
                .costs(Charge::Args(|args| search_all(args) + cost::traverse(cost::size(args, 1)))),
            overload("cidr_contains_cidr", "net.CIDR.(net.CIDR) -> bool").since(30),
        ],
        examples: &[("cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')", "true")],
        cost: Some(Charge::Args(search_all)),
        run: contains_cidr,
    },
    Function {
        name: "masked",
        about: "The network, every bit of the address cleared that does not name it.",
        overloads: &[overload("cidr_masked", "net.CIDR.() -> net.CIDR").since(30)],
        examples: &[("string(cidr('192.168.0.1/24').masked())", "\"192.168.0.0/24\"")],
        cost: None,
        run: masked,
    },
    Function {
        name: "prefixLength",
        about: "How many bits name the network.",
        overloads: &[overload("cidr_prefix_length", "net.CIDR.() -> int").since(30)],
        examples: &[("cidr('192.168.0.0/16').prefixLength()", "16")],
        cost: None,
        run: prefix_length,
    },
];

/// Going through the octets that name the network, and those of the address.
fn search(args: &[Value<'_>]) -> u64 {
    cost::traverse(2 * cost::size(args, 0))
}

/// The same and masking the network.
fn search_all(args: &[Value<'_>]) -> u64 {
    search(args) + cost::traverse(cost::size(args, 0)) + 1
}

fn read<'a>(context: Context<'a>, text: &'a str) -> Result<Cidr, &'a Fault<'a>> {
    Cidr::parse(text).map_err(|error| Fault::text(context.arena, error))
}

fn cidr<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => {
            let cidr = context.arena.keep(read(context, text)?);
            Ok(Value::Opaque(Opaque::Cidr(cidr)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn is_cidr<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(Cidr::parse(text).is_ok())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn contains_ip<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Opaque(Opaque::Ip(address))] => {
            Ok(Value::Bool(cidr.contains(**address)))
        }
        // Kubernetes does not say what is wrong with the address.
        [Value::Opaque(Opaque::Cidr(cidr)), Value::String(text)] => match parse_ip(text) {
            Ok(address) => Ok(Value::Bool(cidr.contains(address))),
            Err(_) => Err(Fault::no_overload(context.arena)),
        },
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn contains_cidr<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr)), Value::Opaque(Opaque::Cidr(other))] => {
            Ok(Value::Bool(cidr.contains_all(**other)))
        }
        [Value::Opaque(Opaque::Cidr(cidr)), Value::String(text)] => {
            Ok(Value::Bool(cidr.contains_all(read(context, text)?)))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn masked<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr))] => {
            Ok(Value::Opaque(Opaque::Cidr(context.arena.keep(cidr.masked()))))
        }
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn prefix_length<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Cidr(cidr))] => Ok(Value::Int(i64::from(cidr.bits()))),
        _ => Err(Fault::no_overload(context.arena)),
    }
}
