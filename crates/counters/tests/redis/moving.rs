//! Plans that come to be counted somewhere else in the middle of a period.

use tollgate_core::limit::{Demand, LevelLimits};
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
use tollgate_counters::StoreState;

use crate::node::{Node, demand, eventually_async, limit, monthly, now, plan, subject};
use crate::server::Redis;

fn used(node: &Node, demand: Demand<'_>) -> u64 {
    node.counters.used(&[demand], now())[0]
}

async fn used_in_store(node: &Node, demand: Demand<'_>) -> u64 {
    node.counters.look(&[demand], now()).await;
    used(node, demand)
}

/// The same limits, counted in the store, and by each node alone.
fn both(limits: &[LimitDraft], counting: Counting) -> (LevelLimits, LevelLimits) {
    (plan(limits, counting, OnUnavailable::Local), plan(limits, Counting::Local, OnUnavailable::Local))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_goes_on_here_and_back_in_the_store() {
    let redis = Redis::start();
    for (number, counting) in (0..).zip([Counting::Exact, Counting::Leased]) {
        let node = Node::start(redis.settings()).await;
        let algorithms = ["fixed_window", "token_bucket", "sliding_window", "sliding_log"];
        for (place, algorithm) in (1..).zip(algorithms) {
            let (shared, local) = both(&[limit(5_000, "720h", algorithm)], counting);
            let subject = subject(number * 10 + place);
            let (shared, local) = (demand(subject, &shared), demand(subject, &local));
            assert_eq!(node.admitted(&shared, 600).await, 600);
            assert_eq!(used(&node, local), 600, "{algorithm} {counting:?}");
            assert_eq!(node.admitted(&local, 300).await, 300);
            assert_eq!(used(&node, local), 900);
            assert_eq!(node.admitted(&shared, 50).await, 50);
            // Of a token that is on its way back, a part counts as a whole one.
            eventually_async(async || (950..=951).contains(&used_in_store(&node, shared).await)).await;
            let left = 5_000 - used(&node, local);
            assert!((4_049..=4_050).contains(&left), "{algorithm} {counting:?}: {left}");
            assert_eq!(node.admitted(&local, 4_100).await, left, "{algorithm} {counting:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_here_counts_while_the_store_is_away() {
    let mut redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (shared, local) = (monthly(30, Counting::Exact), monthly(30, Counting::Local));
    let (shared, local) = (demand(subject(1), &shared), demand(subject(1), &local));
    assert_eq!(node.admitted(&shared, 10).await, 10);
    assert_eq!(node.admitted(&local, 10).await, 10);
    redis.kill();
    node.until(StoreState::Down).await;
    assert_eq!(node.admitted(&shared, 30).await, 10);
    assert_eq!(node.admitted(&local, 30).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_restart_the_store_is_told_no_more_than_what_was_counted_here() {
    let redis = Redis::start();
    for (number, counting) in (1..).zip([Counting::Exact, Counting::Leased]) {
        for (place, algorithm) in (1..).zip(["fixed_window", "token_bucket", "sliding_window", "sliding_log"])
        {
            let (shared, local) = both(&[limit(300, "720h", algorithm)], counting);
            let subject = subject(number * 10 + place);
            let (shared, local) = (demand(subject, &shared), demand(subject, &local));
            let before = Node::start(redis.settings()).await;
            assert_eq!(before.admitted(&shared, 100).await, 100);
            assert_eq!(before.admitted(&local, 50).await, 50);
            let mut kept = before.local.take_changed();
            before.keeper.close().await;
            kept.extend(before.local.take_changed());
            let after = Node::start(redis.settings()).await;
            after.local.restore(kept);
            assert_eq!(used(&after, local), 150, "{algorithm} {counting:?}");
            assert_eq!(after.admitted(&local, 10).await, 10);
            eventually_async(async || (160..=161).contains(&used_in_store(&after, shared).await)).await;
            assert!((139..=140).contains(&after.admitted(&shared, 200).await), "{algorithm} {counting:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_here_goes_on_when_another_plan_of_the_subject_was_seen() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (shared, local) = (monthly(30, Counting::Exact), monthly(30, Counting::Local));
    let other = plan(&[limit(30, "hour", "fixed_window")], Counting::Exact, OnUnavailable::Local);
    let [shared, local, other] = [&shared, &local, &other].map(|limits| demand(subject(1), limits));
    assert_eq!(node.admitted(&shared, 10).await, 10);
    assert_eq!(node.admitted(&local, 5).await, 5);
    assert_eq!(node.admitted(&other, 1).await, 1);
    assert_eq!(node.admitted(&local, 1).await, 1);
    assert_eq!(used(&node, local), 16);
    eventually_async(async || used_in_store(&node, shared).await == 16).await;
}
