//! What Redis counts is what this process counts: the same random traffic, decision by decision.

use std::collections::VecDeque;
use std::time::Instant;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tollgate_core::limit::{Crossing, Demand, LevelLimits, Settled, Settlement};
use tollgate_core::resource::{Algorithm, Counting, LimitDraft, OnUnavailable};
use tollgate_core::time::UnixMicros;
use tollgate_counters::{Decision, LocalCounters, Moment, TimeSource, Verdict};

use crate::node::{Node, demand, plan, subject};
use crate::server::Redis;

/// So far ahead that the server forgets nothing meanwhile.
const START: UnixMicros = UnixMicros::from_secs(4_102_444_800 + 17);

fn any_requests() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1u64..40, 1 => 999_999_999_000u64..1_000_000_000_000]
}

/// With thresholds where it may have some; where it may be gone over, perhaps that too.
fn any_limit() -> impl Strategy<Value = LimitDraft> {
    (any_hard_limit(), prop::collection::vec(1u32..400, 0..3), any::<bool>()).prop_map(
        |(hard, thresholds, is_soft)| {
            let watched = LimitDraft { thresholds, ..hard.clone() };
            let watched = if watched.parse().is_ok() { watched } else { hard };
            let soft = LimitDraft { overage: is_soft.then(|| "allow".to_owned()), ..watched.clone() };
            if soft.parse().is_ok() { soft } else { watched }
        },
    )
}

fn any_hard_limit() -> impl Strategy<Value = LimitDraft> {
    let span =
        (any_requests(), 1u32..7_200, 0usize..4, 1u64..60).prop_map(|(requests, secs, algorithm, burst)| {
            let algorithm = ["token_bucket", "fixed_window", "sliding_window", "sliding_log"][algorithm];
            LimitDraft {
                requests: if algorithm == "sliding_log" { requests % 10_000 + 1 } else { requests },
                per: format!("{secs}s"),
                burst: (algorithm == "token_bucket").then_some(if requests > 40 { requests } else { burst }),
                algorithm: Some(algorithm.into()),
                ..LimitDraft::default()
            }
        });
    let calendar = (any_requests(), prop::sample::select(vec!["day", "month"]))
        .prop_map(|(requests, per)| LimitDraft { requests, per: per.into(), ..LimitDraft::default() });
    // The longest window there is: its units are the largest numbers.
    let longest = (any_requests(), 0usize..3).prop_map(|(requests, algorithm)| LimitDraft {
        requests,
        per: "744h".into(),
        algorithm: Some(["token_bucket", "fixed_window", "sliding_window"][algorithm].into()),
        ..LimitDraft::default()
    });
    prop_oneof![4 => span, 1 => calendar, 1 => longest]
}

fn any_limits() -> impl Strategy<Value = Vec<LimitDraft>> {
    prop::collection::vec(any_limit(), 1..4).prop_map(|mut limits| {
        let mut seen = Vec::new();
        limits.retain(|limit| {
            let window = limit.parse().unwrap().per;
            let is_new = !seen.contains(&window);
            seen.push(window);
            is_new
        });
        limits
    })
}

#[derive(Debug, Clone)]
enum Step {
    Request {
        cost: u64,
    },
    /// The first request that was let through, and is open still, turns out to have cost this.
    Settle {
        actual: u64,
    },
    /// Another algorithm for the first limit, if it has a duration.
    Edit {
        algorithm: usize,
    },
    Back {
        micros: u64,
    },
}

fn any_step() -> impl Strategy<Value = (u64, Step)> {
    let gap = prop_oneof![2 => 0u64..2_000_000, 2 => 0u64..600_000_000, 1 => 0u64..4_000_000_000];
    let cost = prop_oneof![4 => Just(1u64), 2 => 1u64..10, 1 => 1u64..80, 1 => 1u64..1_000_000_000_000];
    let step = prop_oneof![
        12 => cost.prop_map(|cost| Step::Request { cost }),
        2 => (0u64..20).prop_map(|actual| Step::Settle { actual }),
        1 => (0usize..4).prop_map(|algorithm| Step::Edit { algorithm }),
        1 => (0u64..5_000_000).prop_map(|micros| Step::Back { micros }),
    ];
    (gap, step)
}

/// Both places, and what is asked of both.
struct Both<'n> {
    node: &'n Node,
    local: LocalCounters,
    number: u128,
}

