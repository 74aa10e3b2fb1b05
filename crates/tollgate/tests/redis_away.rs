//! What callers meet while the counter store is away: frozen, dead, or not there yet.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::time::Duration;

use harness::{
    BodyEnd, Control, Fleet, NODES, Node, Security, StoreProgram, StoreServer, Tally, eventually,
    eventually_some, exactly,
};
use serde_json::json;

/// A request may wait 100 ms for the store. The rest is for a busy machine; a gateway that waits for the store to come
/// back never answers.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Of slices on their way when the store was killed.
const MOST_UNDER_WAY: usize = 100;

fn started() -> (StoreServer, Fleet) {
    let store = StoreServer::start(StoreProgram::Redis);
    let fleet = Fleet::start(&store.url());
    store.await_acquainted(NODES);
    (store, fleet)
}

fn await_store(fleet: &Fleet, state: &str) {
    for node in &fleet.nodes {
        node.await_store(state);
    }
}

/// Requests that make every node notice that the store is away; all are let through.
const NOTICING: usize = 4 * NODES;

#[track_caller]
fn notice(fleet: &Fleet, plan: &str) {
    let limits = [exactly(1_000_000)];
    let plan = json!({ "slug": plan, "limits": limits, "counting": "exact", "on_unavailable": "allow" });
    let key = fleet.key_on(&plan);
    assert_eq!(fleet.ask(&key, NOTICING).of(200), NOTICING);
    await_store(fleet, "down");
}

#[track_caller]
fn assert_none_waited(tally: &Tally) {
    eprintln!("{tally:?}");
    assert!(tally.lost == 0 && tally.slowest < LONGEST_WAIT, "{tally:?}");
}

#[test]
fn no_request_waits_for_a_store_that_is_frozen() {
    let (store, fleet) = started();
    let keys: Vec<String> = ["exact", "leased"]
        .iter()
        .flat_map(|counting| ["local", "allow", "deny"].map(|policy| fleet.key(1_000, counting, policy)))
        .collect();
    for key in &keys {
        fleet.ask(key, 100);
    }
    store.freeze();
    for key in &keys {
        let tally = fleet.load(key, 400).finish();
        assert_none_waited(tally.only(&[200, 429, 503]));
    }
    await_store(&fleet, "down");
    store.thaw();
    await_store(&fleet, "up");
}

#[test]
fn under_deny_nothing_is_let_through_until_the_store_is_back() {
    let (mut store, fleet) = started();
    let key = fleet.key(100, "exact", "deny");
    assert_eq!(fleet.ask_again(&key, 40).of(200), 40);
    store.kill();
    notice(&fleet, "any");
    let before = fleet.admitted();
    let tally = fleet.ask(&key, 200);
    assert_eq!((tally.of(503), fleet.admitted()), (200, before), "{tally:?}");
    let response = fleet.nodes[0].client().get("/acme/api/", &[("X-API-Key", &key)]).expect(503);
    assert!(response.header("Retry-After").is_some(), "{:?}", response.headers);
    let error = &response.json()["error"];
    assert_eq!((&error["code"], response.end), (&json!(503), BodyEnd::Complete), "{error}");
    store.restart();
    await_store(&fleet, "up");
    // What was refused was not charged.
    assert_eq!(fleet.ask_again(&key, 200).of(200), 60);
}

#[test]
fn under_allow_everything_is_let_through_and_counted_afterwards() {
    let (mut store, fleet) = started();
    for counting in ["exact", "leased"] {
        let key = fleet.key(100, counting, "allow");
        fleet.ask(&key, 40);
        store.kill();
        notice(&fleet, &format!("beside-{counting}"));
        let tally = fleet.ask(&key, 300);
        assert_eq!(tally.of(200), 300, "{tally:?}");
        store.restart();
        await_store(&fleet, "up");
        eventually("what was let through is counted", || fleet.ask(&key, 2 * NODES).of(429) == 2 * NODES);
    }
}

