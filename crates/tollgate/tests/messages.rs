//! Well-formed messages of every kind on their way to an upstream and back.

mod harness;

use harness::{
    BodyEnd, EchoUpstream, Echoed, Gateway, PythonServer, ScriptedUpstream, Step, curl, python, started,
    started_with,
};
use serde_json::json;

#[test]
fn the_path_behind_the_service_and_the_query_arrive_verbatim() {
    let (gateway, _upstream, key) = started();
    for (path, expected) in [
        ("/acme/api", "/"),
        ("/acme/api/", "/"),
        ("/acme/api?q=1", "/?q=1"),
        ("/acme/api/a%20b/%C3%A9;v=1//x?q=%2F..%2f&r=a/../b", "/a%20b/%C3%A9;v=1//x?q=%2F..%2f&r=a/../b"),
        ("/acme/api/..a/.hidden/...", "/..a/.hidden/..."),
    ] {
        let response = gateway.client().get(path, &[("X-API-Key", &key)]);
        assert_eq!(Echoed::of(&response).target, expected, "{path}");
    }
}

#[test]
fn a_target_s_own_path_goes_before_the_request_s() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&format!("{}/base/v1/", upstream.url()));
    for (path, expected) in [("/acme/api", "/base/v1"), ("/acme/api/x?q", "/base/v1/x?q")] {
        let response = gateway.client().get(path, &[("X-API-Key", &key)]);
        assert_eq!(Echoed::of(&response).target, expected, "{path}");
    }
}

#[test]
fn any_method_is_passed_on_as_it_is_written() {
    let (gateway, _upstream, key) = started();
    let mut client = gateway.client();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
        let response = client.request(method, "/acme/api/x", &[("X-API-Key", &key)], b"");
        assert_eq!(Echoed::of(&response).method, method);
    }
}

#[test]
fn a_later_minor_version_is_taken_for_the_last_known() {
    let (gateway, upstream, key) = started();
    let mut client = gateway.client();
    for colon in [": ", ":"] {
        client.send(format!("GET /acme/api HTTP/1.2\r\nHost: g\r\nX-API-Key{colon}{key}\r\n\r\n"));
        let response = client.read_response().expect(200);
        assert_eq!(response.version, "HTTP/1.1");
        assert!(Echoed::of(&response).header("Connection").is_none());
    }
    assert!(upstream.requests().iter().all(|request| request.raw_head.starts_with(b"GET / HTTP/1.1\r\n")));
}

#[test]
fn the_authority_of_an_absolute_target_wins_over_host() {
    let (gateway, upstream, key) = started();
    let mut client = gateway.client();
    client.send(format!(
        "GET http://shop.example:8099/acme/api/x?y=1 HTTP/1.1\r\nHost: other.example\r\nX-API-Key: {key}\r\n\r\n"
    ));
    let echoed = Echoed::of(&client.read_response());
    assert_eq!(echoed.target, "/x?y=1");
    assert_eq!(echoed.header("X-Forwarded-Host"), Some("shop.example:8099"));
    gateway.await_logged(|line| line["path"] == "/acme/api/x");
    assert_eq!(echoed.header("Host"), Some(upstream.address().to_string().as_str()));
}

#[test]
fn an_https_resource_is_served_in_clear_to_trusted_proxies_alone() {
    let ask = |trusted: &str, target: &str| {
        let (gateway, upstream, key) = started_with(&format!("[proxy]\ntrusted_proxies = [{trusted}]\n"));
        let mut client = gateway.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\nX-API-Key: {key}\r\n\r\n"));
        (client.read_response(), upstream.requests().len())
    };
    for target in ["https://shop.example/acme/api", "HTTPS://shop.example:443/acme/api/x?y"] {
        let (misdirected, requests) = ask("", target);
        assert_eq!(misdirected.header("Proxy-Status"), Some("tollgate; error=http_request_error"));
        assert_eq!((misdirected.expect(421).json()["error"]["code"].as_u64(), requests), (Some(421), 0));
        assert_eq!(ask("\"127.0.0.1\"", target).0.status, 200);
    }
}

