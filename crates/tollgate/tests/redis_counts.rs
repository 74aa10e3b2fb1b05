//! Four gateway processes that count in one store: what they let through, all together.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    EchoUpstream, Fleet, Gateway, Load, NODES, Node, StoreProgram, StoreServer, Tally, eventually, exactly,
};
use serde_json::{Value, json};

/// What nodes may hold of a leased limit that is nearly used up, when everybody else is refused already.
const MOST_HELD: usize = 100;

fn started() -> (StoreServer, Fleet) {
    let store = StoreServer::start(StoreProgram::Redis);
    let fleet = Fleet::start(&store.url());
    (store, fleet)
}

#[test]
fn exact_lets_through_exactly_the_limit() {
    let (_store, fleet) = started();
    let key = fleet.key(10_000, "exact", "deny");
    let tally = fleet.load(&key, 12_000).finish();
    eprintln!("{tally:?}");
    assert_eq!((tally.only(&[200, 429, 503]).lost, tally.of(200)), (0, fleet.admitted()));
    fleet.use_up(&key, 10_000);
}

#[test]
fn leased_never_lets_through_more_than_the_limit_and_comes_to_it() {
    let (_store, fleet) = started();
    let key = fleet.key(10_000, "leased", "deny");
    let tally = fleet.load(&key, 12_000).finish();
    eprintln!("{tally:?}");
    assert_eq!((tally.only(&[200, 429, 503]).lost, tally.of(200)), (0, fleet.admitted()));
    assert!((10_000 - MOST_HELD - tally.of(503)..=10_000).contains(&tally.of(200)), "{tally:?}");
    fleet.use_up(&key, 10_000);
}

#[test]
fn local_lets_through_the_whole_limit_at_each_node() {
    let (_store, fleet) = started();
    let key = fleet.key(10, "local", "deny");
    let tally = fleet.ask(&key, 400);
    assert_eq!((tally.of(200), tally.of(429)), (10 * NODES, 400 - 10 * NODES), "{tally:?}");
}

#[test]
fn serve_counts_together_with_its_nodes() {
    let store = StoreServer::start(StoreProgram::Redis);
    let upstream = EchoUpstream::start();
    let gateway = Gateway::builder().env("REDIS_URL", &store.url()).start();
    let tenant = gateway.tenant("acme");
    let plan = json!({ "slug": "ten", "limits": [exactly(10)], "counting": "exact" });
    tenant.service("api", &upstream.url()).plan_with(&plan);
    let key = tenant.key("ten");
    let made = gateway.admin().post("/api/node-tokens", &json!({ "name": "edge" })).expect(201);
    let token = made["token"].as_str().expect("a token");
    let control = format!("http://{}", gateway.admin_address());
    let node = Node::start_with(&control, "edge", token, &[("REDIS_URL", store.url())]);
    node.await_ready();
    node.await_store("up");
    let addresses = [gateway.proxy_address(), node.address()];
    let tally = Load::start(&addresses, "/acme/api/", &key, 8, 50).finish();
    assert_eq!((tally.of(200), tally.of(429)), (10, 40), "{tally:?}");
}

#[test]
fn every_node_tells_callers_the_same() {
    let (_store, fleet) = started();
    let key = fleet.key(100, "exact", "deny");
    for (asked, node) in fleet.nodes.iter().cycle().take(10).enumerate() {
        let response = node.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
        let remaining = (99 - asked).to_string();
        assert_eq!(response.header("X-RateLimit-Remaining-700h"), Some(&*remaining));
    }
}

#[test]
fn all_limits_of_a_request_are_charged_or_none() {
    let (_store, fleet) = started();
    let limits = json!([exactly(60), { "requests": 20, "per": "600h", "algorithm": "fixed_window" }]);
    let key = fleet
        .key_on(&json!({ "slug": "two", "limits": limits, "counting": "exact", "on_unavailable": "deny" }));
    assert_eq!(fleet.ask_again(&key, 200).of(200), 20);
    // The 180 that the one refused took nothing of the other.
    let wider =
        json!({ "slug": "two", "limits": [exactly(60)], "counting": "exact", "on_unavailable": "deny" });
    fleet.control.admin().put("/api/plans/two?tenant=acme", &wider).expect(200);
    for node in &fleet.nodes {
        eventually("the plan has one limit", || limits_of(node, &key).len() == 1);
    }
    assert_eq!(fleet.ask_again(&key, 200).of(200), 40);
}

/// None where the node does not know the key yet.
fn limits_of(node: &Node, key: &str) -> Vec<Value> {
    let usage = node.client().get("/-/usage", &[("X-API-Key", key)]);
    if usage.status == 200 { usage.json()["limits"].as_array().expect("limits").clone() } else { Vec::new() }
}

