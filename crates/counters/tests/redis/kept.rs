//! What this process counted before the store did is told to it, whatever touched the subject first.

use tollgate_core::limit::{CounterRecord, Demand, Settlement};
use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_counters::{LocalCounters, StoreState};

use crate::node::{Node, demand, eventually_async, limit, monthly, now, plan, subject};
use crate::server::Redis;

/// What a process without a store keeps for its next start, after so many requests.
fn kept_of(demand: Demand<'_>, requests: u64) -> Vec<CounterRecord> {
    let local = LocalCounters::new();
    for _ in 0..requests {
        assert!(local.decide(&[demand], 1, now().wall).verdict.is_admitted());
    }
    local.take_changed()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_first_sees_what_was_used_and_does_not_have_it_twice() {
    let redis = Redis::start();
    for (number, counting) in [(1, Counting::Exact), (2, Counting::Leased)] {
        let limits = monthly(30, counting);
        let demand = demand(subject(number), &limits);
        let node = Node::start(redis.settings()).await;
        node.local.restore(kept_of(demand, 25));
        assert_eq!(node.remaining(&demand).await, 5, "{counting:?}");
        assert_eq!(node.counters.used(&[demand], now()), [25], "{counting:?}");
        assert_eq!(node.admitted(&demand, 35).await, 5, "{counting:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_after_an_edit_does_not_have_twice_what_was_counted_here() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (local, shared) = (monthly(30, Counting::Local), monthly(30, Counting::Exact));
    let (local, shared) = (demand(subject(1), &local), demand(subject(1), &shared));
    for left in [5, 2] {
        let used_before = 30 - node.remaining(&shared).await;
        assert_eq!(node.admitted(&local, 30 - left - used_before).await, 30 - left - used_before);
        assert_eq!(node.remaining(&shared).await, left);
    }
    assert_eq!(node.admitted(&shared, 35).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_while_the_store_is_away_does_not_keep_it_from_hearing_what_was_used() {
    let mut redis = Redis::start();
    redis.kill();
    for counting in [Counting::Exact, Counting::Leased] {
        let limits = monthly(30, counting);
        let demand = demand(subject(1), &limits);
        let before = Node::start(redis.settings()).await;
        assert_eq!(before.admitted(&demand, 33).await, 30, "{counting:?}");
        let after = Node::start(redis.settings()).await;
        after.local.restore(before.local.take_changed());
        before.keeper.close().await;
        assert_eq!(after.admitted(&demand, 2).await, 0, "{counting:?}");
        redis.start_again();
        after.until(StoreState::Up).await;
        assert_eq!(after.admitted(&demand, 40).await, 0, "{counting:?}");
        redis.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_response_cost_does_not_keep_the_store_from_hearing_what_was_used() {
    let redis = Redis::start();
    let limits = monthly(30, Counting::Exact);
    let demand = demand(subject(1), &limits);
    let node = Node::start(redis.settings()).await;
    node.local.restore(kept_of(demand, 20));
    let settlement = Settlement { charged: 1, charged_at: now().wall, actual: 3 };
    node.counters.settle(&[demand], settlement, 0, now());
    eventually_async(async || node.remaining(&demand).await == 8).await;
    assert_eq!(node.admitted(&demand, 35).await, 8);
}

/// A limit of which nothing is kept stands before the one of which something is.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_did_not_hear_any_more_is_told_of_every_limit() {
    let mut redis = Redis::start();
    let month = monthly(30, Counting::Exact);
    let both = [limit(30, "hour", "fixed_window"), limit(30, "month", "fixed_window")];
    let both = plan(&both, Counting::Exact, OnUnavailable::Local);
    let (month, both) = (demand(subject(1), &month), demand(subject(1), &both));
    let node = Node::start(redis.settings()).await;
    node.local.restore(kept_of(month, 25));
    redis.freeze();
    assert_eq!(node.admitted(&both, 1).await, 1);
    node.until(StoreState::Down).await;
    redis.kill();
    redis.start_again();
    node.until(StoreState::Up).await;
    eventually_async(async || node.remaining(&month).await == 4).await;
    assert_eq!(node.remaining(&both).await, 29);
}
