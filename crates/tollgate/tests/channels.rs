//! Services that have so many requests at once: who waits, who is refused, and who is let in next.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Gate, Gateway, Load, ScriptedUpstream, Step, Tenant, await_channel, eventually, exactly};
use serde_json::{Value, json};

/// Two workers, and the service `api` of `acme` with this channel to the upstream.
fn exposed(upstream: &ScriptedUpstream, channel: &Value) -> (Gateway, Tenant) {
    let gateway = Gateway::builder().arg("--workers").arg("2").start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "channel": channel }));
    (gateway, tenant)
}

fn get(gateway: &Gateway, key: &str) -> harness::Response {
    gateway.client().get("/acme/api", &[("X-API-Key", key)])
}

fn health(gateway: &Gateway) -> Value {
    let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
    list["items"][0].clone()
}

/// An upstream that holds every request until the gate opens, and the service with this channel to it.
fn channelled(gate: &Gate, channel: &Value) -> (Gateway, ScriptedUpstream, Tenant) {
    let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "at last")].concat();
    let held = ScriptedUpstream::script(steps);
    let (gateway, tenant) = exposed(&held, channel);
    (gateway, held, tenant)
}

fn sending(gateway: &Gateway, path: &str, key: &str) -> harness::RawClient {
    let mut client = gateway.client();
    client.send(format!("GET /acme/api/{path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    client
}

#[test]
fn so_many_requests_at_once_then_so_many_wait_then_none_is_let_in() {
    let gate = Gate::new();
    let channel = json!({ "concurrency": 2, "queue": 3, "longest_wait": "1m" });
    let (gateway, held, tenant) = channelled(&gate, &channel);
    let key = tenant.unlimited_key();
    let mut waiting: Vec<_> = (0..5).map(|_| sending(&gateway, "early", &key)).collect();
    await_channel(&gateway, 2, 3);
    let refused = get(&gateway, &key).expect(503);
    assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=connection_limit_reached"));
    assert!(refused.header("Retry-After").is_some());
    eventually("those that have a place at the target", || held.requests().len() == 2);
    let said: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(said["error"]["code"], 503);
    // One that leaves makes room.
    drop(waiting.pop());
    await_channel(&gateway, 2, 2);
    gate.open();
    for client in &mut waiting {
        client.read_response().expect(200);
    }
    await_channel(&gateway, 0, 0);
}

#[test]
fn an_edit_lets_in_those_who_wait_though_nobody_comes_or_goes() {
    let gate = Gate::new();
    let channel = |concurrency| json!({ "concurrency": concurrency, "queue": 9, "longest_wait": "1m" });
    let (gateway, held, tenant) = channelled(&gate, &channel(1));
    let key = tenant.unlimited_key();
    let mut waiting: Vec<_> = (0..5).map(|_| sending(&gateway, "early", &key)).collect();
    await_channel(&gateway, 1, 4);
    let edit = |channel: &Value| {
        let service = json!({ "slug": "api", "url": held.url(), "channel": channel });
        gateway.admin().put("/api/services/api?tenant=acme", &service).expect(200);
    };
    edit(&channel(3));
    eventually("two more at the target", || held.requests().len() == 3);
    edit(&Value::Null);
    eventually("all at the target", || held.requests().len() == 5);
    gate.open();
    for client in &mut waiting {
        client.read_response().expect(200);
    }
}

#[test]
fn who_waited_goes_where_the_service_is_now() {
    let gate = Gate::new();
    let channel = json!({ "concurrency": 1, "queue": 9, "longest_wait": "1m" });
    let (gateway, before, tenant) = channelled(&gate, &channel);
    let key = tenant.unlimited_key();
    let mut waiting: Vec<_> = (0..4).map(|_| sending(&gateway, "early", &key)).collect();
    await_channel(&gateway, 1, 3);
    let after = ScriptedUpstream::script(Step::respond("200 OK", "elsewhere"));
    let targets = json!([{ "url": before.url(), "drain": true }, { "url": after.url() }]);
    let service = json!({ "slug": "api", "targets": targets, "channel": channel });
    gateway.admin().put("/api/services/api?tenant=acme", &service).expect(200);
    gate.open();
    for client in &mut waiting {
        client.read_response().expect(200);
    }
    assert_eq!((before.requests().len(), after.requests().len()), (1, 3));
}

#[test]
fn who_waited_for_a_service_that_is_removed_is_not_charged() {
    let gate = Gate::new();
    let channel = json!({ "concurrency": 1, "queue": 9, "longest_wait": "1m" });
    let (gateway, _held, tenant) = channelled(&gate, &channel);
    tenant.plan_with(&json!({ "slug": "ten", "limits": [exactly(10)] }));
    let key = tenant.key("ten");
    let mut first = sending(&gateway, "first", &key);
    await_channel(&gateway, 1, 0);
    let mut waiting = sending(&gateway, "waiting", &key);
    await_channel(&gateway, 1, 1);
    gateway.admin().delete("/api/services/api?tenant=acme").expect(204);
    waiting.read_response().expect(404);
    let usage = gateway.client().get("/-/usage", &[("X-API-Key", &key)]).expect(200);
    assert_eq!(usage.header("X-RateLimit-Remaining-700h"), Some("9"), "of the first, which is at its target");
    gate.open();
    first.read_response().expect(200);
}

#[test]
fn a_service_never_has_more_requests_than_it_may() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let upstream = ScriptedUpstream::start(move |exchange| {
        highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        exchange.run(&[Step::Pause(Duration::from_millis(2))])?;
        counted.fetch_sub(1, Ordering::SeqCst);
        exchange.run(&Step::respond("200 OK", "done"))
    });
    let (gateway, tenant) =
        exposed(&upstream, &json!({ "concurrency": 4, "queue": 40, "longest_wait": "1m" }));
    let key = tenant.unlimited_key();
    let load = Load::start(&[gateway.proxy_address()], "/acme/api", &key, 40, 600);
    let tally = load.finish();
    assert_eq!((tally.of(200), tally.lost), (600, 0), "{tally:?}");
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[test]
fn a_quiet_consumer_waits_behind_nobody_s_crowd() {
    let gate = Gate::new();
    let channel = json!({ "concurrency": 1, "queue": 100, "longest_wait": "1m" });
    let (gateway, held, tenant) = channelled(&gate, &channel);
    let [noisy, quiet] = [(); 2].map(|()| tenant.unlimited_key());
    let mut crowd: Vec<_> = (0..50).map(|_| sending(&gateway, "noisy", &noisy)).collect();
    await_channel(&gateway, 1, 49);
    let mut client = sending(&gateway, "quiet", &quiet);
    await_channel(&gateway, 1, 50);
    gate.open();
    client.read_response().expect(200);
    let order = held.requests();
    let place = order.iter().position(|request| request.target == "/quiet").unwrap();
    assert!(place <= 2, "it came after {place} others");
    for client in &mut crowd {
        client.read_response().expect(200);
    }
}

#[test]
fn who_leaves_with_half_a_body_sent_leaves_the_queue() {
    let gate = Gate::new();
    let (gateway, held, tenant) = channelled(&gate, &json!({ "concurrency": 1, "longest_wait": "1m" }));
    let key = tenant.unlimited_key();
    let mut first = sending(&gateway, "first", &key);
    await_channel(&gateway, 1, 0);
    let mut client = gateway.client();
    client.send(format!(
        "PUT /acme/api/gone HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 9\r\n\r\nhalf"
    ));
    await_channel(&gateway, 1, 1);
    drop(client);
    await_channel(&gateway, 1, 0);
    gate.open();
    first.read_response().expect(200);
    assert_eq!(held.requests().len(), 1);
}

#[test]
fn a_tunnel_holds_its_place_until_it_ends() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n";
    let upstream = ScriptedUpstream::script(vec![Step::write(upgrade), Step::AwaitClose]);
    let (gateway, tenant) = exposed(&upstream, &json!({ "concurrency": 1, "queue": 0 }));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    client.send(format!(
        "GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n"
    ));
    client.read_response().expect(101);
    get(&gateway, &key).expect(503);
    await_channel(&gateway, 1, 0);
    drop(client);
    await_channel(&gateway, 0, 0);
}

#[test]
fn an_adaptive_limit_falls_when_the_service_slows_and_grows_again() {
    let pause_millis = Arc::new(AtomicUsize::new(5));
    let paused = Arc::clone(&pause_millis);
    let upstream = ScriptedUpstream::start(move |exchange| {
        let millis = paused.load(Ordering::SeqCst) as u64;
        exchange.run(&[Step::Pause(Duration::from_millis(millis))])?;
        exchange.run(&Step::respond("200 OK", "done"))
    });
    let adaptive = json!({ "adaptive": { "initial": 12, "least": 2, "most": 30 }, "longest_wait": "1m" });
    let (gateway, tenant) = exposed(&upstream, &adaptive);
    let key = tenant.unlimited_key();
    let load = Load::start(&[gateway.proxy_address()], "/acme/api", &key, 60, usize::MAX);
    let limit = || health(&gateway)["channel"]["limit"].as_u64().unwrap();
    eventually("the limit to grow", || limit() >= 20);
    pause_millis.store(150, Ordering::SeqCst);
    eventually("the limit to fall", || limit() <= 12);
    pause_millis.store(5, Ordering::SeqCst);
    eventually("the limit to grow again", || limit() >= 20);
    let metrics = gateway.admin_connection().get("/metrics", &[]).expect(200);
    assert!(metrics.text().contains("\ntollgate_channel_limit{service=\""), "{}", metrics.text());
    load.stop().only(&[200]);
}

#[test]
fn a_noisy_key_makes_way_for_a_quiet_one() {
    let gate = Gate::new();
    let channel = json!({ "concurrency": 1, "queue": 3, "longest_wait": "1m" });
    let (gateway, _held, tenant) = channelled(&gate, &channel);
    let [noisy, quiet] = [(); 2].map(|()| tenant.unlimited_key());
    let mut waiting: Vec<_> = (0..4).map(|_| sending(&gateway, "noisy", &noisy)).collect();
    await_channel(&gateway, 1, 3);
    let mut client = sending(&gateway, "quiet", &quiet);
    gateway.await_logged(|line| line["status"] == 503 && line["path"] == "/acme/api/noisy");
    gate.open();
    client.read_response().expect(200);
    let statuses: Vec<_> = waiting.iter_mut().map(|client| client.read_response().status).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 503).count(), 1, "{statuses:?}");
}

