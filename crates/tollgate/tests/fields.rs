//! Header fields: which are passed on, and how they look on the other side.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{EchoUpstream, Echoed, Gateway, Response, ScriptedUpstream, Step, header};
use serde_json::json;

/// The lines of a head that begin with one of these names, in their order.
fn lines_of(raw_head: &[u8], names: &[&str]) -> Vec<String> {
    let head: String = raw_head.iter().copied().map(char::from).collect();
    let lines = head.split("\r\n").map(str::to_owned);
    lines.filter(|line| names.iter().any(|name| line.starts_with(&format!("{name}:")))).collect()
}

const NAMES: [&str; 7] = ["x-lOWER", "X-Dup", "User-Agent", "X-Empty", "X-Padded", "X-Bytes", "ACCEPT"];

/// Every byte stands for itself.
const FIELDS: &str = "x-lOWER: 1\r\nX-Dup: a\r\nUser-Agent: t/1 (x; y)\r\nX-Dup: b\r\nX-Empty:\r\n\
    X-Padded: \t two  words \t \r\nX-Dup: a\r\nX-Bytes: caf\u{e9}\r\nACCEPT:*/*\r\n";

const FIELDS_PASSED_ON: [&str; 9] = [
    "x-lOWER: 1",
    "X-Dup: a",
    "User-Agent: t/1 (x; y)",
    "X-Dup: b",
    "X-Empty: ",
    "X-Padded: two  words",
    "X-Dup: a",
    "X-Bytes: caf\u{e9}",
    "ACCEPT: */*",
];

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).expect("a character of Latin-1")).collect()
}

#[test]
fn a_request_s_fields_keep_their_order_case_and_values() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client
        .send(latin1(&format!("GET /acme/api HTTP/1.1\r\nHost: g.test\r\nX-API-Key: {key}\r\n{FIELDS}\r\n")));
    client.read_response().expect(200);
    assert_eq!(lines_of(&upstream.requests()[0].raw_head, &NAMES), FIELDS_PASSED_ON);
}

#[test]
fn a_response_s_fields_keep_their_order_case_and_values_and_its_reason_stays() {
    let response = format!("HTTP/1.1 200 Quite fine\r\nContent-Length: 0\r\n{FIELDS}\r\n");
    let (gateway, upstream) =
        (Gateway::start(), ScriptedUpstream::script(vec![Step::write(latin1(&response))]));
    let key = gateway.expose(&upstream.url());
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    assert_eq!(lines_of(&response.raw_head, &NAMES), FIELDS_PASSED_ON);
    assert_eq!(response.reason, "Quite fine");
}

#[test]
fn what_belongs_to_the_client_s_connection_does_not_reach_the_upstream() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let fields = [
        ("X-API-Key", key.as_str()),
        ("Connection", "keep-alive, X-Own-Hop ,x-another-hop"),
        ("Connection", "X-Third-Hop"),
        ("x-own-hop", "1"),
        ("X-Another-Hop", "1"),
        ("X-Third-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("TE", "gzip"),
        ("Trailer", "X-Sum"),
        ("Upgrade", "websocket"),
        ("X-Kept", "1"),
    ];
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &fields));
    for (name, _) in fields.iter().filter(|(name, _)| *name != "X-Kept") {
        assert_eq!(echoed.header(name), None, "{name}");
    }
    assert_eq!(echoed.header("X-Kept"), Some("1"));
}

#[test]
fn a_target_is_told_whether_the_client_takes_trailers() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let upgrade = "Connection: Upgrade\r\nUpgrade: talk\r\n";
    for (version, fields, expected) in [
        ("1.1", "TE: trailers\r\n", &["Connection: TE", "TE: trailers"][..]),
        ("1.1", "Connection: TE\r\nTe: gzip;q=0.5, Trailers\r\n", &["Connection: TE", "TE: trailers"]),
        (
            "1.1",
            &format!("{upgrade}TE: trailers\r\n"),
            &["Connection: Upgrade, TE", "TE: trailers", "Upgrade: talk"],
        ),
        ("1.1", "TE: deflate\r\n", &[]),
        // It can't be sent any.
        ("1.0", "TE: trailers\r\n", &[]),
    ] {
        let mut client = gateway.client();
        client.send(format!("GET /acme/api HTTP/{version}\r\nHost: g\r\nX-API-Key: {key}\r\n{fields}\r\n"));
        client.read_response().expect(200);
        let requests = upstream.requests();
        let head = &requests.last().expect("a request").raw_head;
        assert_eq!(lines_of(head, &["Connection", "TE", "Upgrade"]), expected, "{version}: {fields}");
    }
}

#[test]
fn what_belongs_to_the_upstream_s_connection_does_not_reach_the_client() {
    let (gateway, upstream) = (
        Gateway::start(),
        ScriptedUpstream::script(vec![Step::write(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Own-Hop\r\nX-Own-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\n\
             X-Kept: 1\r\n\r\nok",
        )]),
    );
    let key = gateway.expose(&upstream.url());
    let response: Response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    for name in ["Connection", "X-Own-Hop", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Upgrade"]
    {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!((response.header("X-Kept"), response.text().as_str()), (Some("1"), "ok"));
}

#[test]
fn underscores_do_not_imitate_what_the_gateway_says_or_guards() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "auth_header": "X-Shop-Token" }));
    let key = tenant.unlimited_key();
    let imitations = [
        "X_Tenant_ID",
        "x_tenant_id",
        "X-Organization_ID",
        "X_Consumer-ID",
        "X_Plan_Tier",
        "X_Client_ID",
        "X_Request_ID",
        "X_Forwarded_For",
        "Transfer_Encoding",
        "Content_Length",
        "X_Shop_Token",
    ];
    let mut fields = vec![("X-Shop-Token", key.as_str()), ("X_Kept", "1"), ("User_Agent", "t")];
    fields.extend(imitations.map(|name| (name, "forged")));
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &fields));
    for name in imitations {
        assert_eq!(echoed.header(name), None, "{name}");
    }
    assert_eq!((echoed.header("X_Kept"), echoed.header("User_Agent")), (Some("1"), Some("t")));
    assert_eq!(echoed.header("X-Tenant-ID"), Some("acme"));
}