#[test]
fn options_of_the_whole_server_is_answered_by_the_gateway() {
    let (gateway, upstream, key) = started();
    let mut client = gateway.client();
    for target in ["*", "http://gateway.test"] {
        let response = client.request("OPTIONS", target, &[("X-API-Key", &key)], b"");
        assert_eq!(response.status, 204, "{target}");
        assert!(response.header("Allow").is_some_and(|allow| allow.contains("POST")), "{response:?}");
        assert_eq!(response.header("Content-Length"), None);
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn max_forwards_is_counted_down_and_stops_at_the_gateway() {
    let (gateway, upstream, key) = started();
    let call = |method: &str, hops: &str| {
        let fields = [("X-API-Key", key.as_str()), ("max-forwards", hops)];
        gateway.client().request(method, "/acme/api", &fields, b"")
    };
    for (method, hops, left) in [
        ("OPTIONS", "1", "0"),
        ("TRACE", "10", "9"),
        ("TRACE", "99999999999999999999", "4294967294"),
        ("GET", "0", "0"),
        ("GET", "x", "x"),
    ] {
        let echoed = Echoed::of(&call(method, hops));
        let all: Vec<_> =
            echoed.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Max-Forwards")).collect();
        assert!(matches!(all.as_slice(), [(_, value)] if value == left), "{method} {hops}: {all:?}");
    }
    let reached = upstream.requests().len();
    assert!(call("OPTIONS", "0").expect(204).header("Allow").is_some());
    let allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";
    assert_eq!(call("TRACE", "0").expect(405).header("Allow"), Some(allowed));
    call("OPTIONS", "-1").expect(400);
    assert_eq!(upstream.requests().len(), reached);
}

#[test]
fn several_requests_in_one_packet_are_answered_in_their_order() {
    let (gateway, _upstream, key) = started();
    let mut client = gateway.client();
    let fields = format!("Host: gateway.test\r\nX-API-Key: {key}\r\n");
    client.send(format!(
        "GET /acme/api/1 HTTP/1.1\r\n{fields}\r\n\
         POST /acme/api/2 HTTP/1.1\r\n{fields}Content-Length: 3\r\n\r\nabc\
         \r\nPOST /acme/api/3 HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n\
         GET /acme/nowhere HTTP/1.1\r\n{fields}\r\n\
         DELETE /acme/api/5 HTTP/1.1\r\n{fields}\r\n"
    ));
    let expected = [("/1", ""), ("/2", "abc"), ("/3", "def")];
    for (target, body) in expected {
        let echoed = Echoed::of(&client.read_response());
        assert_eq!((echoed.target.as_str(), echoed.body.as_str()), (target, body));
    }
    client.read_response().expect(404);
    assert_eq!(Echoed::of(&client.read_response()).target, "/5");
}

#[test]
fn the_body_of_a_refused_request_is_not_taken_for_the_next_request() {
    let (gateway, upstream, key) = started();
    let own = format!("Host: gateway.test\r\nX-API-Key: {key}\r\n");
    let inner = format!("GET /acme/api/smuggled HTTP/1.1\r\n{own}\r\n");
    let next = format!("GET /acme/api/next HTTP/1.1\r\n{own}\r\n");
    let length = format!("Content-Length: {}\r\n\r\n{inner}", inner.len());
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let mut answered = 0;
    for (path, status) in [("/nobody/api", 404), ("/health", 405), ("/acme/api\r\nX-API-Key: wrong", 403)] {
        for body in [&length, &chunked] {
            let (target, field) = path.split_once("\r\n").unwrap_or((path, "X: y"));
            let mut client = gateway.client();
            client.send(format!("POST {target} HTTP/1.1\r\nHost: g\r\n{field}\r\n{body}{next}"));
            let refused = client.read_response().expect(status);
            // Either the connection goes on behind the body, or not at all.
            if refused.header("Connection") == Some("close") {
                assert!(client.is_closed());
            } else {
                assert_eq!(Echoed::of(&client.read_response()).target, "/next");
                answered += 1;
            }
        }
    }
    let targets: Vec<String> = upstream.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, vec!["/next"; answered]);
}

#[test]
fn a_connection_is_kept_until_the_client_asks_to_close_it() {
    let (gateway, _upstream, key) = started();
    let mut client = gateway.client();
    for number in 0..20 {
        let path = format!("/acme/api/{number}");
        let response = client.get(&path, &[("X-API-Key", &key)]);
        assert_eq!(Echoed::of(&response).target, format!("/{number}"));
        assert_eq!(response.header("Connection"), None);
    }
    let last = client.get("/acme/api/last", &[("X-API-Key", &key), ("Connection", "close")]);
    assert_eq!(last.expect(200).header("Connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn an_http_1_0_client_gets_one_answer_and_the_end_of_the_connection() {
    let (gateway, _upstream, key) = started();
    let mut client = gateway.client();
    // Without Host, as HTTP/1.0 permits.
    client.send(format!("GET /acme/api/old HTTP/1.0\r\nX-API-Key: {key}\r\n\r\n"));
    let response = client.read_response();
    assert_eq!(Echoed::of(&response).target, "/old");
    assert_eq!(response.header("Connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn an_http_1_0_client_may_ask_to_keep_the_connection() {
    let (gateway, _upstream, key) = started();
    let mut client = gateway.client();
    for _ in 0..3 {
        client.send(format!(
            "POST /acme/api/old HTTP/1.0\r\nConnection: Keep-Alive\r\nX-API-Key: {key}\r\nContent-Length: 2\r\n\r\nhi"
        ));
        let response = client.read_response();
        assert_eq!(Echoed::of(&response).body, "hi");
        assert_eq!(response.header("Connection"), Some("keep-alive"));
    }
}

#[test]
fn an_http_1_0_client_gets_no_chunks() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    let (gateway, upstream) = (Gateway::start(), ScriptedUpstream::script(vec![Step::write(chunked)]));
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.0\r\nConnection: keep-alive\r\nX-API-Key: {key}\r\n\r\n"));
    let response = client.read_response();
    assert_eq!(response.header("Transfer-Encoding"), None);
    assert_eq!((response.text().as_str(), response.end), ("abcdef", BodyEnd::AtClose));

    let (header, url) = (format!("X-API-Key: {key}"), gateway.url("/acme/api"));
    let ran = curl(&["--http1.0", "--header", &header, &url]).success();
    assert_eq!(ran.text(), "abcdef");
}

#[test]
fn an_http_1_0_server_can_be_an_upstream() {
    let gateway = Gateway::start();
    let server = PythonServer::start(&[("greeting.txt", b"hello from files"), ("other.txt", b"more")]);
    let key = gateway.expose(&server.url());
    let mut client = gateway.client();
    for (path, body) in [("/greeting.txt", "hello from files"), ("/other.txt", "more")] {
        let response = client.get(&format!("/acme/api{path}"), &[("X-API-Key", &key)]).expect(200);
        assert_eq!((response.text().as_str(), response.end), (body, BodyEnd::Complete));
        assert_eq!(response.header("Connection"), None, "the client's connection is its own");
    }
    client.get("/acme/api/absent", &[("X-API-Key", &key)]).expect(404);
}

#[test]
fn responses_that_have_no_body_leave_the_connection_usable() {
    let upstream = ScriptedUpstream::start(|exchange| {
        exchange.read_whole_body()?;
        exchange.write(match (exchange.request.method.as_str(), exchange.request.target.as_str()) {
            ("HEAD", "/length") => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            ("HEAD", "/chunked") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            (_, "/204") => "HTTP/1.1 204 No Content\r\n\r\n",
            (_, "/304") => "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 1234\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        })
    });
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let key = [("X-API-Key", key.as_str())];
    let mut client = gateway.client();
    let head = client.request("HEAD", "/acme/api/length", &key, b"").expect(200);
    assert_eq!(head.header("Content-Length"), Some("1234"));
    client.request("HEAD", "/acme/api/chunked", &key, b"").expect(200);
    assert_eq!(client.get("/acme/api/204", &key).expect(204).header("Content-Length"), None);
    assert_eq!(client.get("/acme/api/304", &key).expect(304).header("ETag"), Some("\"v1\""));
    assert_eq!(client.request("HEAD", "/acme/nowhere", &key, b"").status, 404);
    assert_eq!(client.get("/acme/api/last", &key).expect(200).text(), "ok");
    assert_eq!(upstream.connections(), 1, "nor is the upstream's connection lost");
}

#[test]
fn python_s_client_and_the_gateway_understand_each_other() {
    const PROGRAM: &str = "
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
key = {'X-API-Key': sys.argv[2]}
bodies = []
def call(method, **options):
    headers = {**key, **options.pop('headers', {})}
    connection.request(method, '/acme/api/python', headers=headers, **options)
    bodies.append(json.loads(connection.getresponse().read())['body'])
call('GET')
call('POST', body='x' * 100_000)
call('PUT', body=iter([b'chunk ' * 1000, b'end']), headers={'Transfer-Encoding': 'chunked'}, encode_chunked=True)
call('DELETE')
print(json.dumps(bodies))
";
    let (gateway, _upstream, key) = started();
    let ran = python(PROGRAM, &[&gateway.proxy_address().to_string(), &key]).success();
    let bodies: serde_json::Value = serde_json::from_str(&ran.text()).expect("JSON");
    let chunked = "chunk ".repeat(1000) + "end";
    assert_eq!(bodies, json!(["", "x".repeat(100_000), chunked, ""]));
}

#[test]
fn curl_sends_a_file_and_saves_what_comes_back() {
    let (gateway, upstream, key) = started();
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let file = gateway.directory().join("sent.bin");
    std::fs::write(&file, &sent).expect("a file to send");
    let (header, body) = (format!("X-API-Key: {key}"), format!("@{}", file.display()));
    let url = gateway.url("/acme/api/upload");
    curl(&["--fail", "--header", &header, "--data-binary", &body, &url]).success();
    assert_eq!(upstream.await_request(0).body, sent);
}
