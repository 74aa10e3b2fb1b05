//! Keys by hash: the map that every request of every tenant asks.
//!
//! A hash array mapped trie costs a look-up a cache miss for every level. Here it is one of several plain hash tables,
//! whose control bytes stay in the cache, and the entry. A change copies one table. There are as many as keep that
//! cheap and no more, since each has memory of its own that is looked at: a thousand keys or fewer are one table, a million
//! are 256.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::Key;
use super::compiled::Entitlements;
use crate::credential::KeyHash;
use crate::resource::{PlanId, TenantId};

/// One for each value of a hash's first byte: hashes are uniform.
const MOST_TABLES: usize = 1 << u8::BITS;
/// Keys for each table, beyond which there are twice as many tables.
const KEYS_PER_TABLE: usize = 1_024;

#[derive(Clone, Default)]
struct Table {
    slots: HashTable<Slot>,
    hasher: RandomState,
}

/// A cache line, and never a part of another.
#[repr(align(64))]
#[derive(Clone)]
struct Slot {
    hash: KeyHash,
    key: Key,
}

/// Cheap to copy: copies share what neither has changed since.
#[derive(Clone)]
pub(super) struct Keys {
    /// A power of two of them.
    tables: Arc<[Arc<Table>]>,
    len: usize,
    entitlements: Entitlements,
}

impl Keys {
    pub fn get(&self, hash: &KeyHash) -> Option<&Key> {
        self.tables[self.place(hash)].get(hash)
    }

    /// Puts a key in the place of one that had its hash.
    pub fn insert(&mut self, hash: KeyHash, mut key: Key) {
        self.entitlements.share(&mut key);
        let replaced = self.table_mut(&hash).insert(Slot { hash, key });
        if !replaced {
            self.len += 1;
            self.grow();
        }
    }

    pub fn remove(&mut self, hash: &KeyHash) {
        // A table that has nothing to lose need not be copied.
        if self.get(hash).is_some() {
            self.table_mut(hash).remove(hash);
            self.len -= 1;
        }
    }

    pub fn remove_of(&mut self, tenant: TenantId) {
        for table in Arc::make_mut(&mut self.tables) {
            if table.slots.iter().any(|slot| slot.key.tenant() == tenant) {
                Arc::make_mut(table).slots.retain(|slot| slot.key.tenant() != tenant);
            }
        }
        self.len = self.tables.iter().map(|table| table.slots.len()).sum();
        self.entitlements.forget(tenant);
    }

    /// A plan that no key has any more.
    pub fn forget_plan(&mut self, tenant: TenantId, plan: PlanId) {
        self.entitlements.forget_plan(tenant, plan);
    }

    pub const fn len(&self) -> usize {
        self.len
    }

    fn table_mut(&mut self, hash: &KeyHash) -> &mut Table {
        let place = self.place(hash);
        Arc::make_mut(&mut Arc::make_mut(&mut self.tables)[place])
    }

    fn place(&self, hash: &KeyHash) -> usize {
        let [first, ..] = hash.as_bytes();
        usize::from(*first) & (self.tables.len() - 1)
    }

    /// Makes room for more keys where the tables have become large.
    fn grow(&mut self) {
        let tables = self.tables.len();
        if self.len <= tables * KEYS_PER_TABLE || tables == MOST_TABLES {
            return;
        }
        let (lower, upper): (Vec<_>, Vec<_>) = self.tables.iter().map(|table| table.split(tables)).unzip();
        self.tables = lower.into_iter().chain(upper).collect();
    }
}

impl Table {
    fn get(&self, hash: &KeyHash) -> Option<&Key> {
        let slot = self.slots.find(self.hasher.hash_one(hash), |slot| slot.hash == *hash)?;
        Some(&slot.key)
    }

    /// Says whether it replaces one.
    fn insert(&mut self, slot: Slot) -> bool {
        let replaced = self.remove(&slot.hash);
        let Self { slots, hasher } = self;
        slots.insert_unique(hasher.hash_one(slot.hash), slot, |slot| hasher.hash_one(slot.hash));
        replaced
    }

    /// Says whether it was there.
    fn remove(&mut self, hash: &KeyHash) -> bool {
        let found = self.slots.find_entry(self.hasher.hash_one(hash), |slot| slot.hash == *hash);
        found.map(hashbrown::hash_table::OccupiedEntry::remove).is_ok()
    }

    /// The tables of those whose first byte lacks this bit, and of those that have it.
    fn split(&self, bit: usize) -> (Arc<Self>, Arc<Self>) {
        let (mut lower, mut upper) = (Self::default(), Self::default());
        for slot in &self.slots {
            let [first, ..] = slot.hash.as_bytes();
            let half = if usize::from(*first) & bit == 0 { &mut lower } else { &mut upper };
            half.insert(slot.clone());
        }
        (Arc::new(lower), Arc::new(upper))
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { tables: Arc::new([Arc::default()]), len: 0, entitlements: Entitlements::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_one_cache_line() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
    }

    fn hash(number: u32) -> KeyHash {
        KeyHash::of(&number.to_be_bytes())
    }

    fn key(number: u32) -> Key {
        let tenant = TenantId(uuid::Uuid::from_u128(u128::from(number) % 3));
        Key::of(crate::resource::KeyId(uuid::Uuid::from_u128(number.into())), tenant)
    }

    #[test]
    fn every_key_is_found_however_many_tables_there_are() {
        let mut keys = Keys::default();
        for number in 0..20_000 {
            keys.insert(hash(number), key(number));
            if number.is_power_of_two() || number == 19_999 {
                assert_eq!(keys.len(), number as usize + 1);
                assert!((0..=number).all(|held| keys.get(&hash(held)) == Some(&key(held))));
                assert_eq!(keys.get(&hash(number + 1)), None);
            }
        }
        assert_eq!(keys.tables.len(), 32);
        let before = keys.clone();
        keys.insert(hash(7), key(8));
        keys.remove(&hash(9));
        keys.remove(&hash(20_000));
        assert_eq!((keys.len(), before.len()), (19_999, 20_000));
        assert_eq!((keys.get(&hash(7)), before.get(&hash(7))), (Some(&key(8)), Some(&key(7))));
        keys.remove_of(TenantId(uuid::Uuid::nil()));
        assert!((10..20_000).all(|number| keys.get(&hash(number)).is_none() == (number % 3 == 0)));
        assert_eq!(keys.len(), (0..20_000).filter(|number| keys.get(&hash(*number)).is_some()).count());
    }
}
