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

/// What a node counts on top of what a store knows.
struct Node<'w> {
    rules: [LimitRule; 1],
    here: SubjectWindows,
    base: Base<'w>,
}

impl<'w> Node<'w> {
    fn new(requests: u64, known: &'w SubjectWindows, nodes: u32) -> Self {
        let base = Base { known, nodes: NonZeroU32::new(nodes).unwrap() };
        Self { rules: [rule(requests)], here: known.clone(), base }
    }

    fn charge(&mut self, cost: u64, now: UnixMicros) {
        let charge = Settlement::uncharged(cost, now);
        settle_on_top(&self.rules, &mut self.here, self.base, Calendar::utc(), charge, now);
    }

    fn take_off(&mut self, charged: u64, charged_at: UnixMicros, now: UnixMicros) -> u64 {
        let nothing = Settlement { charged, charged_at, actual: 0 };
        let (here, told) = (&mut self.here, &Tally::default());
        take_off_owed(&self.rules, here, told, self.base, nothing, now)[0]
    }

    fn owed(&self, now: UnixMicros) -> u64 {
        owed(&self.rules, &self.here, self.base, now)[0]
    }
}

fn known(requests: u64, used: u64) -> SubjectWindows {
    let mut known = SubjectWindows::default();
    charge_each([(&rule(requests), used)], &mut known, Calendar::utc(), START);
    known
}

#[test]
fn what_has_come_back_of_a_charge_is_not_kept_back_again_when_it_is_taken_off() {
    let (nothing, after) = (SubjectWindows::default(), START.after(4_000_000));
    for (nodes, owed) in [(1, 6), (2, 8)] {
        let mut node = Node::new(60, &nothing, nodes);
        node.charge(10, START);
        assert_eq!(node.owed(after), owed);
        assert_eq!(node.take_off(10, START, after), owed);
        assert_eq!(node.owed(after), 0);
    }
}

proptest! {
    /// By one bucket that counts all.
    #[test]
    fn what_is_owed_by_all_nodes_is_no_less_than_what_they_have_used(
        requests in 1u64..1_000,
        of_store in 0u64..1_000,
        nodes in 1u32..5,
        uses in prop::collection::vec((0u64..20_000_000, 0usize..5, 0u64..100), 0..20),
    ) {
        let (rule, store) = (rule(requests), known(requests, of_store));
        let charge = |windows: &mut SubjectWindows, used, now| {
            charge_each([(&rule, used)], windows, Calendar::utc(), now);
        };
        let mut of_all = store.clone();
        let mut of_each: Vec<_> = (0..nodes).map(|_| Node::new(requests, &store, nodes)).collect();
        let mut now = START;
        for (micros, node, cost) in uses {
            now = now.after(micros);
            charge(&mut of_all, cost, now);
            of_each[node % nodes as usize].charge(cost, now);
        }
        now = now.after(1_000_000);
        let mut told = store.clone();
        for node in &of_each {
            charge(&mut told, node.owed(now), now);
        }
        let used = |windows: &SubjectWindows| gauge::used(&rule, windows.find(rule.window), now);
        let (told, of_all) = (used(&told), used(&of_all));
        prop_assert!(told >= of_all, "{told} of {of_all}");
        if nodes == 1 {
            prop_assert!(told <= of_all + 1, "{told} of {of_all}");
        }
    }

    #[test]
    fn what_is_taken_off_leaves_no_less_than_if_it_had_not_been_charged(
        requests in 1u64..1_000,
        of_store in 0u64..1_000,
        nodes in 1u32..5,
        uses in prop::collection::vec((0u64..20_000_000, 0u64..100), 1..20),
        which in 0usize..20,
    ) {
        let store = known(requests, of_store);
        let [mut node, mut without] = [(); 2].map(|()| Node::new(requests, &store, nodes));
        let (mut now, mut charged, which) = (START, (0, START), which % uses.len());
        for (index, (micros, cost)) in uses.into_iter().enumerate() {
            now = now.after(micros);
            node.charge(cost, now);
            if index == which {
                charged = (cost, now);
            } else {
                without.charge(cost, now);
            }
        }
        now = now.after(1_000_000);
        let before = node.owed(now);
        let taken = node.take_off(charged.0, charged.1, now);
        let (left, least) = (node.owed(now), without.owed(now));
        prop_assert!(left >= least, "{left} of {least}");
        prop_assert!(taken <= charged.0 && before <= left + taken + 1, "{before} less {taken} is {left}");
    }
}
