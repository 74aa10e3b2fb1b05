//! Requests that are late get a second copy at another target.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{BlackHole, Gate, Gateway, RawClient, ScriptedUpstream, Step, Tenant, eventually, overlaid};
use serde_json::{Value, json};

/// Answers at once, but for paths that begin with `/held`: those when the gate opens.
fn holding(gate: &Gate, name: &'static str) -> ScriptedUpstream {
    let gate = gate.clone();
    ScriptedUpstream::start(move |exchange| {
        if exchange.request.target.starts_with("/held") {
            exchange.run(&[Step::Await(gate.clone())])?;
        }
        exchange.run(&Step::respond("200 OK", name))
    })
}

fn expose(upstreams: [&ScriptedUpstream; 2], fields: &Value) -> (Gateway, Tenant) {
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let tenant = gateway.tenant("acme");
    let targets = upstreams.map(|upstream| json!({ "url": upstream.url() }));
    tenant.service_with(&overlaid(json!({ "slug": "api", "targets": targets }), fields));
    (gateway, tenant)
}

fn get(gateway: &Gateway, path: &str, key: &str) -> harness::Response {
    gateway.client().get(path, &[("X-API-Key", key)])
}

fn sending(gateway: &Gateway, method: &str, key: &str) -> RawClient {
    let mut client = gateway.client();
    client.send(format!(
        "{method} /acme/api/held HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 0\r\n\r\n"
    ));
    client
}

fn requests(upstreams: [&ScriptedUpstream; 2]) -> usize {
    upstreams.iter().map(|upstream| upstream.requests().len()).sum()
}

