//! IP addresses and networks, read as Go reads them and refused in its words. Nothing here connects
//! to anything.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cel::quote::Quoted;

/// An address and how many of its leading bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AddressError<'t> {
    Syntax { text: &'t str, what: &'static str, at: &'t str },
    Zone(&'t str),
    Mapped(&'t str),
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CidrError<'t> {
    Address { text: &'t str, error: AddressError<'t> },
    Syntax { text: &'t str, what: &'static str },
    Bits { text: &'t str, bits: &'t str },
    Mapped(&'t str),
}

/// The error of Go's `netip.ParseAddr`.
impl fmt::Display for AddressError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Syntax { text, what, at: "" } => {
                write!(f, "ParseAddr({}): {what}", Quoted(text))
            }
            AddressError::Syntax { text, what, at } => {
                write!(f, "ParseAddr({}): {what} (at {})", Quoted(text), Quoted(at))
            }
            AddressError::Zone(text) => {
                write!(f, "IP address {} with zone value is not allowed", Quoted(text))
            }
            AddressError::Mapped(text) => {
                write!(f, "IPv4-mapped IPv6 address {} is not allowed", Quoted(text))
            }
        }
    }
}

/// The error of Kubernetes' `cidr`.
impl fmt::Display for CidrError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = "network address parse error during conversion from string: ";
        match self {
            CidrError::Address { text, error } => {
                write!(f, "{again}{again}netip.ParsePrefix({}): {error}", Quoted(text))
            }
            CidrError::Syntax { text, what } => {
                write!(f, "{again}{again}netip.ParsePrefix({}): {what}", Quoted(text))
            }
            CidrError::Bits { text, bits } => {
                let (text, bits) = (Quoted(text), Quoted(bits));
                let what = format_args!("bad bits after slash: {bits}");
                write!(f, "{again}{again}netip.ParsePrefix({text}): {what}")
            }
            CidrError::Mapped(text) => {
                write!(f, "{again}IPv4-mapped IPv6 address {} is not allowed", Quoted(text))
            }
        }
    }
}

/// Reads an address that Kubernetes takes: without a zone, and no IPv4 address in IPv6's clothes.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, AddressError<'_>> {
    match parse_address(text)? {
        (_, true) => Err(AddressError::Zone(text)),
        (address, false) if is_mapped(address) => Err(AddressError::Mapped(text)),
        (address, false) => Ok(address),
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

/// Reads an address as `netip.ParseAddr` does; also says whether it has a zone.
pub(crate) fn parse_address(text: &str) -> Result<(IpAddr, bool), AddressError<'_>> {
    match text.bytes().find(|c| matches!(c, b'.' | b':' | b'%')) {
        Some(b'.') => Ok((IpAddr::V4(Reader { text }.four(text)?.into()), false)),
        Some(b':') => Reader { text }.six(),
        Some(_) => Err(Reader { text }.error("missing IPv6 address", "")),
        None => Err(Reader { text }.error("unable to parse IP", "")),
    }
}

/// Knows the whole text, for errors.
#[derive(Clone, Copy)]
struct Reader<'t> {
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn error(self, what: &'static str, at: &'t str) -> AddressError<'t> {
        AddressError::Syntax { text: self.text, what, at }
    }

    /// The four numbers of an IPv4 address.
    fn four(self, text: &'t str) -> Result<[u8; 4], AddressError<'t>> {
        let mut fields = [0; 4];
        let mut done = 0;
        let (mut value, mut digits) = (0_u32, 0);
        let octets = text.as_bytes();
        for (at, c) in octets.iter().enumerate() {
            let rest = || text.get(at..).unwrap_or("");
            match c {
                b'0'..=b'9' if digits == 1 && value == 0 => {
                    return Err(self.error("IPv4 field has octet with leading zero", ""));
                }
                b'0'..=b'9' => {
                    value = value * 10 + u32::from(c - b'0');
                    digits += 1;
                    if value > 255 {
                        return Err(self.error("IPv4 field has value >255", ""));
                    }
                }
                b'.' if digits == 0 || at + 1 == octets.len() => {
                    return Err(self.error("IPv4 field must have at least one digit", rest()));
                }
                b'.' if done == 3 => return Err(self.error("IPv4 address too long", "")),
                b'.' => {
                    if let Some(field) = fields.get_mut(done) {
                        *field = value as u8;
                    }
                    done += 1;
                    (value, digits) = (0, 0);
                }
                _ => return Err(self.error("unexpected character", rest())),
            }
        }
        if done < 3 {
            return Err(self.error("IPv4 address too short", ""));
        }
        fields[3] = value as u8;
        Ok(fields)
    }

    fn six(self) -> Result<(IpAddr, bool), AddressError<'t>> {
        let (mut rest, zone) = match self.text.split_once('%') {
            Some((_, "")) => return Err(self.error("zone must be a non-empty string", "")),
            Some((address, _)) => (address, true),
            None => (self.text, false),
        };
        let mut octets: Vec<u8> = Vec::with_capacity(16);
        let mut ellipsis = None;
        if let Some(after) = rest.strip_prefix("::") {
            ellipsis = Some(0);
            rest = after;
            if rest.is_empty() {
                return Ok((Ipv6Addr::UNSPECIFIED.into(), zone));
            }
        }
        while octets.len() < 16 {
            let (group, after) = self.group(rest)?;
            if after.starts_with('.') {
                if ellipsis.is_none() && octets.len() != 12 {
                    let what =
                        "embedded IPv4 address must replace the final 2 fields of the address";
                    return Err(self.error(what, rest));
                }
                if octets.len() > 12 {
                    let what =
                        "too many hex fields to fit an embedded IPv4 at the end of the address";
                    return Err(self.error(what, rest));
                }
                octets.extend(self.four(rest)?);
                rest = "";
                break;
            }
            octets.extend(group.to_be_bytes());
            rest = after;
            if rest.is_empty() {
                break;
            }
            let Some(after) = rest.strip_prefix(':') else {
                return Err(self.error("unexpected character, want colon", rest));
            };
            if after.is_empty() {
                return Err(self.error("colon must be followed by more characters", rest));
            }
            rest = after;
            if let Some(after) = rest.strip_prefix(':') {
                if ellipsis.is_some() {
                    return Err(self.error("multiple :: in address", rest));
                }
                ellipsis = Some(octets.len());
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
        if !rest.is_empty() {
            return Err(self.error("trailing garbage after address", rest));
        }
        self.expand(octets, ellipsis).map(|address| (address.into(), zone))
    }

    /// Up to four hexadecimal digits.
    fn group(self, rest: &'t str) -> Result<(u16, &'t str), AddressError<'t>> {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        match digits.len() {
            0 => {
                let what = "each colon-separated field must have at least one digit";
                Err(self.error(what, rest))
            }
            1..=4 => Ok((u16::from_str_radix(digits, 16).unwrap_or(0), after)),
            _ => Err(self.error("each group must have 4 or less digits", rest)),
        }
    }

    fn expand(
        self,
        octets: Vec<u8>,
        ellipsis: Option<usize>,
    ) -> Result<Ipv6Addr, AddressError<'t>> {
        let missing = 16_usize.saturating_sub(octets.len());
        let (before, after) = match ellipsis {
            None if missing > 0 => return Err(self.error("address string too short", "")),
            Some(_) if missing == 0 => {
                let what = "the :: must expand to at least one field of zeros";
                return Err(self.error(what, ""));
            }
            at => octets.split_at(at.unwrap_or(octets.len()).min(octets.len())),
        };
        let zeros = std::iter::repeat_n(0, missing);
        let all = before.iter().copied().chain(zeros).chain(after.iter().copied());
        let mut full = [0; 16];
        full.iter_mut().zip(all).for_each(|(octet, value)| *octet = value);
        Ok(full.into())
    }
}

