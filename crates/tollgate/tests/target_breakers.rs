//! Services whose targets have circuit breakers of their own.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::collections::BTreeSet;

use harness::{Gate, Gateway, ScriptedUpstream, Step, Tenant, eventually, eventually_some, overlaid};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

fn broken() -> ScriptedUpstream {
    ScriptedUpstream::failing_until(&Gate::new())
}

fn well() -> ScriptedUpstream {
    ScriptedUpstream::script(Step::respond("200 OK", ""))
}

/// The service `api` with a breaker for each of its targets, and no outliers.
fn expose(upstreams: &[&ScriptedUpstream], breaker: &Value, fields: &Value) -> (Gateway, Tenant, String) {
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let tenant = gateway.tenant("acme");
    let targets: Vec<_> = upstreams.iter().map(|upstream| json!({ "url": upstream.url() })).collect();
    let service = json!({ "slug": "api", "targets": targets, "outlier": { "enabled": false },
        "breaker": overlaid(json!({ "per": "target" }), breaker) });
    tenant.service_with(&overlaid(service, fields));
    let key = tenant.unlimited_key();
    (gateway, tenant, key)
}

fn get(gateway: &Gateway, key: &str) -> harness::Response {
    gateway.client().get("/acme/api", &[("X-API-Key", key)])
}

fn circuit(gateway: &Gateway) -> Value {
    gateway.admin().get("/api/circuit-breakers?tenant=acme").expect(200)["items"][0].clone()
}

fn states(gateway: &Gateway) -> Vec<String> {
    let circuit = circuit(gateway);
    let targets = circuit["targets"].as_array().expect("targets").iter();
    targets.map(|target| target["state"].as_str().expect("a state").to_owned()).collect()
}