#[test]
fn every_final_response_has_one_date() {
    let upstream = ScriptedUpstream::start(|exchange| {
        let date = match exchange.request.target.as_str() {
            "/dated" => "DATE: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            "/taken-back" => "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: date\r\n",
            _ => "",
        };
        exchange.write(format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 0\r\n\r\n"))
    });
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let before = jiff::Timestamp::now();
    for path in ["/acme/api", "/acme/api/dated", "/acme/api/taken-back", "/acme/nowhere", "/health"] {
        let response = gateway.client().get(path, &[("X-API-Key", &key)]);
        let dates = lines_of(&response.raw_head, &["Date", "DATE"]);
        let [date] = dates.as_slice() else { panic!("{path}: {dates:?}") };
        if path == "/acme/api/dated" {
            assert_eq!(date, "DATE: Sun, 06 Nov 1994 08:49:37 GMT", "the upstream's own stays");
        } else {
            let date = date.strip_prefix("Date: ").expect("a date");
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).expect("a date");
            assert!((-2..20).contains(&(date.as_second() - before.as_second())), "{path}: {date}");
        }
    }
}

#[test]
fn connection_takes_out_neither_the_body_s_length_nor_what_the_gateway_says() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let nominated =
        "Content-Length, Host, X-Tenant-ID, X-Forwarded-For, X-Request-ID, Via, TraceParent, tracestate";
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let response = gateway.client().request(
        "POST",
        "/acme/api",
        &[("X-API-Key", &key), ("Connection", nominated), ("traceparent", trace), ("tracestate", "a=b")],
        b"body",
    );
    let echoed = Echoed::of(&response);
    assert_eq!(echoed.body, "body");
    assert_eq!(echoed.header("X-Tenant-ID"), Some("acme"));
    for name in ["Host", "X-Forwarded-For", "X-Request-ID", "Via"] {
        assert!(echoed.header(name).is_some(), "{name}");
    }
    assert!(echoed.header("traceparent").is_some_and(|own| own != trace), "the gateway's own");
    assert_eq!(echoed.header("tracestate"), None);
}

#[test]
fn a_key_that_was_revoked_goes_to_no_upstream() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    let (key, revoked) = (tenant.unlimited_key(), tenant.key_with(&json!({ "name": "old" })));
    let id = revoked["id"].as_str().expect("an id");
    gateway.admin().delete(&format!("/api/keys/{id}?tenant=acme")).expect(204);
    let bearer = format!("Bearer {}", revoked["key"].as_str().expect("a key"));
    let fields = [("X-API-Key", key.as_str()), ("Authorization", &bearer)];
    assert_eq!(Echoed::of(&gateway.client().get("/acme/api", &fields)).header("Authorization"), None);
    let bare = [("X-API-Key", key.as_str()), ("Authorization", key.as_str())];
    assert_eq!(Echoed::of(&gateway.client().get("/acme/api", &bare)).header("Authorization"), None);
    let others = [("X-API-Key", key.as_str()), ("Authorization", "Bearer somebody.else")];
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &others));
    assert_eq!(echoed.header("Authorization"), Some("Bearer somebody.else"));
}

#[test]
fn an_error_of_the_gateway_is_json_that_names_the_request() {
    let gateway = Gateway::start();
    let response = gateway.client().get("/nobody/nothing", &[]).expect(404);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=http_request_error"));
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let body = response.json();
    assert_eq!(body["error"]["code"], 404);
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert_eq!(body["request_id"].as_str(), response.header("X-Request-ID"));
    let timestamp = body["timestamp"].as_str().expect("a timestamp");
    let age = jiff::Timestamp::now().duration_since(timestamp.parse().expect("RFC 3339"));
    assert!((0..20).contains(&age.as_secs()), "{timestamp}");
}

#[test]
fn a_client_that_accepts_problem_details_gets_them() {
    let gateway = Gateway::start();
    for accept in ["application/problem+json", "text/html, Application/Problem+JSON;q=0.9"] {
        let response = gateway.client().get("/nobody/nothing", &[("Accept", accept)]).expect(404);
        assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
        let body = response.json();
        assert_eq!((&body["status"], &body["title"]), (&404.into(), &"Not Found".into()));
        assert!(body["detail"].is_string() && body["timestamp"].is_string(), "{body}");
        assert_eq!(body["request_id"].as_str(), header(&response.headers, "X-Request-ID"));
    }
    for accept in ["application/problem+json;q=0", "application/problem+json;q=0.5, application/json", "*/*"]
    {
        let response = gateway.client().get("/nobody/nothing", &[("Accept", accept)]).expect(404);
        assert_eq!(response.header("Content-Type"), Some("application/json"), "{accept}");
    }
}
