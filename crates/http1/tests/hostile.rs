//! Messages made to be misread, and what becomes of each, whole and byte by byte.
//!
//! Longer than other files because it is one table.

mod drive;

use drive::{Transcript, cut, requests, responses};
use tollgate_http1::{HeadLimits, Method};

/// What has to become of a message.
enum Outcome {
    /// Refused, with these words in the error; and no message before it.
    Refused(&'static str),
    /// The head is read, the body is refused with these words.
    BodyRefused(&'static str),
    /// Read, with these bytes as its body.
    Accepted(&'static [u8]),
}
use Outcome::{Accepted, BodyRefused, Refused};

/// A name for the report, the bytes, and what they have to lead to.
type Case = (&'static str, &'static [u8], Outcome);

#[test]
fn hostile_requests_are_refused() {
    for cases in [REQUEST_LINES, TARGETS, FIELD_LINES, HOSTS, LENGTHS, CODINGS, CHUNKS, TRAILERS] {
        check(cases, |pieces| requests(pieces, &HeadLimits::default()));
    }
}

#[test]
fn hostile_responses_are_refused() {
    check(RESPONSES, |pieces| responses(Method::Get, pieces, &HeadLimits::default()));
    check(RESPONSES_TO_HEAD, |pieces| responses(Method::Head, pieces, &HeadLimits::default()));
}

fn check(cases: &[Case], read: impl Fn(&[&[u8]]) -> Transcript) {
    for (name, bytes, outcome) in cases {
        let whole = read(&[bytes]);
        match outcome {
            Refused(words) => {
                assert!(whole.messages.is_empty(), "{name}: got past the head: {whole:?}");
                assert_words(name, &whole, words);
            }
            BodyRefused(words) => {
                assert_eq!(whole.messages.len(), 1, "{name}: {whole:?}");
                assert!(!whole.messages[0].complete, "{name}: taken for complete: {whole:?}");
                assert_words(name, &whole, words);
            }
            Accepted(body) => {
                assert_eq!(whole.error, None, "{name}");
                assert_eq!(whole.messages.len(), 1, "{name}: {whole:?}");
                assert!(whole.messages[0].complete && whole.unread.is_empty(), "{name}: {whole:?}");
                assert_eq!(whole.messages[0].body, *body, "{name}");
            }
        }
        assert_eq!(read(&cut(bytes, &vec![1; bytes.len()])), whole, "{name}, byte by byte");
    }
}

fn assert_words(name: &str, transcript: &Transcript, words: &str) {
    let error = transcript.error.as_deref().unwrap_or("nothing refused");
    assert!(error.contains(words), "{name}: expected {words:?}, got {error:?}");
}

const REQUEST_LINES: &[Case] = &[
    ("plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("unknown method", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("two empty lines in front", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("three empty lines in front", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("bare LF in front", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("bare CR in front", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("space in front", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("TLS handshake", b"\x16\x03\x01\x02\x00\x01", Refused("method")),
    ("byte from 0x80 in the method", b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("NUL in the method", b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("colon in the method", b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("method of 33 bytes", b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n", Refused("method")),
    ("tab after the method", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused("method")),
    ("two spaces after the method", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request line")),
    ("two spaces before the version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Refused("more than two spaces")),
    ("space after the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refused("line end")),
    ("HTTP/0.9", b"GET /\r\n\r\n", Refused("request line")),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("HTTP/1.9, otherwise spaced", b"GET / HTTP/1.9\r\nHost:a\r\n\r\n", Accepted(b"")),
    ("HTTP/1.2 without a Host", b"GET / HTTP/1.2\r\n\r\n", Refused("Host")),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refused("line end")),
    ("HTTP/1.2 in the target", b"GET /\tHTTP/1.2\r\nHost: a\r\n\r\n", Refused("request line")),
    ("HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused("HTTP version")),
    ("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", Refused("HTTP version")),
    ("small letters in the version", b"GET / http/1.1\r\nHost: a\r\n\r\n", Refused("HTTP version")),
    ("LF only", b"GET / HTTP/1.1\nHost: a\n\n", Refused("line feed without")),
    ("CR only", b"GET / HTTP/1.1\rHost: a\r\r", Refused("carriage return without")),
    ("bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", Refused("line feed without")),
    (
        "CR CR LF after the request line",
        b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        Refused("carriage return without"),
    ),
];

const TARGETS: &[Case] = &[
    ("curly braces", b"GET /{a|b} HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("no leading slash", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Refused("more than two spaces")),
    ("tab in the target", b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request line")),
    ("NUL in the target", b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request line")),
    ("DEL in the target", b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request line")),
    ("UTF-8 in the target", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
    ("no UTF-8 in the target", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request")),
    ("fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
    (
        "bare CR in the target",
        b"GET /a\rX: b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused("carriage return without"),
    ),
    ("asterisk with OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("asterisk with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
    ("asterisk and more", b"OPTIONS */ HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
    ("authority with CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Accepted(b"")),
    ("authority with GET", b"GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused("request target")),
    ("path with CONNECT", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Refused("CONNECT")),
    ("CONNECT without port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", Refused("CONNECT")),
    ("absolute form of another host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Accepted(b"")),
    ("absolute form without Host", b"GET http://a/ HTTP/1.1\r\n\r\n", Refused("no Host")),
    ("user in the authority", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused("authority")),
    ("password in the authority", b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused("authority")),
    ("empty authority", b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", Refused("authority")),
    ("authority without host", b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused("authority")),
    ("backslash in the authority", b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused("authority")),
    ("another scheme", b"GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
    ("scheme without slashes", b"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n", Refused("request target")),
];

const FIELD_LINES: &[Case] = &[
    ("tab as a separator", b"GET / HTTP/1.1\r\nHost:\ta \r\n\r\n", Accepted(b"")),
    ("empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", Accepted(b"")),
    ("bytes from 0x80 in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n", Accepted(b"")),
    (
        "space before the colon",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        Refused("between a field name and its colon"),
    ),
    (
        "tab before the colon",
        b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        Refused("between a field name and its colon"),
    ),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Refused("without a colon")),
    ("empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", Refused("without a name")),
    ("folded line", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", Refused("begins with white space")),
    (
        "line folded with a tab",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
        Refused("begins with white space"),
    ),
    (
        "space before the first field",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        Refused("begins with white space"),
    ),
    ("line of a space", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", Refused("begins with white space")),
    (
        "NUL in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
        Refused("character that no field name has"),
    ),
    (
        "byte from 0x80 in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa9: a\r\n\r\n",
        Refused("character that no field name has"),
    ),
    (
        "parenthesis in a name",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n",
        Refused("character that no field name has"),
    ),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Refused("field value")),
    ("control in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", Refused("field value")),
    ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", Refused("field value")),
    (
        "bare CR in a value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
        Refused("carriage return without"),
    ),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", Refused("carriage return without")),
    ("bare LF between fields", b"GET / HTTP/1.1\r\nHost: a\nX: a\r\n\r\n", Refused("line feed without")),
    ("bare LF after the last field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", Refused("line feed without")),
    ("bare LF as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", Refused("line feed without")),
    ("space then bare LF", b"GET / HTTP/1.1\r\nHost: a\r\nX: b \n\r\n", Refused("line feed without")),
    ("bare CR as the end", b"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", Refused("carriage return without")),
];

const HOSTS: &[Case] = &[
    ("port", b"GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n", Accepted(b"")),
    ("IPv6", b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", Accepted(b"")),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", Accepted(b"")),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", Refused("no Host")),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Refused("more than one Host")),
    ("the same Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Refused("more than one Host")),
    ("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Refused("more than one Host")),
    ("empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Refused("empty Host")),
    ("empty Host beside an authority", b"GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", Accepted(b"")),
    ("list in Host", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Refused("not one host")),
    ("comma in Host", b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", Refused("Host")),
    ("path in Host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Refused("not one host")),
    ("user in Host", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", Refused("Host")),
    ("percent in Host", b"GET / HTTP/1.1\r\nHost: %61\r\n\r\n", Refused("Host")),
    ("UTF-8 in Host", b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", Refused("Host")),
    ("letters as a port", b"GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", Refused("not one host")),
    ("signed port", b"GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", Refused("Host")),
    ("port beyond 65535", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Refused("Host")),
    ("two ports", b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", Refused("Host")),
    ("port alone", b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", Refused("Host")),
    ("open bracket", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Refused("Host")),
    ("text behind a bracket", b"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", Refused("Host")),
    ("name in brackets", b"GET / HTTP/1.1\r\nHost: [a]\r\n\r\n", Refused("Host")),
];

const LENGTHS: &[Case] = &[
    ("exact", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", Accepted(b"ab")),
    ("zero", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Accepted(b"")),
    ("cut short", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", BodyRefused("cut short")),
    (
        "CL.TE",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        Refused("both"),
    ),
    (
        "TE.CL",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        Refused("both"),
    ),
    (
        "CL.TE with an unknown coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: identity\r\n\r\nab",
        Refused("both"),
    ),
    (
        "two lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        Refused("more than one"),
    ),
    (
        "the same length twice",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nab",
        Refused("more than one"),
    ),
    ("list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab", Refused("more than one")),
    ("list of different", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2,3\r\n\r\nab", Refused("more than one")),
    ("empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Refused("invalid Content-Length")),
    ("plus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab", Refused("invalid Content-Length")),
    ("minus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nab", Refused("invalid Content-Length")),
    ("hex", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nab", Refused("invalid Content-Length")),
    ("leading zero", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n", Refused("invalid Content-Length")),
    ("fraction", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2.0\r\n\r\nab", Refused("invalid Content-Length")),
    ("space within", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n", Refused("invalid Content-Length")),
    ("quoted", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"2\"\r\n\r\n", Refused("invalid Content-Length")),
    (
        "2^64",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
        Refused("invalid Content-Length"),
    ),
];

const CODINGS: &[Case] = &[
    (
        "letter case",
        b"POST / HTTP/1.1\r\nHost: a\r\ntRANSFER-eNCODING: ChunKed\r\n\r\n0\r\n\r\n",
        Accepted(b""),
    ),
    (
        "white space around",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t chunked\t \r\n\r\n0\r\n\r\n",
        Accepted(b""),
    ),
    (
        "xchunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "chunked twice in a list",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "chunked twice in two fields",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "TE.TE",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: x\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "identity",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "gzip, chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "chunked, identity",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "trailing comma",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "leading comma",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "parameter",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "quoted",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "empty coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "space within",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "byte from 0x80 behind",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n",
        Refused("unsupported Transfer-Encoding"),
    ),
    (
        "vertical tab before chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        Refused("field value"),
    ),
    (
        "NUL behind chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
        Refused("field value"),
    ),
    (
        "space before the colon of Transfer-Encoding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused("between a field name and its colon"),
    ),
    (
        "folded chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused("begins with white space"),
    ),
    (
        "Transfer-Encoding behind a bare LF",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused("line feed without"),
    ),
    (
        "Transfer-Encoding behind a bare CR",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused("carriage return without"),
    ),
    (
        "chunked in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused("HTTP/1.0"),
    ),
    (
        // Another name, not another coding: what follows is the next request, and refused as such.
        "underscore for the hyphen",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        Accepted(b"0\r\n\r\n"),
    ),
];

/// A chunked request with the given body.
macro_rules! chunked {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

const CHUNKS: &[Case] = &[
    ("two chunks", chunked!("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), Accepted(b"abc")),
    ("hex digits", chunked!("A\r\n0123456789\r\n0\r\n\r\n"), Accepted(b"0123456789")),
    ("leading zeros", chunked!("0000000000000001\r\na\r\n0\r\n\r\n"), Accepted(b"a")),
    ("many zeros as the last chunk", chunked!("0000\r\n\r\n"), Accepted(b"")),
    ("extension", chunked!("1;a=\"b c\"\r\na\r\n0;z\r\n\r\n"), Accepted(b"a")),
    ("17 digits", chunked!("00000000000000001\r\na\r\n0\r\n\r\n"), BodyRefused("too many digits")),
    ("size overflow", chunked!("10000000000000001\r\na\r\n0\r\n\r\n"), BodyRefused("too many digits")),
    ("largest size", chunked!("7FFFFFFFFFFFFFFF\r\na"), BodyRefused("cut short")),
    (
        "negative where sizes have a sign",
        chunked!("8000000000000000\r\na"),
        BodyRefused("chunk size is too large"),
    ),
    ("0x", chunked!("0x1\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("plus", chunked!("+1\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("minus", chunked!("-1\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("underscore", chunked!("1_0\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("other letter", chunked!("1g\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("no size", chunked!("\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("extension without size", chunked!(";a\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("space before the size", chunked!(" 1\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("space after the size", chunked!("1 \r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("tab after the size", chunked!("1\t\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("space before the extension", chunked!("1 ;a\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("NUL after the size", chunked!("1\0\r\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("bare LF after the size", chunked!("1\na\r\n0\r\n\r\n"), BodyRefused("chunk size")),
    ("bare CR after the size", chunked!("1\ra\r\n0\r\n\r\n"), BodyRefused("chunk line")),
    ("bare LF in an extension", chunked!("1;a\na\r\n0\r\n\r\n"), BodyRefused("chunk extension")),
    ("bare CR in an extension", chunked!("1;a\rb\r\na\r\n0\r\n\r\n"), BodyRefused("chunk line")),
    ("NUL in an extension", chunked!("1;a\0\r\na\r\n0\r\n\r\n"), BodyRefused("chunk extension")),
    ("payload longer than its size", chunked!("1\r\nab\r\n0\r\n\r\n"), BodyRefused("end of a chunk")),
    ("payload shorter than its size", chunked!("3\r\na\r\n0\r\n\r\n"), BodyRefused("end of a chunk")),
    ("bare LF after payload", chunked!("1\r\na\n0\r\n\r\n"), BodyRefused("end of a chunk")),
    ("bare CR after payload", chunked!("1\r\na\r0\r\n\r\n"), BodyRefused("end of a chunk")),
    ("nothing after payload", chunked!("1\r\na0\r\n\r\n"), BodyRefused("end of a chunk")),
    ("no last chunk", chunked!("1\r\na\r\n"), BodyRefused("cut short")),
    ("no end", chunked!("1\r\na\r\n0\r\n"), BodyRefused("cut short")),
    ("half an end", chunked!("1\r\na\r\n0\r\n\r"), BodyRefused("cut short")),
    ("bare LF as the end", chunked!("1\r\na\r\n0\r\n\n"), BodyRefused("line feed without")),
    ("bare CR as the end", chunked!("1\r\na\r\n0\r\n\rX"), BodyRefused("end of the body")),
];

const TRAILERS: &[Case] = &[
    ("trailer", chunked!("0\r\nX: y\r\n\r\n"), Accepted(b"")),
    ("bare LF in trailers", chunked!("0\r\nX: y\n\r\n"), BodyRefused("line feed without")),
    ("bare CR in trailers", chunked!("0\r\nX: y\rZ: z\r\n\r\n"), BodyRefused("carriage return without")),
    ("folded trailer", chunked!("0\r\nX: y\r\n z\r\n\r\n"), BodyRefused("trailer field")),
    ("space before a trailer's colon", chunked!("0\r\nX : y\r\n\r\n"), BodyRefused("trailer field")),
    ("NUL in a trailer", chunked!("0\r\nX: \0\r\n\r\n"), BodyRefused("trailer field")),
    ("request as a trailer", chunked!("0\r\nGET / HTTP/1.1\r\n\r\n"), BodyRefused("trailer field")),
    ("unended trailers", chunked!("0\r\nX: y\r\n"), BodyRefused("cut short")),
];

const RESPONSES: &[Case] = &[
    ("until close", b"HTTP/1.1 200 OK\r\n\r\nab", Accepted(b"ab")),
    ("no reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", Accepted(b"")),
    ("no space before no reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Accepted(b"")),
    ("status 999", b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", Accepted(b"")),
    ("no body with 204", b"HTTP/1.1 204 x\r\nContent-Length: 9\r\n\r\n", Accepted(b"")),
    ("no body with 304", b"HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", Accepted(b"")),
    ("status 099", b"HTTP/1.1 099 x\r\n\r\n", Refused("status")),
    ("two digits", b"HTTP/1.1 20 OK\r\n\r\n", Refused("status")),
    ("four digits", b"HTTP/1.1 2000 OK\r\n\r\n", Refused("status")),
    ("letters as a status", b"HTTP/1.1 2xx OK\r\n\r\n", Refused("status")),
    ("two spaces", b"HTTP/1.1  200 OK\r\n\r\n", Refused("status")),
    ("empty line in front", b"\r\nHTTP/1.1 200 OK\r\n\r\n", Refused("status line")),
    ("HTTP/2", b"HTTP/2 200 OK\r\n\r\n", Refused("status line")),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", Accepted(b"")),
    ("HTTP/1.2, otherwise spaced", b"HTTP/1.2 200 OK\r\nContent-Length:0\r\n\r\n", Accepted(b"")),
    ("HTTP/1.10", b"HTTP/1.10 200 OK\r\n\r\n", Refused("HTTP version")),
    ("HTTP/1.x", b"HTTP/1.x 200 OK\r\n\r\n", Refused("HTTP version")),
    ("not HTTP", b"SSH-2.0-x\r\n", Refused("status line")),
    ("NUL in the reason", b"HTTP/1.1 200 \0\r\n\r\n", Refused("status")),
    ("bare LF", b"HTTP/1.1 200 OK\nX: y\r\n\r\n", Refused("line feed without")),
    ("bare CR in the reason", b"HTTP/1.1 200 O\rK\r\n\r\n", Refused("carriage return without")),
    ("folded", b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", Refused("begins with white space")),
    ("space before the colon", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", Refused("field name")),
    (
        "CL and TE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused("both"),
    ),
    ("unknown coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Refused("unsupported")),
    (
        "TE in HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused("HTTP/1.0"),
    ),
    (
        "two lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        Refused("more than one"),
    ),
    ("cut short", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", BodyRefused("cut short")),
    (
        "chunked, cut short",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
        BodyRefused("cut short"),
    ),
];

const RESPONSES_TO_HEAD: &[Case] = &[
    ("length without a body", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Accepted(b"")),
    ("coding without a body", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Accepted(b"")),
    (
        "CL and TE",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused("both"),
    ),
];