fn metric(gateway: &Gateway, name: &str) -> Option<u64> {
    let text = gateway.admin_connection().get("/metrics", &[]).expect(200).text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_request_that_one_target_holds_is_answered_by_the_other() {
    let (gate, open) = (Gate::new(), Gate::new());
    open.open();
    let (slow, quick) = (holding(&gate, "slow"), holding(&open, "quick"));
    let fields = json!({ "hedging": { "delay": "20ms" }, "retries": { "budget_percent": 100 } });
    let (gateway, tenant) = expose([&slow, &quick], &fields);
    tenant.plan("ten", &[(10, "hour")]);
    let key = tenant.key("ten");
    for left in (4..10).rev() {
        let response = get(&gateway, "/acme/api/held", &key).expect(200);
        assert_eq!(response.text(), "quick");
        assert_eq!(response.header("X-RateLimit-Remaining-Hour"), Some(&*left.to_string()), "it counts once");
    }
    let held = slow.requests().len();
    assert!(held > 0 && quick.requests().len() == 6, "{held}");
    // What was cancelled is closed at once, and no failure.
    eventually("the metrics", || metric(&gateway, "tollgate_hedges_won_total") == Some(held as u64));
    let circuit = gateway.admin().get("/api/circuit-breakers?tenant=acme").expect(200);
    assert_eq!(
        (&circuit["items"][0]["state"], &circuit["items"][0]["failures"]),
        (&json!("closed"), &json!(0))
    );
    gate.open();
    slow.await_open_connections(0);
}

#[test]
fn when_both_copies_have_failed_the_request_goes_to_a_third_target() {
    let (gate, number) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let targets = [(); 3].map(|()| {
        let (gate, number) = (gate.clone(), Arc::clone(&number));
        ScriptedUpstream::start(move |exchange| match number.fetch_add(1, Ordering::SeqCst) {
            0 => exchange.run(&[Step::Await(gate.clone()), Step::Close]),
            1 => exchange.run(&[Step::Close]),
            _ => exchange.run(&Step::respond("200 OK", "third")),
        })
    });
    // By the hash, what follows a target is always the same.
    let fields = json!({
        "targets": targets.each_ref().map(|target| json!({ "url": target.url() })),
        "balancer": { "algorithm": "hash", "hash_on": "path" },
        "hedging": { "delay": "20ms" }, "retries": { "budget_percent": 100 },
    });
    let (gateway, tenant) = expose([&targets[0], &targets[1]], &fields);
    let mut client = sending(&gateway, "GET", &tenant.unlimited_key());
    eventually("the second copy to have failed", || {
        number.load(Ordering::SeqCst) == 2
            && metric(&gateway, "tollgate_hedges_sent_total") == Some(1)
            && targets.iter().filter(|target| !target.requests().is_empty()).count() == 2
    });
    gate.open();
    assert_eq!(client.read_response().expect(200).text(), "third");
    let requests = targets.each_ref().map(|target| target.requests().len());
    assert_eq!(requests, [1, 1, 1]);
}

#[test]
fn who_is_late_is_known_from_how_long_others_take() {
    let (gate, open) = (Gate::new(), Gate::new());
    open.open();
    let (slow, quick) = (holding(&gate, "slow"), holding(&open, "quick"));
    let (gateway, tenant) = expose([&slow, &quick], &json!({ "hedging": { "minimum_samples": 20 } }));
    let key = tenant.unlimited_key();
    // Nothing is known yet: it waits for its target.
    let mut early: Vec<_> = (0..2).map(|_| sending(&gateway, "GET", &key)).collect();
    eventually("both to be at a target", || requests([&slow, &quick]) == 2);
    for _ in 0..20 {
        get(&gateway, "/acme/api/at-once", &key).expect(200);
    }
    for _ in 0..4 {
        assert_eq!(get(&gateway, "/acme/api/held", &key).expect(200).text(), "quick");
    }
    assert!(metric(&gateway, "tollgate_hedges_won_total") >= Some(1));
    gate.open();
    for client in &mut early {
        client.read_response().expect(200);
    }
}

#[test]
fn what_changes_something_is_never_sent_twice() {
    let gate = Gate::new();
    let (first, second) = (holding(&gate, "first"), holding(&gate, "second"));
    let fields = json!({ "hedging": { "delay": "1ms" }, "retries": { "budget_percent": 100 } });
    let (gateway, tenant) = expose([&first, &second], &fields);
    let key = tenant.unlimited_key();
    let mut posts: Vec<_> =
        ["POST", "PUT", "DELETE"].iter().map(|method| sending(&gateway, method, &key)).collect();
    eventually("the requests to be at their targets", || requests([&first, &second]) == 3);
    let mut read = sending(&gateway, "GET", &key);
    eventually("the one that may be sent twice to be so", || requests([&first, &second]) == 5);
    gate.open();
    for client in posts.iter_mut().chain([&mut read]) {
        client.read_response().expect(200);
    }
    let methods: Vec<_> = [&first, &second]
        .iter()
        .flat_map(|upstream| upstream.requests())
        .map(|request| request.method)
        .collect();
    assert_eq!(methods.iter().filter(|&method| method == "GET").count(), 2);
    assert_eq!(methods.len(), 5, "{methods:?}");
}

#[test]
fn second_copies_are_at_most_the_stated_share() {
    let gate = Gate::new();
    let (first, second) = (holding(&gate, "first"), holding(&gate, "second"));
    let (gateway, tenant) = expose([&first, &second], &json!({ "hedging": { "delay": "10ms" } }));
    let key = tenant.unlimited_key();
    let mut clients: Vec<_> = (0..40).map(|_| sending(&gateway, "GET", &key)).collect();
    eventually("some to be sent twice", || requests([&first, &second]) > 40);
    gate.open();
    for client in &mut clients {
        client.read_response().expect(200);
    }
    let sent = requests([&first, &second]);
    assert!((41..=48).contains(&sent), "{sent}");
}

#[test]
fn a_first_copy_that_fails_leaves_the_second_to_answer() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = move |failing: bool| {
        let held = held.clone();
        ScriptedUpstream::start(move |exchange| {
            exchange.run(&[Step::Await(held.clone())])?;
            exchange.run(&if failing { vec![Step::Close] } else { Step::respond("200 OK", "well") })
        })
    };
    let (failing, well) = (script(true), script(false));
    let fields =
        json!({ "hedging": { "delay": "10ms" }, "retries": { "on": ["503"], "budget_percent": 100 } });
    let (gateway, tenant) = expose([&failing, &well], &fields);
    let key = tenant.unlimited_key();
    let mut clients: Vec<_> = (0..2).map(|_| sending(&gateway, "GET", &key)).collect();
    eventually("both to be at both", || requests([&failing, &well]) == 4);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.read_response().expect(200).text(), "well");
    }
}

#[test]
fn a_pooled_connection_that_its_server_had_closed_is_no_failure_though_the_second_copy_answers() {
    let (gate, held) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let script = || {
        let (gate, held) = (gate.clone(), Arc::clone(&held));
        ScriptedUpstream::start(move |exchange| {
            let is_held = exchange.request.target == "/held";
            exchange.run(&match is_held.then(|| held.fetch_add(1, Ordering::SeqCst)) {
                None => Vec::new(),
                Some(0) => vec![Step::Await(gate.clone()), Step::Close],
                // Behind the end of the first.
                Some(_) => vec![Step::Await(gate.clone()), Step::Pause(Duration::from_millis(100))],
            })?;
            exchange.run(&Step::respond("200 OK", "well"))
        })
    };
    let (first, second) = (script(), script());
    let fields = json!({ "hedging": { "delay": "10ms" }, "retries": { "budget_percent": 100 },
        "breaker": { "per": "target", "failures": 1, "recovery": "1h" } });
    let (gateway, tenant) = expose([&first, &second], &fields);
    let key = tenant.unlimited_key();
    for _ in 0..2 {
        get(&gateway, "/acme/api/pooled", &key).expect(200);
    }
    let mut client = sending(&gateway, "GET", &key);
    eventually("a second copy", || requests([&first, &second]) == 4);
    gate.open();
    client.read_response().expect(200);
    let circuit = gateway.admin().get("/api/circuit-breakers?tenant=acme").expect(200);
    let targets = circuit["items"][0]["targets"].as_array().expect("targets");
    assert!(targets.iter().all(|target| target["state"] == "closed"), "{targets:?}");
}

