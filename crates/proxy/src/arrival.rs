//! A request's head as it arrives.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Buf;
use tollgate_http1::{HeadError, HeadLimits, RequestHead, RequestParser};

use crate::client::Client;
use crate::rejection::Rejection;
use crate::wire::{Buffers, READ_BYTES};

pub(crate) enum Arrival {
    /// `request` holds the head; what follows it is in the client's input.
    Head,
    Refused(Rejection),
    /// Nothing but empty lines have come, which begin no request (RFC 9112 section 2.2).
    Blank,
    /// The connection ended between two requests or within a head, or nothing came at all.
    Gone,
}

pub(crate) async fn read_head(
    client: &mut Client,
    buffers: &mut Buffers,
    parser: &mut RequestParser,
    limits: &HeadLimits,
    within: Duration,
    request: &mut RequestHead,
) -> Arrival {
    let mut deadline = None;
    poll_fn(|cx| {
        loop {
            if !buffers.input.is_empty() {
                match parser.parse(&buffers.input, limits, request) {
                    Ok(Some(bytes)) => {
                        buffers.input.advance(bytes);
                        return Poll::Ready(Arrival::Head);
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Arrival::Refused(refusal(error))),
                }
            }
            match buffers.poll_read(cx, &mut client.stream, READ_BYTES) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Arrival::Gone),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if !buffers.input.is_empty() && is_blank(&buffers.input) => {
                    return Poll::Ready(Arrival::Blank);
                }
                Poll::Pending => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + within);
                    return client.watchdog.poll_past(cx, deadline).map(|()| {
                        // Who has begun nothing waits for no answer.
                        if buffers.input.is_empty() {
                            Arrival::Gone
                        } else {
                            parser.salvage(&buffers.input, limits, request);
                            Arrival::Refused(Rejection::TooSlow)
                        }
                    });
                }
            }
        }
    })
    .await
}

/// Whether there is nothing but whole empty lines.
pub(crate) fn is_blank(input: &[u8]) -> bool {
    input.chunks(2).all(|line| line == b"\r\n")
}

const fn refusal(error: HeadError) -> Rejection {
    match error {
        HeadError::RequestLineTooLong => Rejection::RequestLineTooLong,
        HeadError::HeadTooLarge | HeadError::TooManyFields => Rejection::HeadTooLarge,
        HeadError::Malformed(what) => Rejection::Malformed(what),
    }
}
