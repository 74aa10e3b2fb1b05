//! What is given back leaves a bucket as if it had never been taken.

use std::time::{Duration, Instant};

use tollgate_core::limit::LevelLimits;
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};

use crate::node::{Node, demand, limit, now, plan, subject, undisturbed};
use crate::server::Redis;

const PER_SECOND: u64 = 100;

/// Of which so much is missing that none of what flows is wasted for seconds.
fn bucket(counting: Counting) -> LevelLimits {
    let limit = LimitDraft { burst: Some(1_000), ..limit(PER_SECOND, "1s", "token_bucket") };
    plan(&[limit], counting, OnUnavailable::Deny)
}

/// How much of what should have come back meanwhile has come back, at the least.
#[track_caller]
fn assert_flowed(before: u64, after: u64, elapsed: Duration) {
    let due = u64::try_from(elapsed.as_millis()).unwrap() * PER_SECOND / 1_000;
    assert!(after >= before + due * 3 / 4, "{before} and {due}, but {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_limit_refuses_keeps_nothing_from_flowing_back() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await];
    let [node] = &nodes;
    let shared = bucket(Counting::Exact);
    let used_up = plan(&[limit(1, "month", "fixed_window")], Counting::Exact, OnUnavailable::Deny);
    let (_, (before, after, elapsed)) = undisturbed(&nodes, async |of_all| {
        let caller = subject(of_all.0.as_u128() + 1_000);
        let both = [demand(of_all, &shared), demand(caller, &used_up)];
        assert_eq!(node.admitted(&both[1], 1).await, 1);
        assert_eq!(node.admitted(&both[0], 800).await, 800);
        let (before, begun) = (node.remaining(&both[0]).await, Instant::now());
        while begun.elapsed() < Duration::from_secs(2) {
            assert!(!node.decide(&both, 1, now()).await.verdict.is_admitted());
        }
        let elapsed = begun.elapsed();
        (before, node.remaining(&both[0]).await, elapsed)
    })
    .await;
    assert_flowed(before, after, elapsed);
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_that_are_not_used_keep_nothing_from_flowing_back() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await, Node::start(redis.settings()).await];
    let limits = bucket(Counting::Leased);
    let (_, (before, after, elapsed, used)) = undisturbed(&nodes, async |subject| {
        let demand = demand(subject, &limits);
        nodes[0].admitted(&demand, 800).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (before, begun) = (nodes[0].remaining(&demand).await, Instant::now());
        let mut used = 0;
        while begun.elapsed() < Duration::from_secs(3) {
            for node in &nodes {
                used += node.admitted(&demand, 3).await;
            }
            tokio::time::sleep(Duration::from_millis(350)).await;
        }
        let elapsed = begun.elapsed();
        (before, nodes[0].remaining(&demand).await, elapsed, used)
    })
    .await;
    assert_flowed(before, after + used, elapsed);
}
