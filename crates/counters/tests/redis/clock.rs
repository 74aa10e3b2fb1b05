//! Whose clock standings go by.

use std::cell::Cell;

use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_counters::Moment;

use crate::node::{Node, demand, eventually_async, limit, now, plan, subject};
use crate::server::Redis;

const MEMBERS: &str = include_str!("../../src/shared/script/members.lua");
const DAY_MICROS: u64 = 86_400_000_000;
const MINUTE_MICROS: i64 = 60_000_000;

/// As a node has it that is two days fast.
fn two_days_fast() -> Moment {
    let Moment { wall, instant } = now();
    Moment { wall: wall.after(2 * DAY_MICROS), instant }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_the_store_s_clock_is_ahead_is_known_of_what_it_counts() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let daily = |counting| plan(&[limit(1_000, "day", "fixed_window")], counting, OnUnavailable::Local);
    let [there, here] = [Counting::Exact, Counting::Local].map(daily);
    let number = Cell::new(0);
    eventually_async(async || {
        // Of a subject that has no count yet, the store says that it is another day; before this looks, the keeper may have
        // asked it for its time again.
        number.set(number.get() + 1);
        let demands = [demand(subject(number.get()), &there)];
        let decision = node.decide(&demands, 1, two_days_fast()).await;
        let behind = -node.counters.clock_ahead_micros(&demands);
        decision.verdict.is_admitted() && (behind - 2 * DAY_MICROS.cast_signed()).abs() < MINUTE_MICROS
    })
    .await;
    assert_eq!(node.counters.clock_ahead_micros(&[demand(subject(1), &here)]), 0);
}

/// What the store says to a node that it has told this before: its time, and since when it has lost nothing.
fn said(redis: &Redis, node: &str, time: u64, since: u64) -> (u64, u64) {
    let (members, marker, time, since) =
        ("tg:{nodes}:members", "tg:{nodes}:marker", time.to_string(), since.to_string());
    let words = ["EVAL", MEMBERS, "2", members, marker, node, "10000", "60000", "0", &time, &since];
    let answer: (u64, u64, Vec<String>) = redis::from_redis_value(redis.run(&words)).unwrap();
    (answer.0, answer.1)
}

/// Counts of a period that was over by then are gone from the store, and not from the nodes.
#[test]
fn a_clock_of_the_store_that_was_ahead_is_taken_for_a_loss_by_all_nodes_together() {
    let redis = Redis::start();
    let (first, second) = ("00000000000000a1", "00000000000000b2");
    let (now, since) = said(&redis, first, 0, 0);
    assert_eq!(said(&redis, second, 0, 0).1, since);
    assert_eq!(said(&redis, first, now, since).1, since, "the clock goes on");
    let ahead = now + 2 * DAY_MICROS;
    let moved = said(&redis, first, ahead, since).1;
    assert!(moved > since);
    assert_eq!(said(&redis, second, ahead, since).1, moved, "it is noticed once");
    let again = said(&redis, second, ahead, moved).1;
    assert!(again > moved, "and whenever it is so");
    // A store that began while the clock was ahead is later all the same.
    let marker = (ahead + DAY_MICROS).to_string();
    redis.run(&["SET", "tg:{nodes}:marker", &marker]);
    assert_eq!(said(&redis, first, ahead, ahead + DAY_MICROS).1, ahead + DAY_MICROS + 1);
}
