//! When which target is checked: each as often as its service says, and never twice at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ahash::RandomState;

use super::next_check;
use super::turns::Turns;
use crate::resource::{HealthCheck, ServiceId, TargetId, TenantId};
use crate::uptime::Uptime;

/// A target that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    pub tenant: TenantId,
    pub service: ServiceId,
    pub target: TargetId,
}

#[derive(Debug)]
pub struct Schedule {
    entries: HashMap<Subject, Entry, RandomState>,
    /// Those whose time has not come.
    upcoming: BTreeSet<(Uptime, Subject)>,
    turns: Turns,
}

#[derive(Debug)]
struct Entry {
    /// `None` where it is checked only because somebody has asked for it, or no longer, and its last check has not ended.
    check: Option<Arc<HealthCheck>>,
    stage: Stage,
    /// When its next check is due; of one that waits for its turn, since when.
    due: Uptime,
    /// When its last check began, and the random number that the time to the next is made with.
    last: Option<(Uptime, u64)>,
}

/// What becomes of a check that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    WaitsForTurn,
    /// One is under way already, and its result will do.
    UnderWay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upcoming,
    WaitsForTurn,
    UnderWay,
}

impl Schedule {
    pub fn new(places: usize) -> Self {
        Self { entries: HashMap::default(), upcoming: BTreeSet::new(), turns: Turns::new(places) }
    }

    /// Takes over who is to be checked, and how. Who is new is checked at once, as is one whose check is under way by settings
    /// that hold no longer. Says which checks are for nothing; they are to be ended as all others are.
    pub fn follow<'c>(
        &mut self,
        wanted: impl IntoIterator<Item = (Subject, &'c Arc<HealthCheck>)>,
        now: Uptime,
    ) -> Vec<Subject> {
        let mut before = std::mem::take(&mut self.entries);
        let mut for_nothing = Vec::new();
        for (subject, check) in wanted {
            let entry = match before.remove(&subject) {
                None => {
                    self.upcoming.insert((now, subject));
                    Entry { check: Some(Arc::clone(check)), stage: Stage::Upcoming, due: now, last: None }
                }
                Some(entry) if entry.check.as_ref() == Some(check) => entry,
                Some(entry) => self.edited(subject, entry, check, now, &mut for_nothing),
            };
            self.entries.insert(subject, entry);
        }
        for (subject, entry) in before {
            match entry.stage {
                Stage::WaitsForTurn | Stage::UnderWay if entry.check.is_none() => {
                    self.entries.insert(subject, entry);
                }
                Stage::Upcoming => drop(self.upcoming.remove(&(entry.due, subject))),
                Stage::WaitsForTurn => self.turns.leave(subject, entry.due),
                Stage::UnderWay => {
                    for_nothing.push(subject);
                    self.entries.insert(subject, Entry { check: None, ..entry });
                }
            }
        }
        for_nothing
    }

    fn edited(
        &mut self,
        subject: Subject,
        mut entry: Entry,
        check: &Arc<HealthCheck>,
        now: Uptime,
        for_nothing: &mut Vec<Subject>,
    ) -> Entry {
        entry.check = Some(Arc::clone(check));
        match entry.stage {
            Stage::Upcoming => {
                self.upcoming.remove(&(entry.due, subject));
                entry.due = entry.next(check).unwrap_or(now);
                self.upcoming.insert((entry.due, subject));
            }
            Stage::WaitsForTurn => {}
            Stage::UnderWay => {
                for_nothing.push(subject);
                entry.due = now;
            }
        }
        entry
    }

