//! Which addresses an upstream may have: the gateway must not become a way into the operator's own network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::resource::parsed;

/// How far a target may reach, fixed when it is written, by who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Public addresses, and what the operator's allow-list names.
    Public,
    /// Loopback and private addresses as well: written by a platform administrator.
    Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    Public,
    Loopback,
    Private,
    /// Link-local and cloud-metadata addresses: refused to everyone.
    Metadata,
    /// Unspecified, multicast, broadcast, reserved: no server has such an address.
    Unusable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    #[error("{0} is a link-local or cloud-metadata address, which no upstream may have")]
    Metadata(IpAddr),
    #[error("{0} is not an address that a server can have")]
    Unusable(IpAddr),
    #[error(
        "{0} is a loopback or private address; a platform administrator must add it, or the operator's allow-list name it"
    )]
    Private(IpAddr),
}

/// Networks that tenants' own users may name as upstreams though they are loopback or private.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Network>);

impl AllowList {
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Whether a target of this reach may be at `address`.
pub fn permit(address: IpAddr, reach: Reach, allowed: &AllowList) -> Result<(), AddressRefused> {
    let address = unwrapped(address);
    match classify(address) {
        AddressClass::Public => Ok(()),
        AddressClass::Metadata => Err(AddressRefused::Metadata(address)),
        AddressClass::Unusable => Err(AddressRefused::Unusable(address)),
        AddressClass::Loopback | AddressClass::Private => match reach {
            Reach::Private => Ok(()),
            Reach::Public if allowed.contains(address) => Ok(()),
            Reach::Public => Err(AddressRefused::Private(address)),
        },
    }
}

pub fn classify(address: IpAddr) -> AddressClass {
    match unwrapped(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// Names under which clouds serve instance metadata.
pub fn is_metadata_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    ["metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"]
        .iter()
        .any(|name| host.eq_ignore_ascii_case(name))
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    /// Alibaba Cloud, Azure's wire server and Oracle Cloud serve metadata outside 169.254/16.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    let [a, b, ..] = address.octets();
    if address.is_link_local() || METADATA.contains(&address) {
        AddressClass::Metadata
    } else if address.is_loopback() {
        AddressClass::Loopback
    } else if a == 0 || a >= 224 {
        AddressClass::Unusable
    } else if address.is_private() || (a == 100 && b & 0xc0 == 64) || (a == 198 && b & 0xfe == 18) {
        // RFC 1918, shared address space (RFC 6598), benchmarking networks (RFC 2544).
        AddressClass::Private
    } else {
        AddressClass::Public
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    /// Amazon and Google serve metadata in the unique-local range too.
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254),
    ];
    let first = address.segments()[0];
    if first & 0xffc0 == 0xfe80 || METADATA.contains(&address) {
        AddressClass::Metadata
    } else if address.is_loopback() {
        AddressClass::Loopback
    } else if address.is_unspecified() || address.is_multicast() {
        AddressClass::Unusable
    } else if first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfec0
        || address.segments()[..3] == [0x64, 0xff9b, 1]
    {
        // Unique local (RFC 4193), the deprecated site-local range (RFC 3879), and an operator's own NAT64
        // (RFC 8215), behind which there may be any address.
        AddressClass::Private
    } else {
        AddressClass::Public
    }
}

/// The IPv4 address inside an IPv6 one, where it carries one: mapped and compatible (RFC 4291), translated (RFC 2765),
/// 6to4 (RFC 3056), NAT64 (RFC 6052), Teredo (RFC 4380), ISATAP (RFC 5214). What the packet reaches in the end is what has to be judged.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => v4(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        // A link-local one is that first of all.
        [first, _, _, _, 0 | 0x200, 0x5efe, high, low] if first & 0xffc0 != 0xfe80 => v4(high, low),
        // Its bits are turned round, so that no translator on the way takes it for an address.
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => address,
    }
}

/// An address range in CIDR notation: `10.1.0.0/16`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network in CIDR notation, such as 10.1.0.0/16 or fd00::/8")]
pub struct NotANetwork(String);

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, str::parse)
    }
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix_bits);
                u64::from(network.to_bits() ^ address.to_bits()) >> shift == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let difference = network.to_bits() ^ address.to_bits();
                let shift = 128 - u32::from(self.prefix_bits);
                difference.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Of `::ffff:0:0/96`, in which IPv4 addresses are written as IPv6 ones.
