//! What heads say once they are read, what their limits are, and how they are written.
#![allow(clippy::unwrap_used, reason = "helpers of tests may, too")]

mod drive;

use drive::{cut, requests, responses};
use tollgate_http1::{
    Authority, FieldId, Fields, HeadError, HeadLimits, HeadWriter, Method, RequestHead, RequestParser,
    ResponseHead, ResponseParser, TargetForm, Version, is_field_value, is_token, keep_alive, list_tokens,
};

fn request(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    let consumed = RequestParser::new().parse(bytes, &HeadLimits::default(), &mut head).unwrap();
    assert_eq!(consumed, Some(bytes.len()));
    head
}

#[test]
fn order_and_letter_case_of_fields_are_kept() {
    let head = request(b"GET /x HTTP/1.1\r\nhOsT: a\r\nB: 1\r\na:2\r\nB:\t3 \r\nX-ApI-Key: k\r\n\r\n");
    let fields: Vec<_> = head.fields.iter().map(|field| (field.name, field.value)).collect();
    assert_eq!(
        fields,
        [(&b"hOsT"[..], &b"a"[..]), (b"B", b"1"), (b"a", b"2"), (b"B", b"3"), (b"X-ApI-Key", b"k")]
    );
    assert_eq!(head.fields.first(FieldId::XApiKey), Some(&b"k"[..]));
    assert_eq!(head.fields.find(b"b"), Some(&b"1"[..]));
    assert_eq!(head.fields.find(b"x-api-key"), Some(&b"k"[..]));
    assert_eq!(head.fields.find(b"c"), None);
    assert!(!head.fields.contains(FieldId::Cookie));
    assert_eq!(head.fields.len(), 5);
}

#[test]
fn a_head_is_reused_without_traces_of_the_last() {
    let mut parser = RequestParser::new();
    let mut head = RequestHead::new();
    let first = b"DELETE /long/target HTTP/1.1\r\nHost: a\r\nCookie: c\r\n\r\n";
    let second = b"BREW /x HTTP/1.0\r\n\r\n";
    for bytes in [&first[..], second] {
        assert_eq!(parser.parse(bytes, &HeadLimits::default(), &mut head), Ok(Some(bytes.len())));
    }
    assert_eq!(head, request(second));
    assert_eq!((head.method, head.method_name(), head.target()), (Method::Other, &b"BREW"[..], &b"/x"[..]));
    assert_eq!(head.version, Version::Http10);
    assert!(head.fields.is_empty() && !head.fields.contains(FieldId::Cookie));
    head.clear();
    assert_eq!(head, RequestHead::new());
}

#[test]
fn what_follows_a_head_is_not_consumed() {
    let mut head = RequestHead::new();
    let input = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
    let consumed = RequestParser::new().parse(input, &HeadLimits::default(), &mut head).unwrap().unwrap();
    assert_eq!(&input[consumed..], b"GET /next");
}

#[test]
fn targets_are_taken_apart() {
    let absolute = |target: &[u8]| {
        let mut head = RequestHead::new();
        head.set(b"GET", target, Version::Http11).unwrap();
        match head.target_form() {
            TargetForm::Absolute { scheme, authority, path } => {
                (scheme.to_vec(), authority.to_vec(), path.to_vec())
            }
            other => panic!("{other:?}"),
        }
    };
    let parts = |scheme: &str, authority: &str, path: &str| (scheme.into(), authority.into(), path.into());
    assert_eq!(absolute(b"http://a/b?c"), parts("http", "a", "/b?c"));
    assert_eq!(absolute(b"HTTPS://a.b:1/"), parts("HTTPS", "a.b:1", "/"));
    assert_eq!(absolute(b"http://a"), parts("http", "a", ""));
    assert_eq!(absolute(b"http://a?b/c"), parts("http", "a", "?b/c"));
    assert_eq!(request(b"GET //a/b HTTP/1.1\r\nHost: a\r\n\r\n").target_form(), TargetForm::Origin);
    assert_eq!(request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target_form(), TargetForm::Asterisk);
}

#[test]
fn a_head_refused_by_set_is_unchanged() {
    let mut head = request(b"OPTIONS * HTTP/1.0\r\n\r\n");
    let before = head.clone();
    for (method, target) in
        [(&b"GET"[..], &b"*"[..]), (b"G T", b"/"), (b"", b"/"), (b"GET", b""), (b"GET", b"/ ")]
    {
        assert!(matches!(head.set(method, target, Version::Http11), Err(HeadError::Malformed(_))));
        assert_eq!(head, before);
    }
}

