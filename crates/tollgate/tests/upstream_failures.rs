//! Upstreams that cannot be reached, do not answer, or must not be asked: the status says whose fault it is,
//! and `Proxy-Status` what the matter was.

mod harness;

use std::net::TcpListener;
use std::time::Duration;

use harness::{
    BlackHole, BodyEnd, EchoUpstream, Echoed, Gate, Gateway, Nginx, Response, ScriptedUpstream, Step, Tenant,
    eventually,
};
use serde_json::{Value, json};

#[track_caller]
fn assert_failed(response: Response, status: u16, error: &str) {
    let response = response.expect(status);
    assert_eq!(response.header("Proxy-Status"), Some(format!("tollgate; error={error}").as_str()));
    assert_eq!(response.json()["error"]["code"], status);
    // Where the upstream is, is none of the client's business.
    assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
}

#[test]
fn an_upstream_that_cannot_be_reached_is_502_or_504() {
    let black_hole = BlackHole::open();
    let refusing = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let refusing = refusing.expect("a free port");
    // Where no name server answers, the resolver gives up before the gateway does.
    let builder = Gateway::builder().env("RES_OPTIONS", "timeout:1 attempts:1");
    let gateway = builder.config("[proxy.timeouts]\nconnect = \"8s\"\n").start();
    let tenant = gateway.tenant("acme");
    tenant.service("refusing", &format!("http://{refusing}"));
    tenant.service("nameless", "http://no-such-host.invalid");
    tenant.service_with(&json!({
        "slug": "silent", "url": format!("http://{}", black_hole.address()), "timeouts": { "connect": "300ms" }
    }));
    let key = tenant.unlimited_key();
    for (service, status, error) in [
        ("refusing", 502, "connection_refused"),
        ("nameless", 502, "dns_error"),
        ("silent", 504, "connection_timeout"),
    ] {
        for method in ["GET", "POST"] {
            let path = format!("/acme/{service}/x");
            let mut client = gateway.client();
            let response = client.request(method, &path, &[("X-API-Key", &key)], b"");
            assert_failed(response, status, error);
            // The client's connection is none the worse.
            client.get("/health", &[]).expect(200);
        }
    }
}

#[test]
fn a_request_whose_total_time_ends_while_it_connects_says_so() {
    let black_hole = BlackHole::open();
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let url = format!("http://{}", black_hole.address());
    tenant.service_with(&json!({ "slug": "api", "url": url, "timeouts": { "total": "300ms" } }));
    let key = tenant.unlimited_key();
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]);
    assert_failed(response, 504, "http_response_timeout");
}

/// A service whose upstream takes these steps, with these timeouts.
fn started_with(timeouts: &Value, steps: Vec<Step>) -> (Gateway, ScriptedUpstream, String) {
    let (gateway, upstream) = (Gateway::start(), ScriptedUpstream::script(steps));
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "timeouts": timeouts }));
    let key = tenant.unlimited_key();
    (gateway, upstream, key)
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504() {
    for (timeouts, error) in [
        (json!({ "first_byte": "300ms" }), "connection_read_timeout"),
        (json!({ "total": "300ms" }), "http_response_timeout"),
    ] {
        let (gateway, upstream, key) = started_with(&timeouts, vec![Step::ReadWholeBody, Step::AwaitClose]);
        let response = gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"body");
        assert_failed(response, 504, error);
        upstream.await_open_connections(0);
    }
}

#[test]
fn an_upstream_that_does_not_take_the_request_is_504() {
    let (gateway, _upstream, key) =
        started_with(&json!({ "idle": "300ms" }), vec![Step::Await(Gate::new()), Step::Close]);
    let mut client = gateway.client();
    client.send(format!(
        "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 999999999\r\n\r\n"
    ));
    // Until the kernel's buffers are full, the gateway gives up, and the connection is closed.
    while client.try_send([b'x'; 8_192]).is_ok() {}
    assert_failed(client.read_response(), 504, "connection_write_timeout");
}

#[test]
fn a_response_that_stops_on_its_way_is_cut() {
    let begun = Step::write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
    let (gateway, upstream, key) =
        started_with(&json!({ "idle": "300ms" }), vec![begun.clone(), Step::AwaitClose]);
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]);
    assert_eq!((response.text().as_str(), response.end), ("abc", BodyEnd::CutShort));
    upstream.await_open_connections(0);
}

