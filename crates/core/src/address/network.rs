//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::resource::parsed;

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