#[test]
fn ports_and_hosts_are_checked() {
    assert_eq!(Authority::parse(b"A-1.b_c~"), Some(Authority { host: b"A-1.b_c~", port: None }));
    assert_eq!(Authority::parse(b"1.2.3.4:65535"), Some(Authority { host: b"1.2.3.4", port: Some(65535) }));
    assert_eq!(Authority::parse(b"[2001:db8::1]"), Some(Authority { host: b"[2001:db8::1]", port: None }));
    for invalid in [&b""[..], b"a b", b"a:-1", b"[::1%25eth0]", b"[]", b"a:1:2", b"a\0", b"a;b", b"v[::1]"] {
        assert_eq!(Authority::parse(invalid), None, "{}", invalid.escape_ascii());
    }
}

/// Reads a request whole and byte by byte, and returns the error, which has to be the same.
fn refusal(bytes: &[u8], limits: &HeadLimits) -> Option<String> {
    let whole = requests(&[bytes], limits);
    assert_eq!(requests(&cut(bytes, &vec![1; bytes.len()]), limits), whole);
    whole.error
}

#[test]
fn a_request_line_is_held_to_its_limit() {
    let limits = HeadLimits { request_line_bytes: 20, ..HeadLimits::default() };
    let line_of = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 14));
    assert_eq!(refusal(line_of(20).as_bytes(), &limits), None);
    assert_eq!(refusal(line_of(21).as_bytes(), &limits).unwrap(), "request line is too long");
    // However it would have gone on.
    let broken = format!("GET /{}\rX", "x".repeat(21 - 5));
    assert_eq!(refusal(broken.as_bytes(), &limits).unwrap(), "request line is too long");
    // Before its end is there.
    assert_eq!(refusal(b"GET /xxxxxxxxxxxxxxxxx", &limits).unwrap(), "request line is too long");
    assert_eq!(refusal(b"GET /xxxxxxxxxxxxxxxx", &limits), None);
}

