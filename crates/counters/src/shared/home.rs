//! A plan that counted in the store, and counts in each node alone from now on: here its periods go on from where they
//! stood in the store, and should it come back, the store hears of what was counted here meanwhile.

use tollgate_core::limit::Demand;

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
        let said_in = self.incarnation.since();
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let Some(ledger) = shard.find_mut(demand.subject).filter(|ledger| !ledger.is_at_home) else {
            return;
        };
        let (rules, server_now) = (ledger.rules.clone(), self.server_time(now.wall));
        let unused = ledger.slices.take_all();
        let of_store = ledger.go_home(&unused, demand.calendar, server_now);
        // Within the lock: whoever finds the ledger at home finds its count here.
        let of_store = of_store.not_over(server_now);
        self.local.go_on_from(demand.subject, &rules, of_store, self.nodes(), server_now);
        drop(shard);
        self.give_back(demand.subject, &rules, said_in, unused);
    }
}
