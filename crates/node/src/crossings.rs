//! Thresholds of limits that were reached here, until the control plane has them. It keeps one of each, so that what was
//! not answered is simply told again.

use tollgate_core::event::LimitCrossed;

/// Kept while the control plane is away; what comes then is dropped.
const MOST_KEPT: usize = 10_000;
/// Told at once; the rest with the next report.
const MOST_A_REPORT: usize = 500;

#[derive(Default)]
pub struct Crossings {
    pending: Vec<LimitCrossed>,
}

impl Crossings {
    pub fn note(&mut self, mut crossed: Vec<LimitCrossed>) {
        let room = MOST_KEPT.saturating_sub(self.pending.len());
        if crossed.len() > room {
            let dropped = crossed.len() - room;
            tracing::warn!(
                dropped,
                "the control plane was away for too long: some reached thresholds are not told"
            );
            crossed.truncate(room);
        }
        self.pending.append(&mut crossed);
    }

    /// What is still to be told.
    pub fn into_kept(self) -> Vec<LimitCrossed> {
        self.pending
    }

    /// The oldest.
    pub fn next(&self) -> &[LimitCrossed] {
        &self.pending[..self.pending.len().min(MOST_A_REPORT)]
    }

    /// Those that [`Crossings::next`] gave were answered.
    pub fn told(&mut self) {
        self.pending.drain(..self.pending.len().min(MOST_A_REPORT));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tollgate_core::limit::{Level, Subject, Window};
    use tollgate_core::resource::TenantId;
    use uuid::Uuid;

    use super::*;

    pub fn crossed(numbers: std::ops::Range<usize>) -> Vec<LimitCrossed> {
        let crossed = |number: usize| LimitCrossed {
            tenant: TenantId(Uuid::from_u128(1)),
            level: Level::Tenant,
            subject: Subject(Uuid::from_u128(number as u128)),
            consumer: None,
            key: None,
            plan: None,
            service: None,
            rule: None,
            window: Window::CalendarDay,
            requests: 10,
            percent: 80,
            used: 8,
            period_end_secs: 1,
            at_secs: 0,
        };
        numbers.map(crossed).collect()
    }

    #[test]
    fn what_was_not_answered_is_told_again_and_what_was_is_not() {
        let mut crossings = Crossings::default();
        assert_eq!(crossings.next(), []);
        crossings.note(crossed(0..MOST_A_REPORT + 2));
        assert_eq!(crossings.next(), crossed(0..MOST_A_REPORT));
        crossings.note(crossed(MOST_A_REPORT + 2..MOST_A_REPORT + 3));
        assert_eq!(crossings.next(), crossed(0..MOST_A_REPORT));
        crossings.told();
        assert_eq!(crossings.next(), crossed(MOST_A_REPORT..MOST_A_REPORT + 3));
        crossings.told();
        assert_eq!(crossings.next(), []);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut crossings = Crossings::default();
        crossings.note(crossed(0..MOST_KEPT - 1));
        crossings.note(crossed(MOST_KEPT..MOST_KEPT + 5));
        assert_eq!(crossings.pending.len(), MOST_KEPT);
        assert_eq!(crossings.next()[0], crossed(0..1)[0], "the oldest are kept");
    }
}
