//! Keys by hash: the map that every request of every tenant asks.
//!
//! A hash array mapped trie costs a look-up a cache miss for every level. Here it is one of a fixed number of
//! plain hash tables, whose control bytes stay in the cache, and the entry. A change copies one table: some
//! thousand entries where there are a million keys.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use super::Key;
use crate::credential::KeyHash;
use crate::resource::TenantId;

/// One for each value of a hash's first byte: hashes are uniform.
const TABLES: usize = 1 << u8::BITS;

type Table = HashMap<KeyHash, Key, RandomState>;

/// Cheap to copy: copies share what neither has changed since.
#[derive(Clone)]
pub(super) struct Keys {
    tables: Arc<[Arc<Table>]>,
}

impl Keys {
    pub fn get(&self, hash: &KeyHash) -> Option<&Key> {
        self.tables[table(hash)].get(hash)
    }

    pub fn insert(&mut self, hash: KeyHash, key: Key) {
        self.table_mut(&hash).insert(hash, key);
    }

    pub fn remove(&mut self, hash: &KeyHash) {
        // A table that has nothing to lose need not be copied.
        if self.get(hash).is_some() {
            self.table_mut(hash).remove(hash);
        }
    }

    pub fn remove_of(&mut self, tenant: TenantId) {
        for table in Arc::make_mut(&mut self.tables) {
            if table.values().any(|key| key.tenant == tenant) {
                Arc::make_mut(table).retain(|_, key| key.tenant != tenant);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.len()).sum()
    }

    fn table_mut(&mut self, hash: &KeyHash) -> &mut Table {
        Arc::make_mut(&mut Arc::make_mut(&mut self.tables)[table(hash)])
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
