//! Thresholds, and limits that may be gone over, where several nodes count together.

use std::collections::BTreeSet;
use std::time::Duration;

use tollgate_core::limit::{Demand, LevelLimits};
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
use tollgate_counters::StoreState;

use crate::node::{Node, demand, limit, now, plan, subject, undisturbed};
use crate::server::Redis;

const THRESHOLDS: [u32; 4] = [2, 50, 100, 150];

fn soft(requests: u64, counting: Counting) -> LevelLimits {
    let limit = LimitDraft {
        thresholds: THRESHOLDS.to_vec(),
        overage: Some("allow".into()),
        ..limit(requests, "month", "fixed_window")
    };
    plan(&[limit], counting, OnUnavailable::Local)
}

/// One request, which is let through; the thresholds that it tells.
async fn request(node: &Node, demand: Demand<'_>) -> Vec<u16> {
    let decision = node.decide(&[demand], 1, now()).await;
    assert!(decision.verdict.is_admitted());
    decision.crossed.iter().map(|crossing| crossing.percent).collect()
}

async fn used(node: &Node, demand: Demand<'_>) -> u64 {
    node.counters.look(&[demand], now()).await;
    node.counters.used(&[demand], now())[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_reaches_a_threshold_tells_it_and_none_is_refused() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await, Node::start(redis.settings()).await];
    let limits = soft(100, Counting::Exact);
    let play = async |subject| {
        let mut all_told = Vec::new();
        for number in 1..=160 {
            let told = request(&nodes[number % 2], demand(subject, &limits)).await;
            all_told.extend(told.into_iter().map(|percent| (number, percent)));
        }
        all_told
    };
    let (subject, all_told) = undisturbed(&nodes, play).await;
    let demand = demand(subject, &limits);
    // The other node hears of each with its own next request.
    let expected = [(2, 2), (3, 2), (50, 50), (51, 50), (100, 100), (101, 100), (150, 150), (151, 150)];
    assert_eq!(all_told, expected);
    for node in &nodes {
        assert_eq!(used(node, demand).await, 160);
        assert_eq!(node.remaining(&demand).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_slices_a_threshold_is_told_by_the_time_that_it_is_reached() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await, Node::start(redis.settings()).await];
    let limits = soft(20_000, Counting::Leased);
    let demand = demand(subject(1), &limits);
    let mut told = BTreeSet::new();
    for number in 1..=30_000u64 {
        told.extend(request(&nodes[usize::from(number % 3 == 0)], demand).await);
        for percent in THRESHOLDS {
            let is_reached = number >= 200 * u64::from(percent);
            assert!(!is_reached || told.contains(&u16::try_from(percent).unwrap()), "{number}: {told:?}");
        }
        // What is told early, nodes hold: never as much as the whole limit.
        assert!(number >= 10_000 || !told.contains(&150), "{number}: {told:?}");
    }
    assert!(redis.calls("evalsha") < 3_000);
    // What nobody uses is given back, and was not used.
    tokio::time::timeout(Duration::from_secs(20), async {
        while used(&nodes[0], demand).await != 30_000 || used(&nodes[1], demand).await != 30_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(nodes[0].remaining(&demand).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_reached_that_died_untold_the_next_one_tells() {
    let redis = Redis::start();
    let limits = soft(4, Counting::Exact);
    let demand = demand(subject(1), &limits);
    let first = Node::start(redis.settings()).await;
    for _ in 0..4 {
        let _lost = request(&first, demand).await;
    }
    let second = Node::start(redis.settings()).await;
    assert_eq!(request(&second, demand).await, [2, 50, 100]);
    assert_eq!(request(&second, demand).await, [150]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_told_yet_when_the_plan_changes_is_told_as_far_as_it_still_holds() {
    let redis = Redis::start();
    let (here, elsewhere) = (Node::start(redis.settings()).await, Node::start(redis.settings()).await);
    for (number, requests_after, expected) in [(1, 110, [2, 50].as_slice()), (2, 200, &[2])] {
        let (before, after) = (soft(100, Counting::Exact), soft(requests_after, Counting::Exact));
        for _ in 0..60 {
            request(&elsewhere, demand(subject(number), &before)).await;
        }
        assert_eq!(used(&here, demand(subject(number), &before)).await, 60);
        assert_eq!(request(&here, demand(subject(number), &after)).await, expected, "{requests_after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_requests_pass_beyond_the_limit_and_thresholds_are_told() {
    let mut redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = soft(10, Counting::Exact);
    let demand = demand(subject(1), &limits);
    assert_eq!(request(&node, demand).await, [2]);
    redis.kill();
    node.until(StoreState::Down).await;
    let mut told = Vec::new();
    for _ in 0..14 {
        told.extend(request(&node, demand).await);
    }
    assert_eq!(told, [50, 100, 150]);
    redis.start_again();
    node.until(StoreState::Up).await;
    assert_eq!(used(&node, demand).await, 15);
}