impl Both<'_> {
    async fn request(&self, limits: &LevelLimits, cost: u64, wall: UnixMicros) -> bool {
        let demand = demand(subject(self.number), limits);
        let demands: &[Demand<'_>] = std::slice::from_ref(&demand);
        let moment = Moment { wall, instant: Instant::now() };
        let expected = self.local.decide(demands, cost, wall);
        let decided = self.node.decide(demands, cost, moment).await;
        assert_eq!(said(&decided), said(&expected), "{limits:?} {cost} {wall:?}");
        assert_eq!(decided.standings, expected.standings, "{limits:?} {cost} {wall:?}");
        assert_eq!(
            told(limits, &decided.crossed),
            told(limits, &expected.crossed),
            "{limits:?} {cost} {wall:?}"
        );
        assert_eq!(
            self.node.counters.used(demands, moment),
            self.local.used(demands, wall),
            "{limits:?} {cost} {wall:?}"
        );
        decided.verdict.is_admitted()
    }

    async fn settle(&self, limits: &LevelLimits, settlement: Settlement, wall: UnixMicros) {
        let demand = demand(subject(self.number), limits);
        let demands: &[Demand<'_>] = std::slice::from_ref(&demand);
        let moment = Moment { wall, instant: Instant::now() };
        let Settled { standings: expected, crossed } = self.local.settle(demands, settlement, wall);
        let before_hand = self.node.counters.settle(demands, settlement, 0, moment);
        assert_eq!(
            told(limits, &before_hand.crossed),
            told(limits, &crossed),
            "{limits:?} {settlement:?} {wall:?}"
        );
        for ((rule, before_hand), expected) in limits.rules.iter().zip(before_hand.standings).zip(&expected) {
            if rule.algorithm == Algorithm::SlidingLog {
                // This node does not know when each request was let through.
                assert!(before_hand.remaining <= expected.remaining);
            } else {
                assert_eq!(before_hand, *expected);
            }
        }
        self.node.counters.look(demands, moment).await;
        assert_eq!(
            self.node.counters.inspect(demands, moment),
            expected,
            "{limits:?} {settlement:?} {wall:?}"
        );
    }
}

/// But for logs: a node does not know when each of their requests was let through.
fn told(limits: &LevelLimits, crossed: &[Crossing]) -> Vec<Crossing> {
    let is_logged = |rule: usize| limits.rules[rule].algorithm == Algorithm::SlidingLog;
    crossed.iter().filter(|crossing| !is_logged(crossing.rule)).copied().collect()
}

fn said(decision: &Decision<'_>) -> Result<(), (usize, u64)> {
    match &decision.verdict {
        Verdict::Admitted(_) => Ok(()),
        Verdict::Limited(refusal) => Err((refusal.rule, refusal.retry_after_micros)),
        Verdict::Busy { .. } | Verdict::Unavailable => panic!("neither is asked for here"),
    }
}

async fn play(node: &Node, number: u128, mut limits: Vec<LimitDraft>, steps: Vec<(u64, Step)>) {
    let both = Both { node, local: LocalCounters::new(), number };
    let level = |limits: &[LimitDraft]| plan(limits, Counting::Exact, OnUnavailable::Deny);
    let mut now = START;
    let mut in_force = level(&limits);
    let mut open = VecDeque::new();
    for (gap, step) in steps {
        now = now.after(gap);
        match step {
            Step::Request { cost } => {
                if both.request(&in_force, cost, now).await {
                    open.push_back((cost, now));
                }
            }
            Step::Settle { actual } => {
                if let Some((charged, charged_at)) = open.pop_front() {
                    both.settle(&in_force, Settlement { charged, charged_at, actual }, now).await;
                }
            }
            Step::Edit { algorithm } => {
                let first = &mut limits[0];
                if first.parse().unwrap().per.is_calendar() {
                    continue;
                }
                first.algorithm =
                    Some(["token_bucket", "fixed_window", "sliding_window", "sliding_log"][algorithm].into());
                first.burst = None;
                first.overage = None;
                // What another algorithm counted changes with what looks at it, and so does what it has reached.
                first.thresholds.clear();
                first.requests = first.requests.min(10_000);
                in_force = level(&limits);
                // What is given back flows from when the algorithm took over: in Redis that is the first look, here the
                // first charge.
                open.clear();
            }
            Step::Back { micros } => {
                now = UnixMicros(now.0.saturating_sub(micros).max(START.0));
                // A refusal too brings up to its time what Redis keeps, and here only a charge does.
                open.clear();
            }
        }
    }
}

#[test]
fn redis_admits_refuses_and_tells_what_this_process_does() {
    let runtime = Runtime::new().unwrap();
    let redis = Redis::start();
    let node = runtime.block_on(Node::start_by(redis.settings(), TimeSource::Caller));
    let number = std::cell::Cell::new(0);
    let cases = any_limits().prop_flat_map(|limits| (Just(limits), prop::collection::vec(any_step(), 1..80)));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(600)
    });
    let outcome = runner.run(&cases, |(limits, steps)| {
        number.set(number.get() + 1);
        runtime.block_on(play(&node, number.get(), limits, steps));
        Ok(())
    });
    outcome.unwrap();
}
