//! What nodes say of services, and what they are told to do about them.

use serde_json::{Value, json};
use tollgate_core::feed::{Frame, Order, Ordered};

use crate::gateway::{Client, Gateway};
use crate::nodes::{Feed, SESSION, report};

/// A control plane that feeds a node.
struct Fed {
    gateway: Gateway,
    /// The administrator in the tenant `acme`.
    acme: Client,
    /// The tenant's service `api`.
    made: Value,
    token: String,
    node: Client,
    feed: Feed,
}

impl Fed {
    fn start() -> Self {
        let gateway = Gateway::start();
        let acme = gateway.admin_in("acme");
        let service = json!({ "slug": "api", "url": "http://127.0.0.1:1" });
        let made = acme.post("/api/services", &service).expect(201);
        let (token, _) = gateway.node_token("edge");
        let node = gateway.anyone().with_token(&token);
        let feed = gateway.feed(&token, None);
        Self { gateway, acme, made, token, node, feed }
    }
}

/// What a node says of services, in its report.
fn traffic(sequence: u64, services: &Value, done: &[Value]) -> Value {
    let mut report = report(1, SESSION, 1, &[]);
    report["traffic"] = json!({ "session": SESSION, "sequence": sequence, "now": 5_000_000, "begins": "anew",
        "ends": "complete", "services": services, "usual": [], "done": done });
    report
}

impl Feed {
    /// The next order, where one comes before the next heartbeat.
    fn order(&mut self) -> Option<Order> {
        match self.frame().unwrap() {
            Frame::Order(order) => Some(order),
            Frame::Heartbeat => None,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_order_goes_to_the_nodes_that_listen_and_to_none_that_connects_later() {
    let Fed { gateway, acme, made, token, node, mut feed } = Fed::start();
    let committed = feed.next();
    let at = (committed.position, committed.snapshot);
    let reset = || acme.post("/api/circuit-breakers/api/reset", &json!({})).expect(200)["told"].clone();
    std::thread::scope(|threads| {
        let told = threads.spawn(reset);
        let order = loop {
            if let Some(order) = feed.order() {
                break order;
            }
        };
        let Ordered::ResetCircuits(service) = order.what else { panic!("{order:?}") };
        assert_eq!(service.to_string(), made["id"].as_str().unwrap());
        node.post("/api/node/status", &traffic(1, &json!([]), &[json!(order.id)])).expect(204);
        assert_eq!(told.join().unwrap(), json!([{ "node": "edge-1", "outcome": "done" }]));
    });
    // One that does not answer is not taken for one that has done it.
    assert_eq!(reset(), json!([{ "node": "edge-1", "outcome": "told" }]));
    drop(feed);
    let is_away = || gateway.admin().get("/api/nodes").expect(200)["items"][0]["connected"] == false;
    while !is_away() {
        std::thread::yield_now();
    }
    assert_eq!(reset(), json!([{ "node": "edge-1", "outcome": "away" }]));
    let mut later = gateway.feed(&token, Some(at));
    assert_eq!(later.order(), None);
}

#[test]
fn a_node_says_how_services_are_and_what_no_node_says_is_refused() {
    let Fed { gateway, acme, made, node, mut feed, .. } = Fed::start();
    feed.next();
    let tenants = gateway.admin().get("/api/tenants/acme").expect(200);
    let seen = json!({ "tenant": tenants["id"], "service": made["id"],
        "circuit": { "state": "Open", "failures": 0, "opened": 2, "open_until": 25_000_000 } });
    let shown = || acme.get("/api/circuit-breakers").expect(200)["items"][0]["nodes"][0].clone();
    assert_eq!((&shown()["stale"], &shown()["age_seconds"]), (&json!(true), &Value::Null));
    node.post("/api/node/status", &traffic(1, &json!([seen]), &[])).expect(204);
    let open = shown();
    assert_eq!((&open["state"], &open["opened"], &open["stale"]), (&json!("open"), &json!(2), &json!(false)));
    assert!((1..=20).contains(&open["retry_after_seconds"].as_u64().unwrap()), "{open}");
    let many: Vec<_> = (0..65).map(|_| seen.clone()).collect();
    assert_eq!(node.post("/api/node/status", &traffic(2, &json!(many), &[])).refused(422), ["traffic"]);
    let done: Vec<_> = (0..65).map(|_| json!(SESSION)).collect();
    assert_eq!(node.post("/api/node/status", &traffic(2, &json!([]), &done)).refused(422), ["traffic"]);
    assert_eq!(shown()["state"], "open");
    // A report that another has overtaken.
    node.post("/api/node/status", &traffic(1, &json!([]), &[])).expect(204);
    assert_eq!(shown()["state"], "open");
    node.post("/api/node/status", &traffic(2, &json!([]), &[])).expect(204);
    assert_eq!(shown()["state"], "closed");
}
