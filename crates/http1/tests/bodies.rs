//! How bodies end, what they may cost, and how they are framed.
#![allow(clippy::unwrap_used, reason = "helpers of tests may, too")]

mod drive;

use drive::{Transcript, cut, owned, requests, responses};
use tollgate_http1::{
    BodyDecoder, BodyEncoder, BodyError, BodyLength, Decoded, EncodeError, Fields, HeadLimits, Method,
    RequestHead, ResponseHead, Version, request_body, response_body,
};

/// Reads a chunked request with this body, whole and byte by byte, which has to be the same.
fn read_chunked(body: &[u8]) -> Transcript {
    let bytes = [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat();
    let whole = requests(&[&bytes], &HeadLimits::default());
    assert_eq!(requests(&cut(&bytes, &vec![1; bytes.len()]), &HeadLimits::default()), whole);
    whole
}

#[test]
fn payload_is_pointed_at_where_it_lies() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let input = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nnext";
    assert_eq!(decoder.decode(input), Ok(Decoded::Data { skip: 3, len: 3 }));
    assert_eq!(decoder.decode(&input[6..]), Ok(Decoded::Data { skip: 7, len: 2 }));
    assert_eq!(decoder.decode(&input[15..]), Ok(Decoded::End { consumed: 7 }));
    assert_eq!(&input[22..], b"next");
    assert_eq!(decoder.decode(&input[22..]), Ok(Decoded::End { consumed: 0 }));
}

#[test]
fn exact_bodies_end_at_their_length() {
    let mut decoder = BodyDecoder::new(BodyLength::Exact(3));
    assert_eq!(decoder.decode(b""), Ok(Decoded::NeedMore { consumed: 0 }));
    assert_eq!(decoder.decode(b"ab"), Ok(Decoded::Data { skip: 0, len: 2 }));
    assert_eq!(decoder.decode(b"cd"), Ok(Decoded::Data { skip: 0, len: 1 }));
    assert_eq!(decoder.decode(b"d"), Ok(Decoded::End { consumed: 0 }));
    assert_eq!(decoder.end_of_input(), Ok(()));
}

#[test]
fn only_bodies_until_close_may_end_with_the_connection() {
    let ends = |length| BodyDecoder::new(length).end_of_input();
    assert_eq!(ends(BodyLength::None), Ok(()));
    assert_eq!(ends(BodyLength::Exact(0)), Ok(()));
    assert_eq!(ends(BodyLength::UntilClose), Ok(()));
    assert_eq!(ends(BodyLength::Exact(1)), Err(BodyError::Incomplete));
    assert_eq!(ends(BodyLength::Chunked), Err(BodyError::Incomplete));
}

#[test]
fn a_response_without_length_is_all_that_comes() {
    let read = responses(Method::Get, &[b"HTTP/1.0 200 OK\r\n\r\na", b"", b"bc"], &HeadLimits::default());
    assert_eq!((read.messages[0].body.as_slice(), read.messages[0].complete), (&b"abc"[..], true));
}

#[test]
fn a_refused_body_stays_refused() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let refused = Err(BodyError::Malformed("chunk size"));
    assert_eq!(decoder.decode(b"x"), refused);
    assert_eq!(decoder.decode(b"0\r\n\r\n"), refused);
    assert_eq!(decoder.decode(b""), refused);
    assert_eq!(decoder.end_of_input(), Err(BodyError::Malformed("chunk size")));
}

#[test]
fn extensions_are_bounded_by_line_and_by_body() {
    let chunk = |extension_bytes: usize| format!("1;{}\r\na\r\n", "x".repeat(extension_bytes - 1));
    let read = |body: String| read_chunked((body + "0\r\n\r\n").as_bytes()).error;
    assert_eq!(read(chunk(1024)), None);
    assert_eq!(read(chunk(1025)).unwrap(), "chunk extensions are too long");
    assert_eq!(read(chunk(1024).repeat(16)), None);
    assert_eq!(read(chunk(1024).repeat(17)).unwrap(), "chunk extensions are too long");
}

#[test]
fn payload_makes_up_for_extensions() {
    let signed = format!("200;chunk-signature={}\r\n{}\r\n", "a".repeat(64), "x".repeat(0x200));
    let transcript = read_chunked((signed.repeat(2_000) + "0\r\n\r\n").as_bytes());
    assert_eq!(transcript.error, None);
    assert_eq!(transcript.messages[0].body.len(), 2_000 * 0x200);
}

#[test]
fn trailers_are_bounded() {
    let read = |trailers: String| read_chunked(format!("0\r\n{trailers}\r\n").as_bytes()).error;
    assert_eq!(read("X: y\r\n".repeat(64)), None);
    assert_eq!(read("X: y\r\n".repeat(65)).unwrap(), "trailer section is too large");
    // 5 bytes of a line are not the value, 2 bytes of the section not a line.
    assert_eq!(read(format!("X: {}\r\n", "y".repeat(8192 - 7))), None);
    assert_eq!(read(format!("X: {}\r\n", "y".repeat(8192 - 6))).unwrap(), "trailer section is too large");
}

