//! What the limits say of a request, and the places that it has taken among those under way.

use smallvec::SmallVec;
use tollgate_core::limit::{Crossed, Outcome, Refusal, Standings, Subject};

use super::LocalCounters;

/// What was decided on a request.
#[must_use]
pub struct Decision<'c> {
    /// One standing a limit, in the order of the demands and of their rules.
    pub standings: Standings,
    pub verdict: Verdict<'c>,
    /// The thresholds that the charge has reached, their rules counted through all demands.
    pub crossed: Crossed,
}

#[must_use]
pub enum Verdict<'c> {
    /// The request is let through, and charged to every limit.
    Admitted(Permits<'c>),
    /// A limit refused it; nothing was charged.
    Limited(Refusal),
    /// As many requests as this demand allows at once are under way; nothing was charged.
    Busy { demand: usize },
    /// The store that counts cannot be reached, and the plan lets nothing through then; nothing was charged.
    Unavailable,
}

impl Verdict<'_> {
    pub const fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted(_))
    }
}

/// Places among the requests that are under way; given back when this is dropped, however the request ended. Most
/// requests need none.
#[must_use = "the places are given back when this is dropped"]
pub struct Permits<'c> {
    pub(super) counters: &'c LocalCounters,
    pub(super) subjects: SmallVec<[Subject; 1]>,
}

impl Permits<'_> {
    /// Takes these places over as well.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.subjects.append(&mut other.subjects);
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        for &subject in &self.subjects {
            if let Some(entry) = self.counters.hold(subject).get_mut() {
                entry.in_flight = entry.in_flight.saturating_sub(1);
            }
        }
    }
}

/// A limit that refuses as well lasts longer, and is what the caller is told.
pub(super) fn busy<'c>(demand: usize, Outcome { standings, refusal, crossed }: Outcome) -> Decision<'c> {
    Decision { standings, verdict: refusal.map_or(Verdict::Busy { demand }, Verdict::Limited), crossed }
}
