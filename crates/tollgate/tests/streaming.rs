//! Bodies on their way: as they come, never held whole, and never taken for whole where they are not.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::{
    EchoUpstream, Gate, Gateway, RawClient, ScriptedUpstream, Step, eventually, eventually_some, post,
};
use serde_json::json;

const LARGE_BYTES: usize = 64 * 1024 * 1024;
/// What the gateway may take in addition while a large body goes through.
const MEMORY_BYTES: u64 = 16 * 1024 * 1024;

/// Repeats with a prime period, so that a piece that is lost, repeated or moved shows.
fn large_body() -> Vec<u8> {
    let block: Vec<u8> =
        (0..65_521_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let mut body = block.repeat(LARGE_BYTES / block.len() + 1);
    body.truncate(LARGE_BYTES);
    body
}

/// One chunk and its framing.
fn chunk(payload: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

/// Reads until all that came ends like this.
#[track_caller]
fn read_until(client: &mut RawClient, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let bytes = client.read_bytes(usize::MAX).expect("more of the response");
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    text
}

/// Waits until the number has grown and then stays as it is: nothing moves any more.
#[track_caller]
fn await_standstill(moved_bytes: &AtomicUsize) -> usize {
    eventually_some("a standstill", || {
        let before = moved_bytes.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(300));
        (before > 0 && before == moved_bytes.load(Ordering::SeqCst)).then_some(before)
    })
}

#[test]
fn a_request_s_body_reaches_the_upstream_while_it_is_still_being_sent() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for (number, (fields, pieces)) in [
        ("Content-Length: 6\r\n", ["abc", "def"]),
        ("Transfer-Encoding: Chunked\r\n", ["3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = gateway.client();
        client.send(post(fields, &key) + pieces[0]);
        eventually("the first half at the upstream", || {
            upstream.requests().get(number).is_some_and(|request| request.body == b"abc")
        });
        client.send(pieces[1]);
        assert_eq!(upstream.await_request(number).body, b"abcdef");
        client.read_response().expect(200);
    }
}

#[test]
fn a_response_s_body_reaches_the_client_while_it_is_still_being_sent() {
    for (head, pieces) in [
        ("Content-Length: 6\r\n\r\n", ["abc", "def"]),
        ("Transfer-Encoding: chunked\r\n\r\n", ["3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n"]),
        ("\r\n", ["abc", "def"]),
    ] {
        let gate = Gate::new();
        let upstream = ScriptedUpstream::script(vec![
            Step::write(format!("HTTP/1.1 200 OK\r\n{head}{}", pieces[0])),
            Step::Await(gate.clone()),
            Step::write(pieces[1]),
            Step::Close,
        ]);
        let gateway = Gateway::start();
        let key = gateway.expose(&upstream.url());
        let mut client = gateway.client();
        client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
        let is_chunked = !head.contains("Length");
        let end_of_first = if is_chunked { "\r\nabc\r\n" } else { "\r\nabc" };
        read_until(&mut client, end_of_first);
        gate.open();
        let rest = read_until(&mut client, if is_chunked { "0\r\n\r\n" } else { "def" });
        assert!(rest.contains("def"), "{rest}");
    }
}

#[test]
fn trailers_and_not_extensions_are_passed_on_both_ways() {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
        3;ext=1;quoted=\"a b\"\r\nabc\r\n0;last\r\nX-Sum: 42\r\nSet-Cookie: a=b\r\nX-RateLimit-Limit-Day: 9\r\n\
        x-odd-Case: y\r\n\r\n";
    let upstream = ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::write(response)]);
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "auth_header": "X-Shop" }));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    let forged =
        "X-API-Key: forged\r\nX_Tenant_ID: forged\r\nx_shop: forged\r\nTrue-Client-IP: 192.0.2.7\r\n";
    client.send(
        post("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", &key).replace("X-API-Key", "X-Shop")
            + "3;a;b=c\r\nabc\r\n0\r\nX-Sum: 42\r\nContent-Length: 99\r\n"
            + forged
            + "x-odd-Case: y\r\n\r\n",
    );
    let response = client.read_response().expect(200);
    let request = upstream.await_request(0);
    // Fields that a recipient has to know before the body are no trailers.
    let expected = [("X-Sum".to_owned(), "42".to_owned()), ("x-odd-Case".to_owned(), "y".to_owned())];
    assert_eq!((request.body.as_slice(), request.trailers.as_slice()), (&b"abc"[..], &expected[..]));
    assert_eq!((response.body.as_slice(), response.trailers.as_slice()), (&b"abc"[..], &expected[..]));
    assert_eq!((request.header("Trailer"), response.header("Trailer")), (Some("X-Sum"), Some("X-Sum")));
    client.get("/acme/nowhere", &[]).expect(404);
}

#[test]
fn trailers_that_connection_names_go_no_further_either_way() {
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n\r\n\
        3\r\nabc\r\n0\r\nx-hop: 1\r\nX-Sum: 42\r\n\r\n";
    let upstream = ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::write(response)]);
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(
        post("Transfer-Encoding: chunked\r\nConnection: keep-alive, x-own-hop\r\n", &key)
            + "3\r\nabc\r\n0\r\nX-Own-Hop: 1\r\nX-Sum: 42\r\n\r\n",
    );
    let response = client.read_response().expect(200);
    let expected = [("X-Sum".to_owned(), "42".to_owned())];
    assert_eq!(upstream.await_request(0).trailers, expected);
    assert_eq!(response.trailers, expected);
}

