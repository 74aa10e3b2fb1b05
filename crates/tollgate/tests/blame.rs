//! What is held against a target and its service when a request fails, and what is not their fault.

mod harness;

use std::time::Duration;

use harness::{Gate, Gateway, RawClient, ScriptedUpstream, Step, overlaid};
use serde_json::{Value, json};

/// The service `api` of `acme` on these upstreams, with these fields besides; and a key.
fn expose(upstreams: &[&ScriptedUpstream], fields: &Value) -> (Gateway, String) {
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let tenant = gateway.tenant("acme");
    let targets: Vec<_> = upstreams.iter().map(|upstream| json!({ "url": upstream.url() })).collect();
    tenant.service_with(&overlaid(json!({ "slug": "api", "targets": targets }), fields));
    let key = tenant.unlimited_key();
    (gateway, key)
}

fn get(gateway: &Gateway, key: &str) -> harness::Response {
    gateway.client().get("/acme/api", &[("X-API-Key", key)])
}

#[track_caller]
fn assert_circuit(gateway: &Gateway, state: &str) {
    let list = gateway.admin().get("/api/circuit-breakers?tenant=acme").expect(200);
    assert_eq!(list["items"][0]["state"], state);
}

#[test]
fn only_what_counts_as_a_failure_opens_the_circuit() {
    let upstream = ScriptedUpstream::script(Step::respond("500 Internal Server Error", ""));
    let (gateway, key) =
        expose(&[&upstream], &json!({ "failure_on": ["connect", "503"], "breaker": { "failures": 1 } }));
    for _ in 0..3 {
        get(&gateway, &key).expect(500);
    }
}

/// Responses of which nobody can say where they end, or that go on in a protocol that nobody asked for.
const IMPOSSIBLE: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\nabc",
];

#[test]
fn a_response_that_cannot_be_passed_on_is_a_failure_of_the_target() {
    for response in IMPOSSIBLE {
        let upstream = ScriptedUpstream::script(vec![Step::write(response), Step::Close]);
        let (gateway, key) = expose(&[&upstream], &json!({ "breaker": { "failures": 2 } }));
        for _ in 0..2 {
            let answer = get(&gateway, &key).expect(502);
            assert_eq!(answer.header("Proxy-Status"), Some("tollgate; error=http_protocol_error"));
        }
        get(&gateway, &key).expect(503);
        assert_circuit(&gateway, "open");
    }
}

#[test]
fn more_trailers_than_are_read_are_said_to_be_too_many() {
    for (trailers, status) in [(64, 200), (65, 502)] {
        let fields = "X-Filler: x\r\n".repeat(trailers);
        let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{fields}\r\n");
        let upstream = ScriptedUpstream::script(vec![Step::write(&response)]);
        let (gateway, key) = expose(&[&upstream], &json!({}));
        let answer = get(&gateway, &key).expect(status);
        let said = (status == 502).then_some("tollgate; error=http_response_trailer_section_size");
        assert_eq!(answer.header("Proxy-Status"), said);
    }
}

#[test]
fn a_response_that_cannot_be_passed_on_is_asked_of_another_target() {
    for response in IMPOSSIBLE {
        let odd = ScriptedUpstream::script(vec![Step::write(response), Step::Close]);
        let well = ScriptedUpstream::responding("well");
        let (gateway, key) = expose(&[&odd, &well], &json!({ "retries": { "budget_percent": 100 } }));
        for _ in 0..6 {
            assert_eq!(get(&gateway, &key).expect(200).text(), "well");
        }
        assert!(!odd.requests().is_empty(), "it is asked");
    }
}

/// A service that opens its circuit at the first failure, and whose requests may take two seconds.
fn strict(fields: &Value) -> Value {
    overlaid(json!({ "timeouts": { "total": "2s" }, "breaker": { "failures": 1 } }), fields)
}

fn sending(gateway: &Gateway, key: &str) -> RawClient {
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    client
}

#[test]
fn time_that_a_request_waits_in_the_queue_is_not_held_against_the_service() {
    let steps = [vec![Step::Pause(Duration::from_millis(1_400))], Step::respond("200 OK", "slow")].concat();
    let upstream = ScriptedUpstream::script(steps);
    let channel = json!({ "channel": { "concurrency": 1, "queue": 1, "longest_wait": "1m" } });
    let (gateway, key) = expose(&[&upstream], &strict(&channel));
    let mut clients = [sending(&gateway, &key), sending(&gateway, &key)];
    let mut statuses = clients.each_mut().map(|client| client.read_response().status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 504]);
    assert_circuit(&gateway, "closed");
}

#[test]
fn time_that_a_client_takes_to_send_its_body_is_not_held_against_the_service() {
    let upstream = ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::AwaitClose]);
    let (gateway, key) = expose(&[&upstream], &strict(&json!({})));
    let mut client = gateway.client();
    client.send(format!(
        "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbo"
    ));
    // The time itself is what is tested.
    std::thread::sleep(Duration::from_millis(1_400));
    client.send("dy");
    client.read_response().expect(504);
    assert_circuit(&gateway, "closed");

    get(&gateway, &key).expect(504);
    assert_circuit(&gateway, "open");
}

