//! What is let through while the store is away is let through once, however the store and the node come and go.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tollgate_core::limit::Demand;
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
use tollgate_counters::{Attempt, LocalCounters, StoreState};

use crate::node::{
    Node, demand, eventually, eventually_async, limit, monthly, now, plan, subject, undisturbed,
};
use crate::server::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_fills_by_itself_once_whoever_counts_it() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await];
    let [node] = &nodes;
    let limits = LimitDraft { burst: Some(30), ..limit(10, "1s", "token_bucket") };
    let limits = plan(&[limits], Counting::Exact, OnUnavailable::Local);
    let demand = demand(subject(1), &limits);
    let begun = Instant::now();
    let mut admitted = node.admitted(&demand, 30).await;
    redis.freeze();
    while begun.elapsed() < Duration::from_secs(2) {
        admitted += node.admitted(&demand, 1).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(node.state(), StoreState::Down);
    redis.thaw();
    node.until(StoreState::Up).await;
    admitted += node.admitted(&demand, 40).await;
    let flowed = u64::try_from(begun.elapsed().as_millis()).unwrap() / 100;
    assert!(admitted <= 30 + flowed + 1, "{admitted} of 30 and {flowed}");
    assert!(admitted >= 30 + flowed / 2, "{admitted} of 30 and {flowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_bucket_fills_by_itself_once_where_several_nodes_count_it_apart() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await, Node::start(redis.settings()).await];
    let limits = LimitDraft { burst: Some(30), ..limit(10, "1s", "token_bucket") };
    let limits = plan(&[limits], Counting::Exact, OnUnavailable::Local);
    let demand = demand(subject(1), &limits);
    // Both have to know of each other.
    eventually(|| redis.members() == 2).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    redis.freeze();
    let begun = Instant::now();
    let mut admitted = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        for node in &nodes {
            admitted += node.admitted(&demand, 1).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for node in &nodes {
        assert_eq!(node.state(), StoreState::Down);
    }
    redis.thaw();
    for node in &nodes {
        node.until(StoreState::Up).await;
    }
    admitted += nodes[0].admitted(&demand, 40).await;
    let flowed = u64::try_from(begun.elapsed().as_millis()).unwrap() / 100;
    assert!(admitted <= 30 + flowed + 1, "{admitted} of 30 and {flowed}");
    assert!(admitted >= 30 + flowed / 2, "{admitted} of 30 and {flowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_and_goes_gives_no_share_anew() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (limits, other) = (monthly(100, Counting::Exact), monthly(100, Counting::Exact));
    let (demand, other) = (demand(subject(1), &limits), demand(subject(2), &other));
    assert_eq!(node.admitted(&demand, 40).await, 40);
    for expected in [60, 0, 0] {
        redis.freeze();
        // It finds out that the store is away.
        node.admitted(&other, 1).await;
        node.until(StoreState::Down).await;
        assert_eq!(node.admitted(&demand, 100).await, expected);
        redis.thaw();
        node.until(StoreState::Up).await;
    }
    eventually_async(async || node.remaining(&demand).await == 0).await;
}

/// What a fresh process has used that finds on disk what this one has kept, at its start and since.
fn after_a_restart(before: &[tollgate_core::limit::CounterRecord], node: &Node, demand: Demand<'_>) -> u64 {
    let fresh = LocalCounters::new();
    fresh.restore(before.iter().cloned());
    fresh.restore(node.local.take_changed());
    fresh.used(&[demand], now().wall)[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_is_not_told_again_after_a_restart_and_what_was_not_heard_is() {
    let redis = Redis::start();
    let limits = monthly(30, Counting::Exact);
    for number in [1, 2] {
        let demand = demand(subject(number), &limits);
        let kept = LocalCounters::new();
        for _ in 0..20 {
            assert!(kept.decide(&[demand], 1, now().wall).verdict.is_admitted());
        }
        let kept = kept.take_changed();
        let node = Node::start(redis.settings()).await;
        node.local.restore(kept.clone());
        let is_heard = number == 1;
        if !is_heard {
            redis.freeze();
        }
        assert_eq!(node.admitted(&demand, 1).await, 1);
        if is_heard {
            eventually_async(async || node.remaining(&demand).await == 9).await;
        }
        // The minute's sweep may come before what has changed is kept.
        node.local.sweep(now().wall);
        let used = after_a_restart(&kept, &node, demand);
        assert_eq!(used, if is_heard { 0 } else { 21 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_from_another_count_is_put_back_whole() {
    let mut redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let [fixed, log] = ["fixed_window", "sliding_log"]
        .map(|algorithm| plan(&[limit(50, "1h", algorithm)], Counting::Exact, OnUnavailable::Local));
    let (fixed, log) = (demand(subject(1), &fixed), demand(subject(1), &log));
    assert_eq!(node.admitted(&fixed, 60).await, 50);
    assert_eq!(node.admitted(&log, 1).await, 0);
    // Another life of it, which has everything.
    redis.run(&["SAVE"]);
    redis.kill();
    redis.start_again();
    node.until(StoreState::Up).await;
    eventually_async(async || node.counters.store().unwrap().put_back() > 0).await;
    assert_eq!(node.admitted(&log, 60).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_late_is_not_asked_for_who_has_gone_on() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await];
    let [node] = &nodes;
    let limits = monthly(1_000, Counting::Exact);
    let (_, asked) = undisturbed(&nodes, async |subject| {
        let demands = [demand(subject, &limits)];
        assert_eq!(node.admitted(&demands[0], 1).await, 1);
        let before = redis.calls("evalsha");
        redis.freeze();
        for _ in 0..200 {
            let Attempt::Waiting(undecided) = node.counters.decide(&demands, 1, now()) else { continue };
            let mut waiting = pin!(undecided.wait());
            drop(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await);
        }
        redis.thaw();
        eventually_async(async || node.remaining(&demands[0]).await == 999).await;
        redis.calls("evalsha") - before
    })
    .await;
    assert!(asked < 100, "{asked}");
}

/// As long as it is there they hear of each other's requests, though they are asked for nothing themselves.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_asked_for_nothing_have_shares_of_what_is_left_all_the_same() {
    let redis = Redis::start();
    let nodes = [
        Node::start(redis.settings()).await,
        Node::start(redis.settings()).await,
        Node::start(redis.settings()).await,
    ];
    eventually(|| redis.members() == 3).await;
    for counting in [Counting::Exact, Counting::Leased] {
        let limits = monthly(100, counting);
        let demand = demand(subject(1 + counting as u128), &limits);
        for node in &nodes {
            assert_eq!(node.admitted(&demand, 1).await, 1);
        }
        let mut admitted = 3 + nodes[0].admitted(&demand, 87).await;
        // What was heard before that is old by then, and slices that nobody uses are back.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let used = |node: &Node| node.counters.used(&[demand], now())[0];
        eventually(|| nodes.iter().all(|node| used(node) == admitted)).await;
        redis.freeze();
        for node in &nodes {
            admitted += node.admitted(&demand, 100).await;
        }
        redis.thaw();
        for node in &nodes {
            node.until(StoreState::Up).await;
        }
        assert!(admitted <= 100, "{admitted} of 100 where {counting:?}");
    }
}
