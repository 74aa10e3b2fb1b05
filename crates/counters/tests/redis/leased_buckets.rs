//! Token buckets out of slices: had whole by a node alone, and never over by several, whenever each uses what it was granted.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tollgate_core::limit::{Demand, LevelLimits, Settlement};
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
use tollgate_core::time::UnixMicros;
use tollgate_counters::{Moment, TimeSource};

use crate::node::{Node, demand, limit, now, plan, subject};
use crate::server::Redis;

/// So far ahead that the server forgets nothing meanwhile.
const START: UnixMicros = UnixMicros::from_secs(4_102_444_800);

fn bucket(requests: u64, secs: u64, burst: u64) -> LevelLimits {
    let limit = LimitDraft { burst: Some(burst), ..limit(requests, &format!("{secs}s"), "token_bucket") };
    plan(&[limit], Counting::Leased, OnUnavailable::Deny)
}

/// Both clocks, so long after they began.
fn later(begun: Instant, micros: u64) -> Moment {
    Moment { wall: START.after(micros), instant: begun + Duration::from_micros(micros) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_lets_a_full_bucket_through_at_once() {
    let redis = Redis::start();
    let node = Node::start_by(redis.settings(), TimeSource::Caller).await;
    for (number, secs) in [(1, 1), (2, 10), (3, 60), (4, 3_600)] {
        let limits = bucket(100, secs, 100);
        let now = later(Instant::now(), 0);
        let mut admitted = 0;
        for _ in 0..200 {
            let decision = node.decide(&[demand(subject(number), &limits)], 1, now).await;
            admitted += u32::from(decision.verdict.is_admitted());
        }
        assert_eq!(admitted, 100, "{secs}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_while_slices_are_out_comes_back() {
    let redis = Redis::start();
    let node = Node::start_by(redis.settings(), TimeSource::Caller).await;
    let limits = bucket(100, 60, 100);
    let demands = [demand(subject(1), &limits)];
    let begun = Instant::now();
    for _ in 0..40 {
        assert!(node.decide(&demands, 1, later(begun, 0)).await.verdict.is_admitted());
    }
    let soon = later(begun, 100_000);
    for _ in 0..40 {
        let settlement = Settlement { charged: 1, charged_at: START, actual: 0 };
        node.counters.settle(&demands, settlement, 0, soon);
    }
    node.counters.look(&demands, soon).await;
    // A sixth of a token flows in a tenth of a second, and is not given back once more.
    let left = node.counters.inspect(&demands, soon)[0].remaining;
    assert!((100 - 7..=100).contains(&left), "{left}");
}

/// What is let through if a slice is used at the end of its life, and all the rest then.
async fn admitted_in_the_end(nodes: &[Node; 2], demand: Demand<'_>, now: Moment) -> [u64; 2] {
    let mut admitted = [0; 2];
    for (node, admitted) in nodes.iter().zip(&mut admitted) {
        while node.decide(&[demand], 1, now).await.verdict.is_admitted() {
            *admitted += 1;
        }
    }
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_beside_a_slice_leaves_the_bucket_standing_still() {
    let redis = Redis::start();
    let start = async || Node::start_by(redis.settings(), TimeSource::Caller).await;
    let nodes = [start().await, start().await];
    let limits = bucket(600, 60, 600);
    let begun = Instant::now();
    let demand = demand(subject(1), &limits);
    let used_up = plan(&[limit(1, "720h", "fixed_window")], Counting::Exact, OnUnavailable::Deny);
    let both = [demand, self::demand(subject(2), &used_up)];
    assert!(nodes[0].decide(&both[1..], 1, later(begun, 0)).await.verdict.is_admitted());
    // The next is granted a slice of as many, and given back what it costs itself.
    assert!(nodes[0].decide(&[demand], 8, later(begun, 0)).await.verdict.is_admitted());
    assert!(!nodes[0].decide(&both, 15, later(begun, 0)).await.verdict.is_admitted());
    let late = later(begun, 1_990_000);
    let admitted = admitted_in_the_end(&nodes, demand, late).await;
    assert!((595..=600).contains(&admitted.iter().sum::<u64>()), "{admitted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_stands_still_is_put_back_so() {
    let redis = Redis::start();
    let start = async || Node::start_by(redis.settings(), TimeSource::Caller).await;
    let nodes = [start().await, start().await];
    let limits = bucket(600, 60, 600);
    let demand = demand(subject(1), &limits);
    assert!(nodes[0].admits(&[demand]).await);
    // A slice of what the node has just met would not outlast the loss.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let begun = now();
    // The second is granted a slice of as many as the first has used.
    for cost in [8, 1] {
        assert!(nodes[0].decide(&[demand], cost, begun).await.verdict.is_admitted());
    }
    redis.run(&["FLUSHALL"]);
    nodes[0].counters.look(&[demand], now()).await;
    let late =
        Moment { wall: begun.wall.after(1_990_000), instant: begun.instant + Duration::from_millis(1_990) };
    let admitted = admitted_in_the_end(&nodes, demand, late).await;
    assert!((580..=600).contains(&admitted.iter().sum::<u64>()), "{admitted:?}");
}

#[derive(Debug, Clone, Copy)]
struct Rush {
    gap_micros: u64,
    node: usize,
    requests: u64,
    cost: u64,
}

fn any_rush() -> impl Strategy<Value = Rush> {
    let gap = prop_oneof![3 => Just(0u64), 2 => 0u64..100_000, 2 => 0u64..2_000_000];
    (gap, 0usize..2, 1u64..40, prop_oneof![4 => Just(1u64), 1 => 1u64..4])
        .prop_map(|(gap_micros, node, requests, cost)| Rush { gap_micros, node, requests, cost })
}

/// By the instants at which the requests were let through, and not by those at which they were granted.
async fn assert_never_over(
    nodes: &[Node],
    number: u128,
    (requests, secs, burst): (u64, u64, u64),
    rushes: &[Rush],
) {
    let limits = bucket(requests, secs, burst);
    let demands = [demand(subject(number), &limits)];
    let begun = Instant::now();
    let token = u128::from(secs) * 1_000_000;
    let (mut missing, mut micros) = (0u128, 0);
    for rush in rushes {
        micros += rush.gap_micros;
        missing = missing.saturating_sub(u128::from(rush.gap_micros) * u128::from(requests));
        let (node, now) = (&nodes[rush.node], later(begun, micros));
        for _ in 0..rush.requests {
            if node.decide(&demands, rush.cost, now).await.verdict.is_admitted() {
                missing += u128::from(rush.cost) * token;
                assert!(missing <= u128::from(burst) * token, "{micros}: {missing} of {burst} * {token}");
            }
        }
        // Slices that were asked for ahead of need arrive.
        node.counters.look(&demands, now).await;
    }
}

#[test]
fn several_nodes_never_let_more_of_a_bucket_through_than_it_holds() {
    let (runtime, redis) = (Runtime::new().unwrap(), Redis::start());
    let start = || runtime.block_on(Node::start_by(redis.settings(), TimeSource::Caller));
    let nodes = [start(), start()];
    let number = std::cell::Cell::new(0);
    let limits = (10u64..400, 1u64..20, 10u64..400);
    let cases = (limits, prop::collection::vec(any_rush(), 1..25));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    });
    let outcome = runner.run(&cases, |(limits, rushes)| {
        number.set(number.get() + 1);
        runtime.block_on(assert_never_over(&nodes, number.get(), limits, &rushes));
        Ok(())
    });
    outcome.unwrap();
}
