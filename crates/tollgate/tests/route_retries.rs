//! Routes that say how often their requests go out again.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Gate, Gateway, Response, ScriptedUpstream, Step, eventually};
use serde_json::{Value, json};

/// The service `api` of `acme`, with a route for each of these numbers, `/acme/retried/{number}/…`.
fn expose(service: &Value, routes: &[u8]) -> (Gateway, String) {
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(service);
    for retries in routes {
        let path = format!("/retried/{retries}/*");
        let route = json!({ "name": path, "service": "api", "paths": [path], "retries": retries });
        tenant.post("routes", &route).expect(201);
    }
    let key = tenant.unlimited_key();
    (gateway, key)
}

fn send(gateway: &Gateway, method: &str, path: &str, key: &str) -> Response {
    gateway.client().request(method, path, &[("X-API-Key", key)], b"body")
}

fn breaking() -> ScriptedUpstream {
    ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::Close])
}

#[test]
fn a_route_brings_retries_to_a_service_of_one_target() {
    let upstream = ScriptedUpstream::scripts(vec![
        vec![Step::ReadWholeBody, Step::Close],
        vec![Step::ReadWholeBody, Step::Close],
        Step::respond("200 OK", "at last"),
    ]);
    let (gateway, key) = expose(&json!({ "slug": "api", "url": upstream.url() }), &[2]);
    assert_eq!(send(&gateway, "PUT", "/acme/retried/2/x", &key).expect(200).text(), "at last");
    let bodies: Vec<_> = upstream.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"body"; 3]);
}

#[test]
fn a_body_that_is_kept_goes_out_again_over_a_new_connection_without_costing_a_retry() {
    let breaks = vec![Step::ReadWholeBody, Step::Close];
    let upstream = ScriptedUpstream::scripts(vec![
        Step::respond("200 OK", "first"),
        // As one that its server had closed.
        breaks.clone(),
        breaks,
        Step::respond("200 OK", "at last"),
    ]);
    let (gateway, key) = expose(&json!({ "slug": "api", "url": upstream.url() }), &[1]);
    for answer in ["first", "at last"] {
        assert_eq!(send(&gateway, "PUT", "/acme/retried/1/x", &key).expect(200).text(), answer);
    }
    let bodies: Vec<_> = upstream.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"body"; 4]);
}

#[test]
fn a_target_that_drains_gets_no_second_attempts_either() {
    let gate = Gate::new();
    let breaking =
        ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::Await(gate.clone()), Step::Close]);
    let well = ScriptedUpstream::responding("well");
    let targets = |drain: bool| json!([{ "url": breaking.url() }, { "url": well.url(), "drain": drain }]);
    let service = |drain| json!({ "slug": "api", "targets": targets(drain), "retries": { "on": ["reset"] } });
    let (gateway, key) = expose(&service(false), &[]);
    let mut clients: Vec<_> = (0..2).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    }
    eventually("one request at each", || breaking.requests().len() == 1 && well.requests().len() == 1);
    gateway.admin().put("/api/services/api?tenant=acme", &service(true)).expect(200);
    gate.open();
    let mut statuses: Vec<_> = clients.iter_mut().map(|client| client.read_response().status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    assert_eq!(well.requests().len(), 1);
}

#[test]
fn a_target_that_begins_to_drain_gets_no_attempt_that_waits_for_its_time() {
    let bad = ScriptedUpstream::script(Step::respond("503 Service Unavailable", ""));
    let well = ScriptedUpstream::responding("well");
    let service = |drain: bool| {
        let targets = json!([{ "url": bad.url() }, { "url": well.url(), "drain": drain }]);
        let backoff = json!({ "base": "2s", "longest": "2s" });
        let retries = json!({ "on": ["503"], "attempts": 1, "backoff": backoff, "budget_percent": 100 });
        json!({ "slug": "api", "targets": targets, "retries": retries, "breaker": { "enabled": false } })
    };
    let (gateway, key) = expose(&service(false), &[]);
    let mut clients: Vec<_> = (0..8).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    }
    eventually("half of them at each", || bad.requests().len() == 4 && well.requests().len() >= 4);
    gateway.admin().put("/api/services/api?tenant=acme", &service(true)).expect(200);
    let by_then = well.requests().len();
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.read_response().status).collect();
    assert_eq!(well.requests().len(), by_then);
    // Some may have been sent again before the edit; hardly all.
    assert!(statuses.contains(&503), "{statuses:?}");
}

