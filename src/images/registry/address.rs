//! Which addresses may be spoken to, whoever named the host: what a name leads to is looked at each time, and what was
//! looked at is what is connected to, so that a name that leads elsewhere a moment later leads nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// How many addresses of one name are tried. Registries have a handful.
const ADDRESSES_MAX: usize = 16;

/// Where clouds tell machines their secrets, beside the link-local addresses. Sources: the documentation of Azure, Alibaba,
/// Oracle, AWS and GCP.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Which addresses may be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::images::registry) enum Reach {
    /// Any: the host is one that an admin named.
    Any,
    /// Those of networks, private ones too.
    Networks,
    /// Those of the internet.
    Public,
}

/// A host that is where nobody may be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, {kind}: such hosts are asked only where they are allowed by name")]
pub(in crate::images::registry) struct AddressRefused {
    host: String,
    address: IpAddr,
    kind: &'static str,
}

impl Reach {
    /// That this address of a host may be spoken to.
    pub fn check(self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        let kind = match self {
            Reach::Any => None,
            Reach::Networks => special(address),
            Reach::Public => special(address).or_else(|| private(address)),
        };
        match kind {
            None => Ok(()),
            Some(kind) => Err(AddressRefused { host: host.to_owned(), address, kind }),
        }
    }
}

/// What is no address of a registry in any network.
fn special(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("the metadata service of a cloud");
    }
    let ip = match address {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => {
            if let Some(inner) = inside(ip) {
                return special(IpAddr::V4(inner));
            }
            return match ip {
                ip if ip.is_loopback() => Some("a loopback address"),
                ip if ip.is_unspecified() => Some("no address at all"),
                ip if ip.is_unicast_link_local() => Some("a link-local address"),
                ip if ip.is_multicast() => Some("a multicast address"),
                _ => None,
            };
        }
    };
    match ip.octets() {
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [0, ..] => Some("no address at all"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

/// What is an address of a network of one's own.
fn private(address: IpAddr) -> Option<&'static str> {
    let is_private = match address {
        IpAddr::V4(ip) => {
            let shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_private() || shared
        }
        IpAddr::V6(ip) => match inside(ip) {
            Some(inner) => private(IpAddr::V4(inner)).is_some(),
            // fec0::/10 is how it was once written.
            None => ip.is_unique_local() || (ip.segments()[0] & 0xffc0) == 0xfec0,
        },
    };
    is_private.then_some("a private address")
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, through NAT64 (RFC 6052), or 6to4 (RFC 3056).
fn inside(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

/// Looks names up, and keeps the addresses that may be spoken to.
#[derive(Clone, Debug)]
pub(in crate::images::registry) struct Resolver {
    reach: Reach,
    inner: GaiResolver,
}

impl Resolver {
    pub fn new(reach: Reach) -> Resolver {
        Resolver { reach, inner: GaiResolver::new() }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (reach, host) = (self.reach, name.to_string());
        let found = self.inner.call(name);
        async move {
            let all: Vec<SocketAddr> = found.await?.take(ADDRESSES_MAX).collect();
            let (mut kept, mut refused) = (Vec::with_capacity(all.len()), None);
            for address in all {
                match reach.check(&host, address.ip()) {
                    Ok(()) => kept.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                Some(why) if kept.is_empty() => Err(why.into()),
                _ => Ok(kept.into_iter()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_registry_is_at_is_refused() {
        let check = |address: &str, networks: Option<&str>, public: Option<&str>| {
            let ip: IpAddr = address.parse().unwrap();
            for (reach, expect) in
                [(Reach::Any, None), (Reach::Networks, networks), (Reach::Public, public)]
            {
                let kind = reach.check("a.b", ip).err().map(|why| why.kind);
                assert_eq!(kind, expect, "{address} {reach:?}");
            }
        };
        let both = |address: &str, kind: &'static str| check(address, Some(kind), Some(kind));
        both("127.0.0.1", "a loopback address");
        both("127.8.9.1", "a loopback address");
        both("::1", "a loopback address");
        both("::ffff:127.0.0.1", "a loopback address");
        both("::127.0.0.1", "a loopback address");
        both("64:ff9b::7f00:1", "a loopback address");
        both("2002:7f00:1::", "a loopback address");
        both("169.254.169.254", "a link-local address");
        both("::ffff:169.254.169.254", "a link-local address");
        both("fe80::1", "a link-local address");
        both("0.0.0.0", "no address at all");
        both("0.1.2.3", "no address at all");
        both("::", "no address at all");
        both("224.0.0.1", "a multicast address");
        both("ff02::1", "a multicast address");
        both("255.255.255.255", "a reserved address");
        both("168.63.129.16", "the metadata service of a cloud");
        both("100.100.100.200", "the metadata service of a cloud");
        both("fd00:ec2::254", "the metadata service of a cloud");
        for ours in ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1"] {
            check(ours, None, Some("a private address"));
        }
        check("::ffff:10.0.0.1", None, Some("a private address"));
        for everybodys in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:1.1.1.1"]
        {
            check(everybodys, None, None);
        }
    }

    #[tokio::test]
    async fn a_name_leads_only_where_it_may() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Resolver::new(Reach::Networks).call(name()).await.unwrap_err();
        assert!(refused.to_string().contains("localhost is at "), "{refused}");
        assert!(refused.downcast_ref::<AddressRefused>().is_some());
        let found = Resolver::new(Reach::Any).call(name()).await.unwrap();
        assert!(found.count() > 0);
    }
}
