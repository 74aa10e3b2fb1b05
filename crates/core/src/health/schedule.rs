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
mod tests;
