//! What a control plane shows of circuits and health on its nodes, and what it has done there.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Control, Gate, Gateway, Node, ScriptedUpstream, Step, Tenant, eventually, eventually_some};
use serde_json::{Value, json};

/// A control plane with two nodes, and the service `api` with these fields besides its target.
fn fleet(upstream: &ScriptedUpstream, fields: &Value) -> (Control, Tenant, String, [Node; 2]) {
    let control = Control::start();
    let tenant = control.tenant("acme");
    let mut service = json!({ "slug": "api", "url": upstream.url() });
    for (name, value) in fields.as_object().expect("fields") {
        service[name] = value.clone();
    }
    if service["targets"].is_array() {
        service.as_object_mut().expect("fields").remove("url");
    }
    tenant.service_with(&service);
    let key = tenant.unlimited_key();
    let nodes = ["edge-1", "edge-2"].map(|name| control.node(name));
    for name in ["edge-1", "edge-2"] {
        control.await_in_step(name);
        eventually("the node tells", || node_of(&circuit(&control), name)["stale"] == false);
    }
    (control, tenant, key, nodes)
}

fn circuit(control: &Control) -> Value {
    control.admin().get("/api/circuit-breakers?tenant=acme").expect(200)["items"][0].clone()
}

fn health(control: &Control) -> Value {
    control.admin().get("/api/health/services?tenant=acme").expect(200)["items"][0].clone()
}

