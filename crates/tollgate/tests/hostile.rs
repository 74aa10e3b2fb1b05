//! Messages that two readers could understand in two ways, or that no reader should understand: each is
//! answered with 400, its connection is closed, and nothing of it reaches an upstream.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{EchoUpstream, Echoed, Gateway};

/// A request with a valid key, so that nothing but the hostile part stands in its way.
fn request(start_line: &str, fields: &str, body: &str) -> String {
    format!("{start_line}\r\nHost: gateway.test\r\nX-API-Key: KEY\r\n{fields}\r\n{body}")
}

/// Every character stands for one byte, and KEY for a valid key.
fn bytes_of(message: &str, key: &str) -> Vec<u8> {
    let byte = |character| u8::try_from(character).expect("a character of Latin-1");
    message.replace("KEY", key).chars().map(byte).collect()
}

#[track_caller]
fn assert_all_refused(messages: impl IntoIterator<Item = String>) {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for message in messages {
        let mut client = gateway.client();
        client.send(bytes_of(&message, &key));
        let response = client.try_read_response("GET").unwrap_or_else(|stopped| {
            panic!("{stopped:?} in answer to {message:?}");
        });
        assert_eq!(response.status, 400, "{message:?}\n{}", response.text());
        assert_eq!(response.json()["error"]["code"], 400, "{message:?}");
        assert_eq!(response.header("Connection"), Some("close"), "{message:?}");
        assert!(client.is_closed(), "{message:?}");
    }
    assert_eq!(upstream.requests().len(), 0, "{:?}", upstream.requests());
    // The way was open all the time.
    let response = gateway.client().get("/acme/api/well-formed", &[("X-API-Key", &key)]);
    assert_eq!(Echoed::of(&response).target, "/well-formed");
}

#[test]
fn a_body_whose_length_is_ambiguous_is_refused() {
    const SMUGGLED: &str = "0\r\n\r\nGET /acme/api/smuggled HTTP/1.1\r\nHost: x\r\nX-API-Key: KEY\r\n\r\n";
    let fields = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 05\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
    ];
    let requests = fields.map(|fields| request("POST /acme/api/x HTTP/1.1", fields, SMUGGLED));
    let in_http_1_0 = request("POST /acme/api/x HTTP/1.0", "Transfer-Encoding: chunked\r\n", SMUGGLED);
    assert_all_refused(requests.into_iter().chain([in_http_1_0]));
}

#[test]
fn a_malformed_header_field_is_refused() {
    let fields = [
        "X-Foo : bar\r\n",
        "X-Foo\t: bar\r\n",
        " X-Foo: bar\r\n",
        "X-Foo\r\n",
        ": bar\r\n",
        "X-Foo: a\r\n folded\r\n",
        "X-Foo: a\r\n\tfolded\r\n",
        "X-Foo: a\nX-Bar: b\r\n",
        "X-Foo: a\rX-Bar: b\r\n",
        "X-Foo: a\r\r\n",
        "X-Foo: a\n\r\n",
        "X-Foo: a\u{0}b\r\n",
        "X-Foo\u{0}: a\r\n",
        "X-Foo: a\u{1}b\r\n",
        "X-Foo: a\u{8}b\r\n",
        "X-Foo: a\u{7f}b\r\n",
        "X(Foo): a\r\n",
        "X[Foo]: a\r\n",
        "X\"Foo\": a\r\n",
        "X Foo: a\r\n",
        "X/Foo: a\r\n",
        "X\u{e9}Foo: a\r\n",
    ];
    assert_all_refused(fields.map(|fields| request("GET /acme/api/x HTTP/1.1", fields, "")));
}

#[test]
fn a_malformed_request_line_is_refused() {
    let start_lines = [
        "GET  /acme/api/x HTTP/1.1",
        "GET /acme/api/x  HTTP/1.1",
        "GET /acme/api/x HTTP/1.1 ",
        " GET /acme/api/x HTTP/1.1",
        "GET\t/acme/api/x HTTP/1.1",
        "GET /acme/api/x\tHTTP/1.1",
        "GET /acme/api/x y HTTP/1.1",
        "G@T /acme/api/x HTTP/1.1",
        "G(T /acme/api/x HTTP/1.1",
        "GE\u{0}T /acme/api/x HTTP/1.1",
        "GE\rT /acme/api/x HTTP/1.1",
        "GE\u{cb}T /acme/api/x HTTP/1.1",
        "AMETHODOFMORETHANTHIRTYTWOLETTERS /acme/api/x HTTP/1.1",
        "/acme/api/x HTTP/1.1",
        "GET /acme/api/x",
        "GET HTTP/1.1",
        "GET /acme/api/x HTTP/1.10",
        "GET /acme/api/x HTTP/0.9",
        "GET /acme/api/x HTTP/2.0",
        "GET /acme/api/x HTTP/3",
        "GET /acme/api/x http/1.1",
        "GET /acme/api/x ICY/1.1",
        "GET /acme/api/x HTTP/1.1\r",
        "GET /acme/api/x HTTP/1.1\nX: y",
        "GET /acme/api/\u{0} HTTP/1.1",
        "GET /acme/api/\u{7f} HTTP/1.1",
        "GET /acme/api/\u{e9} HTTP/1.1",
        "GET /acme/api/x#fragment HTTP/1.1",
        "GET acme/api/x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET gateway.test:80 HTTP/1.1",
        "GET ftp://gateway.test/acme/api/x HTTP/1.1",
        "GET http://user@gateway.test/acme/api/x HTTP/1.1",
        "GET http:///acme/api/x HTTP/1.1",
        "CONNECT /acme/api/x HTTP/1.1",
        "CONNECT gateway.test HTTP/1.1",
    ];
    assert_all_refused(start_lines.map(|start_line| request(start_line, "", "")));
}