const MAPPED_PREFIX_BITS: u8 = 96;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let refused = || NotANetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits: u8 = match bits {
            Some(bits) => bits.parse().map_err(|_| refused())?,
            None => most,
        };
        if prefix_bits > most {
            return Err(refused());
        }
        // Clients of a dual-stack socket are told apart by their IPv4 addresses (RFC 4291 section 2.5.5.2).
        Ok(match (address.to_canonical(), prefix_bits.checked_sub(MAPPED_PREFIX_BITS)) {
            (address @ IpAddr::V4(_), Some(prefix_bits)) if most == 128 => Self { address, prefix_bits },
            _ => Self { address, prefix_bits },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().unwrap())
    }

    #[test]
    fn metadata_is_known_in_every_disguise() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::ffff:0:169.254.169.254",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "2001:db8::5efe:169.254.169.254",
            "fe80::200:5efe:10.0.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            assert_eq!(class(address), AddressClass::Metadata, "{address}");
        }
    }

    #[test]
    fn the_other_classes_are_told_apart() {
        for (address, expected) in [
            ("127.0.0.1", AddressClass::Loopback),
            ("127.255.1.2", AddressClass::Loopback),
            ("::1", AddressClass::Loopback),
            ("::ffff:127.0.0.1", AddressClass::Loopback),
            ("10.0.0.1", AddressClass::Private),
            ("172.16.0.1", AddressClass::Private),
            ("172.32.0.1", AddressClass::Public),
            ("192.168.1.1", AddressClass::Private),
            ("100.64.0.1", AddressClass::Private),
            ("100.128.0.1", AddressClass::Public),
            ("fd12::1", AddressClass::Private),
            ("64:ff9b:1::a00:1", AddressClass::Private),
            ("::ffff:0:10.0.0.1", AddressClass::Private),
            ("2001:0:4136:e378:8000:63bf:f5ff:fffe", AddressClass::Private),
            ("2001:db8::200:5efe:10.0.0.1", AddressClass::Private),
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", AddressClass::Public),
            ("0.0.0.0", AddressClass::Unusable),
            ("0.1.2.3", AddressClass::Unusable),
            ("255.255.255.255", AddressClass::Unusable),
            ("239.1.1.1", AddressClass::Unusable),
            ("::", AddressClass::Unusable),
            ("ff02::1", AddressClass::Unusable),
            ("8.8.8.8", AddressClass::Public),
            ("2606:4700::1111", AddressClass::Public),
        ] {
            assert_eq!(class(address), expected, "{address}");
        }
    }

    #[test]
    fn the_allow_list_opens_private_networks_but_never_metadata() {
        let allowed = AllowList::new(vec!["10.1.0.0/16".parse().unwrap(), "0.0.0.0/0".parse().unwrap()]);
        let none = AllowList::default();
        let private: IpAddr = "10.1.2.3".parse().unwrap();
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        assert_eq!(permit(private, Reach::Public, &none), Err(AddressRefused::Private(private)));
        assert_eq!(permit(private, Reach::Public, &allowed), Ok(()));
        assert_eq!(permit(private, Reach::Private, &none), Ok(()));
        assert_eq!(permit(metadata, Reach::Private, &allowed), Err(AddressRefused::Metadata(metadata)));
    }

    #[test]
    fn networks_are_parsed_and_matched() {
        let network: Network = "fd00::/8".parse().unwrap();
        assert!(network.contains("fdab::1".parse().unwrap()));
        assert!(!network.contains("fe00::1".parse().unwrap()));
        assert!("::/0".parse::<Network>().unwrap().contains("1::".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("ten".parse::<Network>().is_err());
        assert_eq!("10.0.0.1".parse::<Network>().unwrap().to_string(), "10.0.0.1/32");
        assert_eq!("::ffff:10.1.2.3".parse::<Network>().unwrap().to_string(), "10.1.2.3/32");
        let mapped: Network = "::ffff:10.1.0.0/112".parse().unwrap();
        assert!(
            mapped.contains("10.1.2.3".parse().unwrap()) && !mapped.contains("10.2.2.3".parse().unwrap())
        );
    }
}