    /// It is checked as soon as its service has a turn, whenever it was due, and whether or not it is checked else.
    pub fn ask(&mut self, subject: Subject) -> Asked {
        let entry = self.entries.entry(subject).or_insert(Entry {
            check: None,
            stage: Stage::Upcoming,
            due: Uptime::default(),
            last: None,
        });
        match entry.stage {
            Stage::UnderWay => return Asked::UnderWay,
            Stage::Upcoming => drop(self.upcoming.remove(&(entry.due, subject))),
            Stage::WaitsForTurn => self.turns.leave(subject, entry.due),
        }
        // Before all that are overdue.
        entry.due = Uptime::default();
        entry.stage = Stage::WaitsForTurn;
        self.turns.wait(subject, entry.due);
        Asked::WaitsForTurn
    }

    /// One whose check begins now, if any does.
    pub fn begin(&mut self, now: Uptime, random: u64) -> Option<Subject> {
        while let Some(&(due, subject)) = self.upcoming.first().filter(|(due, _)| *due <= now) {
            self.upcoming.pop_first();
            self.turns.wait(subject, due);
            if let Some(entry) = self.entries.get_mut(&subject) {
                entry.stage = Stage::WaitsForTurn;
            }
        }
        let subject = self.turns.begin()?;
        if let Some(entry) = self.entries.get_mut(&subject) {
            entry.stage = Stage::UnderWay;
            entry.last = Some((now, random));
            entry.due = entry.check.as_ref().and_then(|check| entry.next(check)).unwrap_or(now);
        }
        Some(subject)
    }

    /// Its check has ended, however it did.
    pub fn end(&mut self, subject: Subject) {
        self.turns.end(subject);
        let Some(entry) = self.entries.get_mut(&subject) else { return };
        if entry.check.is_some() {
            entry.stage = Stage::Upcoming;
            self.upcoming.insert((entry.due, subject));
        } else {
            self.entries.remove(&subject);
        }
    }

    /// When the next check is due of those that do not wait for their turn yet.
    pub fn next_due(&self) -> Option<Uptime> {
        self.upcoming.first().map(|(due, _)| *due)
    }
}

