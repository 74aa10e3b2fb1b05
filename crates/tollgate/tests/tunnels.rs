//! Connections that change their protocol on the way: tunnels of bytes, such as web sockets.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::sync::mpsc;

use harness::{EchoUpstream, Echoed, Gateway, PATIENCE, RawClient, ScriptedUpstream, Step, Stopped};

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\
    X-Odd-Case: y\r\n\r\n";

/// Switches protocols, sends what it gets back until the other side ends, and says a last word.
fn echoing_tunnel() -> ScriptedUpstream {
    ScriptedUpstream::start(|exchange| {
        exchange.write(format!("{SWITCHING}welcome;"))?;
        loop {
            match exchange.read_bytes() {
                Ok(bytes) => exchange.write(bytes)?,
                Err(Stopped::Closed) => break,
                Err(stopped) => return Err(stopped),
            }
        }
        exchange.write("farewell;")?;
        Err(Stopped::Closed)
    })
}

fn upgrade(protocol: &str, key: &str) -> String {
    format!(
        "GET /acme/api/tunnel HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\
         Connection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    )
}

/// A client whose tunnel to this upstream is open.
#[track_caller]
fn in_a_tunnel(upstream: &ScriptedUpstream) -> (Gateway, RawClient) {
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(upgrade("echo", &key));
    assert_eq!(client.read_response().status, 101);
    (gateway, client)
}

#[track_caller]
fn assert_reads(client: &mut RawClient, expected: impl AsRef<[u8]>) {
    let expected = expected.as_ref();
    let mut bytes = Vec::new();
    while bytes.len() < expected.len() {
        bytes.extend(client.read_bytes(expected.len() - bytes.len()).expect("more bytes"));
    }
    assert!(bytes == expected, "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn a_tunnel_carries_bytes_both_ways_until_both_sides_have_ended() {
    let (gateway, upstream) = (Gateway::start(), echoing_tunnel());
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    // What follows the head in the same packet belongs to the new protocol, in either direction.
    client.send(upgrade("echo", &key) + "early;");
    let switching = client.read_response();
    assert_eq!(switching.status, 101);
    assert_eq!(switching.header("Connection"), Some("Upgrade"));
    assert_eq!(switching.header("Upgrade"), Some("echo"));
    assert_eq!(switching.header("X-Odd-Case"), Some("y"));
    assert_reads(&mut client, "welcome;early;");
    client.send("ping;\0\u{1}\r\n\r\n");
    assert_reads(&mut client, "ping;\0\u{1}\r\n\r\n");
    let large = "0123456789".repeat(20_000);
    client.send(&large);
    assert_reads(&mut client, &large);
    // The client has said all, and still hears the rest.
    client.finish_sending();
    assert_reads(&mut client, "farewell;");
    assert!(client.is_closed());
    upstream.await_open_connections(0);

    let request = &upstream.requests()[0];
    assert_eq!(request.header("Connection"), Some("Upgrade"));
    assert_eq!(request.header("Upgrade"), Some("echo"));
    assert_eq!(request.header("X-API-Key"), None);
}

#[test]
fn an_upstream_that_ends_first_still_hears_its_client() {
    let (tell, told) = mpsc::channel();
    let upstream = ScriptedUpstream::start(move |exchange| {
        exchange.write(SWITCHING)?;
        exchange.write("that is all;")?;
        exchange.finish_sending();
        let mut heard = Vec::new();
        let end = loop {
            match exchange.read_bytes() {
                Ok(bytes) => heard.extend(bytes),
                Err(stopped) => break stopped,
            }
        };
        tell.send((String::from_utf8_lossy(&heard).into_owned(), end.clone())).expect("the test");
        Err(end)
    });
    let (_gateway, mut client) = in_a_tunnel(&upstream);
    assert_reads(&mut client, "that is all;");
    assert!(client.is_closed(), "the end of the upstream's direction is passed on");
    client.send("understood;");
    client.finish_sending();
    let heard = told.recv_timeout(PATIENCE).expect("the end of the tunnel");
    assert_eq!(heard, ("understood;".to_owned(), Stopped::Closed));
    upstream.await_open_connections(0);
}

#[test]
fn a_client_that_breaks_off_ends_the_tunnel() {
    let upstream = echoing_tunnel();
    let (gateway, client) = in_a_tunnel(&upstream);
    client.reset();
    upstream.await_open_connections(0);
    gateway.await_logged(|line| line["status"] == 101 && line["path"] == "/acme/api/tunnel");
}

#[test]
fn a_protocol_that_was_not_offered_is_not_switched_to() {
    let (gateway, upstream) = (Gateway::start(), echoing_tunnel());
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(upgrade("other/1", &key));
    let refused = client.read_response();
    assert_eq!(refused.status, 502);
    assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=http_protocol_error"));
    // One of several, in another case.
    let mut client = gateway.client();
    client.send(upgrade("other/1, ECHO", &key));
    assert_eq!(client.read_response().status, 101);
}

#[test]
fn a_switch_that_does_not_say_to_what_is_502() {
    for field in ["", "Upgrade:\r\n", "Upgrade: ,\r\n"] {
        let switching = format!("HTTP/1.1 101 Switching Protocols\r\n{field}Connection: Upgrade\r\n\r\n");
        let upstream = ScriptedUpstream::script(vec![Step::write(switching), Step::AwaitClose]);
        let gateway = Gateway::start();
        let key = gateway.expose(&upstream.url());
        let mut client = gateway.client();
        client.send(upgrade("echo", &key));
        let refused = client.read_response().expect(502);
        assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=http_protocol_error"), "{field}");
        upstream.await_open_connections(0);
    }
}

/// A text frame of a client: masked with zeros, which is a mask like any other (RFC 6455 section 5.2).
fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn a_web_socket_to_the_demo_upstream_works() {
    let gateway = Gateway::builder().subcommand("quickstart").start();
    let mut client = gateway.client();
    client.send(
        "GET /test-tenant/test-api/ws HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: secret_key_12345\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let switching = client.read_response();
    assert_eq!(switching.status, 101, "{}", switching.text());
    // RFC 6455 section 1.3: the answer to that key.
    assert_eq!(switching.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for text in ["hello", "through the gateway"] {
        client.send(text_frame(text));
        assert_reads(&mut client, [0x81, u8::try_from(text.len()).expect("a short text")]);
        assert_reads(&mut client, text);
    }
    // A close frame with code 1000 is answered with one (RFC 6455 section 5.5.1).
    client.send(b"\x88\x82\0\0\0\0\x03\xe8");
    assert_reads(&mut client, b"\x88\x02\x03\xe8");
    assert!(client.is_closed());
}

#[test]
fn an_upgrade_that_the_upstream_declines_is_an_ordinary_exchange() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(upgrade("websocket", &key));
    let echoed = Echoed::of(&client.read_response());
    assert_eq!(echoed.header("Upgrade"), Some("websocket"));
    assert_eq!(Echoed::of(&client.get("/acme/api/next", &[("X-API-Key", &key)])).target, "/next");
}

#[test]
fn an_upgrade_to_http_2_is_not_offered_on() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for protocol in ["h2c", "H2C", "h2c-14", "h2c, h2c-14"] {
        let fields = [
            ("X-API-Key", key.as_str()),
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", protocol),
            ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
        ];
        let echoed = Echoed::of(&gateway.client().get("/acme/api", &fields));
        for name in ["Upgrade", "Connection", "HTTP2-Settings"] {
            assert_eq!(echoed.header(name), None, "{protocol}: {name}");
        }
    }
}

#[test]
fn all_that_a_client_offers_is_offered_on_but_http_2() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for (offers, on) in [
        (&["foo", "websocket"][..], "foo, websocket"),
        (&["websocket, h2c"], "websocket"),
        (&["h2c", "foo/1, bar"], "foo/1, bar"),
    ] {
        let offers = offers.iter().map(|offer| ("Upgrade", *offer));
        let fields: Vec<_> =
            [("X-API-Key", key.as_str()), ("Connection", "Upgrade")].into_iter().chain(offers).collect();
        let echoed = Echoed::of(&gateway.client().get("/acme/api", &fields));
        assert_eq!((echoed.header("Upgrade"), echoed.header("Connection")), (Some(on), Some("Upgrade")));
    }
}

#[test]
fn a_tunnel_that_breaks_on_one_side_breaks_on_the_other() {
    let upstream = ScriptedUpstream::script(vec![Step::write(SWITCHING), Step::Reset]);
    let (_gateway, mut client) = in_a_tunnel(&upstream);
    assert_eq!(client.read_bytes(1), Err(Stopped::Reset));

    let (tell, told) = mpsc::channel();
    let upstream = ScriptedUpstream::start(move |exchange| {
        exchange.write(SWITCHING)?;
        let end = exchange.read_bytes().expect_err("an end");
        tell.send(end.clone()).expect("the test");
        Err(end)
    });
    let (_gateway, client) = in_a_tunnel(&upstream);
    client.reset();
    assert_eq!(told.recv_timeout(PATIENCE).expect("the end of the tunnel"), Stopped::Reset);
}

#[test]
fn an_upgrade_counts_only_where_connection_names_it_and_in_http_1_1() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for (version, connection) in [("1.1", "keep-alive"), ("1.0", "Upgrade")] {
        let mut client = gateway.client();
        client.send(format!(
            "GET /acme/api HTTP/{version}\r\nHost: g\r\nX-API-Key: {key}\r\nConnection: {connection}\r\n\
             Upgrade: websocket\r\n\r\n"
        ));
        let echoed = Echoed::of(&client.read_response());
        assert_eq!((echoed.header("Upgrade"), echoed.header("Connection")), (None, None));
    }
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let upstream = ScriptedUpstream::script(vec![Step::write(SWITCHING), Step::AwaitClose]);
    let gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    let response = client.get("/acme/api", &[("X-API-Key", &key)]).expect(502);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=http_protocol_error"));
    upstream.await_open_connections(0);
}