#[test]
fn a_body_of_any_size_leaves_both_connections_ready_for_the_next_request() {
    let upstream = ScriptedUpstream::start(|exchange| {
        exchange.read_whole_body()?;
        let body = exchange.request.body.clone();
        if exchange.request.header("Content-Length").is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            return exchange.write([head.as_bytes(), &body].concat());
        }
        let head = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
        exchange.write([head, &chunk(&body), b"0\r\n\r\n"].concat())
    });
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.set_timeout(Duration::from_secs(10));
    let large = large_body();
    for size in [1, 2_047, 2_048, 2_049, 8_000, 16_384, 65_536, 100_000, 1_000_000] {
        let body = &large[..size];
        client.send([post(&format!("Content-Length: {size}\r\n"), &key).as_bytes(), body].concat());
        assert!(client.read_response().expect(200).body == body, "{size} bytes");
        let head = post("Transfer-Encoding: chunked\r\n", &key);
        client.send([head.as_bytes(), &chunk(body), b"0\r\n\r\n"].concat());
        assert!(client.read_response().expect(200).body == body, "{size} bytes in chunks");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_large_upload_arrives_whole_and_takes_little_memory() {
    let body = large_body();
    let upstream = ScriptedUpstream::script(Step::respond("200 OK", "thanks"));
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let before = gateway.peak_resident_bytes();
    let mut client = gateway.client();
    client.send(post(&format!("Content-Length: {LARGE_BYTES}\r\n"), &key));
    client.send(&body);
    assert_eq!(client.read_response().expect(200).text(), "thanks");
    client.send(post("Transfer-Encoding: chunked\r\n", &key));
    body.chunks(100_003).for_each(|piece| client.send(chunk(piece)));
    client.send("0\r\n\r\n");
    assert_eq!(client.read_response().expect(200).text(), "thanks");
    for request in upstream.requests() {
        assert!(request.body == body, "{} bytes arrived", request.body.len());
    }
    let taken = gateway.peak_resident_bytes() - before;
    assert!(taken < MEMORY_BYTES, "{taken} bytes");
}

#[test]
fn a_large_download_arrives_whole_and_takes_little_memory() {
    let body = Arc::new(large_body());
    let sent = Arc::clone(&body);
    let upstream = ScriptedUpstream::start(move |exchange| {
        if exchange.request.target == "/length" {
            exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n"))?;
            return exchange.write(&*sent);
        }
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        sent.chunks(100_003).try_for_each(|piece| exchange.write(chunk(piece)))?;
        exchange.write("0\r\n\r\n")
    });
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let before = gateway.peak_resident_bytes();
    let mut client = gateway.client();
    for path in ["/acme/api/length", "/acme/api/chunked"] {
        let response = client.get(path, &[("X-API-Key", &key)]);
        assert!(response.body == *body, "{} bytes of {path} arrived", response.body.len());
    }
    let taken = gateway.peak_resident_bytes() - before;
    assert!(taken < MEMORY_BYTES, "{taken} bytes");
}

#[test]
fn a_client_that_does_not_read_holds_its_upstream_back() {
    let body = Arc::new(large_body());
    let sent_bytes = Arc::new(AtomicUsize::new(0));
    let (sent, count) = (Arc::clone(&body), Arc::clone(&sent_bytes));
    let upstream = ScriptedUpstream::start(move |exchange| {
        exchange.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n"))?;
        sent.chunks(65_536).try_for_each(|piece| {
            exchange.write(piece)?;
            count.fetch_add(piece.len(), Ordering::SeqCst);
            Ok(())
        })
    });
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let before = gateway.peak_resident_bytes();
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    // The kernel's buffers hold some of it, the gateway next to nothing.
    let stalled_at = await_standstill(&sent_bytes);
    assert!(stalled_at < LARGE_BYTES / 2, "{stalled_at} bytes were taken");
    let taken = gateway.peak_resident_bytes() - before;
    assert!(taken < MEMORY_BYTES, "{taken} bytes");
    assert!(client.read_response().body == *body);
}

#[test]
fn an_upstream_that_does_not_read_holds_its_client_back() {
    let gate = Gate::new();
    let mut steps = vec![Step::Await(gate.clone())];
    steps.extend(Step::respond("200 OK", "thanks"));
    let upstream = ScriptedUpstream::script(steps);
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let before = gateway.peak_resident_bytes();
    let (body, sent_bytes) = (Arc::new(large_body()), Arc::new(AtomicUsize::new(0)));
    let sending = {
        let (body, count, mut client) = (Arc::clone(&body), Arc::clone(&sent_bytes), gateway.client());
        thread::spawn(move || {
            client.send(post(&format!("Content-Length: {LARGE_BYTES}\r\n"), &key));
            for piece in body.chunks(65_536) {
                client.send(piece);
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
            client.read_response()
        })
    };
    let stalled_at = await_standstill(&sent_bytes);
    assert!(stalled_at < LARGE_BYTES / 2, "{stalled_at} bytes were taken");
    let taken = gateway.peak_resident_bytes() - before;
    assert!(taken < MEMORY_BYTES, "{taken} bytes");
    gate.open();
    assert_eq!(sending.join().expect("the client").expect(200).text(), "thanks");
    assert!(upstream.requests()[0].body == *body);
}
