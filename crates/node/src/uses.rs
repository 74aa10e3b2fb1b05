//! How keys were used, until the control plane knows it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tollgate_core::resource::KeyId;
use tollgate_core::usage::KeyUsage;

/// A key in steady use is told of this often: last uses are right to the minute.
const USE_EVERY_SECS: u64 = 60;
/// Told at once; the rest with the next report.
const MOST_A_REPORT: usize = 5_000;

#[derive(Default)]
pub struct Uses {
    pending: HashMap<KeyId, KeyUsage>,
    /// When keys were last put in a batch, of the last minute.
    told: HashMap<KeyId, u64>,
    /// The last that was made.
    batch: Batch,
}

/// What is told at once. It keeps its number until the control plane has answered, so that nothing is added twice there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Ascending from one on; the first is empty and has none.
    pub number: u64,
    pub used: Vec<(KeyId, KeyUsage)>,
}

/// How one key was used, as it is told and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    key: KeyId,
    last_used_secs: u64,
    requests: u64,
    rejections: u64,
}

impl From<(KeyId, KeyUsage)> for KeyUse {
    fn from((key, KeyUsage { last_used_secs, requests, rejections }): (KeyId, KeyUsage)) -> Self {
        Self { key, last_used_secs, requests, rejections }
    }
}

impl From<KeyUse> for (KeyId, KeyUsage) {
    fn from(KeyUse { key, last_used_secs, requests, rejections }: KeyUse) -> Self {
        (key, KeyUsage { last_used_secs, requests, rejections })
    }
}

/// What was not told before the node ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptUses {
    /// Of the batch that was made last.
    number: u64,
    /// What that batch has, where it was not answered.
    batch: Vec<KeyUse>,
    pending: Vec<KeyUse>,
}

impl KeptUses {
    pub const fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.pending.is_empty()
    }
}

/// Which keys are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that were not told of for a while.
    Due,
    All,
}

impl Uses {
    pub fn restored(kept: KeptUses) -> Self {
        let KeptUses { number, batch, pending } = kept;
        let batch = Batch { number, used: batch.into_iter().map(Into::into).collect() };
        Self { pending: pending.into_iter().map(Into::into).collect(), told: HashMap::new(), batch }
    }

    pub fn into_kept(self) -> KeptUses {
        let Batch { number, used } = self.batch;
        let kept = |used: (KeyId, KeyUsage)| KeyUse::from(used);
        KeptUses {
            number,
            batch: used.into_iter().map(kept).collect(),
            pending: self.pending.into_iter().map(kept).collect(),
        }
    }

    pub fn note(&mut self, uses: Vec<(KeyId, KeyUsage)>) {
        for (key, usage) in uses {
            self.pending.entry(key).or_default().add(&usage);
        }
    }

    /// What to tell next: what was not answered, as it was, before anything else.
    pub fn next(&mut self, which: Which, now_secs: u64) -> &Batch {
        if self.batch.used.is_empty() {
            self.fill(which, now_secs);
        }
        &self.batch
    }

    /// The batch was answered.
    pub fn told(&mut self) {
        self.batch.used.clear();
    }

    fn fill(&mut self, which: Which, now_secs: u64) {
        self.told.retain(|_, told_secs| now_secs < *told_secs + USE_EVERY_SECS);
        let is_wanted = |key: &KeyId| match which {
            Which::Due => !self.told.contains_key(key),
            Which::All => true,
        };
        self.batch.used = self.pending.extract_if(|key, _| is_wanted(key)).take(MOST_A_REPORT).collect();
        if !self.batch.used.is_empty() {
            self.batch.number += 1;
            self.told.extend(self.batch.used.iter().map(|(key, _)| (*key, now_secs)));
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const KEY: KeyId = KeyId(Uuid::from_u128(1));
    const OTHER: KeyId = KeyId(Uuid::from_u128(2));

    fn usage(last_used_secs: u64, requests: u64) -> KeyUsage {
        KeyUsage { last_used_secs, requests, rejections: 1 }
    }

    fn batch(number: u64, used: &[(KeyId, KeyUsage)]) -> Batch {
        Batch { number, used: used.to_vec() }
    }

    #[test]
    fn what_was_not_answered_is_told_again_as_it_was() {
        let mut uses = Uses::default();
        assert_eq!(*uses.next(Which::Due, 100), batch(0, &[]));
        uses.note(vec![(KEY, usage(100, 2))]);
        let first = batch(1, &[(KEY, usage(100, 2))]);
        assert_eq!(*uses.next(Which::Due, 100), first);
        uses.note(vec![(KEY, usage(101, 3)), (OTHER, usage(101, 4))]);
        assert_eq!(*uses.next(Which::Due, 500), first);
        assert_eq!(*uses.next(Which::All, 500), first);
        uses.told();
        assert_eq!(*uses.next(Which::Due, 101), batch(2, &[(OTHER, usage(101, 4))]));
        uses.told();
        assert_eq!(*uses.next(Which::All, 101), batch(3, &[(KEY, usage(101, 3))]));
        uses.told();
        assert_eq!(uses.next(Which::All, 900).used, []);
    }

    #[test]
    fn what_was_not_answered_before_the_end_is_told_again_as_it_was_after_it() {
        let mut uses = Uses::default();
        uses.note(vec![(KEY, usage(100, 2))]);
        let unanswered = uses.next(Which::All, 100).clone();
        uses.note(vec![(KEY, usage(101, 3))]);
        let mut restored = Uses::restored(uses.into_kept());
        assert_eq!(*restored.next(Which::Due, 500), unanswered);
        restored.told();
        assert_eq!(*restored.next(Which::Due, 500), batch(2, &[(KEY, usage(101, 3))]));
        restored.told();
        assert!(restored.into_kept().is_empty());
    }

    #[test]
    fn a_key_in_steady_use_is_told_of_once_a_minute_with_all_that_was_counted() {
        let mut uses = Uses::default();
        for now_secs in 100..160 {
            uses.note(vec![(KEY, usage(now_secs, 1))]);
            let told = uses.next(Which::Due, now_secs).used.len();
            assert_eq!(told, usize::from(now_secs == 100));
            uses.told();
        }
        // It is not used any more, and is told of all the same.
        let rest = KeyUsage { last_used_secs: 159, requests: 59, rejections: 59 };
        assert_eq!(*uses.next(Which::Due, 160), batch(2, &[(KEY, rest)]));
    }

    #[test]
    fn many_keys_are_several_batches() {
        let mut uses = Uses::default();
        let keys = 2 * MOST_A_REPORT + 1;
        uses.note((0..keys).map(|key| (KeyId(Uuid::from_u128(key as u128)), usage(1, 1))).collect());
        let mut sizes = Vec::new();
        while let told @ 1.. = uses.next(Which::Due, 1).used.len() {
            sizes.push(told);
            uses.told();
        }
        assert_eq!(sizes, [MOST_A_REPORT, MOST_A_REPORT, 1]);
    }
}
