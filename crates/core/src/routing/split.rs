//! Which of several services a request of one route goes to.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::FieldName;
use crate::distance::{Candidate, Nearest};
use crate::resource::{ServiceId, parsed};

/// At least one service, each with its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Weights are at least 1.
    pub shares: Vec<(ServiceId, u32)>,
    /// What requests of one kind have in common, so that they all go to one service.
    pub sticky: Option<Sticky>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    Key,
    ClientIp,
    Header(FieldName),
    Cookie(SmolStr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be key, client_ip, header:NAME or cookie:NAME")]
pub struct BadSticky;

impl Split {
    /// The service at a point of the whole range of numbers: random, or [`stable_hash`] of what is sticky. It is the nearest
    /// to the point, so that a share that grows takes points from all others, and none moves between those.
    pub fn pick(&self, point: u64) -> Option<ServiceId> {
        let mut nearest = Nearest::NONE;
        for (place, &(service, weight)) in self.shares.iter().enumerate() {
            if let Some(distance) =
                Candidate::new(service.0, weight).distance_below(nearest.distance(), point)
            {
                nearest.meet(place, distance);
            }
        }
        self.shares.get(nearest.place()?).map(|(service, _)| *service)
    }

    /// The service where there is only one.
    pub fn only(&self) -> Option<ServiceId> {
        match self.shares[..] {
            [(only, _)] => Some(only),
            _ => None,
        }
    }
}

/// The same on every node and in every version: FNV-1a, its bits mixed so that all of them count.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    // The finaliser of MurmurHash3.
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ hash >> 33).wrapping_mul(factor);
    }
    hash ^ hash >> 33
}

impl Sticky {
    pub fn parse(text: &str) -> Result<Self, BadSticky> {
        match text.split_once(':') {
            None if text == "key" => Ok(Self::Key),
            None if text == "client_ip" => Ok(Self::ClientIp),
            Some(("header", name)) => FieldName::parse(name).map(Self::Header).map_err(|_| BadSticky),
            // A cookie's name is a token like a field's (RFC 6265 section 4.1.1), told apart by case.
            Some(("cookie", name)) if FieldName::parse(name).is_ok() => Ok(Self::Cookie(name.into())),
            Some(_) | None => Err(BadSticky),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl Serialize for Sticky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sticky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn split(weights: &[u32]) -> Split {
        let service = |index: usize| ServiceId(Uuid::from_u128(index as u128));
        Split {
            shares: weights.iter().enumerate().map(|(index, weight)| (service(index), *weight)).collect(),
            sticky: None,
        }
    }

    fn counts(split: &Split) -> Vec<usize> {
        let points = (0..100_000_u32).map(|number| split.pick(stable_hash(&number.to_le_bytes())).unwrap());
        let picked: Vec<ServiceId> = points.collect();
        split.shares.iter().map(|(own, _)| picked.iter().filter(|service| *service == own).count()).collect()
    }

    #[test]
    fn everybody_gets_its_share() {
        for (count, expected) in counts(&split(&[90, 9, 1])).into_iter().zip([90_000, 9_000, 1_000]) {
            assert!(count.abs_diff(expected) < 500, "{count} of {expected}");
        }
        assert_eq!(split(&[1, 1]).pick(0), split(&[1]).only());
        assert_eq!(split(&[1, 65_535]).pick(u64::MAX).map(|service| service.0.as_u128()), Some(1));
        assert_eq!(split(&[]).pick(7), None);
    }

    #[test]
    fn a_share_that_grows_moves_nobody_else() {
        let (before, after) = (split(&[90, 10]), split(&[80, 20]));
        let canary = before.shares[1].0;
        for number in 0..10_000_u32 {
            let point = stable_hash(&number.to_le_bytes());
            assert!(before.pick(point) != Some(canary) || after.pick(point) == Some(canary), "{number}");
        }
    }

    #[test]
    fn whichever_share_grows_or_comes_nobody_moves_between_the_others() {
        let before = split(&[40, 30, 20, 10]);
        let changed = [[50, 30, 20, 10, 0], [40, 30, 40, 10, 0], [40, 30, 20, 10, 25]];
        for (grown, weights) in [0, 2, 4].into_iter().zip(changed) {
            let after = split(weights.split(|&weight| weight == 0).next().unwrap_or_default());
            let taker = after.shares[grown].0;
            for number in 0..10_000_u32 {
                let point = stable_hash(&number.to_le_bytes());
                let (from, to) = (before.pick(point), after.pick(point));
                assert!(to == from || to == Some(taker), "{number}: from {from:?} to {to:?} of {weights:?}");
            }
        }
    }

    /// Nodes of two versions must send one client to one service.
    #[test]
    fn the_hash_stays_what_it_is() {
        assert_eq!(stable_hash(b"ann"), 7_995_230_380_516_241_683);
    }

    #[test]
    fn what_is_sticky_is_written_as_it_is_read() {
        for text in ["key", "client_ip", "header:x-user", "cookie:Session"] {
            assert_eq!(Sticky::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "keys", "header:", "cookie:a b", "ip:1"] {
            assert_eq!(Sticky::parse(bad), Err(BadSticky), "{bad}");
        }
    }
}
