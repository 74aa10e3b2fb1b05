//! What holds for all messages: how they are cut makes no difference, what is written reads back,
//! and nothing makes the codec panic or read too far. `PROPTEST_CASES` sets the number of cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests may, too")]

mod drive;

use drive::{Transcript, cut, requests, responses};
use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_http1::{
    BodyDecoder, BodyEncoder, BodyLength, Decoded, FieldId, Fields, HeadLimits, HeadWriter, Method,
    is_field_value, is_token, may_trail,
};

/// Small enough for generated messages to reach them now and then.
const LIMITS: HeadLimits = HeadLimits { request_line_bytes: 60, head_bytes: 200, fields: 6 };

/// What messages are made of, good and bad, so that random ones come close to being valid.
const FRAGMENTS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"OPTIONS ",
    b"X",
    b"/",
    b"*",
    b"http://h/p",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\n",
    b"Host: a\r\n",
    b"Host:a:80 \r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204\r\n",
    b"HTTP/1.0 500 \xff\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 03\r\n",
    b"content-length:0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"X: y\r\n",
    b"X-Long: 0123456789012345678901234567\r\n",
    b"Empty:\r\n",
    b" folded\r\n",
    b"Name : v\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b":",
    b";",
    b"\xe9",
    b"0\r\n",
    b"0\r\n\r\n",
    b"3\r\n",
    b"abc",
    b"abc\r\n",
    b"3;ext=1\r\n",
    b"a\r\n",
    b"0x3\r\n",
    b"11111111111111111\r\n",
];

fn message_soup() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        20 => prop::sample::select(FRAGMENTS).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(fragment, 0..24).prop_map(|fragments| fragments.concat())
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![Just(1), 0_usize..8, 0_usize..64], 0..40)
}

fn fields() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let name = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}".prop_map(String::into_bytes);
    let framing = [FieldId::ContentLength, FieldId::TransferEncoding, FieldId::Host];
    let name =
        name.prop_filter("framing is the test's own", move |name| !framing.contains(&FieldId::of(name)));
    let value = vec(prop_oneof![0x20_u8..=0x7e, 0x80_u8..=0xff, Just(b'\t')], 0..40);
    // Stored values have no white space at their ends.
    let value = value.prop_map(|value| value.trim_ascii().to_vec());
    vec((name, value), 0..20)
}

