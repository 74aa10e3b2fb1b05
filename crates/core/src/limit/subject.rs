//! Who is counted.
//!
//! A subject is 16 bytes. That of a plan's limits is the id of a consumer or a key. Those of the other levels have
//! no id of their own (a client's address, a caller under a rule), so theirs is derived: SHA-256 over a byte that
//! names the level and the parts, cut to a UUID of version 8 (RFC 9562 section 5.8), which has 122 bits left. Ids are of
//! version 7, so that no derived subject is ever an id; two derived ones would be expected to meet after 2^61 of
//! them, and meeting on purpose takes as much work. The derivation is the same on every node and after a restart.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::resource::{ConsumerId, KeyId, RuleName, ServiceId, TenantId};

/// Who is counted by one level of limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Subject(pub Uuid);

impl From<KeyId> for Subject {
    fn from(id: KeyId) -> Self {
        Self(id.0)
    }
}

impl From<ConsumerId> for Subject {
    fn from(id: ConsumerId) -> Self {
        Self(id.0)
    }
}

/// First byte of what is hashed; kept over restarts, so none ever changes its meaning.
const KEY: u8 = 1;
const SERVICE: u8 = 2;
const RULE: u8 = 3;
const IP: u8 = 4;
const TENANT: u8 = 5;
const ANONYMOUS: u8 = 6;
const IN_STORE: u8 = 7;

impl Subject {
    /// One key, besides whom its plan counts.
    pub fn key_alone(id: KeyId) -> Self {
        Self::derived(KEY, &[id.0.as_bytes()])
    }

    /// All callers of a service together.
    pub fn service(id: ServiceId) -> Self {
        Self::derived(SERVICE, &[id.0.as_bytes()])
    }

    /// A caller under one rule of a service.
    pub fn under_rule(service: ServiceId, rule: &RuleName, caller: Self) -> Self {
        // The ends have fixed lengths, so that no two lists of parts are the same bytes.
        Self::derived(RULE, &[service.0.as_bytes(), caller.0.as_bytes(), rule.as_str().as_bytes()])
    }

    /// A client's address at a service, whoever calls from it: IPv4 whole, IPv6 by its first 64 bits.
    pub fn ip(service: ServiceId, address: IpAddr) -> Self {
        Self::of_address(IP, service, address)
    }

    /// Everything of a tenant's together.
    pub fn tenant(id: TenantId) -> Self {
        Self::derived(TENANT, &[id.0.as_bytes()])
    }

    /// A caller without a credential, by its address as [`Subject::ip`].
    pub fn anonymous(service: ServiceId, address: IpAddr) -> Self {
        Self::of_address(ANONYMOUS, service, address)
    }

    /// What a shared store has counted of somebody whom a node counts alone: kept beside what the node counts, which goes on from
    /// there.
    #[must_use]
    pub fn in_store(self) -> Self {
        Self::derived(IN_STORE, &[self.0.as_bytes()])
    }

    fn of_address(level: u8, service: ServiceId, address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::derived(level, &[service.0.as_bytes(), &address.octets()]),
            IpAddr::V6(address) => Self::derived(level, &[service.0.as_bytes(), &address.octets()[..8]]),
        }
    }

    fn derived(level: u8, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new_with_prefix([level]);
        for part in parts {
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize()[..16]);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: ServiceId = ServiceId(Uuid::from_u128(7));

    fn ip(address: &str) -> Subject {
        Subject::ip(API, address.parse().unwrap())
    }

    #[test]
    fn an_address_is_counted_whole_or_by_its_network() {
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
        assert_eq!(ip("192.0.2.1"), ip("::ffff:192.0.2.1"));
        assert_eq!(ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff::9"));
        assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
    }

    #[test]
    fn no_two_levels_share_a_subject() {
        let (id, address) = (Uuid::from_u128(7), IpAddr::from([192, 0, 2, 1]));
        let rule = RuleName::parse("search").unwrap();
        let subjects = [
            Subject::from(KeyId(id)),
            Subject::key_alone(KeyId(id)),
            Subject::service(API),
            Subject::tenant(TenantId(id)),
            Subject::ip(API, address),
            Subject::anonymous(API, address),
            Subject::under_rule(API, &rule, Subject::from(KeyId(id))),
            Subject::under_rule(API, &rule, Subject::anonymous(API, address)),
            Subject::from(KeyId(id)).in_store(),
        ];
        for (index, subject) in subjects.iter().enumerate() {
            assert!(!subjects[..index].contains(subject), "{index}");
        }
        assert!(subjects[1..].iter().all(|subject| subject.0.get_version_num() == 8));
    }
}
