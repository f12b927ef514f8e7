//! IP addresses.

use std::net::{IpAddr, Ipv4Addr};

use crate::cel::cost::{self, Charge};
use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, function, overload};
use crate::cel::net::{AddressError, parse_ip};
use crate::cel::quote::Quoted;
use crate::cel::value::{Context, Opaque, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "ip",
        about: "An IP address from text, or the address of a network. No zones, and no IPv4 mapped to IPv6.",
        overloads: &[
            overload("string_to_ip", "(string) -> net.IP")
                .since(30)
                .costs(Charge::Args(cost::traverse_first)),
            overload("cidr_ip", "net.CIDR.() -> net.IP").since(30),
        ],
        examples: &[
            ("ip('::1').family()", "6"),
            ("string(cidr('192.168.0.1/24').ip())", "\"192.168.0.1\""),
        ],
        cost: None,
        run: ip,
    },
    Function {
        name: "isIP",
        about: "Whether a text is an IP address.",
        overloads: &[overload("is_ip", "(string) -> bool").since(30)],
        examples: &[("isIP('127.0.0.1')", "true"), ("isIP('127.0.0.256')", "false")],
        cost: Some(Charge::Args(cost::traverse_first)),
        run: is_ip,
    },
    Function {
        name: "ip.isCanonical",
        about: "Whether an IP address is written the one way it is shown.",
        overloads: &[overload("ip_is_canonical", "(string) -> bool").since(30)],
        examples: &[
            ("ip.isCanonical('2001:db8::abcd')", "true"),
            ("ip.isCanonical('2001:DB8::ABCD')", "false"),
        ],
        cost: Some(Charge::Args(|args| (cost::size(args, 0) as f64 * 2.0 * 0.1).ceil() as u64)),
        run: is_canonical,
    },
    function(
        "family",
        "4 or 6.",
        &[overload("ip_family", "net.IP.() -> int").since(30)],
        &[("ip('127.0.0.1').family()", "4")],
        family,
    ),
    function(
        "isUnspecified",
        "Whether it is `0.0.0.0` or `::`.",
        &[overload("ip_is_unspecified", "net.IP.() -> bool").since(30)],
        &[("ip('::').isUnspecified()", "true")],
        is_unspecified,
    ),
    function(
        "isLoopback",
        "Whether it is of `127.0.0.0/8`, or `::1`.",
        &[overload("ip_is_loopback", "net.IP.() -> bool").since(30)],
        &[("ip('127.1.2.3').isLoopback()", "true")],
        is_loopback,
    ),
    function(
        "isLinkLocalMulticast",
        "Whether it is of `224.0.0.0/24` or `ff02::/16`.",
        &[overload("ip_is_link_local_multicast", "net.IP.() -> bool").since(30)],
        &[("ip('ff02::1').isLinkLocalMulticast()", "true")],
        is_link_local_multicast,
    ),
    function(
        "isLinkLocalUnicast",
        "Whether it is of `169.254.0.0/16` or `fe80::/10`.",
        &[overload("ip_is_link_local_unicast", "net.IP.() -> bool").since(30)],
        &[("ip('169.254.169.254').isLinkLocalUnicast()", "true")],
        is_link_local_unicast,
    ),
    function(
        "isGlobalUnicast",
        "Whether it is none of the special addresses above, no multicast and no broadcast.",
        &[overload("ip_is_global_unicast", "net.IP.() -> bool").since(30)],
        &[("ip('192.168.0.1').isGlobalUnicast()", "true")],
        is_global_unicast,
    ),
];

/// The address that a text is, or the fault that it is none.
fn read<'a>(context: Context<'a>, text: &'a str) -> Result<IpAddr, &'a Fault<'a>> {
    parse_ip(text).map_err(|error| match error {
        AddressError::Syntax { .. } => {
            let quoted = Quoted(text);
            let what = "parse error during conversion from string";
            Fault::text(context.arena, format_args!("IP Address {quoted} {what}: {error}"))
        }
        error => Fault::text(context.arena, error),
    })
}

fn ip<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let address = match args {
        [Value::String(text)] => read(context, text)?,
        [Value::Opaque(Opaque::Cidr(cidr))] => cidr.address(),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    Ok(Value::Opaque(Opaque::Ip(context.arena.keep(address))))
}

fn is_ip<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse_ip(text).is_ok())),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn is_canonical<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(read(context, text)?.to_string() == *text)),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn of<'a>(context: Context<'a>, args: &[Value<'a>]) -> Result<IpAddr, &'a Fault<'a>> {
    match args {
        [Value::Opaque(Opaque::Ip(address))] => Ok(**address),
        _ => Err(Fault::no_overload(context.arena)),
    }
}

fn family<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args).map(|address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
}

fn is_unspecified<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args).map(|address| Value::Bool(address.is_unspecified()))
}

fn is_loopback<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args).map(|address| Value::Bool(address.is_loopback()))
}

fn is_link_local_multicast<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(match of(context, args)? {
        IpAddr::V4(address) => address.to_bits() >> 8 == 0x00e0_0000,
        IpAddr::V6(address) => address.to_bits() >> 112 & 0xff0f == 0xff02,
    }))
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_link_local_unicast<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    of(context, args).map(|address| Value::Bool(link_local(address)))
}

fn is_global_unicast<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let address = of(context, args)?;
    let special = address.is_unspecified()
        || address == IpAddr::V4(Ipv4Addr::BROADCAST)
        || address.is_loopback()
        || address.is_multicast()
        || link_local(address);
    Ok(Value::Bool(!special))
}