proptest! {
    #[test]
    fn requests_are_the_same_however_they_are_cut(input in message_soup(), lengths in lengths()) {
        let whole = requests(&[&input], &LIMITS);
        prop_assert_eq!(requests(&cut(&input, &lengths), &LIMITS), whole);
    }

    #[test]
    fn responses_are_the_same_however_they_are_cut(input in message_soup(), lengths in lengths()) {
        for method in [Method::Get, Method::Head] {
            let whole = responses(method, &[&input], &LIMITS);
            prop_assert_eq!(responses(method, &cut(&input, &lengths), &LIMITS), whole);
        }
    }

    #[test]
    fn chunked_bodies_are_the_same_however_they_are_cut(input in message_soup(), lengths in lengths()) {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = [head, input.as_slice()].concat();
        let lengths: Vec<_> = [vec![head.len()], lengths].concat();
        let whole = requests(&[&bytes], &HeadLimits::default());
        prop_assert_eq!(requests(&cut(&bytes, &lengths), &HeadLimits::default()), whole);
    }

    #[test]
    fn requests_read_back(
        method in "[A-Z]{1,32}",
        path in "/[!-\"$-~]{0,40}",
        fields in fields(),
        body in written_body(),
        lengths in lengths(),
    ) {
        prop_assume!(method != "CONNECT");
        let mut out = Vec::new();
        let mut writer = HeadWriter::request(&mut out, method.as_bytes(), [path.as_bytes()]);
        writer.field(b"Host", b"a").fields(&stored(&fields), |_| true);
        writer.field(body.framing().0, &body.framing().1);
        writer.finish();
        body.write(&mut out);

        let read = requests(&cut(&out, &lengths), &HeadLimits::default());
        let written_fields = [&[(b"Host".to_vec(), b"a".to_vec())], fields.as_slice()].concat();
        assert_read_back(&read, (method.as_bytes(), path.as_bytes()), &written_fields, &body)?;
    }

    #[test]
    fn responses_read_back(
        status in prop_oneof![200_u16..=203, 205_u16..=303, 305_u16..=999],
        reason in vec(prop_oneof![Just(b'\t'), 0x20_u8..=0x7e, 0x80_u8..=0xff], 0..20),
        fields in fields(),
        body in written_body(),
        lengths in lengths(),
    ) {
        let mut out = Vec::new();
        let mut writer = HeadWriter::response_with_reason(&mut out, status, &reason);
        writer.fields(&stored(&fields), |_| true);
        writer.field(body.framing().0, &body.framing().1);
        writer.finish();
        body.write(&mut out);

        let read = responses(Method::Get, &cut(&out, &lengths), &HeadLimits::default());
        assert_read_back(&read, (status.to_string().as_bytes(), &reason), &fields, &body)?;
    }

    #[test]
    fn decoders_stay_within_their_input(
        input in prop_oneof![message_soup(), vec(any::<u8>(), 0..200)],
        length in prop_oneof![
            Just(BodyLength::None), Just(BodyLength::Chunked), Just(BodyLength::UntilClose),
            any::<u64>().prop_map(BodyLength::Exact), (0_u64..100).prop_map(BodyLength::Exact),
        ],
    ) {
        let mut decoder = BodyDecoder::new(length);
        let mut rest = input.as_slice();
        loop {
            match decoder.decode(rest) {
                Ok(Decoded::Data { skip, len }) => {
                    prop_assert!(len > 0 && skip + len <= rest.len());
                    rest = &rest[skip + len..];
                }
                Ok(Decoded::NeedMore { consumed }) => {
                    prop_assert_eq!(consumed, rest.len());
                    break;
                }
                Ok(Decoded::End { consumed }) => {
                    prop_assert!(consumed <= rest.len());
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

/// A body and the way it is to be sent.
#[derive(Clone, Debug)]
struct WrittenBody {
    chunks: Vec<Vec<u8>>,
    /// Sent chunked, with these trailers; otherwise with its length.
    trailers: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

fn written_body() -> impl Strategy<Value = WrittenBody> {
    let chunks = vec(vec(any::<u8>(), 0..40), 0..6);
    (chunks, prop::option::of(fields())).prop_map(|(chunks, trailers)| WrittenBody { chunks, trailers })
}

impl WrittenBody {
    fn framing(&self) -> (&'static [u8], Vec<u8>) {
        match self.trailers {
            Some(_) => (b"Transfer-Encoding", b"chunked".to_vec()),
            None => (b"Content-Length", self.payload().len().to_string().into_bytes()),
        }
    }

    fn payload(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let length = match self.trailers {
            Some(_) => BodyLength::Chunked,
            None => BodyLength::Exact(self.payload().len() as u64),
        };
        let mut encoder = BodyEncoder::new(length);
        for chunk in &self.chunks {
            encoder.data(chunk, out).unwrap();
        }
        encoder.end(self.trailers.as_deref().map(stored).as_ref(), out).unwrap();
    }
}

fn assert_read_back(
    read: &Transcript,
    start: (&[u8], &[u8]),
    fields: &[(Vec<u8>, Vec<u8>)],
    body: &WrittenBody,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(&read.error, &None);
    prop_assert_eq!(read.messages.len(), 1);
    let message = &read.messages[0];
    prop_assert_eq!((message.start.0.as_slice(), message.start.1.as_slice()), start);
    let (framing_name, framing_value) = body.framing();
    let framed = [fields, &[(framing_name.to_vec(), framing_value)]].concat();
    prop_assert_eq!(&message.fields, &framed);
    prop_assert_eq!(&message.body, &body.payload());
    let permitted: Vec<_> = stored(body.trailers.as_deref().unwrap_or_default())
        .iter()
        .filter(|field| may_trail(*field))
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect();
    prop_assert_eq!(&message.trailers, &permitted);
    prop_assert!(message.complete && read.unread.is_empty());
    Ok(())
}

fn stored(fields: &[(Vec<u8>, Vec<u8>)]) -> Fields {
    let mut stored = Fields::new();
    for (name, value) in fields {
        assert!(is_token(name) && is_field_value(value));
        stored.append(name, value);
    }
    stored
}
