//! Whose clock standings go by.

use std::cell::Cell;

use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_counters::Moment;

use crate::node::{Node, demand, eventually_async, limit, now, plan, subject};
use crate::server::Redis;

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
