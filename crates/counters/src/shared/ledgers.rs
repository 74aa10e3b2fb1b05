//! The ledgers of all subjects, a small lock over a share of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use parking_lot::Mutex;
use tollgate_core::limit::{LimitRule, Subject};

use super::ledger::Ledger;

/// One for each value of the byte that picks it.
const SHARDS: usize = 1 << u8::BITS;

pub struct Ledgers {
    shards: Box<[Padded]>,
    hasher: RandomState,
}

/// A cache line each, so that workers do not slow each other down by neighbourhood.
#[repr(align(64))]
#[derive(Default)]
struct Padded(Mutex<Shard>);

#[derive(Default)]
pub struct Shard {
    ledgers: HashMap<Subject, Ledger, RandomState>,
    /// Those that may hold slices.
    holding: Vec<Subject>,
}

impl Ledgers {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Padded::default()).collect(), hasher: RandomState::new() }
    }

    pub fn shard(&self, subject: Subject) -> &Mutex<Shard> {
        let [index, ..] = self.hasher.hash_one(subject).to_le_bytes();
        &self.shards[usize::from(index)].0
    }

    /// They go around: there are so many, and then the first comes again.
    pub fn shard_in_turn(&self, turn: u8) -> &Mutex<Shard> {
        &self.shards[usize::from(turn)].0
    }

    pub fn shards(&self) -> impl Iterator<Item = &Mutex<Shard>> {
        self.shards.iter().map(|shard| &shard.0)
    }
}

impl Shard {
    pub fn ledger(&mut self, subject: Subject, rules: &Arc<[LimitRule]>, now: Instant) -> &mut Ledger {
        self.ledgers.entry(subject).or_insert_with(|| Ledger::new(Arc::clone(rules), now))
    }

    pub fn find(&self, subject: Subject) -> Option<&Ledger> {
        self.ledgers.get(&subject)
    }

    pub fn find_mut(&mut self, subject: Subject) -> Option<&mut Ledger> {
        self.ledgers.get_mut(&subject)
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = (Subject, &mut Ledger)> {
        self.ledgers.iter_mut().map(|(subject, ledger)| (*subject, ledger))
    }

    /// Notes that this subject's ledger has a slice.
    pub fn holds(&mut self, subject: Subject) {
        if !self.holding.contains(&subject) {
            self.holding.push(subject);
        }
    }

    /// Looks at each ledger that may hold slices.
    pub fn each_holding(&mut self, mut look: impl FnMut(Subject, &mut Ledger)) {
        let Self { ledgers, holding } = self;
        holding.retain(|subject| {
            let Some(ledger) = ledgers.get_mut(subject) else { return false };
            look(*subject, ledger);
            !ledger.slices.is_empty()
        });
    }

    pub fn retain(&mut self, mut is_kept: impl FnMut(&mut Ledger) -> bool) {
        self.ledgers.retain(|_, ledger| is_kept(ledger));
    }
}
