//! The last commits, as they are sent.

use std::collections::VecDeque;

use axum::body::Bytes;
use tollgate_core::feed::Position;

use super::{Since, Step};

/// What a commit takes beside its frames.
const STEP_BYTES: usize = 128;

/// A run of commits without a gap, from just after `base`.
pub struct ChangeLog {
    base: Position,
    steps: VecDeque<Step>,
    bytes: usize,
    most_bytes: usize,
}

impl ChangeLog {
    pub fn new(base: Position, most_bytes: usize) -> Self {
        Self { base, steps: VecDeque::new(), bytes: 0, most_bytes }
    }

    /// Appends a commit; without its frames, the log begins anew after it.
    pub fn push(&mut self, position: Position, frames: Option<Bytes>) {
        let Some(frames) = frames else {
            *self = Self::new(position, self.most_bytes);
            return;
        };
        self.bytes += STEP_BYTES + frames.len();
        self.steps.push_back(Step { position, frames });
        while self.bytes > self.most_bytes
            && let Some(forgotten) = self.steps.pop_front()
        {
            self.bytes -= STEP_BYTES + forgotten.frames.len();
            self.base = forgotten.position;
        }
    }

    /// Changes that lead to it, or to what was before it, are forgotten.
    pub const fn base_revision(&self) -> u64 {
        self.base.revision
    }

    /// Whether a history that is not this one has led to it. Of what is older than the log this is not known.
    pub fn is_foreign(&self, position: Position) -> bool {
        let newer = self.steps.iter().rev().map(|step| step.position);
        let mut near = newer.take_while(|step| step.revision >= position.revision);
        position.revision >= self.base.revision && position != self.base && near.all(|step| step != position)
    }

    pub fn since(&self, position: Position) -> Since {
        // Who is in step, or nearly, is found at once.
        let behind = self.steps.iter().rev().take_while(|step| step.position != position).count();
        let at = self.steps.len() - behind;
        if at == 0 && self.base != position {
            return Since::Unknown;
        }
        Since::Changes(self.steps.range(at..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::feed::Epoch;
    use uuid::Uuid;

    use super::*;

    fn position(revision: u64) -> Position {
        Position { revision, epoch: Epoch(Uuid::from_u128(u128::from(revision))) }
    }

    fn log(most_bytes: usize) -> ChangeLog {
        let mut log = ChangeLog::new(position(10), most_bytes);
        for revision in 11..=14 {
            log.push(position(revision), Some(Bytes::from(vec![0; 100])));
        }
        log
    }

    fn since(log: &ChangeLog, position: Position) -> Option<Vec<u64>> {
        match log.since(position) {
            Since::Changes(steps) => Some(steps.iter().map(|step| step.position.revision).collect()),
            Since::Unknown => None,
        }
    }

    #[test]
    fn a_node_gets_what_came_after_its_position() {
        let log = log(10_000);
        assert_eq!(since(&log, position(10)), Some(vec![11, 12, 13, 14]));
        assert_eq!(since(&log, position(13)), Some(vec![14]));
        assert_eq!(since(&log, position(14)), Some(vec![]));
    }

    #[test]
    fn an_older_position_and_one_of_another_history_are_not_known() {
        let log = log(10_000);
        let other = Epoch(Uuid::from_u128(999));
        for unknown in [
            position(9),
            position(15),
            Position { epoch: other, ..position(12) },
            Position { epoch: other, ..position(14) },
            Position { epoch: other, ..position(10) },
        ] {
            assert_eq!(since(&log, unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn another_history_is_told_from_an_older_position() {
        let log = log(10_000);
        for known in [9, 10, 11, 14].map(position) {
            assert!(!log.is_foreign(known), "{known:?}");
        }
        let other = Epoch(Uuid::from_u128(999));
        for foreign in [
            position(15),
            Position { epoch: other, ..position(12) },
            Position { epoch: other, ..position(10) },
        ] {
            assert!(log.is_foreign(foreign), "{foreign:?}");
        }
    }

    #[test]
    fn the_oldest_goes_where_there_is_no_room() {
        let log = log(2 * (100 + STEP_BYTES));
        assert_eq!(since(&log, position(11)), None);
        assert_eq!(since(&log, position(12)), Some(vec![13, 14]));
    }

    #[test]
    fn after_a_commit_that_is_too_large_the_log_begins_anew() {
        let mut log = log(10_000);
        log.push(position(15), None);
        assert_eq!(since(&log, position(14)), None);
        assert_eq!(since(&log, position(15)), Some(vec![]));
        log.push(position(16), Some(Bytes::from_static(b"x")));
        assert_eq!(since(&log, position(15)), Some(vec![16]));
    }
}
