//! How many requests of one caller may be under way at once.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::thread;

use harness::{BodyEnd, Gate, Gateway, RawClient, ScriptedUpstream, Step, Tenant, eventually};
use serde_json::{Value, json};

/// A service `api` before this upstream, and a plan that lets so many through at once.
fn started(upstream: &ScriptedUpstream, concurrency: u32, service: &Value) -> (Gateway, Tenant, String) {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let mut whole = json!({ "slug": "api", "url": upstream.url() });
    for (name, value) in service.as_object().expect("fields of a service") {
        whole[name] = value.clone();
    }
    tenant.service_with(&whole);
    tenant.plan_with(&json!({ "slug": "plan", "limits": [], "concurrency": concurrency }));
    let key = tenant.key("plan");
    (gateway, tenant, key)
}

/// Answers `/held` when the gate opens, and everything else at once.
fn holding(gate: &Gate) -> ScriptedUpstream {
    let gate = gate.clone();
    ScriptedUpstream::start(move |exchange| {
        if exchange.request.target == "/held" {
            exchange.run(&[Step::Await(gate.clone())])?;
        }
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    })
}

fn send(gateway: &Gateway, path: &str, key: &str) -> RawClient {
    let mut client = gateway.client();
    client.send(format!("GET /acme/api{path} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\r\n"));
    client
}

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.client().get("/acme/api/quick", &[("X-API-Key", key)]).status
}

#[test]
fn one_more_than_may_be_under_way_is_refused_and_told_so() {
    let gate = Gate::new();
    let upstream = holding(&gate);
    let (gateway, tenant, key) = started(&upstream, 2, &json!({}));
    let mut held = [send(&gateway, "/held", &key), send(&gateway, "/held", &key)];
    eventually("both at the upstream", || upstream.requests().len() == 2);
    let refused = gateway.client().get("/acme/api/quick", &[("X-API-Key", &key)]).expect(429);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    let body = refused.json();
    let details = &body["error"]["details"];
    assert_eq!(
        (&details["level"], &details["limit_type"], &details["limit"], &details["retry_after"]),
        (&json!("plan"), &json!("concurrency"), &json!(2), &json!(1))
    );
    assert_eq!(body["error"]["message"], "Rate limit exceeded: concurrency limit reached");
    // Each caller has places of its own.
    assert_eq!(status(&gateway, &tenant.key("plan")), 200);
    gate.open();
    for client in &mut held {
        assert_eq!(client.read_response().status, 200);
    }
    assert_eq!(status(&gateway, &key), 200);
    assert_eq!(upstream.requests().iter().filter(|request| request.target == "/held").count(), 2);
}

#[test]
fn all_keys_of_a_consumer_share_its_places() {
    let gate = Gate::new();
    let upstream = holding(&gate);
    let (gateway, tenant, _) = started(&upstream, 1, &json!({}));
    tenant.consumer("shop", "plan");
    let key = |name: &str| {
        let made = tenant.key_with(&json!({ "name": name, "consumer": "shop" }));
        made["key"].as_str().expect("a key").to_owned()
    };
    let (first, second) = (key("first"), key("second"));
    let mut held = send(&gateway, "/held", &first);
    eventually("it is at the upstream", || upstream.requests().len() == 1);
    assert_eq!(status(&gateway, &second), 429);
    gate.open();
    assert_eq!(held.read_response().status, 200);
    assert_eq!(status(&gateway, &second), 200);
}

