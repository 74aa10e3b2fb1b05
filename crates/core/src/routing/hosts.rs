//! The hosts of all tenants. A host belongs to the tenant that has a route for it, and so does everything that a
//! wildcard of it is for: no two tenants have hosts that overlap. Copies share what neither has changed since.

use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::HostPattern;
use super::admission::{Admission, Conflict, Crowd, Crowding};
use super::node::Trie;
use crate::resource::{Route, TenantId};

type Map<K, V> = GenericHashMap<K, V, ahash::RandomState, DefaultSharedPtr>;

#[derive(Clone, Default)]
pub struct Hosts {
    by_pattern: Map<SmolStr, Arc<Host>>,
    /// The same by their labels from the last to the first, so that what is below a name stands together.
    owners: OrdMap<String, TenantId>,
    /// How many wildcards there are for names of so many labels; as long as the longest of them.
    wildcards: Vec<u32>,
}

#[derive(Clone)]
struct Host {
    owner: TenantId,
    /// Routes that name it, whether they are enabled or not.
    claims: u32,
    routes: Trie,
}

/// The host, or one that overlaps it, is another tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse;

impl Hosts {
    pub fn is_empty(&self) -> bool {
        self.by_pattern.is_empty()
    }

    /// Makes a host the tenant's, once more for another route.
    pub fn claim(&mut self, pattern: &HostPattern, tenant: TenantId) -> Result<(), InUse> {
        if let Some(host) = self.by_pattern.get_mut(pattern.as_str()) {
            if host.owner != tenant {
                return Err(InUse);
            }
            Arc::make_mut(host).claims += 1;
            return Ok(());
        }
        let reversed = reversed(pattern);
        if !self.is_free(&reversed, tenant) {
            return Err(InUse);
        }
        self.owners.insert(reversed, tenant);
        self.by_pattern.insert(
            pattern.as_str().into(),
            Arc::new(Host { owner: tenant, claims: 1, routes: Trie::default() }),
        );
        if let Some(name) = pattern.wildcard() {
            let labels = labels(name);
            if self.wildcards.len() <= labels {
                self.wildcards.resize(labels + 1, 0);
            }
            self.wildcards[labels] += 1;
        }
        Ok(())
    }

    /// Takes a claim back; with the last one the host is free.
    pub fn release(&mut self, pattern: &HostPattern) {
        let Some(host) = self.by_pattern.get_mut(pattern.as_str()) else { return };
        if host.claims > 1 {
            Arc::make_mut(host).claims -= 1;
            return;
        }
        self.by_pattern.remove(pattern.as_str());
        self.owners.remove(&reversed(pattern));
        if let Some(count) = pattern.wildcard().and_then(|name| self.wildcards.get_mut(labels(name))) {
            *count -= 1;
            while self.wildcards.last() == Some(&0) {
                self.wildcards.pop();
            }
        }
    }

    /// Adds a path of a route at a host that its tenant has claimed.
    pub fn insert(
        &mut self,
        pattern: &HostPattern,
        key: &super::key::Key,
        route: &Arc<Route>,
        path: u8,
        admission: Admission,
    ) -> Result<Option<Crowding>, Conflict> {
        match self.by_pattern.get_mut(pattern.as_str()) {
            Some(host) => Arc::make_mut(host).routes.insert(key, route, path, admission),
            None => Ok(None),
        }
    }

    /// What there is at a host's path.
    pub fn crowd(&self, pattern: &HostPattern, key: &super::key::Key) -> Crowd {
        self.by_pattern.get(pattern.as_str()).map_or(Crowd::default(), |host| host.routes.crowd(key))
    }

    pub fn remove(&mut self, pattern: &HostPattern, key: &super::key::Key, route: &Route) {
        if let Some(host) = self.by_pattern.get_mut(pattern.as_str()) {
            Arc::make_mut(host).routes.remove(key, route.id);
        }
    }

