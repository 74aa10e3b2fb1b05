//! A subject on several plans: a consumer's keys may be, and edits go to and fro. What one plan counts, no other forgets.

use tollgate_core::limit::LevelLimits;
use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_counters::StoreState;

use crate::node::{Node, demand, limit, plan, subject};
use crate::server::Redis;

fn hourly(requests: u64, counting: Counting) -> LevelLimits {
    plan(&[limit(requests, "hour", "fixed_window")], counting, OnUnavailable::Local)
}

fn daily(requests: u64, counting: Counting) -> LevelLimits {
    plan(&[limit(requests, "day", "fixed_window")], counting, OnUnavailable::Local)
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_go_back_to_the_plan_that_granted_them() {
    let redis = Redis::start();
    for (number, counting) in [(1, Counting::Leased), (2, Counting::Exact)] {
        let node = Node::start(redis.settings()).await;
        let (ample, scarce) = (hourly(100_000, Counting::Leased), daily(20, counting));
        let (ample, scarce) = (demand(subject(number), &ample), demand(subject(number), &scarce));
        assert_eq!(node.admitted(&scarce, 30).await, 20, "{counting:?}");
        for _ in 0..3 {
            assert_eq!(node.admitted(&ample, 120).await, 120, "{counting:?}");
            assert_eq!(node.admitted(&scarce, 5).await, 0, "{counting:?}");
        }
        assert_eq!(node.remaining(&scarce).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_counts_in_process_no_other_tells_the_store_away() {
    let redis = Redis::start();
    for (number, counting) in [(1, Counting::Leased), (2, Counting::Exact)] {
        let node = Node::start(redis.settings()).await;
        let (stored, local) = (hourly(100_000, counting), daily(20, Counting::Local));
        let (stored, local) = (demand(subject(number), &stored), demand(subject(number), &local));
        assert_eq!(node.admitted(&local, 20).await, 20);
        for _ in 0..3 {
            assert_eq!(node.admitted(&stored, 2).await, 2);
            assert_eq!(node.admitted(&local, 1).await, 0, "{counting:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_came_while_the_store_was_away_tells_it_what_it_let_through() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (before, after) = (daily(1_000, Counting::Exact), hourly(30, Counting::Exact));
    let (before, after) = (demand(subject(1), &before), demand(subject(1), &after));
    assert_eq!(node.admitted(&before, 5).await, 5);
    redis.freeze();
    assert_eq!(node.admitted(&before, 1).await, 1);
    node.until(StoreState::Down).await;
    assert_eq!(node.admitted(&after, 12).await, 12);
    redis.thaw();
    node.until(StoreState::Up).await;
    assert_eq!(node.admitted(&after, 30).await, 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_said_of_one_plan_outlasts_what_it_says_of_another() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (scarce, ample) = (daily(20, Counting::Exact), hourly(1_000, Counting::Exact));
    let (scarce, ample) = (demand(subject(1), &scarce), demand(subject(1), &ample));
    assert_eq!(node.admitted(&scarce, 20).await, 20);
    assert_eq!(node.admitted(&ample, 1).await, 1);
    redis.freeze();
    assert_eq!(node.admitted(&ample, 1).await, 1);
    node.until(StoreState::Down).await;
    assert_eq!(node.admitted(&scarce, 5).await, 0);
}