impl Entry {
    /// Counted from the last, so that an edited interval holds from the edit on.
    fn next(&self, check: &HealthCheck) -> Option<Uptime> {
        let (began, random) = self.last?;
        Some(began.after(next_check(check.interval, check.jitter_percent, random)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn subject(target: u128) -> Subject {
        Subject {
            tenant: TenantId(Uuid::from_u128(1)),
            service: ServiceId(Uuid::from_u128(2)),
            target: TargetId(Uuid::from_u128(target)),
        }
    }

    fn every(secs: u64) -> Arc<HealthCheck> {
        let interval = Duration::from_secs(secs);
        Arc::new(HealthCheck { interval, jitter_percent: 0, ..HealthCheck::usual() })
    }

    const fn at(secs: u64) -> Uptime {
        Uptime::from_secs(secs)
    }

    /// The only target; its first check has begun at 1 s.
    fn checked_every(secs: u64) -> Schedule {
        let mut schedule = Schedule::new(8);
        assert!(schedule.follow([(subject(1), &every(secs))], at(1)).is_empty());
        assert_eq!(schedule.begin(at(1), 0), Some(subject(1)));
        schedule
    }

    #[test]
    fn a_target_is_checked_at_once_and_then_as_often_as_is_said_but_never_twice_at_a_time() {
        let mut schedule = checked_every(10);
        assert_eq!(schedule.begin(at(30), 0), None, "its check is under way");
        schedule.end(subject(1));
        assert_eq!(schedule.next_due(), Some(at(11)));
        assert_eq!(schedule.begin(at(30), 0), Some(subject(1)));
        schedule.end(subject(1));
        assert_eq!(schedule.begin(at(39), 0), None);
        assert_eq!(schedule.begin(at(40), 0), Some(subject(1)));
    }

    #[test]
    fn an_edited_interval_holds_from_the_edit_on() {
        let mut schedule = checked_every(3_600);
        schedule.end(subject(1));
        assert!(schedule.follow([(subject(1), &every(10))], at(5)).is_empty());
        assert_eq!((schedule.begin(at(10), 0), schedule.begin(at(11), 0)), (None, Some(subject(1))));
        schedule.end(subject(1));
        // It is longer again.
        schedule.follow([(subject(1), &every(60))], at(12));
        assert_eq!((schedule.begin(at(70), 0), schedule.begin(at(71), 0)), (None, Some(subject(1))));
    }

    #[test]
    fn a_check_that_is_for_nothing_is_said_to_be_and_holds_its_place_until_it_ends() {
        let mut schedule = checked_every(10);
        assert!(schedule.follow([(subject(1), &every(10))], at(2)).is_empty(), "it was not edited");
        assert_eq!(schedule.follow([(subject(1), &every(60))], at(2)), [subject(1)]);
        assert_eq!(schedule.begin(at(2), 0), None);
        schedule.end(subject(1));
        assert_eq!(schedule.begin(at(2), 0), Some(subject(1)), "it is made again by what holds now");
        assert_eq!(schedule.follow([], at(3)), [subject(1)]);
        schedule.end(subject(1));
        assert_eq!((schedule.begin(at(999), 0), schedule.next_due()), (None, None));
        assert!(schedule.entries.is_empty());
    }

    #[test]
    fn who_asks_for_a_check_that_is_under_way_has_its_result() {
        let mut schedule = checked_every(10);
        assert_eq!(schedule.ask(subject(1)), Asked::UnderWay);
        assert_eq!(schedule.begin(at(2), 0), None);
        schedule.end(subject(1));
        assert_eq!(
            (schedule.ask(subject(1)), schedule.ask(subject(1))),
            (Asked::WaitsForTurn, Asked::WaitsForTurn)
        );
        assert_eq!((schedule.begin(at(3), 0), schedule.begin(at(3), 0)), (Some(subject(1)), None));
        schedule.end(subject(1));
        assert_eq!(schedule.next_due(), Some(at(13)), "the next is as long after this one");
    }

    #[test]
    fn a_target_that_is_not_checked_else_is_checked_once_where_somebody_asks() {
        let mut schedule = Schedule::new(1);
        assert_eq!(
            (schedule.ask(subject(1)), schedule.ask(subject(2))),
            (Asked::WaitsForTurn, Asked::WaitsForTurn)
        );
        let first = schedule.begin(at(1), 0).unwrap();
        assert!(schedule.follow([], at(1)).is_empty(), "an edit of something else ends it not");
        assert_eq!(schedule.begin(at(1), 0), None);
        schedule.end(first);
        let second = schedule.begin(at(1), 0).unwrap();
        assert_ne!(first, second);
        schedule.end(second);
        assert!(schedule.entries.is_empty() && schedule.next_due().is_none());
    }

    #[test]
    fn who_is_asked_for_goes_before_those_that_are_overdue() {
        let mut schedule = Schedule::new(1);
        let check = every(10);
        schedule.follow((1..=9).map(|target| (subject(target), &check)), at(1));
        schedule.ask(subject(7));
        assert_eq!(schedule.begin(at(9), 0), Some(subject(7)));
    }

    #[test]
    fn who_is_gone_is_not_checked_any_more() {
        let mut schedule = Schedule::new(1);
        let check = every(10);
        schedule.follow((1..=3).map(|target| (subject(target), &check)), at(1));
        let first = schedule.begin(at(1), 0).unwrap();
        assert_eq!(schedule.begin(at(1), 0), None, "there is but one place");
        // Two wait for their turn.
        assert_eq!(schedule.follow([], at(2)), [first]);
        schedule.end(first);
        assert_eq!((schedule.begin(at(99), 0), schedule.next_due()), (None, None));
    }

    #[test]
    fn who_was_gone_and_is_back_is_checked_at_once() {
        let mut schedule = checked_every(3_600);
        schedule.follow([], at(2));
        assert_eq!(schedule.follow([(subject(1), &every(3_600))], at(3)), [subject(1)]);
        schedule.end(subject(1));
        assert_eq!(schedule.begin(at(4), 0), Some(subject(1)));
    }
}
