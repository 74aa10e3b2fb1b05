//! Responses that are not simply final and whole: interim, early, cut short, malformed.

mod harness;

use harness::{BodyEnd, Gate, Gateway, ScriptedUpstream, Step, Stopped, curl, eventually, post};
use serde_json::json;

fn started(steps: Vec<Step>) -> (Gateway, ScriptedUpstream, String) {
    let (gateway, upstream) = (Gateway::start(), ScriptedUpstream::script(steps));
    let key = gateway.expose(&upstream.url());
    (gateway, upstream, key)
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn a_client_that_expects_100_continue_gets_it_from_the_upstream() {
    let gate = Gate::new();
    let (gateway, upstream, key) = started(vec![
        Step::Await(gate.clone()),
        Step::write(CONTINUE),
        Step::ReadWholeBody,
        Step::write("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let mut client = gateway.client();
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n", &key));
    eventually("the request at the upstream", || upstream.requests().len() == 1);
    gate.open();
    assert_eq!(client.read_response().status, 100);
    client.send("hello");
    assert_eq!(client.read_response().status, 201);
    let request = upstream.await_request(0);
    assert_eq!((request.header("Expect"), request.body.as_slice()), (Some("100-continue"), &b"hello"[..]));
}

#[test]
fn an_upstream_that_refuses_the_body_is_never_sent_it() {
    let (gateway, upstream, key) =
        started(vec![Step::write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"), Step::AwaitClose]);
    let mut client = gateway.client();
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n", &key));
    // The first response is the final one: the gateway promises nothing on its own.
    assert_eq!(client.read_response().expect(403).text(), "no");
    assert!(client.is_closed(), "where the next request would begin is in doubt");
    upstream.await_open_connections(0);
    assert_eq!(upstream.requests()[0].body, b"");
}

#[test]
fn curl_waits_for_100_continue_before_it_sends() {
    let (gateway, upstream, key) = started(vec![
        Step::write(CONTINUE),
        Step::ReadWholeBody,
        Step::write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"),
    ]);
    let (header, url) = (format!("X-API-Key: {key}"), gateway.url("/acme/api"));
    let expect = ["--header", "Expect: 100-continue", "--expect100-timeout", "60"];
    let ran =
        curl(&[&expect[..], &["--header", &header, "--data-binary", "a body", &url]].concat()).success();
    assert_eq!(ran.text(), "done");
    assert_eq!(upstream.await_request(0).body, b"a body");
}

#[test]
fn interim_responses_are_passed_on_as_they_come() {
    let gate = Gate::new();
    let (gateway, _upstream, key) = started(vec![
        Step::write("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n"),
        Step::write("link: </b.js>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"),
        Step::Await(gate.clone()),
        Step::write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]);
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    assert_eq!(client.read_response().status, 102);
    let hints = client.read_response();
    let expected = [("Link".to_owned(), "</a.css>".to_owned()), ("link".to_owned(), "</b.js>".to_owned())];
    assert_eq!((hints.status, hints.headers.as_slice()), (103, &expected[..]));
    gate.open();
    assert_eq!(client.read_response().expect(200).text(), "ok");
}

#[test]
fn an_http_1_0_client_gets_no_interim_responses() {
    let response = format!(
        "{CONTINUE}HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    );
    let (gateway, _upstream, key) = started(vec![Step::write(response)]);
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.0\r\nX-API-Key: {key}\r\n\r\n"));
    assert_eq!(client.read_response().expect(200).text(), "ok");
}

#[test]
fn an_early_response_reaches_a_client_that_is_still_sending() {
    for (fields, piece) in
        [("Content-Length: 1000\r\n", "abc"), ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n")]
    {
        let (gateway, upstream, key) = started(vec![
            Step::ReadBody(3),
            Step::write("HTTP/1.1 422 No\r\nContent-Length: 8\r\n\r\nno more!"),
            Step::AwaitClose,
        ]);
        let mut client = gateway.client();
        client.send(post(fields, &key) + piece);
        let response = client.read_response().expect(422);
        assert_eq!((response.text().as_str(), response.end), ("no more!", BodyEnd::Complete));
        assert_eq!(response.header("Connection"), Some("close"));
        assert!(client.is_closed(), "the rest of the body is not taken for a request");
        upstream.await_open_connections(0);
    }
}

#[test]
fn a_client_that_sends_all_of_its_body_all_the_same_gets_to_read_an_early_response() {
    let (gateway, upstream, key) = started(vec![
        Step::ReadBody(3),
        Step::write("HTTP/1.1 422 No\r\nContent-Length: 8\r\n\r\nno more!"),
        Step::AwaitClose,
    ]);
    let rest = "x".repeat(8_000_000);
    let mut client = gateway.client();
    client.send(post(&format!("Content-Length: {}\r\n", 3 + rest.len()), &key) + "abc");
    // By then the response has been sent, and nobody wants the rest.
    gateway.await_logged(|line| line["status"] == 422);
    client.send(rest);
    assert_eq!(client.read_response().expect(422).text(), "no more!");
    upstream.await_open_connections(0);
}

#[test]
fn a_response_that_is_cut_short_is_never_taken_for_a_whole_one() {
    let head = "HTTP/1.1 200 OK\r\n";
    let closes = [
        "Content-Length: 10\r\n\r\nabc",
        "Content-Length: 10\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ]
    .map(|rest| vec![Step::write(format!("{head}{rest}")), Step::Close]);
    // A body that ends with the connection has ended only where the connection has.
    let reset = vec![Step::write(format!("{head}\r\nabc")), Step::Reset];
    let scripts: Vec<Vec<Step>> = closes.into_iter().chain([reset]).collect();
    let count = scripts.len();
    for version in ["1.1", "1.0"] {
        let upstream = ScriptedUpstream::scripts(scripts.clone());
        let gateway = Gateway::start();
        let key = gateway.expose(&upstream.url());
        for number in 0..count {
            let mut client = gateway.client();
            client.send(format!("GET /acme/api HTTP/{version}\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
            match client.try_read_response("GET") {
                Ok(response) => assert_eq!(response.end, BodyEnd::CutShort, "HTTP/{version}: {response:?}"),
                // The connection broke before anything was passed on.
                Err(stopped) => assert_eq!(stopped, Stopped::Reset, "HTTP/{version}, script {number}"),
            }
        }
    }
}

#[test]
fn a_response_that_is_framed_wrongly_further_on_is_cut() {
    let gate = Gate::new();
    let (gateway, _upstream, key) = started(vec![
        Step::write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        Step::Await(gate.clone()),
        Step::write("zz\r\n"),
        Step::AwaitClose,
    ]);
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    let mut received = client.read_bytes(1_024).expect("the beginning of the response");
    gate.open();
    let stopped = loop {
        match client.read_bytes(1_024) {
            Ok(bytes) => received.extend(bytes),
            Err(stopped) => break stopped,
        }
    };
    assert_eq!(stopped, Stopped::Reset);
    assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n") && !received.ends_with(b"0\r\n\r\n"));
    eventually("the reason in the log", || {
        gateway.stderr().iter().any(|line| line.contains("framed its response wrongly"))
    });
}

#[test]
fn an_upstream_that_insists_on_another_protocol_says_which() {
    let (gateway, _upstream, key) = started(vec![Step::write(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    )]);
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(426);
    assert_eq!(
        (response.header("Upgrade"), response.header("Connection")),
        (Some("websocket"), Some("Upgrade"))
    );
}

#[test]
fn curl_notices_that_a_response_was_cut_short() {
    let (gateway, _upstream, key) = started(vec![
        Step::write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        Step::Close,
    ]);
    let (header, url) = (format!("X-API-Key: {key}"), gateway.url("/acme/api"));
    for version in ["--http1.1", "--http1.0"] {
        let ran = curl(&[version, "--header", &header, &url]);
        assert!(ran.code.is_some_and(|code| code != 0), "{version}: {ran:?}");
    }
}

#[test]
fn a_malformed_response_becomes_502_with_its_reason() {
    let responses = [
        "hello\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Foo : bar\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Foo: a\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Foo: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Foo: a\rX-Bar: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: unasked\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Cut: sho",
        // Nothing was sent on before that was seen.
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x3\r\nabc\r\n0\r\n\r\n",
    ];
    let scripts = responses.iter().map(|response| vec![Step::write(response), Step::Close]).collect();
    let upstream = ScriptedUpstream::scripts(scripts);
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    // The circuit would open before the last of them.
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "breaker": { "enabled": false } }));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    for response in responses {
        let answer = client.get("/acme/api", &[("X-API-Key", &key)]);
        assert_eq!(answer.status, 502, "{response:?}");
        let status = answer.header("Proxy-Status");
        assert_eq!(status, Some("tollgate; error=http_protocol_error"), "{response:?}");
        assert_eq!(answer.json()["error"]["code"], 502);
        assert_eq!(answer.header("X-Foo"), None, "nothing of it is passed on");
    }
}

#[test]
fn what_an_upstream_sends_beyond_its_response_answers_no_other_request() {
    let two =
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let respond = Step::respond("200 OK", "two");
    let upstream = ScriptedUpstream::scripts(vec![vec![Step::write(two)], respond]);
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    assert_eq!(client.get("/acme/api", &[("X-API-Key", &key)]).text(), "one");
    assert_eq!(client.get("/acme/api", &[("X-API-Key", &key)]).text(), "two");
    assert_eq!(upstream.connections(), 2, "one that says more than it was asked is not trusted again");
}

#[test]
fn a_body_behind_a_204_answers_no_other_request() {
    for announced in ["Content-Length: 42", "Transfer-Encoding: chunked"] {
        let head = format!("HTTP/1.1 204 No Content\r\n{announced}\r\n\r\n");
        let (gateway, upstream, key) = started(vec![Step::write(head), Step::AwaitClose]);
        gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(204);
        // Whatever comes behind it comes over a connection that nobody uses.
        upstream.await_open_connections(0);
    }
    let head = "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
    let (gateway, upstream, key) = started(vec![Step::write(head)]);
    let mut client = gateway.client();
    for _ in 0..2 {
        client.get("/acme/api", &[("X-API-Key", &key)]).expect(204);
    }
    assert_eq!(upstream.connections(), 1);
}
