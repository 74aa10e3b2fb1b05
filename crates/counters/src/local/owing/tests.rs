use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use tollgate_core::limit::{Demand, LevelLimits};
use tollgate_core::resource::LimitDraft;
use uuid::Uuid;

use super::*;

const NOW: UnixMicros = UnixMicros::from_secs(1_769_351_520);
const SUBJECT: Subject = Subject(Uuid::from_u128(1));

fn limits(requests: u64, per: &str, algorithm: &str) -> LevelLimits {
    let algorithm = Some(algorithm.to_owned());
    let limit = LimitDraft { requests, per: per.into(), algorithm, ..LimitDraft::default() };
    LevelLimits::of_plan(&[limit.parse().unwrap()], None)
}

/// A node, and a store that hears of it as late as it pleases.
struct Node {
    counters: LocalCounters,
    limits: LevelLimits,
    nodes: NonZeroU32,
    store: SubjectWindows,
    /// What it heard of the store last.
    mirror: SubjectWindows,
    being_told: Option<(Tally, u64)>,
}

impl Node {
    fn new(limits: LevelLimits, nodes: u32) -> Self {
        Self {
            counters: LocalCounters::new(),
            limits,
            nodes: NonZeroU32::new(nodes).unwrap(),
            store: SubjectWindows::default(),
            mirror: SubjectWindows::default(),
            being_told: None,
        }
    }

    fn charge(&self, units: u64, now: UnixMicros) {
        let (rules, charge) = (&self.limits.rules, Settlement::uncharged(units, now));
        self.counters.go_on_from(SUBJECT, rules, self.mirror.not_over(now), self.nodes, now);
        self.counters.owe(SUBJECT, rules, Calendar::utc(), charge, self.nodes, now);
    }

    /// Gives how much it is that the store has to give back.
    fn take_off(&self, units: u64, charged_at: UnixMicros, now: UnixMicros) -> u64 {
        let nothing = Settlement { charged: units, charged_at, actual: 0 };
        let untold = Tally::default();
        let being_told = self.being_told.as_ref().map_or(&untold, |(tally, _)| tally);
        let rules = &self.limits.rules;
        units - self.counters.take_off_owed(SUBJECT, rules, being_told, nothing, self.nodes, now)[0]
    }

    fn owed(&self, now: UnixMicros) -> u64 {
        self.counters.tally_and_owed(SUBJECT, &self.limits.rules, self.nodes, now).1[0]
    }

    fn begin_telling(&mut self, now: UnixMicros) {
        let (tally, owed) = self.counters.tally_and_owed(SUBJECT, &self.limits.rules, self.nodes, now);
        if owed[0] > 0 {
            self.being_told = Some((tally, owed[0]));
        }
    }

    /// Gives what the store was told.
    fn is_heard(&mut self, counting: GoesOn, now: UnixMicros) -> u64 {
        let Some((told, units)) = self.being_told.take() else { return 0 };
        let rules = &self.limits.rules;
        limit::charge_each([(&rules[0], units)], &mut self.store, Calendar::utc(), now);
        let heard = Heard { told: &told, of_store: &self.store, counting };
        self.counters.has_told(SUBJECT, rules, heard, self.nodes, now);
        self.mirror = self.store.clone();
        units
    }

    fn used(&self, now: UnixMicros) -> u64 {
        self.counters.used_of(SUBJECT, &self.limits.rules, now)[0]
    }
}

#[test]
fn what_is_counted_while_the_store_is_told_is_told_once() {
    let mut node = Node::new(limits(1_000_000, "month", "fixed_window"), 1);
    let counters = mem::take(&mut node.counters);
    let demand = Demand { subject: SUBJECT, limits: &node.limits, calendar: Calendar::utc() };
    let (is_over, nodes) = (AtomicBool::new(false), node.nodes);
    let (mut told, mut store) = (0, SubjectWindows::default());
    let rules = &node.limits.rules;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100_000 {
                assert!(counters.decide(&[demand], 1, NOW).verdict.is_admitted());
            }
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            let (tally, owed) = counters.tally_and_owed(SUBJECT, rules, nodes, NOW);
            told += owed[0];
            limit::charge_each([(&rules[0], owed[0])], &mut store, Calendar::utc(), NOW);
            let heard = Heard { told: &tally, of_store: &store, counting: GoesOn::InStore };
            counters.has_told(SUBJECT, rules, heard, nodes, NOW);
        }
    });
    assert_eq!(told + counters.tally_and_owed(SUBJECT, rules, nodes, NOW).1[0], 100_000);
}

#[test]
fn what_comes_while_the_store_is_told_is_all_that_it_is_told_next() {
    for nodes in [1, 2, 3] {
        let mut node = Node::new(limits(60, "minute", "token_bucket"), nodes);
        node.charge(12, NOW);
        node.begin_telling(NOW);
        let after = NOW.after(6_000_000);
        node.charge(5, after);
        assert_eq!(node.take_off(2, after, after), 0);
        // What is taken off besides is in the store, or will be.
        assert_eq!(node.take_off(7, after, after), 4);
        node.charge(4, after);
        assert_eq!(node.is_heard(GoesOn::InStore, after), 12);
        assert_eq!(node.owed(after), 4, "{nodes} nodes");
    }
}

