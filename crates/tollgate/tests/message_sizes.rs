//! Messages that are larger than the gateway takes, each with a status of its own; and what is refused
//! before a body is sent at all.

mod harness;

use harness::{
    BodyEnd, EchoUpstream, Echoed, Gateway, RawClient, Response, ScriptedUpstream, eventually, python,
    started, started_with,
};
use serde_json::json;

/// A GET whose request line has so many bytes, without its line end.
fn get_with_line_of(bytes: usize, key: &str) -> String {
    let line = "GET /acme/api/ HTTP/1.1";
    let filler = "x".repeat(bytes - line.len());
    format!("GET /acme/api/{filler} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\r\n")
}

/// A GET with so many fields that have so many bytes in all, line ends and the empty line included.
fn get_with_fields_of(count: usize, bytes: usize, key: &str) -> String {
    let mut fields = format!("Host: gateway.test\r\nX-API-Key: {key}\r\n");
    fields.extend((3..count).map(|number| format!("X-{number}: 1\r\n")));
    let filler = bytes - fields.len() - "X-Filler: \r\n\r\n".len();
    format!("GET /acme/api/ HTTP/1.1\r\n{fields}X-Filler: {}\r\n\r\n", "x".repeat(filler))
}

#[track_caller]
fn answer(gateway: &Gateway, message: &str) -> Response {
    let mut client = gateway.client();
    client.send(message);
    let response = client.read_response();
    if response.status != 200 {
        assert_is_last(&response, &mut client);
    }
    response
}

#[track_caller]
fn assert_is_last(response: &Response, client: &mut RawClient) {
    assert_eq!(response.json()["error"]["code"], response.status);
    assert_eq!(response.header("Connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_request_line_of_more_than_8_kib_is_refused_with_414() {
    let (gateway, upstream, key) = started();
    answer(&gateway, &get_with_line_of(8_192, &key)).expect(200);
    answer(&gateway, &get_with_line_of(8_193, &key)).expect(414);
    answer(&gateway, &get_with_line_of(200_000, &key)).expect(414);
    // One that never ends is not waited for.
    answer(&gateway, &format!("GET /{}", "x".repeat(9_000))).expect(414);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn header_fields_of_more_than_64_kib_are_refused_with_431() {
    let (gateway, upstream, key) = started();
    answer(&gateway, &get_with_fields_of(5, 65_536, &key)).expect(200);
    answer(&gateway, &get_with_fields_of(5, 65_537, &key)).expect(431);
    answer(&gateway, &get_with_fields_of(5, 1_000_000, &key)).expect(431);
    answer(&gateway, &format!("GET / HTTP/1.1\r\nX-Endless: {}", "x".repeat(70_000))).expect(431);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn more_than_100_header_fields_are_refused_with_431() {
    let (gateway, upstream, key) = started();
    answer(&gateway, &get_with_fields_of(100, 4_000, &key)).expect(200);
    answer(&gateway, &get_with_fields_of(101, 4_000, &key)).expect(431);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_head_request_that_is_refused_gets_no_body_and_is_logged_as_what_it_was() {
    let (gateway, _upstream, key) = started();
    let too_many = get_with_fields_of(101, 4_000, &key).replacen("GET", "HEAD", 1);
    let too_long = get_with_line_of(8_193, &key).replacen("GET", "HEAD", 1);
    let malformed = "HEAD /acme/malformed?token=x HTTP/1.1\r\nHost: g\r\nX-Odd : 1\r\n\r\n".to_owned();
    for (message, status) in [(too_many, 431), (too_long, 414), (malformed, 400)] {
        let mut client = gateway.client();
        client.send(message);
        client.try_read_response("HEAD").expect("a response").expect(status);
        assert!(client.is_closed(), "nothing follows the head");
        let line = gateway.await_logged(|line| line["status"] == status);
        assert_eq!(line["method"], "HEAD");
        let path = line["path"].as_str().expect("a path");
        assert!(path.starts_with("/acme/") && !path.contains("token"), "{path}");
    }
}

#[test]
fn an_operator_sets_other_limits() {
    let limits = "[proxy.limits]\nrequest_line_bytes = 300\nhead_bytes = 1024\nhead_fields = 10\n";
    let (gateway, upstream, key) = started_with(limits);
    answer(&gateway, &get_with_line_of(300, &key)).expect(200);
    answer(&gateway, &get_with_line_of(301, &key)).expect(414);
    answer(&gateway, &get_with_fields_of(10, 1_024, &key)).expect(200);
    answer(&gateway, &get_with_fields_of(10, 1_025, &key)).expect(431);
    answer(&gateway, &get_with_fields_of(11, 1_024, &key)).expect(431);
    assert_eq!(upstream.requests().len(), 2);
}

fn post_to(service: &str, fields: &str, key: &str) -> String {
    format!("POST /acme/{service} HTTP/1.1\r\nHost: g.test\r\nX-API-Key: {key}\r\n{fields}\r\n")
}

#[test]
fn a_body_that_is_announced_too_large_is_refused_with_413_before_it_is_sent() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "small", "url": upstream.url(), "max_body_bytes": 1_000 }));
    let key = tenant.unlimited_key();
    let body = "x".repeat(1_000);
    let accepted = post_to("small", "Content-Length: 1000\r\n", &key) + &body;
    assert_eq!(Echoed::of(&answer(&gateway, &accepted)).body, body);
    answer(&gateway, &post_to("small", "Content-Length: 1001\r\n", &key)).expect(413);
    answer(&gateway, &post_to("small", "Content-Length: 1001\r\nExpect: 100-continue\r\n", &key)).expect(413);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_body_that_grows_too_large_on_the_way_is_cut_with_413() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "small", "url": upstream.url(), "max_body_bytes": 1_000 }));
    let key = tenant.unlimited_key();
    let head = post_to("small", "Transfer-Encoding: chunked\r\n", &key);
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let mut client = gateway.client();
    client.send(format!("{head}{chunk}"));
    eventually("the first chunk at the upstream", || {
        upstream.requests().first().is_some_and(|request| request.body.len() == 500)
    });
    client.send(format!("{chunk}1\r\nx\r\n"));
    let response = client.read_response().expect(413);
    assert_is_last(&response, &mut client);
    upstream.await_open_connections(0);
    assert!(!upstream.requests()[0].is_complete);

    let accepted = format!("{head}{chunk}{chunk}0\r\n\r\n");
    assert_eq!(Echoed::of(&answer(&gateway, &accepted)).body.len(), 1_000);
}

