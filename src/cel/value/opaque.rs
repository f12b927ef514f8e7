//! Values that only the functions of their library can look into: quantities, addresses, URLs, versions,
//! formats, and what the authorizer is asked with.

use std::fmt;
use std::net::IpAddr;

use crate::cel::authorization::{Authorizer, Decision, GroupCheck, PathCheck, ResourceCheck};
use crate::cel::formats::NamedFormat;
use crate::cel::net::Cidr;
use crate::cel::quantity::Quantity;
use crate::cel::semver::Semver;
use crate::cel::url::Url;

/// A value of a library's own type. Copying it copies no more than a reference.
#[derive(Clone, Copy, Debug)]
pub enum Opaque<'a> {
    /// `kubernetes.Quantity`
    Quantity(&'a Quantity<'a>),
    /// `net.IP`
    Ip(&'a IpAddr),
    /// `net.CIDR`
    Cidr(&'a Cidr),
    /// `kubernetes.URL`
    Url(&'a Url<'a>),
    /// `kubernetes.Semver`
    Semver(&'a Semver<'a>),
    /// `kubernetes.NamedFormat`
    Format(&'static NamedFormat),
    /// `kubernetes.authorization.Authorizer`
    Authorizer(Authorizer<'a>),
    /// `kubernetes.authorization.PathCheck`
    PathCheck(&'a PathCheck<'a>),
    /// `kubernetes.authorization.GroupCheck`
    GroupCheck(&'a GroupCheck<'a>),
    /// `kubernetes.authorization.ResourceCheck`
    ResourceCheck(&'a ResourceCheck<'a>),
    /// `kubernetes.authorization.Decision`
    Decision(Decision<'a>),
}

impl Opaque<'_> {
    /// The name of its type.
    pub fn type_name(self) -> &'static str {
        match self {
            Opaque::Quantity(_) => "kubernetes.Quantity",
            Opaque::Ip(_) => "net.IP",
            Opaque::Cidr(_) => "net.CIDR",
            Opaque::Url(_) => "kubernetes.URL",
            Opaque::Semver(_) => "kubernetes.Semver",
            Opaque::Format(_) => "kubernetes.NamedFormat",
            Opaque::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Opaque::PathCheck(_) => "kubernetes.authorization.PathCheck",
            Opaque::GroupCheck(_) => "kubernetes.authorization.GroupCheck",
            Opaque::ResourceCheck(_) => "kubernetes.authorization.ResourceCheck",
            Opaque::Decision(_) => "kubernetes.authorization.Decision",
        }
    }

    /// Octets of an address, or of the part of it that names the network; 1 for the others.
    pub(crate) fn size(self) -> u64 {
        match self {
            Opaque::Ip(IpAddr::V4(_)) => 4,
            Opaque::Ip(IpAddr::V6(_)) => 16,
            Opaque::Cidr(cidr) => u64::from(cidr.bits()).div_ceil(8),
            _ => 1,
        }
    }

    /// Whether Kubernetes finds the two equal, this one on the left; `None` where it does not compare
    /// them. Nothing of the authorizer is ever compared.
    pub(crate) fn equality(self, other: Opaque<'_>) -> Option<bool> {
        match (self, other) {
            (Opaque::Quantity(one), Opaque::Quantity(two)) => one.equality(two),
            (Opaque::Ip(one), Opaque::Ip(two)) => Some(one == two),
            (Opaque::Cidr(one), Opaque::Cidr(two)) => Some(one == two),
            (Opaque::Url(one), Opaque::Url(two)) => Some(one.to_string() == two.to_string()),
            (Opaque::Semver(one), Opaque::Semver(two)) => Some(one.compare(two).is_eq()),
            (Opaque::Format(one), Opaque::Format(two)) => Some(one.name == two.name),
            _ => None,
        }
    }
}

/// The text of the value, where it has one.
impl fmt::Display for Opaque<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opaque::Quantity(quantity) => write!(f, "{quantity}"),
            Opaque::Ip(address) => write!(f, "{address}"),
            Opaque::Cidr(cidr) => write!(f, "{cidr}"),
            Opaque::Url(url) => write!(f, "{url}"),
            Opaque::Semver(version) => write!(f, "{version}"),
            Opaque::Format(format) => f.write_str(format.name),
            // Kubernetes has no other text for what belongs to the authorizer.
            _ => f.write_str("no such overload"),
        }
    }
}