#[test]
fn trailers_that_frame_route_or_identify_are_dropped() {
    let transcript = read_chunked(
        b"0\r\nX-Sum: 1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: x\r\n\
          X-Api-Key: k\r\nX-Tenant-Id: t\r\nX-Forwarded-For: 1.2.3.4\r\nSet-Cookie: a=b\r\nConnection: close\r\n\
          content-encoding: gzip\r\nIf-None-Match: *\r\nProxy-Status: p\r\nSERVER-TIMING: 2\r\n\r\n",
    );
    let names: Vec<_> = transcript.messages[0].trailers.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [&b"X-Sum"[..], b"Proxy-Status", b"SERVER-TIMING"]);
}

#[test]
fn what_follows_trailers_is_the_next_message() {
    let transcript = read_chunked(b"0\r\nX: y\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(transcript.messages.len(), 2);
    assert_eq!(transcript.messages[1].start.1, b"/2");
}

fn response(method: Method, status: u16, fields: &[(&str, &str)]) -> BodyLength {
    let mut head = ResponseHead::new();
    head.set(status, Version::Http11, b"");
    for (name, value) in fields {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    response_body(method, &head).unwrap()
}

#[test]
fn bodies_of_responses_follow_from_the_exchange() {
    let length: &[(&str, &str)] = &[("content-length", "5")];
    let chunked: &[(&str, &str)] = &[("transfer-encoding", "chunked")];
    assert_eq!(response(Method::Get, 200, &[]), BodyLength::UntilClose);
    assert_eq!(response(Method::Get, 200, length), BodyLength::Exact(5));
    assert_eq!(response(Method::Post, 500, chunked), BodyLength::Chunked);
    for (method, status) in [
        (Method::Head, 200),
        (Method::Head, 404),
        (Method::Get, 100),
        (Method::Get, 103),
        (Method::Get, 204),
        (Method::Get, 304),
        (Method::Connect, 200),
        (Method::Connect, 299),
    ] {
        for fields in [&[], length, chunked] {
            assert_eq!(response(method, status, fields), BodyLength::None, "{method:?} {status}");
        }
    }
    assert_eq!(response(Method::Connect, 403, length), BodyLength::Exact(5));
}

#[test]
fn requests_without_framing_have_no_body() {
    let mut head = RequestHead::new();
    head.set(b"POST", b"/", Version::Http11).unwrap();
    assert_eq!(request_body(&head), Ok(BodyLength::None));
    head.fields.append(b"content-length", b"9223372036854775807");
    assert_eq!(request_body(&head), Ok(BodyLength::Exact(u64::MAX >> 1)));
}

#[test]
fn payload_is_framed() {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    encoder.data(b"abc", &mut out).unwrap();
    encoder.data(b"", &mut out).unwrap();
    encoder.data(&[b'x'; 16], &mut out).unwrap();
    encoder.chunk_prefix(0x1_0000, &mut out).unwrap();
    out.extend_from_slice(b"<sent apart>");
    encoder.chunk_suffix(0x1_0000, &mut out);
    let mut trailers = Fields::new();
    trailers.append(b"X", b"y");
    encoder.end(Some(&trailers), &mut out).unwrap();
    assert_eq!(
        out.escape_ascii().to_string(),
        b"3\r\nabc\r\n10\r\nxxxxxxxxxxxxxxxx\r\n10000\r\n<sent apart>\r\n0\r\nX: y\r\n\r\n"
            .escape_ascii()
            .to_string()
    );
    assert_eq!(encoder.data(b"a", &mut out), Err(EncodeError::Ended));
    assert_eq!(encoder.end(None, &mut out), Err(EncodeError::Ended));
}

#[test]
fn payload_has_to_match_what_was_announced() {
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Exact(3));
    encoder.data(b"ab", &mut out).unwrap();
    assert_eq!(encoder.data(b"cd", &mut out), Err(EncodeError::TooLong));
    assert_eq!(encoder.end(None, &mut out), Err(EncodeError::TooShort { missing_bytes: 1 }));
    encoder.data(b"c", &mut out).unwrap();
    encoder.end(None, &mut out).unwrap();
    assert_eq!(out, b"abc");
    assert_eq!(BodyEncoder::new(BodyLength::None).data(b"x", &mut out), Err(EncodeError::TooLong));
    assert_eq!(BodyEncoder::new(BodyLength::None).end(None, &mut out), Ok(()));
    let mut until_close = BodyEncoder::new(BodyLength::UntilClose);
    until_close.data(b"def", &mut out).unwrap();
    until_close.end(None, &mut out).unwrap();
    assert_eq!(out, b"abcdef");
}

#[test]
fn trailers_survive_a_round_trip() {
    let mut trailers = Fields::new();
    trailers.append(b"grpc-status", b"0");
    trailers.append(b"grpc-message", b"");
    let mut out = Vec::new();
    let mut encoder = BodyEncoder::new(BodyLength::Chunked);
    encoder.data(b"abc", &mut out).unwrap();
    encoder.end(Some(&trailers), &mut out).unwrap();
    let read = &read_chunked(&out).messages[0];
    assert_eq!((read.body.as_slice(), &read.trailers), (&b"abc"[..], &owned(&trailers)));
}