/// The names of an object's members, as often as they stand there.
struct Members(Vec<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = Vec::new();
                while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                    names.push(name);
                }
                Ok(Members(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[test]
fn two_of_three_targets_that_fail_get_no_requests_and_the_third_gets_all() {
    let (first, second, third) = (broken(), broken(), well());
    let breaker = json!({ "failures": 2, "recovery": "1h" });
    let (gateway, tenant, key) = expose(&[&first, &second, &third], &breaker, &json!({}));
    let failed = (0..30).filter(|_| get(&gateway, &key).status == 500).count();
    assert_eq!((failed, first.requests().len(), second.requests().len()), (4, 2, 2));
    assert_eq!(states(&gateway), ["open", "open", "closed"]);
    let shown = circuit(&gateway);
    assert_eq!((&shown["state"], &shown["opened"]), (&json!("closed"), &json!(2)));
    assert_eq!(shown["retry_after_seconds"], Value::Null);
    let open = &shown["targets"][0];
    assert_eq!(open["url"], first.url());
    assert!((3_500..=3_600).contains(&open["retry_after_seconds"].as_u64().unwrap()), "{open}");
    let logged = eventually_some("a line about the first target", || {
        gateway.stderr().into_iter().find(|line| line.contains(first.url().trim_start_matches("http://")))
    });
    let Members(members) = serde_json::from_str(&logged).expect("a JSON object");
    let named: BTreeSet<_> = members.iter().collect();
    assert_eq!(named.len(), members.len(), "a member stands twice: {logged}");
    // Closed by hand, they get requests again.
    let reset = gateway.admin().post(&tenant.path("circuit-breakers/api/reset"), &json!({})).expect(200);
    assert_eq!(reset["targets"][1]["state"], "closed");
    let failed = (0..30).filter(|_| get(&gateway, &key).status == 500).count();
    assert_eq!(failed, 4);
}

#[test]
fn where_all_circuits_are_open_the_answer_is_503_until_the_first_lets_a_request_through() {
    let upstreams = [broken(), broken()];
    let breaker = json!({ "failures": 1, "recovery": "1h" });
    let (gateway, _, key) = expose(&[&upstreams[0], &upstreams[1]], &breaker, &json!({}));
    for _ in 0..2 {
        get(&gateway, &key).expect(500);
    }
    let refused = get(&gateway, &key).expect(503);
    assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=destination_unavailable"));
    let wait: u64 = refused.header("Retry-After").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(upstreams.iter().map(|upstream| upstream.requests().len()).sum::<usize>(), 2);
    assert_eq!(circuit(&gateway)["state"], "open");
    gateway.await_logged(|line| line["circuit"] == "open" && line["status"] == 503);
}

#[test]
fn a_target_comes_back_by_probes() {
    let works = Gate::new();
    let (failing, other) = (ScriptedUpstream::failing_until(&works), well());
    let breaker = json!({ "failures": 1, "recovery": "300ms", "successes": 2 });
    let (gateway, _, key) = expose(&[&failing, &other], &breaker, &json!({}));
    eventually("a failure", || get(&gateway, &key).status == 500);
    // A probe that fails opens it again.
    eventually("a probe that fails", || {
        get(&gateway, &key);
        failing.requests().len() == 2
    });
    assert_eq!(circuit(&gateway)["targets"][0]["opened"], 2);
    works.open();
    eventually("the circuit to close", || {
        get(&gateway, &key).expect(200);
        states(&gateway) == ["closed", "closed"]
    });
    for state in ["closed", "half_open"] {
        gateway.await_logged(|line| line["circuit"] == state);
    }
}

#[test]
fn while_its_probes_are_under_way_others_get_the_requests() {
    let (hold, held) = (Gate::new(), Gate::new());
    let (holds, gate) = (hold.clone(), held.clone());
    // Fails at once at first, then holds its probe.
    let failing = ScriptedUpstream::start(move |exchange| {
        if holds.is_open() {
            exchange.run(&[Step::Await(gate.clone())])?;
            return exchange.run(&Step::respond("200 OK", "held"));
        }
        exchange.run(&Step::respond("500 Internal Server Error", ""))
    });
    let other = well();
    let breaker = json!({ "failures": 1, "recovery": "100ms", "probes": 1, "successes": 1 });
    let (gateway, _, key) = expose(&[&failing, &other], &breaker, &json!({}));
    eventually("a failure", || get(&gateway, &key).status == 500);
    hold.open();
    let before = failing.requests().len();
    let mut waiting = gateway.client();
    while failing.requests().len() == before {
        let arrived = || failing.requests().len() + other.requests().len();
        let earlier = arrived();
        waiting = gateway.client();
        waiting.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
        eventually("the request to be somewhere", || arrived() > earlier);
    }
    assert_eq!(states(&gateway), ["half_open", "closed"]);
    for _ in 0..10 {
        get(&gateway, &key).expect(200);
    }
    assert_eq!(failing.requests().len(), before + 1);
    held.open();
    assert_eq!(waiting.read_response().expect(200).text(), "held");
    assert_eq!(states(&gateway), ["closed", "closed"]);
}

#[test]
fn what_a_retry_mends_counts_for_the_target_all_the_same() {
    let (failing, other) = (broken(), well());
    let breaker = json!({ "failures": 2, "recovery": "1h" });
    let retries = json!({ "retries": { "on": ["500"], "budget_percent": 100 } });
    let (gateway, _, key) = expose(&[&failing, &other], &breaker, &retries);
    for _ in 0..20 {
        get(&gateway, &key).expect(200);
    }
    assert_eq!((failing.requests().len(), states(&gateway)), (2, vec!["open".into(), "closed".into()]));
}

#[test]
fn a_retry_at_the_only_target_asks_its_circuit_again() {
    let failing = broken();
    let retries = json!({ "retries": { "on": ["500"], "attempts": 5, "budget_percent": 100 } });
    let (gateway, _, key) = expose(&[&failing], &json!({ "failures": 2, "recovery": "1h" }), &retries);
    get(&gateway, &key).expect(500);
    assert_eq!((failing.requests().len(), states(&gateway)), (2, vec!["open".into()]));
    get(&gateway, &key).expect(503);
}

#[test]
fn a_request_that_may_not_go_out_again_leaves_the_other_circuits_alone() {
    let upstreams = [broken(), broken()];
    let retries = json!({ "retries": { "on": ["500"], "budget_percent": 100 } });
    let breaker = json!({ "failures": 1, "recovery": "300ms", "probes": 1 });
    let (gateway, _, key) = expose(&[&upstreams[0], &upstreams[1]], &breaker, &retries);
    let arrived = || upstreams.iter().map(|upstream| upstream.requests().len()).sum::<usize>();
    let post = || gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"x");
    post().expect(500);
    post().expect(500);
    eventually("both to be due", || {
        let targets = circuit(&gateway)["targets"].clone();
        (0..2).all(|index| targets[index]["retry_after_seconds"].as_u64().is_none_or(|left| left == 0))
    });
    post().expect(500);
    assert_eq!((arrived(), states(&gateway)), (3, vec!["open".into(), "open".into()]));
}

#[test]
fn a_client_that_leaves_a_probe_gives_its_place_back() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = ScriptedUpstream::start(move |exchange| match exchange.request.target.as_str() {
        "/fail" => exchange.run(&Step::respond("500 Internal Server Error", "")),
        "/held" => exchange.run(&[Step::Await(held.clone())]),
        _ => exchange.run(&Step::respond("200 OK", "")),
    });
    let breaker = json!({ "failures": 1, "recovery": "100ms", "probes": 1 });
    let (gateway, _, key) = expose(&[&upstream], &breaker, &json!({}));
    gateway.client().get("/acme/api/fail", &[("X-API-Key", &key)]).expect(500);
    eventually("a first probe", || get(&gateway, &key).status == 200);
    let mut leaving = gateway.client();
    leaving.send(format!("GET /acme/api/held HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    eventually("a probe that is held", || {
        upstream.requests().iter().any(|request| request.target == "/held")
    });
    get(&gateway, &key).expect(503);
    drop(leaving);
    eventually("the place of the probe", || get(&gateway, &key).status == 200);
    gate.open();
}

/// Whose body never ends must not hold up what everybody else is served by.
#[test]
fn a_client_that_sends_slowly_keeps_no_circuit_half_open() {
    for per in ["service", "target"] {
        let works = Gate::new();
        let upstream = ScriptedUpstream::failing_until(&works);
        let breaker = json!({ "per": per, "failures": 1, "recovery": "400ms", "probes": 1, "successes": 1 });
        let (gateway, _, key) = expose(&[&upstream], &breaker, &json!({ "retries": { "enabled": false } }));
        get(&gateway, &key).expect(500);
        get(&gateway, &key).expect(503);
        works.open();
        let mut slow = Vec::new();
        eventually("a slow probe", || {
            let mut client = gateway.client();
            client.send(format!(
                "PUT /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbo"
            ));
            slow.push(client);
            circuit(&gateway).to_string().contains("half_open")
        });
        eventually("another probe", || get(&gateway, &key).status == 200);
        get(&gateway, &key).expect(200);
    }
}