#[test]
fn a_response_that_never_ends_is_cut_when_its_total_time_is_over() {
    let mut steps = vec![Step::write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")];
    for _ in 0..900 {
        steps.extend([Step::write("x"), Step::Pause(Duration::from_millis(20))]);
    }
    let (gateway, upstream, key) = started_with(&json!({ "total": "1s", "idle": "10s" }), steps);
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    assert_eq!(response.end, BodyEnd::CutShort);
    // With all of them, it would be the upstream that had ended.
    assert!((1..900).contains(&response.body.len()), "{} bytes", response.body.len());
    upstream.await_open_connections(0);
}

#[test]
fn a_service_that_leads_back_to_the_gateway_is_508() {
    let gateway = Gateway::start();
    let back = format!("http://{}/acme/direct", gateway.proxy_address());
    let between = Nginx::start(&format!("location / {{ proxy_pass {back}; }}"));
    let tenant = gateway.tenant("acme");
    tenant.service("direct", &back).service("around", &between.url());
    let key = tenant.unlimited_key();
    for service in ["direct", "around"] {
        let response = gateway.client().get(&format!("/acme/{service}/x"), &[("X-API-Key", &key)]);
        assert_failed(response, 508, "proxy_loop_detected");
    }
}

#[test]
fn a_request_that_went_through_another_gateway_is_no_loop() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let via = "1.1 tollgate-00000000, 1.0 fred (a comment)";
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key), ("Via", via)]);
    assert_eq!(Echoed::of(&response).header("Via"), Some(via));
}

#[test]
fn nobody_may_name_a_metadata_address() {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "metadata.google.internal",
        "100.100.100.200",
    ] {
        let url = format!("http://{host}/latest");
        let refused = tenant.post("services", &json!({ "slug": "meta", "url": url })).expect(422);
        assert_eq!(refused["errors"][0]["field"], "url", "{host}: {refused}");
    }
}

/// A service that a tenant's own user wrote, and what came of it.
fn written_by_user(tenant: &Tenant, url: &str) -> harness::Answer {
    tenant.user("someone").post("/api/services", &json!({ "slug": "own", "url": url }))
}

#[test]
fn a_tenant_s_user_may_name_no_private_address_unless_the_operator_allows_it() {
    let upstream = EchoUpstream::start();
    let strict = Gateway::start();
    let refused = written_by_user(&strict.tenant("acme"), &upstream.url()).expect(422);
    assert_eq!(refused["errors"][0]["field"], "url", "{refused}");

    let lenient = Gateway::builder().config("[upstreams]\nallow = [\"127.0.0.0/8\"]\n").start();
    let tenant = lenient.tenant("acme");
    written_by_user(&tenant, &upstream.url()).expect(201);
    let key = tenant.unlimited_key();
    Echoed::of(&lenient.client().get("/acme/own", &[("X-API-Key", &key)]));
}

#[test]
fn where_a_name_leads_is_judged_anew_when_it_is_connected_to() {
    let upstream = EchoUpstream::start();
    let allowing = "[upstreams]\nallow = [\"127.0.0.0/8\", \"::1\"]\n";
    let mut gateway = Gateway::builder().config(allowing).start();
    let tenant = gateway.tenant("acme");
    // The one name that leads to a private address on every machine.
    let url = format!("http://localhost:{}", upstream.address().port());
    written_by_user(&tenant, &url).expect(201);
    let key = tenant.unlimited_key();
    Echoed::of(&gateway.client().get("/acme/own", &[("X-API-Key", &key)]));
    gateway.end();

    // The operator has second thoughts: what was written before is there, and leads there no more.
    let gateway = gateway.again().config("").start();
    let response = gateway.client().get("/acme/own", &[("X-API-Key", &key)]);
    assert_failed(response, 502, "destination_ip_prohibited");
    assert_eq!(upstream.requests().len(), 1);
    eventually("the operator reads why", || {
        gateway.stderr().iter().any(|line| line.contains("loopback or private"))
    });
    // Where it leads is for nobody else to know.
    let checked = gateway.admin().post("/api/services/own/health-check?tenant=acme", &json!({})).expect(200);
    assert!(checked.to_string().contains("not one that the service may reach"), "{checked}");
    assert!(!checked.to_string().contains("127.0.0.1") && !checked.to_string().contains("::1"), "{checked}");
}

#[test]
fn a_name_that_is_not_resolved_yet_may_be_written_by_anybody() {
    let gateway = Gateway::start();
    written_by_user(&gateway.tenant("acme"), "http://no-such-host.invalid").expect(201);
}