#[test]
fn what_a_bucket_owes_comes_back_no_faster_for_what_the_store_says() {
    let node = Node::new(limits(60, "minute", "token_bucket"), 2);
    node.charge(10, NOW);
    let after = NOW.after(4_000_000);
    let mut of_store = SubjectWindows::default();
    limit::charge_each([(&node.limits.rules[0], 20)], &mut of_store, Calendar::utc(), after);
    let before = node.owed(after);
    node.counters.go_on_from(SUBJECT, &node.limits.rules, of_store.iter(), node.nodes, after);
    assert_eq!((before, node.owed(after), node.used(after)), (8, 8, 28));
}

#[test]
fn a_count_that_goes_on_here_while_the_store_is_told_goes_on_from_what_the_store_knows() {
    let mut node = Node::new(limits(100, "month", "fixed_window"), 1);
    let rules = std::sync::Arc::clone(&node.limits.rules);
    node.charge(10, NOW);
    node.begin_telling(NOW);
    limit::charge_each([(&rules[0], 60)], &mut node.store, Calendar::utc(), NOW);
    let of_store = node.store.clone();
    node.counters.go_on_from(SUBJECT, &rules, of_store.iter(), node.nodes, NOW);
    assert_eq!(node.used(NOW), 70);
    assert_eq!(node.is_heard(GoesOn::Here, NOW), 10);
    assert_eq!((node.used(NOW), node.owed(NOW)), (70, 0));
    node.charge(1, NOW);
    assert_eq!((node.used(NOW), node.owed(NOW)), (71, 1));
}

#[test]
fn what_is_not_taken_off_is_not_written_anew() {
    let node = Node::new(limits(60, "minute", "token_bucket"), 1);
    node.charge(10, NOW);
    let _kept = node.counters.take_changed();
    let after = NOW.after(20_000_000);
    assert_eq!(node.take_off(5, after, after), 5);
    assert_eq!(node.counters.take_changed(), []);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Charge(u64),
    TakeOff(u64),
    BeginTelling,
    Heard,
    NotHeard,
}

proptest! {
    /// As long as nothing comes back, which takes time.
    #[test]
    fn each_unit_is_told_once_in_whatever_order_it_is_charged_taken_off_and_told(
        algorithm in prop::sample::select(vec!["token_bucket", "fixed_window", "sliding_window", "sliding_log"]),
        nodes in 1u32..4,
        steps in prop::collection::vec(
            prop_oneof![
                (1u64..20).prop_map(Step::Charge),
                (1u64..20).prop_map(Step::TakeOff),
                Just(Step::BeginTelling),
                Just(Step::Heard),
                Just(Step::NotHeard),
            ],
            0..40,
        ),
    ) {
        let mut node = Node::new(limits(1_000, "minute", algorithm), nodes);
        let (mut charged, mut told, mut given_back) = (0u64, 0, 0);
        for step in steps {
            match step {
                Step::Charge(units) => {
                    node.charge(units, NOW);
                    charged += units;
                }
                Step::TakeOff(units) => {
                    let units = units.min(charged);
                    given_back += node.take_off(units, NOW, NOW);
                    charged -= units;
                }
                Step::BeginTelling if node.being_told.is_none() => node.begin_telling(NOW),
                Step::BeginTelling => {}
                Step::Heard => told += node.is_heard(GoesOn::InStore, NOW),
                Step::NotHeard => node.being_told = None,
            }
            prop_assert!(given_back <= told + node.owed(NOW));
        }
        told += node.is_heard(GoesOn::InStore, NOW);
        node.begin_telling(NOW);
        told += node.is_heard(GoesOn::InStore, NOW);
        prop_assert_eq!(told - given_back, charged);
        prop_assert_eq!(node.owed(NOW), 0);
    }

    /// By a bucket that counts at once, of a node among others that have nothing to count.
    #[test]
    fn a_bucket_is_told_no_less_than_was_taken_from_it_whenever_that_is_told(
        requests in 1u64..1_000,
        nodes in 1u32..4,
        steps in prop::collection::vec(
            (
                0u64..5_000_000,
                prop_oneof![
                    (1u64..50).prop_map(Step::Charge),
                    Just(Step::BeginTelling),
                    Just(Step::Heard),
                    Just(Step::NotHeard),
                ],
            ),
            0..40,
        ),
    ) {
        let mut node = Node::new(limits(requests, "minute", "token_bucket"), nodes);
        let rules = std::sync::Arc::clone(&node.limits.rules);
        let (mut at_once, mut now) = (SubjectWindows::default(), NOW);
        for (micros, step) in steps {
            now = now.after(micros);
            match step {
                Step::Charge(units) => {
                    node.charge(units, now);
                    limit::charge_each([(&rules[0], units)], &mut at_once, Calendar::utc(), now);
                }
                Step::BeginTelling if node.being_told.is_none() => node.begin_telling(now),
                Step::BeginTelling | Step::TakeOff(_) => {}
                Step::Heard => drop(node.is_heard(GoesOn::InStore, now)),
                Step::NotHeard => node.being_told = None,
            }
        }
        node.is_heard(GoesOn::InStore, now);
        node.begin_telling(now);
        node.is_heard(GoesOn::InStore, now);
        let used = |windows: &SubjectWindows| limit::used(&rules, windows, now)[0];
        let (told, at_once) = (used(&node.store), used(&at_once));
        prop_assert!(told >= at_once, "{told} of {at_once}");
    }
}
