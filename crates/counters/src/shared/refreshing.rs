//! What a node knows of subjects that it is not asked for grows old: others use their limits. Once the store cannot be reached, a node's
//! share is of what it has heard last, so it asks anew from time to time.

use std::sync::Arc;
use std::time::Instant;

use tollgate_core::limit::{LimitRule, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{Amount, Periods};
use super::keeper::wall;
use super::{Shared, Then};

/// What was heard longer ago is asked for anew.
const OLD_MICROS: u64 = 1_000_000;
/// Most at each beat, as many subjects must be no load: the oldest of a share of them, then of the next.
const MOST: usize = 64;

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Refreshing {
    shard: u8,
}

impl Shared {
    /// Nobody waits for the answers.
    pub(super) fn ask_anew(&self, refreshing: &mut Refreshing) {
        if !self.is_up() || self.nodes().get() == 1 {
            return;
        }
        let now = self.server_time(wall());
        for (subject, rules) in self.old(refreshing, now) {
            let nothing = vec![Amount::More(0); rules.len()];
            let nowhere = SubjectWindows::default();
            let cmd = self.caller(subject, &rules, now).adjust(Periods::Of(&nowhere), &nothing);
            self.send(subject, &rules, Instant::now(), cmd, Then::Looked);
        }
    }

    fn old(&self, refreshing: &mut Refreshing, now: UnixMicros) -> Vec<(Subject, Arc<[LimitRule]>)> {
        let old_at = UnixMicros(now.0.saturating_sub(OLD_MICROS));
        let mut found = Vec::new();
        for _ in 0..=u8::MAX {
            let mut shard = self.ledgers.shard_in_turn(refreshing.shard).lock();
            refreshing.shard = refreshing.shard.wrapping_add(1);
            let old = shard.all_mut().filter_map(|(subject, ledger)| {
                let since = ledger.unheard_since().filter(|&since| since < old_at)?;
                Some((since, subject))
            });
            let mut old: Vec<_> = old.collect();
            let room = MOST - found.len();
            if old.len() > room {
                old.select_nth_unstable(room);
                old.truncate(room);
            }
            for (_, subject) in old {
                if let Some(ledger) = shard.find_mut(subject) {
                    ledger.is_asked_anew(now);
                    found.push((subject, Arc::clone(&ledger.rules)));
                }
            }
            drop(shard);
            if found.len() == MOST {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::limit::{Calendar, LevelLimits, charge_each};
    use tollgate_core::resource::LimitDraft;
    use uuid::Uuid;

    use super::*;
    use crate::shared::unanswered::{first_answer, unanswered};

    const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);

    /// Of these subjects the store has said something that long ago.
    fn heard(shared: &Shared, micros_ago: impl IntoIterator<Item = (u128, u64)>) {
        let limit = LimitDraft { requests: 10, per: "month".into(), ..LimitDraft::default() };
        let rules = LevelLimits::of_plan(&[limit.parse().unwrap()], None).rules;
        for (number, micros) in micros_ago {
            let (subject, at) = (Subject(Uuid::from_u128(number)), UnixMicros(NOW.0 - micros));
            let mut windows = SubjectWindows::default();
            charge_each([(&rules[0], 3)], &mut windows, Calendar::utc(), at);
            let mut shard = shared.ledgers.shard(subject).lock();
            shard.ledger(subject, &rules, Instant::now()).note(&rules, &first_answer(windows, 0, at));
        }
    }

    fn asked(shared: &Shared, refreshing: &mut Refreshing, now: UnixMicros) -> Vec<u128> {
        let mut numbers: Vec<_> =
            shared.old(refreshing, now).into_iter().map(|(subject, _)| subject.0.as_u128()).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn what_is_old_is_asked_for_anew_and_then_no_sooner_than_when_it_is_old_again() {
        let (shared, _lanes) = unanswered();
        heard(&shared, [(1, OLD_MICROS + 1), (2, OLD_MICROS), (3, 0), (4, 9 * OLD_MICROS)]);
        let home = Subject(Uuid::from_u128(4));
        shared.ledgers.shard(home).lock().find_mut(home).unwrap().is_at_home = true;
        let mut refreshing = Refreshing::default();
        assert_eq!(asked(&shared, &mut refreshing, NOW), [1]);
        assert_eq!(asked(&shared, &mut refreshing, NOW.after(1)), [2]);
        assert_eq!(asked(&shared, &mut refreshing, NOW.after(OLD_MICROS + 1)), [1, 3]);
        assert_eq!(asked(&shared, &mut refreshing, NOW.after(OLD_MICROS + 2)), [2]);
    }

    #[test]
    fn many_have_their_turn_a_few_at_a_time() {
        let (shared, _lanes) = unanswered();
        let all: Vec<u128> = (0..1_000).collect();
        heard(&shared, all.iter().map(|&number| (number, 2 * OLD_MICROS)));
        let mut refreshing = Refreshing::default();
        let mut had = Vec::new();
        // A round over the shards leaves out those that found no room in theirs.
        for _ in 0..40 {
            let asked = asked(&shared, &mut refreshing, NOW);
            assert!(asked.len() <= MOST);
            had.extend(asked);
        }
        had.sort_unstable();
        assert_eq!(had, all);
    }
}
