//! What the store holds, and what it is told.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tollgate_core::limit::{Demand, Settlement};
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
use tollgate_counters::Attempt;

use crate::node::{Node, demand, eventually, eventually_async, limit, monthly, now, plan, subject};
use crate::server::Redis;

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_a_subject_share_a_slot_and_end_with_their_period() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = [
        limit(60, "minute", "token_bucket"),
        limit(60, "hour", "fixed_window"),
        limit(60, "30s", "sliding_window"),
        limit(60, "90s", "sliding_log"),
        limit(60, "day", "fixed_window"),
        limit(60, "month", "fixed_window"),
    ];
    let limits = plan(&limits, Counting::Exact, OnUnavailable::Deny);
    assert!(node.admits(&[demand(subject(1), &limits)]).await);
    let keys = redis.keys("tg:{00*");
    let state = "tg:{00000000000000000000000000000001}:2";
    let names: BTreeSet<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(names, BTreeSet::from([state, &format!("{state}:90:log")]));
    for (key, lives) in keys {
        let longest = if key == state { Duration::from_hours(31 * 24) } else { Duration::from_secs(90) };
        assert!(lives <= longest + Duration::from_millis(5), "{key} lives {lives:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_kept_for_as_long_as_the_longest_of_its_limits_counts() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (bucket, hour) = (limit(60, "minute", "token_bucket"), limit(60, "hour", "sliding_window"));
    let lives = || redis.keys("tg:{00*").first().map(|(_, lives)| *lives);
    let short = plan(std::slice::from_ref(&bucket), Counting::Exact, OnUnavailable::Deny);
    assert!(node.admits(&[demand(subject(1), &short)]).await);
    // A token is back after a second, or after ten should the rate be lowered.
    assert!(lives().is_some_and(|lives| lives <= Duration::from_millis(10_005)), "{:?}", lives());
    let both = plan(&[bucket, hour.clone()], Counting::Exact, OnUnavailable::Deny);
    assert!(node.admits(&[demand(subject(1), &both)]).await);
    assert!(lives().is_some_and(|lives| lives > Duration::from_mins(1)), "{:?}", lives());
    // What is not asked about any more is still counted when it is asked about again.
    assert!(node.admits(&[demand(subject(1), &short)]).await);
    assert!(lives().is_some_and(|lives| lives > Duration::from_mins(1)), "{:?}", lives());
    let long = plan(&[hour], Counting::Exact, OnUnavailable::Deny);
    assert_eq!(node.remaining(&demand(subject(1), &long)).await, 59);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_whose_rate_was_lowered_is_kept_until_it_is_full_again() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let of_rate = |requests| {
        let limit = LimitDraft { burst: Some(50), ..limit(requests, "2s", "token_bucket") };
        plan(&[limit], Counting::Exact, OnUnavailable::Deny)
    };
    let (before, after) = (of_rate(50), of_rate(25));
    assert!(node.decide(&[demand(subject(1), &before)], 50, now()).await.verdict.is_admitted());
    // It would be full by now at the rate that it had.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let left = node.remaining(&demand(subject(1), &after)).await;
    assert!((27..=45).contains(&left), "{left}");
    let lives = redis.keys("tg:{00*").first().map(|(_, lives)| *lives);
    assert!(lives.is_some_and(|lives| lives <= Duration::from_millis(1_805)), "{lives:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_response_says_that_it_cost_is_settled_in_the_store() {
    let redis = Redis::start();
    let (node, other) = (Node::start(redis.settings()).await, Node::start(redis.settings()).await);
    for (counting, number) in [(Counting::Exact, 1), (Counting::Leased, 2)] {
        let limits = monthly(100, counting);
        let demands = [demand(subject(number), &limits)];
        let at = now();
        assert!(node.decide(&demands, 10, at).await.verdict.is_admitted());
        let settle = |actual| Settlement { charged: 10, charged_at: at.wall, actual };
        assert_eq!(node.counters.settle(&demands, settle(25), 0, now()).standings[0].remaining, 75);
        until_remaining(&other, &demands[0], 75).await;
        // What was charged at first: ten.
        assert_eq!(node.counters.settle(&demands, settle(0), 0, now()).standings[0].remaining, 85);
        until_remaining(&other, &demands[0], 85).await;
    }
}

/// What one node says, another hears of in a moment.
async fn until_remaining(node: &Node, demand: &Demand<'_>, expected: u64) {
    let begun = Instant::now();
    while node.remaining(demand).await != expected {
        let remaining = node.remaining(demand).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{remaining} remain, not {expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_away_while_it_waits_is_not_charged() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = monthly(100, Counting::Exact);
    let demands = [demand(subject(1), &limits)];
    let (mut answered, mut away) = (0, 0);
    while away < 10 && answered < 80 {
        match node.counters.decide(&demands, 1, now()) {
            Attempt::Waiting(undecided) => {
                // It asks, and is not there for the answer, which takes longer than one look.
                let mut waiting = pin!(undecided.wait());
                match poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await {
                    Poll::Ready(_decision) => answered += 1,
                    Poll::Pending => away += 1,
                }
            }
            Attempt::Decided(_) => panic!("the store was not asked"),
        }
    }
    eventually_async(async || node.remaining(&demands[0]).await == 100 - answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_process_counted_before_is_told_once() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let alone = monthly(100, Counting::Local);
    assert_eq!(node.admitted(&demand(subject(1), &alone), 30).await, 30);
    let kept = node.local.take_changed();
    let shared = monthly(100, Counting::Exact);
    assert_eq!(node.admitted(&demand(subject(1), &shared), 10).await, 10);
    assert_eq!(node.remaining(&demand(subject(1), &shared)).await, 60);
    // What is kept over restarts is told to be forgotten: it would be counted twice.
    let kept_now = node.local.take_changed();
    assert_eq!(kept.len(), 1);
    assert!(kept_now.iter().all(|record| record.over_at() <= now().wall), "{kept_now:?}");

    // A restart in between: what was kept comes back, and is told by the new process.
    let other = Node::start(redis.settings()).await;
    other.local.restore(kept);
    assert_eq!(other.admitted(&demand(subject(1), &shared), 100).await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_the_script_is_given_it_again() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = monthly(100, Counting::Exact);
    assert_eq!(node.admitted(&demand(subject(1), &limits), 10).await, 10);
    redis.run(&["SCRIPT", "FLUSH"]);
    assert_eq!(node.admitted(&demand(subject(1), &limits), 10).await, 10);
    assert_eq!(node.remaining(&demand(subject(1), &limits)).await, 80);
    eventually(|| node.counters.store().unwrap().losses() == 0).await;
}