    /// The routes for a host, the most specific pattern's first. The host's bytes serve as scratch space.
    pub(super) fn of(&self, host: &mut [u8]) -> SmallVec<[&Trie; 4]> {
        let mut found = SmallVec::new();
        let trie = |name: &[u8]| {
            let name = std::str::from_utf8(name).ok()?;
            self.by_pattern.get(name).map(|host| &host.routes)
        };
        found.extend(trie(host));
        if self.wildcards.is_empty() {
            return found;
        }
        // No wildcard is for names with more labels than the longest.
        let mut left = memchr::memchr_iter(b'.', host).count();
        for at in 2..host.len() {
            if host[at - 1] != b'.' {
                continue;
            }
            if self.wildcards.get(left).is_some_and(|&count| count > 0) {
                // What stands there belongs to a label that is not looked at any more.
                host[at - 2] = b'*';
                found.extend(trie(&host[at - 2..]));
            }
            left -= 1;
        }
        found
    }

    /// Whether no other tenant has a host that overlaps.
    fn is_free(&self, reversed: &str, tenant: TenantId) -> bool {
        let others = |owner: &TenantId| *owner != tenant;
        let is_below_others =
            reversed.match_indices('.').any(|(at, _)| self.owners.get(&reversed[..=at]).is_some_and(others));
        // A wildcard's ends with a dot, and what it is for begins with it.
        let is_above_others = reversed.ends_with('.')
            && self
                .owners
                .range(reversed.to_owned()..)
                .take_while(|(name, _)| name.starts_with(reversed))
                .any(|(_, owner)| others(owner));
        !is_below_others && !is_above_others
    }
}

fn labels(name: &str) -> usize {
    1 + name.matches('.').count()
}

/// `com.example.api` of `api.example.com`, `com.example.` of `*.example.com`. An address stands for itself.
fn reversed(pattern: &HostPattern) -> String {
    let text = pattern.as_str();
    let name = pattern.wildcard().unwrap_or(text);
    let mut reversed = name.split('.').rev().collect::<Vec<_>>().join(".");
    if pattern.wildcard().is_some() {
        reversed.push('.');
    }
    reversed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn a_host_is_free_again_when_the_last_claim_is_gone() {
        let mut hosts = Hosts::default();
        for _ in 0..2 {
            hosts.claim(&pattern("*.a.example"), tenant(1)).unwrap();
        }
        assert_eq!(hosts.claim(&pattern("x.a.example"), tenant(2)), Err(InUse));
        hosts.release(&pattern("*.a.example"));
        assert_eq!(hosts.claim(&pattern("*.example.a"), tenant(2)), Ok(()));
        assert_eq!(hosts.claim(&pattern("*.a.example"), tenant(2)), Err(InUse));
        hosts.release(&pattern("*.a.example"));
        assert_eq!(hosts.claim(&pattern("*.a.example"), tenant(2)), Ok(()));
        for text in ["*.a.example", "*.example.a"] {
            hosts.release(&pattern(text));
        }
        assert!(hosts.is_empty() && hosts.owners.is_empty() && hosts.wildcards.is_empty());
    }

    proptest! {
        #[test]
        fn no_two_tenants_ever_have_hosts_that_overlap(
            wanted in prop::collection::vec((r"(\*\.)?([ab]\.){0,2}[ab]\.[ab]", 1u128..3), 1..12)
        ) {
            let mut hosts = Hosts::default();
            let mut held: Vec<(HostPattern, TenantId)> = Vec::new();
            for (text, number) in wanted {
                let (pattern, tenant) = (pattern(&text), tenant(number));
                let is_others = held.iter().any(|(other, owner)| *owner != tenant && other.overlaps(&pattern));
                prop_assert_eq!(hosts.claim(&pattern, tenant).is_err(), is_others, "{}", text);
                if !is_others {
                    held.push((pattern, tenant));
                }
            }
        }
    }
}