#[test]
fn who_has_waited_long_enough_is_told_so() {
    let gate = Gate::new();
    let (gateway, held, tenant) = channelled(&gate, &json!({ "concurrency": 1, "longest_wait": "300ms" }));
    let key = tenant.unlimited_key();
    let mut first = sending(&gateway, "first", &key);
    eventually("the request at the target", || held.requests().len() == 1);
    get(&gateway, &key).expect(503);
    gate.open();
    first.read_response().expect(200);
    get(&gateway, &key).expect(200);
}

#[test]
fn what_a_request_waits_for_its_turn_is_not_its_target_s_time() {
    let gate = Gate::new();
    let channel = json!({ "concurrency": 1, "queue": 1, "longest_wait": "1m" });
    let (gateway, _held, tenant) = channelled(&gate, &channel);
    let key = tenant.unlimited_key();
    let mut early = sending(&gateway, "early", &key);
    await_channel(&gateway, 1, 0);
    let mut late = sending(&gateway, "late", &key);
    await_channel(&gateway, 1, 1);
    // The time itself is what is tested.
    std::thread::sleep(Duration::from_millis(300));
    gate.open();
    for client in [&mut early, &mut late] {
        client.read_response().expect(200);
    }
    let line = gateway.await_logged(|line| line["path"] == "/acme/api/late");
    let millis = |name: &str| line[name].as_f64().expect("milliseconds");
    assert!(millis("duration_ms") - millis("upstream_ms") >= 250.0, "{line}");
}
