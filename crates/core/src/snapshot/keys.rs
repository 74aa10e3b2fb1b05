//! Keys by hash: the map that every request of every tenant asks.
//!
//! A hash array mapped trie costs a look-up a cache miss for every level. Here it is one of a fixed number of
//! plain hash tables, whose control bytes stay in the cache, and the entry. A change copies one table: some
//! thousand entries where there are a million keys.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::Key;
use crate::credential::KeyHash;
use crate::resource::TenantId;

/// One for each value of a hash's first byte: hashes are uniform.
const TABLES: usize = 1 << u8::BITS;

#[derive(Clone, Default)]
struct Table {
    slots: HashTable<Slot>,
    hasher: RandomState,
}

/// Two cache lines, and never a part of a third.
#[repr(align(64))]
#[derive(Clone)]
struct Slot {
    hash: KeyHash,
    key: Key,
}

/// Cheap to copy: copies share what neither has changed since.
#[derive(Clone)]
pub(super) struct Keys {
    tables: Arc<[Arc<Table>]>,
}

impl Keys {
    pub fn get(&self, hash: &KeyHash) -> Option<&Key> {
        self.tables[table(hash)].get(hash)
    }

    /// Puts a key in the place of one that had its hash.
    pub fn insert(&mut self, hash: KeyHash, key: Key) {
        self.table_mut(&hash).insert(Slot { hash, key });
    }

    pub fn remove(&mut self, hash: &KeyHash) {
        // A table that has nothing to lose need not be copied.
        if self.get(hash).is_some() {
            self.table_mut(hash).remove(hash);
        }
    }

    pub fn remove_of(&mut self, tenant: TenantId) {
        for table in Arc::make_mut(&mut self.tables) {
            if table.slots.iter().any(|slot| slot.key.tenant == tenant) {
                Arc::make_mut(table).slots.retain(|slot| slot.key.tenant != tenant);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.slots.len()).sum()
    }

    fn table_mut(&mut self, hash: &KeyHash) -> &mut Table {
        Arc::make_mut(&mut Arc::make_mut(&mut self.tables)[table(hash)])
    }
}

impl Table {
    fn get(&self, hash: &KeyHash) -> Option<&Key> {
        let slot = self.slots.find(self.hasher.hash_one(hash), |slot| slot.hash == *hash)?;
        Some(&slot.key)
    }

    fn insert(&mut self, slot: Slot) {
        self.remove(&slot.hash);
        let Self { slots, hasher } = self;
        slots.insert_unique(hasher.hash_one(slot.hash), slot, |slot| hasher.hash_one(slot.hash));
    }

    fn remove(&mut self, hash: &KeyHash) {
        if let Ok(found) = self.slots.find_entry(self.hasher.hash_one(hash), |slot| slot.hash == *hash) {
            found.remove();
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        let empty = Arc::<Table>::default();
        Self { tables: (0..TABLES).map(|_| Arc::clone(&empty)).collect() }
    }
}

fn table(hash: &KeyHash) -> usize {
    let [first, ..] = hash.as_bytes();
    usize::from(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_two_cache_lines() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (128, 64));
    }
}
