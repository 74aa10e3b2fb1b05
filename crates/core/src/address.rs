//! Which addresses an upstream may have: the gateway must not become a way into the operator's own network. And which are one
//! client's.

mod network;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

pub use network::{Network, NotANetwork};

/// How far a target may reach, fixed when it is written, by who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Public addresses, and what the operator's allow-list names.
    Public,
    /// Loopback and private addresses as well: written by a platform administrator.
    Private,
}

/// From the least to the most that is to be said against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// What one client has of addresses: an IPv4 address, or the /64 that an IPv6 host is given (RFC 6177 section 2).
pub fn client_network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// Whether a target of this reach may be at `address`. Where that carries others, it must be permitted to be at all of them:
/// who writes an address chooses what is in front of the one inside, and a packet may be delivered by any.
pub fn permit(address: IpAddr, reach: Reach, allowed: &AllowList) -> Result<(), AddressRefused> {
    for address in std::iter::once(address).chain(carried(address)) {
        match classify_itself(address) {
            AddressClass::Public => {}
            AddressClass::Metadata => return Err(AddressRefused::Metadata(address)),
            AddressClass::Unusable => return Err(AddressRefused::Unusable(address)),
            AddressClass::Loopback | AddressClass::Private => match reach {
                Reach::Private => {}
                Reach::Public if allowed.contains(address) => {}
                Reach::Public => return Err(AddressRefused::Private(address)),
            },
        }
    }
    Ok(())
}

/// The strictest one, where an address carries others.
pub fn classify(address: IpAddr) -> AddressClass {
    carried(address).map(classify_itself).fold(classify_itself(address), AddressClass::max)
}

fn classify_itself(address: IpAddr) -> AddressClass {
    match address {
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

/// The IPv4 addresses inside an IPv6 one: mapped and compatible (RFC 4291), translated (RFC 2765), 6to4 (RFC 3056),
/// NAT64 (RFC 6052), Teredo (RFC 4380), ISATAP (RFC 5214). They are what the packet may reach in the end. One address may be
/// read in more than one way: the last bits are anybody's to choose where the first make it 6to4's or Teredo's.
fn carried(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    let segments = match address {
        IpAddr::V4(_) => [0; 8],
        IpAddr::V6(v6) => v6.segments(),
    };
    let by_its_beginning = match segments {
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // Its bits are turned round, so that no translator on the way takes it for an address.
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        _ => None,
    };
    let at_its_end = match segments {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // In any network.
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(v4(high, low)),
        _ => None,
    };
    by_its_beginning.into_iter().chain(at_its_end)
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
            // Two at once: Teredo's with one of ISATAP in it, and 6to4's.
            "2001:0:4136:e378:0:5efe:5601:5601",
            "2002:808:808::5efe:169.254.169.254",
            "2002:a9fe:a9fe::5efe:8.8.8.8",
            "fe80::200:5efe:10.0.0.1",
            "fd12:3456::5efe:169.254.169.254",
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
            ("2606:4700::5efe:8.8.8.8", AddressClass::Public),
            ("fd12:3456::5efe:8.8.8.8", AddressClass::Private),
            ("fec0::200:5efe:8.8.8.8", AddressClass::Private),
            ("64:ff9b:1::5efe:8.8.8.8", AddressClass::Private),
            ("ff02::5efe:8.8.8.8", AddressClass::Unusable),
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
    fn the_allow_list_has_to_name_an_address_and_the_one_that_it_carries() {
        let permitted = |address: &str, networks: &[&str]| {
            let allowed = AllowList::new(networks.iter().map(|network| network.parse().unwrap()).collect());
            permit(address.parse().unwrap(), Reach::Public, &allowed).is_ok()
        };
        for (address, networks, expected) in [
            ("fd12:3456::5efe:8.8.8.8", &[][..], false),
            ("fd12:3456::5efe:8.8.8.8", &["8.8.8.8"], false),
            ("fd12:3456::5efe:8.8.8.8", &["fd12::/16"], true),
            ("fd12:3456::5efe:10.0.0.1", &["10.0.0.0/8"], false),
            ("fd12:3456::5efe:10.0.0.1", &["fd12::/16"], false),
            ("fd12:3456::5efe:10.0.0.1", &["fd12::/16", "10.0.0.0/8"], true),
            ("::ffff:10.0.0.1", &["10.0.0.0/8"], true),
            ("64:ff9b::10.0.0.1", &["64:ff9b::/96"], false),
        ] {
            assert_eq!(permitted(address, networks), expected, "{address} {networks:?}");
        }
    }

    #[test]
    fn a_host_s_ipv6_addresses_are_one_client() {
        let network = |text: &str| client_network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
