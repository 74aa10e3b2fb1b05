//! A store that is frozen, gone, emptied: requests go on as their plans say, and what was counted is counted after all.

use std::time::Duration;

use tollgate_core::limit::Settlement;
use tollgate_core::resource::{Counting, OnUnavailable};
use tollgate_counters::{StoreSettings, StoreState, Verdict};

use crate::node::{Node, demand, eventually, eventually_async, limit, monthly, now, plan, subject};
use crate::server::Redis;

fn monthly_or(requests: u64, on_unavailable: OnUnavailable) -> tollgate_core::limit::LevelLimits {
    plan(&[limit(requests, "month", "fixed_window")], Counting::Exact, on_unavailable)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_frozen_each_plan_has_its_way_and_afterwards_all_is_counted() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let [local, allow, deny] = [OnUnavailable::Local, OnUnavailable::Allow, OnUnavailable::Deny]
        .map(|policy| monthly_or(100, policy));
    let [local, allow, deny] =
        [demand(subject(1), &local), demand(subject(2), &allow), demand(subject(3), &deny)];
    for demand in [&local, &allow, &deny] {
        assert_eq!(node.admitted(demand, 40).await, 40);
    }
    redis.freeze();
    // The first waits, and finds out; no other does.
    assert_eq!(node.admitted(&local, 100).await, 60, "alone, its share is all that was left");
    assert_eq!(node.state(), StoreState::Down);
    assert_eq!(node.admitted(&allow, 100).await, 100, "over the limit too");
    let denied = node.decide(&[deny], 1, now()).await;
    assert!(matches!(denied.verdict, Verdict::Unavailable));
    redis.thaw();
    node.until(StoreState::Up).await;
    assert_eq!(node.admitted(&deny, 100).await, 60);
    assert_eq!(node.admitted(&allow, 100).await, 0);
    assert_eq!(node.admitted(&local, 100).await, 0);
    let new = demand(subject(4), allow.limits);
    assert_eq!(node.admitted(&new, 1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_through_under_allow_is_a_part_of_the_share_after_an_edit() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (allow, local) = (monthly_or(50, OnUnavailable::Allow), monthly_or(50, OnUnavailable::Local));
    let (allow, local) = (demand(subject(1), &allow), demand(subject(1), &local));
    assert_eq!(node.admitted(&allow, 10).await, 10);
    redis.freeze();
    assert_eq!(node.admitted(&allow, 20).await, 20);
    assert_eq!(node.state(), StoreState::Down);
    assert_eq!(node.admitted(&local, 5).await, 5);
    assert_eq!(node.admitted(&allow, 10).await, 10);
    assert_eq!(node.admitted(&local, 20).await, 5);
    assert_eq!(node.admitted(&allow, 2).await, 2);
    redis.thaw();
    node.until(StoreState::Up).await;
    eventually_async(async || {
        node.counters.look(&[local], now()).await;
        node.counters.used(&[local], now()) == [52]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_allow_it_is_told_meanwhile_where_a_caller_stands() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = monthly_or(50, OnUnavailable::Allow);
    let demand = demand(subject(1), &limits);
    assert_eq!(node.admitted(&demand, 10).await, 10);
    redis.freeze();
    assert_eq!(node.admitted(&demand, 20).await, 20);
    assert_eq!(node.state(), StoreState::Down);
    assert_eq!(node.counters.used(&[demand], now()), [30]);
    assert_eq!(node.decide(&[demand], 1, now()).await.standings[0].remaining, 19);
    assert_eq!(node.admitted(&demand, 30).await, 30, "over the limit too");
    assert_eq!(node.counters.used(&[demand], now()), [61]);
    redis.thaw();
    node.until(StoreState::Up).await;
    eventually_async(async || {
        node.counters.look(&[demand], now()).await;
        node.counters.used(&[demand], now()) == [61]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_turns_out_to_cost_less_meanwhile_is_given_back_once_it_is_back() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = monthly(100, Counting::Exact);
    let demand = demand(subject(1), &limits);
    assert_eq!(node.admitted(&demand, 40).await, 40);
    let charged_at = now().wall;
    assert!(node.decide(&[demand], 5, now()).await.verdict.is_admitted());
    redis.freeze();
    assert_eq!(node.admitted(&demand, 1).await, 1);
    assert_eq!(node.state(), StoreState::Down);
    node.counters.settle(&[demand], Settlement { charged: 5, charged_at, actual: 0 }, 0, now());
    redis.thaw();
    node.until(StoreState::Up).await;
    eventually_async(async || node.remaining(&demand).await == 100 - 40 - 1).await;
}

/// The tokens have flowed back by then, and the day's requests have not.
#[tokio::test(flavor = "multi_thread")]
async fn what_turns_out_to_cost_less_is_given_back_once_to_each_limit() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let day = limit(1_000, "day", "fixed_window");
    let both = [limit(100, "1s", "token_bucket"), day.clone()];
    let [both, day] = [&both[..], &[day]].map(|limits| plan(limits, Counting::Exact, OnUnavailable::Local));
    let [both, day] = [&both, &day].map(|limits| demand(subject(1), limits));
    assert_eq!(node.admitted(&day, 100).await, 100);
    redis.freeze();
    let mut charged = Vec::new();
    for _ in 0..10 {
        charged.push(now().wall);
        assert!(node.admits(&[both]).await);
    }
    assert_eq!(node.state(), StoreState::Down);
    tokio::time::sleep(Duration::from_millis(500)).await;
    for charged_at in charged {
        node.counters.settle(&[both], Settlement { charged: 1, charged_at, actual: 0 }, 0, now());
    }
    redis.thaw();
    node.until(StoreState::Up).await;
    eventually_async(async || node.remaining(&day).await == 900).await;
    // Once more than what was on its way by then: a request is behind all of that.
    assert!(node.admits(&[both]).await);
    assert_eq!(node.remaining(&day).await, 899);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_let_through_meanwhile_is_counted_once_it_is_back() {
    let mut redis = Redis::start();
    let (node, other) = (Node::start(redis.settings()).await, Node::start(redis.settings()).await);
    let limits = monthly(1_000, Counting::Exact);
    let demand = demand(subject(1), &limits);
    assert_eq!(node.admitted(&demand, 100).await, 100);
    assert_eq!(other.admitted(&demand, 50).await, 50);
    redis.kill();
    node.until(StoreState::Down).await;
    other.until(StoreState::Down).await;
    assert_eq!(node.admitted(&demand, 30).await, 30);
    assert_eq!(other.admitted(&demand, 20).await, 20);
    // Empty: what they know is put back, and what they let through comes on top.
    redis.start_again();
    node.until(StoreState::Up).await;
    other.until(StoreState::Up).await;
    assert_eq!(node.remaining(&demand).await, 1_000 - 100 - 50 - 30 - 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_nodes_keeps_to_its_half_while_the_store_is_away() {
    let mut redis = Redis::start();
    let (node, other) = (Node::start(redis.settings()).await, Node::start(redis.settings()).await);
    let limits = monthly(101, Counting::Leased);
    let demand = demand(subject(1), &limits);
    // Both have to know of each other.
    eventually(|| redis.members() == 2).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    redis.kill();
    node.until(StoreState::Down).await;
    other.until(StoreState::Down).await;
    let (own, others) = (node.admitted(&demand, 200).await, other.admitted(&demand, 200).await);
    assert_eq!(own + others, 101);
    assert!(own.abs_diff(others) == 1, "{own} and {others}");
}

/// What a node does not know it cannot put back: until the one that knows has done so, it may be had again.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_emptied_store_admits_twice_is_what_passed_until_all_had_put_back_what_they_knew() {
    let redis = Redis::start();
    let (knows, knows_not) = (Node::start(redis.settings()).await, Node::start(redis.settings()).await);
    let limits = monthly(1_000, Counting::Exact);
    let demand = demand(subject(1), &limits);
    let mut known = 0;
    // A busy machine may take the store for away, and each node keeps to its share then.
    while known < 700 {
        known += knows.admitted(&demand, 700 - known).await;
    }
    redis.run(&["FLUSHALL"]);
    let (mut again, mut refused) = (0, 0);
    // Refused for so long that the one that knows has looked meanwhile.
    while refused < 100 {
        let is_admitted = knows_not.admits(std::slice::from_ref(&demand)).await;
        again += u64::from(is_admitted);
        refused = if is_admitted { 0 } else { refused + 1 };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let twice = (700 + again).saturating_sub(1_000);
    println!("{again} were let through after the loss, {twice} of them twice");
    assert!(again >= 300 - 60, "{again}: the store counts on");
    // In a quarter of a second at five milliseconds each, with room for a slow machine.
    assert!(twice <= 200, "{twice}");
    assert_eq!(knows_not.remaining(&demand).await, 0);
    assert!(knows.counters.store().unwrap().put_back() > 0, "monitoring can see it");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_in_hand_are_used_while_the_store_is_away() {
    let mut redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let deny = plan(&[limit(100_000, "month", "fixed_window")], Counting::Leased, OnUnavailable::Local);
    let demand = demand(subject(1), &deny);
    assert_eq!(node.admitted(&demand, 5_000).await, 5_000);
    redis.kill();
    node.until(StoreState::Down).await;
    assert_eq!(node.admitted(&demand, 5_000).await, 5_000);
    redis.start_again();
    node.until(StoreState::Up).await;
    let left = node.remaining(&demand).await;
    // Slices that were in hand count as used where they could not be given back.
    assert!((80_000..=90_000).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_while_the_store_is_away_have_the_shares_that_they_had_once() {
    let mut redis = Redis::start();
    let directory = tempfile::tempdir().unwrap();
    let settings = |node: usize| StoreSettings {
        nodes_file: Some(directory.path().join(node.to_string())),
        ..redis.settings()
    };
    let settings: Vec<_> = (0..3).map(settings).collect();
    let mut nodes = Vec::new();
    for settings in &settings {
        nodes.push(Node::start(settings.clone()).await);
    }
    let all_are_known = |settings: &StoreSettings| {
        let kept = std::fs::read_to_string(settings.nodes_file.as_ref().unwrap());
        kept.is_ok_and(|kept| kept.starts_with("3 "))
    };
    eventually(|| settings.iter().all(all_are_known)).await;
    redis.kill();
    drop(nodes);
    let limits = monthly(31, Counting::Leased);
    let demand = demand(subject(1), &limits);
    let (mut admitted, mut again) = (Vec::new(), Vec::new());
    for settings in settings {
        let node = Node::start(settings.clone()).await;
        admitted.push(node.admitted(&demand, 40).await);
        let kept = node.local.take_changed();
        drop(node);
        let node = Node::start(settings).await;
        node.local.restore(kept);
        again.push(node.admitted(&demand, 40).await);
    }
    admitted.sort_unstable();
    assert_eq!(admitted, [10, 10, 11]);
    assert_eq!(again, [0; 3], "a restart gives no share anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_without_its_store_and_finds_it_later() {
    let mut redis = Redis::start();
    redis.kill();
    let node = Node::start(redis.settings()).await;
    let limits = monthly(100, Counting::Leased);
    let demand = demand(subject(1), &limits);
    assert_eq!(node.state(), StoreState::Down);
    assert_eq!(node.admitted(&demand, 30).await, 30);
    redis.start_again();
    node.until(StoreState::Up).await;
    assert_eq!(node.remaining(&demand).await, 70);
}

#[tokio::test]
async fn what_others_wrote_into_a_count_harms_nobody_else() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = [limit(5, "month", "fixed_window"), limit(5, "hour", "sliding_log")];
    let limits = plan(&limits, Counting::Exact, OnUnavailable::Deny);
    let (damaged, sound) = (demand(subject(1), &limits), demand(subject(2), &limits));
    assert_eq!((node.admitted(&damaged, 3).await, node.admitted(&sound, 3).await), (3, 3));
    let keys = || redis.keys("tg:{*").into_iter().map(|(key, _)| key);
    let of_damaged = keys().filter(|key| key.contains(&subject(1).0.simple().to_string()));
    let of_damaged: Vec<String> = of_damaged.collect();
    assert_eq!(of_damaged.len(), 2, "{:?}", keys().collect::<Vec<_>>());
    // As long as two counts, with what is before them and without.
    let long = [2 * 65, 4 + 2 * 65].map(|length| "a".repeat(length));
    let long = long.each_ref().map(|long| ["SET", long]);
    let short = [&["SET", "nonsense"][..], &["HSET", "a", "b"], &["RPUSH", "short"]];
    for written in short.into_iter().chain(long.iter().map(|long| &long[..])) {
        for key in &of_damaged {
            redis.run(&["DEL", key]);
            redis.run(&[&[written[0], key][..], &written[1..]].concat());
        }
        // A node that knows of nothing counts anew.
        let new = Node::start(redis.settings()).await;
        assert_eq!(new.admitted(&damaged, 7).await, 5, "{written:?}");
        assert_eq!(new.state(), StoreState::Up);
    }
    // A log that is damaged alone: the other limit knows what was used.
    let log = of_damaged.iter().find(|key| key.ends_with(":log")).unwrap();
    redis.run(&["DEL", log]);
    redis.run(&["RPUSH", log, "short"]);
    let new = Node::start(redis.settings()).await;
    assert_eq!((new.admitted(&damaged, 3).await, new.state()), (0, StoreState::Up));
    assert_eq!((node.state(), node.admitted(&sound, 7).await), (StoreState::Up, 2));
}

#[tokio::test]
async fn what_others_wrote_among_the_nodes_keeps_no_node_away() {
    let redis = Redis::start();
    let limits = plan(&[limit(5, "month", "fixed_window")], Counting::Exact, OnUnavailable::Deny);
    let demand = demand(subject(1), &limits);
    let (members, marker) = ("tg:{nodes}:members", "tg:{nodes}:marker");
    let far = "9999999999999";
    let written: [&[&str]; 6] = [
        &["SET", members, "nonsense"],
        &["ZADD", members, far, "nobody"],
        &["ZADD", members, far, "\u{fffd}"],
        &["SET", marker, "nonsense"],
        &["SET", marker, "99999999999999999999999999"],
        &["RPUSH", marker, "nonsense"],
    ];
    for (count, command) in written.into_iter().enumerate() {
        redis.run(&["DEL", command[1]]);
        redis.run(command);
        let node = Node::start(redis.settings()).await;
        assert_eq!(node.state(), StoreState::Up, "{command:?}");
        assert_eq!(node.admitted(&demand, 1).await, u64::from(count < 5), "{command:?}");
        node.keeper.close().await;
    }
}