#[test]
fn a_place_is_given_back_however_the_request_ends() {
    let upstream = ScriptedUpstream::start(|exchange| match exchange.request.target.as_str() {
        "/silent" => exchange.run(&[Step::AwaitClose]),
        "/closed" => exchange.run(&[Step::Close]),
        "/cut" => {
            exchange.run(&[Step::write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"), Step::Close])
        }
        "/tunnel" => exchange.run(&[
            Step::write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"),
            Step::AwaitClose,
        ]),
        _ => exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    });
    let (gateway, tenant, key) = started(&upstream, 1, &json!({ "timeouts": { "first_byte": "10s" } }));
    let slow = json!({ "slug": "slow", "url": upstream.url(), "timeouts": { "first_byte": "100ms" } });
    let small = json!({ "slug": "small", "url": upstream.url(), "max_body_bytes": 1 });
    tenant.service_with(&slow).service_with(&small);
    let free = |what: &str| eventually(what, || status(&gateway, &key) == 200);
    let own = [("X-API-Key", key.as_str())];
    let hold = || {
        let before = upstream.requests().len();
        let client = send(&gateway, "/silent", &key);
        eventually("a request at the upstream", || upstream.requests().len() > before);
        client
    };

    // The client leaves: politely, and with a reset.
    for leave in [drop as fn(RawClient), RawClient::reset] {
        let client = hold();
        assert_eq!(status(&gateway, &key), 429, "it is under way");
        leave(client);
        free("the place of who left");
    }
    // Whoever has an answer, or the end of one, finds the place free at once.
    for (method, path, body, expected) in [
        ("GET", "/acme/api/closed", &b""[..], 502),
        ("GET", "/acme/slow/silent", b"", 504),
        ("POST", "/acme/small/x", b"too large", 413),
    ] {
        assert_eq!(gateway.client().request(method, path, &own, body).status, expected);
        assert_eq!(status(&gateway, &key), 200, "{path}");
    }
    assert_eq!(gateway.client().get("/acme/api/cut", &own).end, BodyEnd::CutShort);
    assert_eq!(status(&gateway, &key), 200, "what was cut short");

    let mut tunnel = gateway.client();
    tunnel.send(format!(
        "GET /acme/api/tunnel HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    ));
    assert_eq!(tunnel.read_response().status, 101);
    for _ in 0..3 {
        assert_eq!(status(&gateway, &key), 429, "a tunnel is under way as long as it is open");
    }
    drop(tunnel);
    free("the place of a tunnel");
}

#[test]
fn never_more_are_at_the_upstream_than_may_be() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (Arc::clone(&inside), Arc::clone(&most));
    let upstream = ScriptedUpstream::start(move |exchange| {
        seen.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::yield_now();
        counted.fetch_sub(1, Ordering::SeqCst);
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let (gateway, tenant, key) = started(&upstream, 3, &json!({}));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let call_often = || (0..50).map(|_| status(&gateway, &key)).collect::<Vec<_>>();
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(call_often)).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    let let_through = statuses.iter().filter(|&&status| status == 200).count();
    assert_eq!(upstream.requests().len(), let_through);
    // Not one place was lost.
    let gate = Gate::new();
    let holding = holding(&gate);
    tenant.service("held", &holding.url());
    let mut held = [(); 3].map(|()| {
        let mut client = gateway.client();
        client.send(format!("GET /acme/held/held HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
        client
    });
    eventually("all places to be taken", || holding.requests().len() == 3);
    assert_eq!(status(&gateway, &key), 429);
    gate.open();
    for client in &mut held {
        assert_eq!(client.read_response().status, 200);
    }
}

#[test]
fn who_has_a_whole_response_may_send_the_next_request_at_once() {
    // However the response is framed and written: copied, from where it was read, in chunks, none, to the end.
    let upstream = ScriptedUpstream::start(|exchange| {
        let body = "x".repeat(200_000);
        match exchange.request.target.as_str() {
            "/small" => exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            "/large" => exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{body}")),
            "/chunked" => exchange.write(format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n{body}\r\n0\r\n\r\n"
            )),
            "/empty" => exchange.write("HTTP/1.1 204 No Content\r\n\r\n"),
            _ => exchange.run(&[Step::write("HTTP/1.1 200 OK\r\n\r\nto the end"), Step::Close]),
        }
    });
    let (gateway, _tenant, key) = started(&upstream, 1, &json!({}));
    for round in 0..40 {
        for path in ["/small", "/large", "/chunked", "/empty", "/end"] {
            let response = gateway.client().get(&format!("/acme/api{path}"), &[("X-API-Key", &key)]);
            assert_eq!(response.status / 100, 2, "{path} in round {round}");
        }
    }
}
