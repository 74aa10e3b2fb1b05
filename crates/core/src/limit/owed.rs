//! What a node has counted that a store does not know of, while several nodes count apart.
//!
//! Each goes on from what the store knew last, and counts its own requests on top of that. What the store knew comes back by itself
//! at each of them, as it does in the store. A bucket's flow beyond that is there for the requests of all nodes together: of what is
//! on top a node has its part of it come back, and no more, as otherwise the bucket would fill once for each node.

use std::num::NonZeroU32;

use smallvec::SmallVec;

use super::decision::{Settlement, settle};
use super::{Calendar, Counted, LimitRule, SubjectWindows, gauge};
use crate::time::UnixMicros;

/// How much of each limit is counted here and not known there; rounded up.
pub fn owed(
    rules: &[LimitRule],
    here: &SubjectWindows,
    known: &SubjectWindows,
    nodes: NonZeroU32,
    now: UnixMicros,
) -> SmallVec<[u64; 4]> {
    let owed = |rule: &LimitRule| {
        let (here, known) = (here.find(rule.window), known.find(rule.window));
        match here {
            Some(&Counted::Bucket { missing, at, .. }) => {
                let bucket = Bucket { missing: missing.into(), at };
                let owed = bucket.on_top(rule, known, nodes, now).map_or(0, |on_top| on_top.owed);
                u64::try_from(owed.div_ceil(rule.window.nominal_micros().into())).unwrap_or(u64::MAX)
            }
            Some(Counted::Fixed { .. } | Counted::Sliding { .. } | Counted::Log(_)) | None => {
                gauge::used(rule, here, now).saturating_sub(gauge::used(rule, known, now))
            }
        }
    };
    rules.iter().map(owed).collect()
}

/// As [`settle`], of what is counted on top of what a store knows.
pub fn settle_on_top(
    rules: &[LimitRule],
    here: &mut SubjectWindows,
    known: &SubjectWindows,
    calendar: Calendar<'_>,
    settlement: Settlement,
    nodes: NonZeroU32,
    now: UnixMicros,
) {
    for rule in rules {
        if let Some(&Counted::Bucket { missing, at, full_at }) = here.find(rule.window)
            // Otherwise it came back at another rate than this rule's.
            && rule.bucket(rule.requests, 0, at).since(missing.into(), at, at).full_at() == full_at
            && let Some(on_top) =
                (Bucket { missing: missing.into(), at }).on_top(rule, known.find(rule.window), nodes, now)
        {
            let (missing, at) = (on_top.known.saturating_add(on_top.owed), at.max(now));
            let bucket = rule.bucket(rule.requests, 0, at).since(missing, at, at);
            here.put(rule.window, bucket.counted());
        }
    }
    settle(rules, here, calendar, settlement, now);
}

/// What is missing as of an instant, in microseconds of requests.
struct Bucket {
    missing: u128,
    at: UnixMicros,
}

/// What of a bucket is missing now that the store knows of, and what besides.
struct OnTop {
    known: u128,
    owed: u128,
}

impl Bucket {
    /// `None` where less is missing than the store knows of.
    fn on_top(
        &self,
        rule: &LimitRule,
        known: Option<&Counted>,
        nodes: NonZeroU32,
        now: UnixMicros,
    ) -> Option<OnTop> {
        let until = self.at.max(now);
        let known_at = |instant| match known {
            Some(&Counted::Bucket { missing, at, .. }) => {
                rule.bucket(rule.requests, 0, instant).since(missing.into(), at, instant).missing()
            }
            other => rule.bucket(rule.requests, gauge::used(rule, other, now), instant).missing(),
        };
        let (known_before, known) = (known_at(self.at), known_at(until));
        let flowed = u128::from(until.0 - self.at.0) * u128::from(rule.requests);
        let beyond = flowed.saturating_sub(known_before.saturating_sub(known));
        let owed = self.missing.checked_sub(known_before)?.saturating_sub(beyond / u128::from(nodes.get()));
        Some(OnTop { known, owed })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limit::charge_each;
    use crate::resource::LimitDraft;

    const START: UnixMicros = UnixMicros::from_secs(1_769_351_520);

    fn rule(requests: u64) -> LimitRule {
        let algorithm = Some("token_bucket".to_owned());
        let draft = LimitDraft { requests, per: "minute".into(), algorithm, ..LimitDraft::default() };
        LimitRule::compile(&draft.parse().unwrap())
    }

    proptest! {
        /// By one bucket that counts all.
        #[test]
        fn what_is_owed_by_all_nodes_is_no_less_than_what_they_have_used(
            requests in 1u64..1_000,
            known in 0u64..1_000,
            nodes in 1u32..5,
            uses in prop::collection::vec((0u64..20_000_000, 0usize..5, 0u64..100), 0..20),
        ) {
            let (rules, count) = ([rule(requests)], NonZeroU32::new(nodes).unwrap());
            let mut store = SubjectWindows::default();
            let charge = |windows: &mut SubjectWindows, used, now| {
                charge_each([(&rules[0], used)], windows, Calendar::utc(), now);
            };
            charge(&mut store, known, START);
            let mut of_all = store.clone();
            let mut of_each = vec![store.clone(); nodes as usize];
            let mut now = START;
            for (micros, node, cost) in uses {
                now = now.after(micros);
                charge(&mut of_all, cost, now);
                let here = &mut of_each[node % nodes as usize];
                settle_on_top(&rules, here, &store, Calendar::utc(), Settlement::uncharged(cost, now), count, now);
            }
            now = now.after(1_000_000);
            let mut told = store.clone();
            for here in &of_each {
                charge(&mut told, owed(&rules, here, &store, count, now)[0], now);
            }
            let used = |windows: &SubjectWindows| gauge::used(&rules[0], windows.find(rules[0].window), now);
            let (told, of_all) = (used(&told), used(&of_all));
            prop_assert!(told >= of_all, "{told} of {of_all}");
            if nodes == 1 {
                prop_assert!(told <= of_all + 1, "{told} of {of_all}");
            }
        }
    }
}
