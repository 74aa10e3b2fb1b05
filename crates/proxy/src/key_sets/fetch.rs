//! One key set, fetched with the care that upstreams are reached with: the same address policy, applied to what the
//! name resolves to, and the same authorities.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tollgate_core::snapshot::KeySource;
use tollgate_core::token::{BadKeySet, KeySet};
use tollgate_http1::{BodyDecoder, Decoded, HeadLimits, Method, ResponseHead, ResponseParser, response_body};

use crate::forward::{DialError, dial};
use crate::gateway::Gateway;
use crate::wire::{READ_BYTES, Stream};

/// From the name's resolution to the last byte.
const WITHIN: Duration = Duration::from_secs(5);
const LONGEST_KEY_SET: usize = 256 * 1_024;

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it cannot be reached: {0:?}")]
    Dial(DialError),
    #[error("it took more than 5 seconds")]
    TooSlow,
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    #[error("the answer is not valid HTTP")]
    Protocol,
    #[error("the answer has status {0}; redirects are not followed")]
    Status(u16),
    #[error("the answer is larger than {LONGEST_KEY_SET} bytes")]
    TooLarge,
    #[error(transparent)]
    NotKeys(#[from] BadKeySet),
}

pub(super) async fn fetch(gateway: &Gateway, source: &KeySource) -> Result<KeySet, FetchError> {
    let body = tokio::time::timeout(WITHIN, download(gateway, source)).await;
    Ok(KeySet::parse(&body.map_err(|_| FetchError::TooSlow)??)?)
}

async fn download(gateway: &Gateway, source: &KeySource) -> Result<Vec<u8>, FetchError> {
    let mut stream = dial(gateway, &source.endpoint).await.map_err(FetchError::Dial)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json, application/jwk-set+json\r\n\
         User-Agent: tollgate\r\nConnection: close\r\n\r\n",
        source.target, source.authority
    );
    let mut unsent = request.as_bytes();
    while !unsent.is_empty() {
        let sent = poll_fn(|cx| stream.poll_write(cx, unsent, &[])).await?;
        unsent = &unsent[sent..];
    }
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    let mut input = BytesMut::new();
    let head = read_head(&mut stream, &mut input).await?;
    if head.status != 200 {
        return Err(FetchError::Status(head.status));
    }
    read_body(&mut stream, &mut input, &head).await
}

/// The final response's head; interim ones are passed over.
async fn read_head(stream: &mut Stream, input: &mut BytesMut) -> Result<ResponseHead, FetchError> {
    let (mut parser, limits, mut head) =
        (ResponseParser::new(), HeadLimits::default(), ResponseHead::default());
    loop {
        match parser.parse(input, &limits, &mut head).map_err(|_| FetchError::Protocol)? {
            Some(bytes) => {
                input.advance(bytes);
                if head.status >= 200 {
                    return Ok(head);
                }
                head.clear();
            }
            None => {
                if read(stream, input).await? == 0 {
                    return Err(FetchError::Protocol);
                }
            }
        }
    }
}

async fn read_body(
    stream: &mut Stream,
    input: &mut BytesMut,
    head: &ResponseHead,
) -> Result<Vec<u8>, FetchError> {
    let length = response_body(Method::Get, head).map_err(|_| FetchError::Protocol)?;
    let mut decoder = BodyDecoder::new(length);
    let mut body = Vec::new();
    loop {
        match decoder.decode(input).map_err(|_| FetchError::Protocol)? {
            Decoded::Data { skip, len } => {
                if body.len() + len > LONGEST_KEY_SET {
                    return Err(FetchError::TooLarge);
                }
                body.extend_from_slice(&input[skip..skip + len]);
                input.advance(skip + len);
            }
            Decoded::NeedMore { consumed } => {
                input.advance(consumed);
                if read(stream, input).await? == 0 {
                    decoder.end_of_input().map_err(|_| FetchError::Protocol)?;
                    return Ok(body);
                }
            }
            Decoded::End { .. } => return Ok(body),
        }
    }
}

async fn read(stream: &mut Stream, input: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, input, READ_BYTES)).await
}