#[test]
fn a_body_that_turns_out_malformed_on_the_way_never_becomes_a_complete_request() {
    let bodies = [
        (400, "0x3\r\nabc\r\n0\r\n\r\n".to_owned()),
        // Extensions and trailers are ignored or passed on, but not without end.
        (400, format!("1;{}\r\na\r\n", "x".repeat(1_000)).repeat(20) + "0\r\n\r\n"),
        (431, format!("0\r\n{}\r\n", "X-Filler: something\r\n".repeat(65))),
        (431, format!("0\r\nX-Filler: {}\r\n\r\n", "x".repeat(8_192))),
    ];
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let head = post_to("api", "Transfer-Encoding: chunked\r\n", &key) + "3\r\nabc\r\n";
    for (number, (status, rest)) in bodies.iter().enumerate() {
        let mut client = gateway.client();
        client.send(&head);
        eventually("the first chunk at the upstream", || {
            upstream.requests().get(number).is_some_and(|request| request.body == b"abc")
        });
        client.send(rest);
        let response = client.read_response().expect(*status);
        assert_is_last(&response, &mut client);
        upstream.await_open_connections(0);
        assert!(!upstream.requests()[number].is_complete);
    }
}

#[test]
fn a_service_s_own_limit_goes_before_the_operator_s() {
    let config = "[proxy.limits]\nmax_body_bytes = 10\n";
    let (gateway, upstream) = (Gateway::builder().config(config).start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("usual", &upstream.url());
    tenant.service_with(&json!({ "slug": "large", "url": upstream.url(), "max_body_bytes": 20 }));
    let key = tenant.unlimited_key();
    let mut statuses = Vec::new();
    for (service, length) in [("usual", 10), ("usual", 11), ("large", 20), ("large", 21)] {
        let head = post_to(service, &format!("Content-Length: {length}\r\n"), &key);
        statuses.push(answer(&gateway, &(head + &"x".repeat(length))).status);
    }
    assert_eq!(statuses, [200, 413, 200, 413]);
}

/// Reads nothing before it has sent everything, as many clients do: so many pieces of 100 kB, each after a pause.
const READS_LAST: &str = "
import http.client, sys, time
address, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
connection = http.client.HTTPConnection(address, timeout=20)
pieces = (time.sleep(pause) or b'x' * 100_000 for _ in range(count))
connection.request('POST', '/acme/api', body=pieces, headers={'Content-Length': str(count * 100_000)})
print(connection.getresponse().status)
";

#[test]
fn a_client_that_sends_a_refused_body_all_the_same_gets_to_read_why() {
    let (gateway, upstream, _) = started();
    let address = gateway.proxy_address().to_string();
    // Much at once, and little for long.
    for (count, pause) in [("300", "0"), ("30", "0.1")] {
        let ran = python(READS_LAST, &[&address, count, pause]).success();
        assert_eq!(ran.text().trim(), "401");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn an_expectation_that_nobody_knows_is_refused_with_417() {
    let (gateway, upstream, key) = started();
    for expectation in ["200-ok", "100-continue, x", "100-continue;q=1"] {
        let head = post_to("api", &format!("Expect: {expectation}\r\nContent-Length: 5\r\n"), &key);
        answer(&gateway, &head).expect(417);
    }
    assert_eq!(upstream.requests().len(), 0);
    // HTTP/1.0 knows none, and one may be said twice.
    let old = format!("GET /acme/api HTTP/1.0\r\nHost: g\r\nX-API-Key: {key}\r\nExpect: 200-ok\r\n\r\n");
    answer(&gateway, &old).expect(200);
    let twice = post_to("api", "Expect: 100-continue, 100-Continue\r\nContent-Length: 0\r\n", &key);
    answer(&gateway, &twice).expect(200);
}

#[test]
fn connect_is_refused_with_405_and_what_is_allowed() {
    let gateway = Gateway::start();
    let message = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
    let response = answer(&gateway, message).expect(405);
    let allow = response.header("Allow").expect("Allow");
    assert!(allow.contains("GET") && !allow.contains("CONNECT"), "{allow}");
}

#[test]
fn an_upstream_s_header_fields_have_a_limit_too() {
    let fields = [
        format!("X-Large: {}\r\n", "x".repeat(70_000)),
        "X-Many: 1\r\n".repeat(101),
        format!("X-Endless: {}", "x".repeat(70_000)),
    ];
    let count = fields.len();
    let upstream = ScriptedUpstream::start(move |exchange| {
        exchange.write(format!("HTTP/1.1 200 OK\r\n{}\r\n", fields[exchange.number]))
    });
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    for _ in 0..count {
        let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(502);
        let status = response.header("Proxy-Status").expect("Proxy-Status");
        assert_eq!(status, "tollgate; error=http_response_header_section_size");
        assert_eq!(response.end, BodyEnd::Complete);
    }
}