#[test]
fn a_header_section_is_held_to_its_limit() {
    let limits = HeadLimits { head_bytes: 20, ..HeadLimits::default() };
    // "Host: a" takes 9 bytes, the empty line 2.
    assert_eq!(refusal(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1234\r\n\r\n", &limits), None);
    assert_eq!(
        refusal(b"GET / HTTP/1.1\r\nHost: a\r\nX: 12345\r\n\r\n", &limits).unwrap(),
        "header section is too large"
    );
    assert_eq!(
        refusal(b"GET / HTTP/1.1\r\nHost: a\r\nX: 12345678", &limits).unwrap(),
        "header section is too large"
    );
}

#[test]
fn the_number_of_fields_is_limited() {
    let with_fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let limits = HeadLimits::default();
    assert_eq!(refusal(with_fields(100).as_bytes(), &limits), None);
    assert_eq!(refusal(with_fields(101).as_bytes(), &limits).unwrap(), "too many header fields");
    let limits = HeadLimits { fields: usize::MAX, ..limits };
    assert_eq!(refusal(with_fields(HeadLimits::MAX_FIELDS).as_bytes(), &limits), None);
    assert_eq!(
        refusal(with_fields(HeadLimits::MAX_FIELDS + 1).as_bytes(), &limits).unwrap(),
        "too many header fields"
    );
}

#[test]
fn a_status_line_counts_against_the_head() {
    let limits = HeadLimits { head_bytes: 20, ..HeadLimits::default() };
    let error = |bytes: &[u8]| responses(Method::Get, &[bytes], &limits).error;
    assert_eq!(error(b"HTTP/1.1 200 1234567\r\n\r\n"), None);
    assert_eq!(error(b"HTTP/1.1 200 12345678\r\n\r\n").unwrap(), "header section is too large");
}

#[test]
fn a_reason_is_kept_as_received() {
    let mut head = ResponseHead::new();
    for (bytes, reason) in [
        (&b"HTTP/1.1 200 Fine by me\r\n\r\n"[..], &b"Fine by me"[..]),
        (b"HTTP/1.1 200 \xe9t\xe9\r\n\r\n", b"\xe9t\xe9"),
        (b"HTTP/1.1 200 \r\n\r\n", b""),
        (b"HTTP/1.1 200\r\n\r\n", b""),
    ] {
        ResponseParser::new().parse(bytes, &HeadLimits::default(), &mut head).unwrap().unwrap();
        assert_eq!((head.status, head.reason()), (200, reason));
    }
}

#[test]
fn connections_persist_as_their_version_has_it() {
    let persists = |version, value: &[u8]| {
        let mut fields = Fields::new();
        fields.append(b"Connection", value);
        keep_alive(version, &fields)
    };
    assert!(keep_alive(Version::Http11, &Fields::new()));
    assert!(!keep_alive(Version::Http10, &Fields::new()));
    assert!(!persists(Version::Http11, b"X-A, CLOSE"));
    assert!(persists(Version::Http11, b"closed"));
    assert!(persists(Version::Http10, b"X-A , Keep-Alive"));
    assert!(!persists(Version::Http10, b"keep-alive, close"));
}

#[test]
fn lists_are_split_and_trimmed() {
    let tokens: Vec<_> = list_tokens(b" a ,,\tb,c d , ").collect();
    assert_eq!(tokens, [&b"a"[..], b"b", b"c d"]);
    assert_eq!(list_tokens(b"").count(), 0);
}

#[test]
fn names_and_values_from_elsewhere_can_be_checked() {
    assert!(
        is_token(b"X-a_1!") && !is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && !is_token(b"\x80")
    );
    assert!(is_field_value(b"") && is_field_value(b"a\tb \xff"));
    for invalid in [&b" a"[..], b"a\t", b"a\r\nb", b"a\0", b"\x7f", b"a\nb"] {
        assert!(!is_field_value(invalid), "{}", invalid.escape_ascii());
    }
}

#[test]
fn heads_are_written_as_given() {
    let received = request(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nConnection: close\r\nTE: trailers\r\nx-c:2\r\nUpgrade: h2c\r\n\r\n",
    );
    let mut out = b"before".to_vec();
    let mut writer = HeadWriter::request(&mut out, b"PATCH", [&b"/x"[..], b"?y"]);
    writer.fields(&received.fields, |field| !field.id.is_hop_by_hop()).field(b"Via", b"1.1 t");
    writer.field_number(b"Content-Length", u64::MAX);
    writer.finish();
    assert_eq!(
        out.escape_ascii().to_string(),
        b"beforePATCH /x?y HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-c: 2\r\nVia: 1.1 t\r\n\
          Content-Length: 18446744073709551615\r\n\r\n"
            .escape_ascii()
            .to_string()
    );

    // White space around values is the one thing that doesn't pass through: each gets one space before it.
    for spacing in [&b"X:1\r\n"[..], b"X:\t1\r\n", b"X:1 \r\n", b"X: 1 \r\n", b"X:  1\r\n", b"X: \t1\t \r\n"]
    {
        let received = request(&[b"GET / HTTP/1.0\r\n", spacing, b"\r\n"].concat());
        assert_eq!(received.fields.find(b"x"), Some(&b"1"[..]), "{}", spacing.escape_ascii());
        out.clear();
        let mut writer = HeadWriter::request(&mut out, b"GET", [&b"/"[..]]);
        writer.fields(&received.fields, |_| true);
        writer.finish();
        assert_eq!(out, b"GET / HTTP/1.1\r\nX: 1\r\n\r\n", "{}", spacing.escape_ascii());
    }

    out.clear();
    HeadWriter::response(&mut out, 429).finish();
    HeadWriter::response(&mut out, 599).finish();
    HeadWriter::response_with_reason(&mut out, 200, b"Fine").finish();
    assert_eq!(out, b"HTTP/1.1 429 Too Many Requests\r\n\r\nHTTP/1.1 599 \r\n\r\nHTTP/1.1 200 Fine\r\n\r\n");
}

#[test]
fn a_refused_head_holds_nothing_that_cannot_be_looked_at() {
    for wrong in ["X: a\u{b}b\r\n", "X: a\0\r\n", "X : a\r\n", "X:  a\r\nY: \u{b}\r\n"] {
        let mut head = RequestHead::new();
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n{wrong}\r\n");
        assert!(RequestParser::new().parse(input.as_bytes(), &HeadLimits::default(), &mut head).is_err());
        assert_eq!((head.fields.first(FieldId::Accept), head.fields.iter().count()), (None, 0), "{input:?}");
    }
}