impl Cidr {
    /// Reads `address/bits`.
    pub(crate) fn parse(text: &str) -> Result<Cidr, CidrError<'_>> {
        let Some((address, bits)) = text.rsplit_once('/') else {
            return Err(CidrError::Syntax { text, what: "no '/'" });
        };
        let (address, zone) =
            parse_address(address).map_err(|error| CidrError::Address { text, error })?;
        if zone {
            return Err(CidrError::Syntax {
                text,
                what: "IPv6 zones cannot be present in a prefix",
            });
        }
        let plain =
            bits.bytes().all(|c| c.is_ascii_digit()) && (bits.len() < 2 || !bits.starts_with('0'));
        // More digits than an integer of Go has are no number to it.
        let length = bits.parse::<i64>().ok().filter(|_| plain);
        let length = length.ok_or(CidrError::Bits { text, bits })?;
        match u8::try_from(length) {
            Ok(bits) if bits <= width(address) && !is_mapped(address) => Ok(Cidr { address, bits }),
            Ok(bits) if bits <= width(address) => Err(CidrError::Mapped(text)),
            _ => Err(CidrError::Syntax { text, what: "prefix length out of range" }),
        }
    }

    pub(crate) fn address(self) -> IpAddr {
        self.address
    }

    pub(crate) fn bits(self) -> u8 {
        self.bits
    }

    /// The network with every bit that does not name it cleared.
    pub(crate) fn masked(self) -> Cidr {
        let keep = u32::from(self.bits);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - keep).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - keep).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Cidr { address, ..self }
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        width(address) == width(self.address) && Cidr { address, ..self }.masked() == self.masked()
    }

    /// Whether every address of the other network is in this one.
    pub(crate) fn contains_all(self, other: Cidr) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        let show = |text| match parse_ip(text) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        };
        for (text, expect) in [
            ("127.0.0.1", "127.0.0.1"),
            ("2001:DB8:0:0::abcd", "2001:db8::abcd"),
            ("::1.2.3.4", "::102:304"),
            ("01.2.3.4", "ParseAddr(\"01.2.3.4\"): IPv4 field has octet with leading zero"),
            (
                "1.2..4",
                "ParseAddr(\"1.2..4\"): IPv4 field must have at least one digit (at \".4\")",
            ),
            ("1:2", "ParseAddr(\"1:2\"): address string too short"),
            ("fe80::1%eth0", "IP address \"fe80::1%eth0\" with zone value is not allowed"),
            ("::ffff:1.2.3.4", "IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed"),
            ("", "ParseAddr(\"\"): unable to parse IP"),
        ] {
            assert_eq!(show(text), expect, "{text}");
        }
    }

    #[test]
    fn networks_hold_addresses_of_their_family() {
        let cidr = |text| Cidr::parse(text).unwrap();
        assert!(cidr("10.0.0.0/8").contains(parse_ip("10.255.0.1").unwrap()));
        assert!(!cidr("0.0.0.0/0").contains(parse_ip("::1").unwrap()));
        assert!(cidr("::/0").contains_all(cidr("fe80::/10")));
        assert_eq!(cidr("192.168.3.7/20").masked().to_string(), "192.168.0.0/20");
        assert!(Cidr::parse("1.2.3.4/033").is_err());
    }
}