#[test]
fn under_local_each_node_keeps_to_its_share() {
    let (mut store, fleet) = started();
    for counting in ["exact", "leased"] {
        let before = fleet.admitted();
        let (untouched, begun) = (fleet.key(400, counting, "local"), fleet.key(800, counting, "local"));
        assert_eq!(fleet.ask(&begun, 400).of(200), 400);
        // A node's share is of what was left when it heard of it last.
        for (node, key) in fleet.nodes.iter().flat_map(|node| [(node, &untouched), (node, &begun)]) {
            eventually("the node knows", || node.usage(key).is_some());
        }
        store.await_acquainted(NODES);
        store.kill();
        notice(&fleet, &format!("beside-{counting}"));
        let noticed = fleet.admitted();
        let tally = fleet.ask(&untouched, 1_000);
        assert!(tally.only(&[200, 429]).of(200) <= 400, "{tally:?}");
        assert!(tally.of(200) >= 200, "each node has a share: {tally:?}");
        let tally = fleet.ask(&begun, 1_000);
        assert!(tally.only(&[200, 429]).of(200) <= 400, "{tally:?}");
        let apart = fleet.admitted() - noticed;
        assert!(apart <= 800, "{apart}");
        store.restart();
        await_store(&fleet, "up");
        // What was let through apart is merged: what is left is there, and no more.
        for key in [&untouched, &begun] {
            eventually("the limit is used up", || fleet.ask(key, 100).of(429) == 100);
        }
        let (admitted, all) = (fleet.admitted() - before, 400 + 800 + NOTICING);
        eprintln!("{counting}: {admitted} of {all}");
        assert!((all - MOST_UNDER_WAY..=all).contains(&admitted), "{counting}: {admitted} of {all}");
    }
}

#[test]
fn nodes_start_without_their_store_and_find_it_when_it_comes() {
    let mut store = StoreServer::start(StoreProgram::Redis);
    store.kill();
    let control = Control::start();
    let upstream = harness::EchoUpstream::start();
    let tenant = control.tenant("acme");
    tenant.service("api", &upstream.url());
    let plan = |slug: &str, policy: &str| json!({ "slug": slug, "limits": [exactly(5)], "counting": "exact", "on_unavailable": policy });
    tenant.plan_with(&plan("open", "allow")).plan_with(&plan("shut", "deny"));
    let (open, shut) = (tenant.key("open"), tenant.key("shut"));
    let node = control.node_with("edge", &[("REDIS_URL", &store.url())]);
    node.await_store("down");
    let get = |key: &str| node.get("/acme/api/", key);
    assert_eq!((get(&open), get(&shut)), (200, 503));
    store.restart();
    node.await_store("up");
    assert_eq!(get(&shut), 200);
}

#[test]
fn a_store_that_refuses_the_password_is_logged_without_it() {
    let security = Security { password: Some("right-s3cret"), certificate: None };
    let store = StoreServer::start_with(StoreProgram::Redis, security, &[]);
    let control = Control::start();
    let wrong = format!("redis://:wrong-s3cret@127.0.0.1:{}", store.port());
    let node = control.node_with("edge", &[("REDIS_URL", &wrong)]);
    node.await_store("down");
    let line = eventually_some("a line about the store", || {
        node.log().into_iter().find(|line| line.contains("the counter store cannot be reached"))
    });
    assert!(node.log().iter().all(|line| !line.contains("s3cret")), "{line}");
}

#[test]
fn the_state_of_the_store_is_logged_as_it_changes() {
    let mut store = StoreServer::start(StoreProgram::Redis);
    let control = Control::start();
    let node = control.node_with("edge", &[("REDIS_URL", &store.url())]);
    node.await_store("up");
    store.kill();
    node.await_store("down");
    let lines = |node: &Node, word: &str| {
        node.log().iter().filter(|line| line.contains("counter store") && line.contains(word)).count()
    };
    eventually("its loss is logged", || lines(&node, "WARN") == 1 || lines(&node, "\"level\":\"WARN\"") == 1);
    store.restart();
    node.await_store("up");
    eventually("its return is logged", || {
        lines(&node, "INFO") >= 1 || lines(&node, "\"level\":\"INFO\"") >= 1
    });
}

#[test]
fn without_a_store_nothing_is_said_of_one() {
    let control = Control::start();
    let node = control.node("edge");
    let ready = node.client().get("/health/ready", &[]).expect(200).json();
    assert_eq!(ready, json!({ "status": "ready" }));
}
