//! What is settled once the limits have been edited, here and in the store alike.

use std::time::Instant;

use tollgate_core::limit::{LevelLimits, Settlement};
use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_core::time::UnixMicros;
use tollgate_counters::{LocalCounters, Moment, TimeSource};

use crate::node::{Node, demand, limit, plan, subject};
use crate::server::Redis;

const ALGORITHMS: [&str; 4] = ["token_bucket", "fixed_window", "sliding_window", "sliding_log"];
/// The first second of an hour, so far ahead that the server forgets nothing meanwhile.
const START: UnixMicros = UnixMicros::from_secs(4_102_444_800);

fn hourly(requests: u64, algorithm: &str) -> LevelLimits {
    plan(&[limit(requests, "hour", algorithm)], Counting::Exact, OnUnavailable::Deny)
}

fn at(secs: u64) -> Moment {
    Moment { wall: START.after(secs * 1_000_000), instant: Instant::now() }
}

/// A request of ten under the limits before an edit, twenty under those after it, and then the ten turn out to be others. What
/// is left a second later, and what at the hour's end, in the store and in process.
async fn left_after(
    node: &Node,
    number: u128,
    before: &LevelLimits,
    after: &LevelLimits,
    actual: u64,
) -> [[u64; 2]; 2] {
    let (before, after) = (demand(subject(number), before), demand(subject(number), after));
    let local = LocalCounters::new();
    for (demand, cost, now) in [(before, 10, at(0)), (after, 20, at(2))] {
        assert!(node.decide(&[demand], cost, now).await.verdict.is_admitted());
        assert!(local.decide(&[demand], cost, now.wall).verdict.is_admitted());
    }
    let settlement = Settlement { charged: 10, charged_at: START, actual };
    node.counters.settle(&[before], settlement, 0, at(5));
    local.settle(&[before], settlement, at(5).wall);
    let (mut stored, mut here) = ([0; 2], [0; 2]);
    for (index, now) in [at(6), at(3_599)].into_iter().enumerate() {
        node.counters.look(&[after], now).await;
        stored[index] = node.counters.inspect(&[after], now)[0].remaining;
        here[index] = local.inspect(&[after], now.wall).standings[0].remaining;
    }
    [stored, here]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_late_leaves_the_count_to_the_limits_in_force() {
    let redis = Redis::start();
    let node = Node::start_by(redis.settings(), TimeSource::Caller).await;
    let mut number = 0;
    for before in ALGORITHMS {
        for after in ALGORITHMS {
            // The rate becomes another one too.
            let (old, new) = (hourly(10_000, before), hourly(100, after));
            for (actual, used) in [(10, 30), (4, 24), (25, 45)] {
                number += 1;
                let [stored, here] = left_after(&node, number, &old, &new, actual).await;
                assert_eq!(stored, here, "{before} {after} {actual}");
                let [soon, at_the_end] = stored;
                let soon_used = 100 - soon;
                assert!(soon_used.abs_diff(used) <= 10, "{before} {after} {actual}: {soon_used}");
                match after {
                    "token_bucket" => assert_eq!(at_the_end, 100),
                    _ => assert_eq!(at_the_end, soon, "{before} {after} {actual}"),
                }
            }
        }
    }
}