/// What is shown of one node; null where it is not shown.
fn node_of(shown: &Value, name: &str) -> Value {
    let nodes = shown["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes.iter().find(|node| node["node"] == name).cloned().unwrap_or_default()
}

fn told(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let told = answer["told"].as_array().expect("nodes").iter();
    let mut told: Vec<_> = told.map(|told| (text(&told["node"]), text(&told["outcome"]))).collect();
    told.sort();
    told
}

fn each(outcomes: [(&str, &str); 2]) -> Vec<(String, String)> {
    outcomes.map(|(node, outcome)| (node.to_owned(), outcome.to_owned())).to_vec()
}

#[test]
fn a_circuit_that_opens_on_one_node_is_shown_there_and_a_reset_closes_it() {
    let works = Gate::new();
    let upstream = ScriptedUpstream::failing_until(&works);
    let breaker = json!({ "breaker": { "failures": 2, "recovery": "1h" } });
    let (control, tenant, key, [first, second]) = fleet(&upstream, &breaker);
    let shown = circuit(&control);
    assert_eq!((&shown["state"], &shown["fleet_state"]), (&Value::Null, &json!("closed")));
    assert_eq!([(); 3].map(|()| first.get("/acme/api/", &key)), [500, 500, 503]);
    let open = eventually_some("the circuit is shown", || {
        let shown = circuit(&control);
        (node_of(&shown, "edge-1")["state"] == "open").then_some(shown)
    });
    let (of_first, of_second) = (node_of(&open, "edge-1"), node_of(&open, "edge-2"));
    assert_eq!((&of_first["opened"], &of_first["last_state"]), (&json!(1), &json!("open")));
    assert!((3_500..=3_600).contains(&of_first["retry_after_seconds"].as_u64().expect("a wait")), "{open}");
    assert_eq!((&of_second["state"], &of_second["opened"]), (&json!("closed"), &json!(0)), "{open}");
    assert_eq!((&open["state"], &open["fleet_state"]), (&Value::Null, &json!("open")));

    works.open();
    let path = tenant.path("circuit-breakers/api/reset");
    let reset = control.admin().post(&path, &json!({})).expect(200);
    assert_eq!(told(&reset), each([("edge-1", "done"), ("edge-2", "done")]));
    assert_eq!(
        (&node_of(&reset, "edge-1")["state"], &reset["fleet_state"]),
        (&json!("closed"), &json!("closed"))
    );
    assert_eq!([first.get("/acme/api/", &key), second.get("/acme/api/", &key)], [200, 200]);
    // Once more does no harm.
    let again = control.admin().post(&path, &json!({})).expect(200);
    assert_eq!(told(&again), each([("edge-1", "done"), ("edge-2", "done")]));
}

#[test]
fn a_node_that_is_killed_is_stale_and_one_that_ends_is_gone() {
    let upstream = ScriptedUpstream::failing_until(&Gate::new());
    let breaker = json!({ "breaker": { "failures": 1, "recovery": "1h" } });
    let (control, tenant, key, [first, second]) = fleet(&upstream, &breaker);
    assert_eq!(second.get("/acme/api/", &key), 500);
    eventually("the circuit is shown", || node_of(&circuit(&control), "edge-2")["state"] == "open");
    second.end("KILL");
    let shown = eventually_some("the node is stale", || {
        Some(circuit(&control)).filter(|shown| node_of(shown, "edge-2")["stale"] == true)
    });
    let dead = node_of(&shown, "edge-2");
    assert_eq!((&dead["state"], &dead["last_state"]), (&Value::Null, &json!("open")), "{shown}");
    assert!(dead["age_seconds"].is_u64(), "{shown}");
    // What is not known is no part of how the fleet is.
    assert_eq!(shown["fleet_state"], "closed");
    let reset = control.admin().post(&tenant.path("circuit-breakers/api/reset"), &json!({})).expect(200);
    assert_eq!(told(&reset), each([("edge-1", "done"), ("edge-2", "away")]));
    first.end("TERM");
    eventually("the node is gone", || node_of(&circuit(&control), "edge-1").is_null());
    assert!(!node_of(&circuit(&control), "edge-2").is_null());
}

#[test]
fn a_node_that_is_frozen_is_stale_and_is_not_said_to_have_done_anything() {
    let upstream = ScriptedUpstream::failing_until(&Gate::new());
    let (control, tenant, _, [first, _second]) = fleet(&upstream, &json!({}));
    first.freeze();
    let reset = control.admin().post(&tenant.path("circuit-breakers/api/reset"), &json!({})).expect(200);
    assert_eq!(told(&reset), each([("edge-1", "told"), ("edge-2", "done")]));
    eventually("the node is stale", || node_of(&circuit(&control), "edge-1")["stale"] == true);
    assert_eq!(node_of(&circuit(&control), "edge-2")["stale"], false);
    first.thaw();
    eventually("the node is back", || node_of(&circuit(&control), "edge-1")["state"] == "closed");
}

#[test]
fn a_target_that_fails_its_checks_shows_under_each_node() {
    let works = Gate::new();
    works.open();
    let upstream = ScriptedUpstream::failing_until(&works);
    let is_ill = Gate::new();
    let other = ScriptedUpstream::failing_once(&is_ill);
    let fields = json!({ "targets": [{ "url": upstream.url() }, { "url": other.url() }],
        "health_check": { "path": "/up", "interval": "200ms", "timeout": "150ms", "unhealthy": 2 } });
    let (control, _, _, [first, _second]) = fleet(&upstream, &fields);
    for name in ["edge-1", "edge-2"] {
        eventually("the node says that all is well", || {
            node_of(&health(&control), name)["status"] == "healthy"
        });
    }
    is_ill.open();
    for name in ["edge-1", "edge-2"] {
        let shown = eventually_some("the node says that a target is not", || {
            Some(node_of(&health(&control), name)).filter(|node| node["status"] == "degraded")
        });
        let targets = &shown["targets"];
        assert_eq!((&targets[0]["status"], &targets[1]["status"]), (&json!("healthy"), &json!("unhealthy")));
        assert_eq!(targets[1]["url"], other.url());
        assert_eq!(targets[1]["last_check"]["error"], "status 503");
    }
    let shown = health(&control);
    assert_eq!((&shown["status"], &shown["fleet_status"]), (&json!("unknown"), &json!("degraded")));
    first.end("KILL");
    let dead = eventually_some("the node is stale", || {
        Some(node_of(&health(&control), "edge-1")).filter(|node| node["stale"] == true)
    });
    assert_eq!((&dead["status"], &dead["last_status"]), (&json!("unknown"), &json!("degraded")));
}

#[test]
fn a_check_on_demand_is_made_by_every_node() {
    let works = Gate::new();
    let upstream = ScriptedUpstream::failing_until(&works);
    let (control, tenant, key, nodes) = fleet(&upstream, &json!({}));
    for path in [tenant.path("services/api/health-check"), tenant.path("health/check-all")] {
        let asked = upstream.requests().len();
        let answer = control.admin().post(&path, &json!({})).expect(200);
        assert_eq!(told(&answer), each([("edge-1", "done"), ("edge-2", "done")]));
        assert_eq!(upstream.requests().len(), asked + 2);
        let shown = if answer["items"].is_array() { answer["items"][0].clone() } else { answer };
        for name in ["edge-1", "edge-2"] {
            let checked = &node_of(&shown, name)["targets"][0]["last_check"];
            assert_eq!(
                (&checked["passed"], &checked["error"]),
                (&json!(false), &json!("status 500")),
                "{shown}"
            );
        }
    }
    // It decides nothing where there is no `health_check`.
    works.open();
    assert_eq!(nodes.map(|node| node.get("/acme/api/", &key)), [200, 200]);
}

#[test]
fn a_node_that_is_asked_to_check_what_it_checks_makes_no_other_check() {
    let upstream = ScriptedUpstream::script(vec![Step::Await(Gate::new())]);
    let check = json!({ "health_check": { "interval": "60s", "timeout": "60s" } });
    let (control, tenant, _, _nodes) = fleet(&upstream, &check);
    upstream.await_open_connections(2);
    let answer = control.admin().post(&tenant.path("services/api/health-check"), &json!({})).expect(200);
    assert_eq!(told(&answer), each([("edge-1", "told"), ("edge-2", "told")]));
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_control_plane_that_starts_again_is_told_everything_again() {
    let upstream = ScriptedUpstream::failing_until(&Gate::new());
    let breaker = json!({ "breaker": { "failures": 1, "recovery": "1h" } });
    let (control, _, key, [first, _second]) = fleet(&upstream, &breaker);
    assert_eq!(first.get("/acme/api/", &key), 500);
    eventually("the circuit is shown", || node_of(&circuit(&control), "edge-1")["state"] == "open");
    let control = control.restart();
    eventually("the circuit is shown again", || node_of(&circuit(&control), "edge-1")["state"] == "open");
    eventually("the other node too", || node_of(&circuit(&control), "edge-2")["state"] == "closed");
}

#[test]
fn serve_shows_its_own_circuit_and_that_of_its_nodes() {
    let upstream = ScriptedUpstream::failing_until(&Gate::new());
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let breaker = json!({ "failures": 1, "recovery": "1h" });
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "breaker": breaker }));
    let key = tenant.unlimited_key();
    let circuit = || gateway.admin().get("/api/circuit-breakers?tenant=acme").expect(200)["items"][0].clone();
    assert_eq!((&circuit()["state"], &circuit()["nodes"]), (&json!("closed"), &Value::Null));
    let made = gateway.admin().post("/api/node-tokens", &json!({ "name": "edge" })).expect(201);
    let node = Node::start(gateway.admin_address(), "edge", made["token"].as_str().expect("a token"));
    node.await_ready();
    eventually("the node tells", || node_of(&circuit(), "edge")["state"] == "closed");
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(500);
    let shown = circuit();
    assert_eq!((&shown["state"], &shown["fleet_state"]), (&json!("open"), &json!("open")));
    assert_eq!(node_of(&shown, "edge")["state"], "closed");
}