#[test]
fn a_single_target_is_asked_once_where_no_route_says_otherwise() {
    let upstream = breaking();
    let (gateway, key) = expose(&json!({ "slug": "api", "url": upstream.url() }), &[0, 1]);
    for (method, path, sent) in
        [("GET", "/acme/api/x", 1), ("GET", "/acme/retried/0/x", 1), ("POST", "/acme/retried/1/x", 1)]
    {
        let before = upstream.requests().len();
        send(&gateway, method, path, &key).expect(502);
        assert_eq!(upstream.requests().len() - before, sent, "{method} {path}");
    }
    send(&gateway, "GET", "/acme/retried/1/x", &key).expect(502);
    assert_eq!(upstream.requests().len(), 5);
}

#[test]
fn the_number_of_a_route_goes_before_that_of_its_service() {
    let upstreams = [breaking(), breaking()];
    let targets = upstreams.each_ref().map(|upstream| json!({ "url": upstream.url() }));
    let service = json!({ "slug": "api", "targets": targets, "breaker": { "enabled": false },
        "outlier": { "enabled": false }, "retries": { "attempts": 1, "budget_percent": 100 } });
    let (gateway, key) = expose(&service, &[0, 1, 3]);
    let sent = |path: &str| {
        let count = || upstreams.iter().map(|upstream| upstream.requests().len()).sum::<usize>();
        let before = count();
        send(&gateway, "GET", path, &key).expect(502);
        count() - before
    };
    assert_eq!([sent("/acme/retried/0/x"), sent("/acme/api/x")], [1, 2]);
    // What the budget permits grows with the requests: these come last.
    assert_eq!([sent("/acme/retried/1/x"), sent("/acme/retried/0/x")], [2, 1]);
    assert_eq!(sent("/acme/retried/3/x"), 2, "the budget of three in ten seconds is the service's");
}

#[test]
fn a_route_turns_retries_on_that_its_service_has_off() {
    let upstream = breaking();
    let service = json!({ "slug": "api", "url": upstream.url(), "retries": { "enabled": false } });
    let (gateway, key) = expose(&service, &[3]);
    send(&gateway, "GET", "/acme/api/x", &key).expect(502);
    assert_eq!(upstream.requests().len(), 1);
    send(&gateway, "GET", "/acme/retried/3/x", &key).expect(502);
    assert_eq!(upstream.requests().len(), 5);
}

#[test]
fn a_route_whose_requests_go_out_once_has_no_second_copies() {
    let gate = Gate::new();
    let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "at last")].concat();
    let upstreams = [(); 2].map(|()| ScriptedUpstream::script(steps.clone()));
    let targets = upstreams.each_ref().map(|upstream| json!({ "url": upstream.url() }));
    let service = json!({ "slug": "api", "targets": targets, "hedging": { "delay": "20ms" } });
    let (gateway, key) = expose(&service, &[0]);
    let count = |path: &str| {
        let requests = upstreams.iter().flat_map(ScriptedUpstream::requests);
        requests.filter(|request| request.target == path).count()
    };
    let mut waiting = Vec::new();
    for (path, target, sent) in [("retried/0", "/retried/0/x", 1), ("api", "/x", 2)] {
        let mut client = gateway.client();
        client.send(format!("GET /acme/{path}/x HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
        waiting.push(client);
        // The copy of the second request goes out when one of the first would have long been there.
        eventually("the requests at the targets", || count(target) == sent);
    }
    assert_eq!(count("/retried/0/x"), 1);
    gate.open();
    for client in &mut waiting {
        client.read_response().expect(200);
    }
}