#[test]
fn a_request_s_time_that_ends_within_its_body_is_504_whether_the_body_is_kept_or_not() {
    let [one, two] = ["one", "two"].map(ScriptedUpstream::responding);
    let fields = json!({ "timeouts": { "total": "400ms" }, "retries": {} });
    let (gateway, key) = expose(&[&one, &two], &fields);
    for method in ["POST", "PUT"] {
        let mut client = gateway.client();
        client.send(format!(
            "{method} /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbo"
        ));
        let response = client.read_response().expect(504);
        assert_eq!(
            response.header("Proxy-Status"),
            Some("tollgate; error=http_response_timeout"),
            "{method}"
        );
    }
}

#[test]
fn a_client_that_hides_what_it_waits_for_is_not_held_against_the_service() {
    let upstream = ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::AwaitClose]);
    let (gateway, key) = expose(&[&upstream], &strict(&json!({})));
    let mut client = gateway.client();
    client.send(format!(
        "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\
         Expect: 100-continue\r\nConnection: Expect\r\n\r\n"
    ));
    client.read_response();
    assert_eq!(upstream.requests()[0].header("Expect"), Some("100-continue"), "it may ask for the body");
}

#[test]
fn a_request_that_had_failed_before_its_time_was_over_is_held_against_the_service() {
    let silent = || ScriptedUpstream::script(vec![Step::AwaitClose]);
    let (first, second) = (silent(), silent());
    let mut fields = strict(&json!({ "retries": { "budget_percent": 100, "on": ["timeout"] } }));
    fields["timeouts"]["first_byte"] = json!("1400ms");
    let (gateway, key) = expose(&[&first, &second], &fields);
    get(&gateway, &key).expect(504);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    assert_circuit(&gateway, "open");
}

#[test]
fn a_request_that_began_before_a_reset_is_not_held_against_the_service_after_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = ScriptedUpstream::start(move |exchange| {
        if exchange.request.target == "/held" {
            exchange.run(&[Step::Await(held.clone())])?;
        }
        exchange.run(&Step::respond("500 Internal Server Error", ""))
    });
    let (gateway, key) = expose(&[&upstream], &json!({ "breaker": { "failures": 1 } }));
    let mut early = gateway.client();
    early.send(format!("GET /acme/api/held HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    upstream.await_request(0);
    get(&gateway, &key).expect(500);
    assert_circuit(&gateway, "open");
    gateway.admin().post("/api/circuit-breakers/api/reset?tenant=acme", &json!({})).expect(200);
    gate.open();
    early.read_response().expect(500);
    assert_circuit(&gateway, "closed");
}

#[test]
fn a_slow_client_is_not_held_against_the_target() {
    let quick = ScriptedUpstream::responding("quick");
    let slow_steps =
        [vec![Step::Pause(Duration::from_millis(300))], Step::respond("200 OK", "slow")].concat();
    let slow = ScriptedUpstream::script(slow_steps);
    let (gateway, key) = expose(&[&slow, &quick], &json!({ "balancer": { "algorithm": "latency" } }));
    for _ in 0..2 {
        get(&gateway, &key).expect(200);
    }
    assert_eq!((slow.requests().len(), quick.requests().len()), (1, 1), "who is not known is tried");
    for (method, framing, begun, rest) in [
        ("PUT", "Content-Length: 4", "", "body"),
        ("POST", "Content-Length: 4", "", "body"),
        ("POST", "Content-Length: 4", "bo", "dy"),
        ("PUT", "Transfer-Encoding: chunked", "2\r\nbo\r\n", "2\r\ndy\r\n0\r\n\r\n"),
    ] {
        let mut client = gateway.client();
        client.send(format!(
            "{method} /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n{framing}\r\n\r\n{begun}"
        ));
        // The time itself is what is tested: longer than the slow target takes.
        std::thread::sleep(Duration::from_millis(900));
        client.send(rest);
        assert_eq!(client.read_response().expect(200).text(), "quick");
        assert_eq!(get(&gateway, &key).expect(200).text(), "quick", "{method} {framing}");
    }
}

#[test]
fn slow_clients_do_not_shrink_an_adaptive_channel() {
    let steps =
        [vec![Step::ReadWholeBody, Step::Pause(Duration::from_millis(100))], Step::respond("200 OK", "")];
    let upstream = ScriptedUpstream::script(steps.concat());
    let channel = json!({ "adaptive": { "initial": 20, "least": 2, "most": 30 }, "longest_wait": "1m" });
    let (gateway, key) = expose(&[&upstream], &json!({ "channel": channel }));
    for _ in 0..10 {
        get(&gateway, &key).expect(200);
    }
    let mut clients: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(format!(
            "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbo"
        ));
    }
    // The time itself is what is tested: much longer than the target takes.
    std::thread::sleep(Duration::from_millis(1_500));
    for client in &mut clients {
        client.send("dy");
    }
    for client in &mut clients {
        client.read_response().expect(200);
    }
    let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
    let limit = list["items"][0]["channel"]["limit"].as_u64().unwrap();
    // It would be 11; that an answer or two are late is not what is tested.
    assert!(limit >= 16, "{limit}");
}
