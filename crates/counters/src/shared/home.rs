//! A plan that counted in the store, and counts in each node alone from now on: here its periods go on from where they
//! stood in the store, and should it come back, the store hears of what was counted here meanwhile.

use tollgate_core::limit::{Calendar, Demand, LimitRule, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::Shared;
use super::here::is_local;
use crate::Moment;

impl Shared {
    /// Whether this node counts a demand alone. What the store counted of it goes on here then: an edit begins no period
    /// anew.
    #[inline]
    pub(crate) fn counts_at_home(&self, demand: &Demand<'_>, now: Moment) -> bool {
        let is_home = is_local(demand);
        if is_home {
            self.take_home(demand, now);
        }
        is_home
    }

    fn take_home(&self, demand: &Demand<'_>, now: Moment) {
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let Some(ledger) = shard.find_mut(demand.subject).filter(|ledger| !ledger.is_at_home) else {
            return;
        };
        let (rules, server_now) = (ledger.rules.clone(), self.server_time(now.wall));
        let unused = ledger.slices.take_all();
        let of_store = ledger.go_home(&unused, demand.calendar, server_now);
        // Within the lock: whoever finds the ledger at home finds its count here.
        self.go_on_here(demand.subject, &rules, demand.calendar, &of_store, server_now);
        drop(shard);
        self.give_back(demand.subject, &rules, unused);
    }

    /// What the store counted is counted here from now on. What is here already goes on here: the store knows less of it.
    pub(super) fn go_on_here(
        &self,
        subject: Subject,
        rules: &[LimitRule],
        calendar: Calendar<'_>,
        of_store: &SubjectWindows,
        now: UnixMicros,
    ) {
        let mut is_here = self.local.windows(subject.in_store());
        is_here.forget_past(now);
        let mut known = SubjectWindows::default();
        for (window, counted) in of_store.iter().filter(|(window, _)| is_here.find(*window).is_none()) {
            known.put(window, counted.clone());
        }
        if !known.is_empty() {
            self.local.go_on_from(subject, rules, calendar, &known, now);
        }
    }
}