#[test]
fn what_is_no_http_at_all_is_refused() {
    assert_all_refused(
        [
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "\u{0}\u{0}\u{0}\u{0}",
            "{\"json\": true}\r\n\r\n",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
        ]
        .map(str::to_owned),
    );
}

#[test]
fn a_request_without_one_plain_host_is_refused() {
    let hosts = [
        "",
        "Host:\r\n",
        "Host: a.test\r\nHost: b.test\r\n",
        "Host: a.test\r\nhost: a.test\r\n",
        "Host: a.test, b.test\r\n",
        "Host: a b\r\n",
        "Host: user@a.test\r\n",
        "Host: a.test/path\r\n",
        "Host: a.test:99999\r\n",
        "Host: a.test:8x\r\n",
        "Host: a.test:-1\r\n",
        "Host: [::1\r\n",
        "Host: [::1]x\r\n",
        "Host: a%2eb\r\n",
        "Host: a\u{e9}.test\r\n",
        "Host: \"a\"\r\n",
    ];
    let plain = hosts.map(|host| format!("GET /acme/api/x HTTP/1.1\r\n{host}X-API-Key: KEY\r\n\r\n"));
    // An absolute target does not make up for it.
    let absolute = ["", "Host: a.test\r\nHost: b.test\r\n"]
        .map(|host| format!("GET http://a.test/acme/api/x HTTP/1.1\r\n{host}X-API-Key: KEY\r\n\r\n"));
    assert_all_refused(plain.into_iter().chain(absolute));
}

#[test]
fn a_path_that_servers_read_differently_is_refused() {
    let paths = [
        "/acme/api/../other/x",
        "/acme/api/..",
        "/acme/api/.",
        "/acme/api/a/./b",
        "/acme/api/a/..;v=1/b",
        "/acme/api/a/.;/b",
        "/../acme/api/x",
        "/./acme/api/x",
        "/acme/../acme/api/x",
        "/acme/api/%2e%2e/other",
        "/acme/api/%2E%2E/other",
        "/acme/api/.%2e/other",
        "/acme/api/%2e",
        "/acme/api/%2e;x/y",
        "/acme/api/a%2fb",
        "/acme/api/a%2Fb",
        "/acme%2Fapi/x",
        "/acme/api/a%5cb",
        "/acme/api/a%5Cb",
        "/acme/api/a\\b",
        "/acme/api/..\\other",
        "/acme/api/a%00b",
        "/acme/api/%",
        "/acme/api/%2",
        "/acme/api/%zz",
        "http://gateway.test/acme/api/../other/x",
        "http://gateway.test/acme/api/%2e%2e/other",
    ];
    assert_all_refused(paths.map(|path| request(&format!("GET {path} HTTP/1.1"), "", "")));
}

#[test]
fn a_malformed_chunked_body_is_refused() {
    let long_extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(2_000));
    let bodies = [
        "10000000000000001\r\n",
        "ffffffffffffffffff\r\n",
        "00000000000000001\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1h\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\t\r\na\r\n0\r\n\r\n",
        "1 ;x\r\na\r\n0\r\n\r\n",
        "\r\na\r\n0\r\n\r\n",
        ";x\r\na\r\n0\r\n\r\n",
        "1,1\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\ra\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1;x\u{0}y\r\na\r\n0\r\n\r\n",
        "1;x\ny\r\na\r\n0\r\n\r\n",
        "1\r\na\r\n0\r\nno colon\r\n\r\n",
        "1\r\na\r\n0\r\nX-Foo : a\r\n\r\n",
        "1\r\na\r\n0\r\nX-Foo: a\r\n folded\r\n\r\n",
        "1\r\na\r\n0\r\nX-Foo: a\nX-Bar: b\r\n\r\n",
        "1\r\na\r\n0\r\n\n",
        &long_extension,
    ];
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_all_refused(bodies.map(|body| request("POST /acme/api/x HTTP/1.1", chunked, body)));
}

#[test]
fn a_hostile_request_ends_the_pipeline_that_it_came_in() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    let messages = [
        request("GET /acme/api/1 HTTP/1.1", "", ""),
        request("GET /acme/api/2 HTTP/1.1", "Host: other.test\r\n", ""),
        request("GET /acme/api/3 HTTP/1.1", "", ""),
    ];
    client.send(bytes_of(&messages.concat(), &key));
    assert_eq!(Echoed::of(&client.read_response()).target, "/1");
    client.read_response().expect(400);
    assert!(client.is_closed());
    assert_eq!(upstream.requests().len(), 1);
}