#[test]
fn a_service_s_and_a_tenant_s_limits_hold_over_all_nodes() {
    let (_store, fleet) = started();
    let (first, second) = (fleet.tenant.unlimited_key(), fleet.tenant.unlimited_key());
    let limited = json!({ "slug": "api", "url": fleet.upstream_url(), "limits": [exactly(300)] });
    fleet.control.admin().put("/api/services/api?tenant=acme", &limited).expect(200);
    let tenant = json!({ "slug": "acme", "name": "acme", "limits": [exactly(500)] });
    fleet.control.admin().put("/api/tenants/acme", &tenant).expect(200);
    for node in &fleet.nodes {
        eventually("the limits are known", || limits_of(node, &second).len() == 1);
    }
    let tally = fleet.ask(&first, 600);
    assert!(tally.only(&[200, 429]).of(200) <= 300, "{tally:?}");
    fleet.use_up(&second, 300);
    // Another service has what the tenant has left.
    fleet.tenant.service("other", &fleet.upstream_url());
    for node in &fleet.nodes {
        eventually("the service is known", || node.get("/acme/other/", "none") == 403);
    }
    let tally = fleet.ask_at("/acme/other/", &first, 600);
    assert!(tally.only(&[200, 429]).of(200) <= 200, "{tally:?}");
    eventually("what nodes hold is let through", || {
        fleet.ask_at("/acme/other/", &second, 200).only(&[200, 429]);
        fleet.admitted() >= 500
    });
    assert_eq!(fleet.ask_at("/acme/other/", &second, 200).of(429), 200);
    assert_eq!(fleet.admitted(), 500);
}

#[test]
fn a_node_that_ends_gives_back_what_it_holds() {
    let (_store, mut fleet) = started();
    let key = fleet.key(1_000, "leased", "deny");
    assert_eq!(fleet.ask_again(&key, 500).of(200), 500);
    for node in fleet.nodes.drain(1..) {
        node.end("TERM");
    }
    // What they held would be nobody's until the period ends.
    fleet.use_up(&key, 1_000);
}

#[test]
fn nothing_is_forgotten_when_every_node_is_started_anew() {
    let (_store, mut fleet) = started();
    let exact = fleet.key(100, "exact", "deny");
    let leased = fleet.key(100, "leased", "deny");
    assert_eq!((fleet.ask_again(&exact, 60).of(200), fleet.ask_again(&leased, 60).of(200)), (60, 60));
    let ended: Vec<_> = fleet.nodes.drain(..).map(|node| node.end("TERM")).collect();
    for stopped in ended {
        let node = stopped.start();
        node.await_store("up");
        fleet.nodes.push(node);
    }
    assert_eq!(fleet.ask_again(&exact, 200).of(200), 40);
    let tally = fleet.ask_again(&leased, 200);
    assert!(tally.of(200) <= 40, "{tally:?}");
    fleet.use_up(&leased, 200);
}

#[test]
fn keys_outlive_their_period_and_no_longer() {
    let (store, fleet) = started();
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        for counting in ["exact", "leased"] {
            let limit = json!({ "requests": 5, "per": "2s", "algorithm": algorithm });
            let slug = format!("{counting}-{algorithm}").replace('_', "-");
            let key = fleet.key_on(&json!({ "slug": slug, "limits": [limit], "counting": counting }));
            fleet.ask(&key, 8).only(&[200, 429]);
        }
    }
    let counts = || {
        let keys = store.call(&["KEYS", "tg:{*"]);
        keys.lines()
            .filter(|line| !line.is_empty() && !line.contains("{nodes}"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let kept = counts();
    assert!(!kept.is_empty());
    for key in kept {
        // Of a key that is over in between, it is -2.
        let left: i64 = store.call(&["PTTL", &key]).parse().expect("a number");
        assert!(left != -1, "{key} stays for ever");
    }
    eventually("nothing is kept of what is over", || counts().is_empty());
}

#[test]
fn a_window_that_is_over_begins_anew_for_all_nodes() {
    let (_store, fleet) = started();
    let limit = json!({ "requests": 50, "per": "3s", "algorithm": "fixed_window" });
    for counting in ["exact", "leased"] {
        let key = fleet.key_on(
            &json!({ "slug": counting, "limits": [limit], "counting": counting, "on_unavailable": "deny" }),
        );
        let before = fleet.admitted();
        let mut most: Vec<Tally> = Vec::new();
        // Over at least two windows: what is let through in the second is what was let through in the first, at most.
        eventually("a second window", || {
            most.push(fleet.ask(&key, 100));
            fleet.admitted() - before > 50
        });
        let windows = 1 + most.len().min(2);
        assert!(fleet.admitted() - before <= 50 * windows, "{most:?}");
    }
}

#[test]
fn refunds_and_costs_are_settled_in_the_store() {
    let (_store, fleet) = started();
    let service = json!({
        "slug": "failing", "url": "http://127.0.0.1:9", "refund_on_failure": true,
        "rules": [{ "name": "dear", "paths": ["/dear"], "cost": 5 }],
    });
    fleet.tenant.service_with(&service);
    let key = fleet.key(100, "exact", "deny");
    let tally = fleet.ask_at("/acme/failing/dear", &key, 200);
    assert_eq!(tally.only(&[502, 429, 503]).of(200), 0);
    let mut let_through = 0;
    eventually("all of it is given back", || {
        let_through += fleet.ask(&key, 50).of(200);
        let_through >= 100
    });
    assert_eq!((let_through, fleet.ask(&key, 50).of(200)), (100, 0));
}