/// Both targets hold the request, whose time is over long after a second copy would have gone out.
fn held_in_vain(fields: &Value) -> (Gateway, [ScriptedUpstream; 2], String) {
    let gate = Gate::new();
    let upstreams = ["first", "second"].map(|name| holding(&gate, name));
    let usual = json!({ "hedging": { "delay": "10ms" }, "timeouts": { "total": "400ms" } });
    let all = overlaid(usual, fields);
    let (gateway, tenant) = expose([&upstreams[0], &upstreams[1]], &all);
    let key = tenant.unlimited_key();
    get(&gateway, "/acme/api/held", &key).expect(504);
    (gateway, upstreams, key)
}

#[test]
fn both_copies_end_with_the_request_s_time() {
    let (gateway, [first, second], _) = held_in_vain(&json!({}));
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    assert_eq!(metric(&gateway, "tollgate_hedges_sent_total"), Some(1));
    assert_eq!(metric(&gateway, "tollgate_hedges_won_total"), Some(0));
}

#[test]
fn a_second_copy_is_waited_for_no_longer_than_a_first() {
    let late = || {
        ScriptedUpstream::start(|exchange| {
            exchange.run(&[Step::Pause(Duration::from_secs(3))])?;
            exchange.run(&Step::respond("200 OK", "too late"))
        })
    };
    let (first, second) = (late(), late());
    let fields =
        json!({ "hedging": { "delay": "10ms" }, "timeouts": { "first_byte": "200ms", "connect": "10m" } });
    let (gateway, tenant) = expose([&first, &second], &fields);
    // A connection takes no time, so that none may be added for it.
    get(&gateway, "/acme/api/late", &tenant.unlimited_key()).expect(504);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[test]
fn a_second_copy_needs_a_place_of_its_own() {
    let (_gateway, [first, second], _) = held_in_vain(&json!({ "channel": { "concurrency": 1 } }));
    assert_eq!(requests([&first, &second]), 1);
}

#[test]
fn a_circuit_that_is_half_open_is_tried_with_one_copy() {
    let breaker = json!({ "failure_on": ["timeout"], "breaker": { "failures": 1, "recovery": "1s" } });
    let (gateway, [first, second], key) = held_in_vain(&breaker);
    assert_eq!(requests([&first, &second]), 2);
    get(&gateway, "/acme/api/held", &key).expect(503);
    eventually("a request to be let through", || get(&gateway, "/acme/api/held", &key).status == 504);
    assert_eq!(requests([&first, &second]), 3);
}

#[test]
fn a_target_that_takes_no_connection_is_late_as_well() {
    let (black_hole, open) = (BlackHole::open(), Gate::new());
    open.open();
    let quick = holding(&open, "quick");
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let tenant = gateway.tenant("acme");
    let targets = [format!("http://{}", black_hole.address()), quick.url()].map(|url| json!({ "url": url }));
    let fields = json!({ "slug": "api", "targets": targets, "hedging": { "delay": "20ms" },
        "retries": { "attempts": 1, "budget_percent": 100 }, "timeouts": { "connect": "10m" } });
    tenant.service_with(&fields);
    let key = tenant.unlimited_key();
    for _ in 0..6 {
        assert_eq!(get(&gateway, "/acme/api/at-once", &key).expect(200).text(), "quick");
    }
    assert_eq!(quick.requests().len(), 6);
    eventually("the metrics", || metric(&gateway, "tollgate_hedges_won_total") >= Some(3));
    // What may not be sent twice waits for its connection, and a client that leaves ends that.
    let mut posts: Vec<_> = (0..2).map(|_| sending(&gateway, "POST", &key)).collect();
    eventually("one of two at the target", || quick.requests().len() == 7);
    posts.clear();
    let gone = gateway.await_logged(|line| line["method"] == "POST" && line["status"] == 499);
    assert_eq!(gone["upstream_ms"], Value::Null);
}
