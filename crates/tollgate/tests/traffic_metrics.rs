//! What `/metrics` counts of circuits, ejections and checks: over all tenants, whose names it does not tell.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    Control, EchoUpstream, Gate, Gateway, ScriptedUpstream, Step, Tenant, curl, eventually, eventually_some,
    overlaid,
};
use serde_json::{Value, json};

fn metrics(gateway: &Gateway) -> String {
    gateway.admin_connection().get("/metrics", &[]).expect(200).text()
}

/// The value on the line of this series.
#[track_caller]
fn metric(gateway: &Gateway, series: &str) -> u64 {
    let text = metrics(gateway);
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {text}"))
}

fn circuits(gateway: &Gateway) -> [u64; 3] {
    ["open", "half_open", "closed"]
        .map(|to| metric(gateway, &format!("tollgate_circuit_transitions_total{{to=\"{to}\"}}")))
}

fn ejections(gateway: &Gateway) -> [u64; 2] {
    ["consecutive", "error_percent"]
        .map(|reason| metric(gateway, &format!("tollgate_target_ejections_total{{reason=\"{reason}\"}}")))
}

fn checks(gateway: &Gateway) -> [u64; 2] {
    ["healthy", "unhealthy"]
        .map(|to| metric(gateway, &format!("tollgate_health_changes_total{{to=\"{to}\"}}")))
}

fn expose(gateway: &Gateway, upstreams: &[&ScriptedUpstream], fields: &Value) -> (Tenant, String) {
    let tenant = gateway.tenant("acme");
    let targets: Vec<_> = upstreams.iter().map(|upstream| json!({ "url": upstream.url() })).collect();
    tenant.service_with(&overlaid(json!({ "slug": "payments", "targets": targets }), fields));
    let key = tenant.unlimited_key();
    (tenant, key)
}

fn get(gateway: &Gateway, key: &str) -> u16 {
    gateway.client().get("/acme/payments", &[("X-API-Key", key)]).status
}

#[test]
fn every_change_of_a_circuit_is_counted_those_by_hand_too() {
    let works = Gate::new();
    let upstream = ScriptedUpstream::failing_until(&works);
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let breaker = json!({ "breaker": { "failures": 1, "recovery": "100ms", "successes": 1 } });
    let (tenant, key) = expose(&gateway, &[&upstream], &breaker);
    assert_eq!(circuits(&gateway), [0, 0, 0]);
    assert_eq!(get(&gateway, &key), 500);
    assert_eq!(circuits(&gateway), [1, 0, 0]);
    works.open();
    eventually("the circuit to let a request through", || get(&gateway, &key) == 200);
    assert_eq!(circuits(&gateway), [1, 1, 1]);
    let reset =
        || gateway.admin().post(&tenant.path("circuit-breakers/payments/reset"), &json!({})).expect(200);
    reset();
    assert_eq!(circuits(&gateway), [1, 1, 1], "it was closed already");
    drop(upstream);
    assert_eq!(get(&gateway, &key), 502);
    reset();
    assert_eq!(circuits(&gateway), [2, 1, 2]);
    let text = metrics(&gateway);
    assert!(!text.contains("acme") && !text.contains("payments"), "{text}");
}

#[test]
fn a_line_about_a_target_names_the_service_by_its_id_too() {
    let (broken, well) = (
        ScriptedUpstream::failing_until(&Gate::new()),
        ScriptedUpstream::script(Step::respond("200 OK", "")),
    );
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let fields = json!({ "breaker": { "per": "target", "failures": 1 }, "outlier": { "consecutive": 1 } });
    let (tenant, key) = expose(&gateway, &[&broken, &well], &fields);
    let service = gateway.admin().get(&tenant.path("services/payments")).expect(200)["id"].clone();
    assert_eq!([(); 2].map(|()| get(&gateway, &key)).iter().filter(|status| **status == 500).count(), 1);
    for message in ["a circuit opens: the target fails", "a target is left out: it fails"] {
        let line = eventually_some(message, || {
            let lines = gateway.stderr().into_iter().map(|line| serde_json::from_str::<Value>(&line));
            lines.flatten().find(|line| line["message"] == message)
        });
        assert_eq!((&line["service"], &line["id"]), (&json!("payments"), &service), "{line}");
    }
}

#[test]
fn ejections_are_counted_by_their_reason() {
    let (broken, well) = (
        ScriptedUpstream::failing_until(&Gate::new()),
        ScriptedUpstream::script(Step::respond("200 OK", "")),
    );
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let fields = json!({ "breaker": { "enabled": false }, "outlier": { "consecutive": 2 } });
    let (tenant, key) = expose(&gateway, &[&broken, &well], &fields);
    let requests = || (0..8).filter(|_| get(&gateway, &key) == 500).count();
    assert_eq!((requests(), ejections(&gateway)), (2, [1, 0]));
    let ratio = json!({ "error_percent": 50, "minimum_requests": 2 });
    let targets = [&broken, &well].map(|upstream| json!({ "url": upstream.url() }));
    let service =
        json!({ "slug": "other", "targets": targets, "breaker": { "enabled": false }, "outlier": ratio });
    tenant.service_with(&service);
    for _ in 0..8 {
        gateway.client().get("/acme/other", &[("X-API-Key", &key)]);
    }
    assert_eq!(ejections(&gateway), [1, 1]);
}

#[test]
fn what_checks_find_is_counted_where_it_changes() {
    let works = Gate::new();
    let upstream = ScriptedUpstream::failing_until(&works);
    let gateway = Gateway::start();
    let check = json!({ "health_check": { "interval": "100ms", "healthy": 1, "unhealthy": 1 } });
    expose(&gateway, &[&upstream], &check);
    eventually("a check to fail", || checks(&gateway) == [0, 1]);
    works.open();
    eventually("a check to pass", || checks(&gateway) == [1, 1]);
    let asked = upstream.requests().len();
    eventually("more checks", || upstream.requests().len() > asked + 1);
    assert_eq!(checks(&gateway), [1, 1]);
}

#[test]
fn a_node_that_has_no_admin_api_has_metrics_of_its_own() {
    let control = Control::start();
    let upstream = EchoUpstream::start();
    let tenant = control.tenant("acme");
    let key = tenant.service("api", &upstream.url()).unlimited_key();
    let node = control.node_with("edge", &[("TOLLGATE_METRICS__LISTEN", "127.0.0.1:0")]);
    control.await_in_step("edge");
    assert_eq!(node.get("/acme/api", &key), 200);
    let said = node.said();
    let url =
        said.iter().find_map(|line| line.strip_prefix("metrics listening on ")).expect("a line").to_owned();
    let of_node = curl(&[&url]).success().text();
    assert!(of_node.contains("\ntollgate_limit_decisions_total{"), "{of_node}");
    assert!(!of_node.contains("acme"), "{of_node}");
    let other = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url.replace("/metrics", "/api/tenants")]);
    assert_eq!(other.success().text(), "404");
    let of_control = curl(&[&format!("{}/metrics", control.url())]).success().text();
    assert!(of_control.contains("\ntollgate_nodes_connected 1\n"), "{of_control}");
}
