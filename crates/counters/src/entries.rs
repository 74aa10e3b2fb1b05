//! What is counted of each subject, in as few cache lines as it takes.

use ahash::RandomState;
use hashbrown::HashTable;
use tollgate_core::limit::{Subject, SubjectWindows};

/// Many more than workers; not so many that the memory which each has of its own, and every request looks at, falls out of
/// the cache.
pub(crate) const SHARDS: usize = 64;

#[derive(Default)]
pub(crate) struct Entry {
    pub windows: SubjectWindows,
    /// Whether it changed since it was last taken for keeping.
    pub changed: bool,
    /// Requests under way; counted where their number is limited.
    pub in_flight: u32,
}

/// Whole cache lines, so that nothing of its neighbours comes along.
#[repr(align(64))]
struct Slot {
    subject: Subject,
    entry: Entry,
}

/// A subject and its hash, which is made once for the shard and for the place in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed {
    subject: Subject,
    hash: u64,
}

impl Hashed {
    pub fn new(subject: Subject, hasher: &RandomState) -> Self {
        Self { subject, hash: hasher.hash_one(subject) }
    }

    /// Of bits that the table below uses neither for the bucket nor for its tag.
    pub const fn shard(self) -> u8 {
        const LAST: u8 = SHARDS.to_le_bytes()[0] - 1;
        let [.., shard, _] = self.hash.to_le_bytes();
        shard & LAST
    }
}

/// One shard's subjects.
#[derive(Default)]
pub(crate) struct Entries(HashTable<Slot>);

impl Entries {
    pub fn get(&self, Hashed { subject, hash }: Hashed) -> Option<&Entry> {
        self.0.find(hash, |slot| slot.subject == subject).map(|slot| &slot.entry)
    }

    pub fn get_mut(&mut self, Hashed { subject, hash }: Hashed) -> Option<&mut Entry> {
        self.0.find_mut(hash, |slot| slot.subject == subject).map(|slot| &mut slot.entry)
    }

    /// Made where there was none; `hasher` is what hashed every subject.
    pub fn entry(&mut self, Hashed { subject, hash }: Hashed, hasher: &RandomState) -> &mut Entry {
        let is_it = |slot: &Slot| slot.subject == subject;
        let place = self.0.entry(hash, is_it, |slot| hasher.hash_one(slot.subject));
        let slot = place.or_insert_with(|| Slot { subject, entry: Entry::default() });
        &mut slot.into_mut().entry
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Subject, &mut Entry)> {
        self.0.iter_mut().map(|slot| (slot.subject, &mut slot.entry))
    }

    pub fn retain(&mut self, mut is_kept: impl FnMut(&mut Entry) -> bool) {
        self.0.retain(|slot| is_kept(&mut slot.entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_with_three_windows_takes_three_cache_lines() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (192, 64));
    }
}
