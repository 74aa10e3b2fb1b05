//! A request's head as it arrives.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Buf;
use tollgate_http1::{HeadError, HeadLimits, RequestHead, RequestParser};

use crate::client::{Client, TooManyEmptyLines};
use crate::rejection::Rejection;
use crate::wire::{Buffers, READ_BYTES};

pub(crate) enum Arrival {
    /// `request` holds the head; what follows it is in the client's input.
    Head,
    Refused(Rejection),
    /// Nothing but empty lines have come, which begin no request (RFC 9112 section 2.2).
    Blank,
    /// The connection ended between two requests or within a head, or no request came at all.
    Gone,
}

/// As the parser has it of those that come with the request.
const TOO_MANY_EMPTY_LINES: Rejection = Rejection::Malformed("method");

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
                        let noted = client.note_empty_lines(&buffers.input);
                        buffers.input.advance(bytes);
                        client.forget_empty_lines();
                        return Poll::Ready(match noted {
                            Ok(()) => Arrival::Head,
                            Err(TooManyEmptyLines) => Arrival::Refused(TOO_MANY_EMPTY_LINES),
                        });
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Arrival::Refused(refusal(error))),
                }
            }
            match buffers.poll_read(cx, &mut client.stream, READ_BYTES) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Arrival::Gone),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if !buffers.input.is_empty() && is_blank(&buffers.input) => {
                    return Poll::Ready(match client.note_empty_lines(&buffers.input) {
                        Ok(()) => Arrival::Blank,
                        Err(TooManyEmptyLines) => Arrival::Gone,
                    });
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::room::Standing;
    use crate::wire::Stream;
    use crate::worker::tests::connection;

    #[tokio::test]
    async fn empty_lines_in_place_of_a_request_end_the_connection_however_they_come() {
        let (mut sending, accepted) = connection().await;
        let mut client = Client::new(Stream::Plain(accepted), Standing::Within);
        let (limits, within) = (HeadLimits::default(), Duration::from_mins(1));
        let request = "GET / HTTP/1.1\r\nHost: g\r\n\r\n";
        for (sent, expected) in [
            ("\r\n", "blank"),
            ("\r\n", "blank"),
            (request, "head"),
            ("\r\n", "blank"),
            (&format!("\r\n{request}"), "head"),
            ("\r\n\r\n", "blank"),
            (&format!("\r\n{request}"), "refused"),
            ("\r\n", "blank"),
            ("\r\n\r\n", "gone"),
        ] {
            sending.write_all(sent.as_bytes()).await.unwrap();
            let (mut buffers, mut parser) = (Buffers::default(), RequestParser::new());
            let mut head = RequestHead::new();
            let arrival = read_head(&mut client, &mut buffers, &mut parser, &limits, within, &mut head);
            let came = match arrival.await {
                Arrival::Head => "head",
                Arrival::Blank => "blank",
                Arrival::Gone => "gone",
                Arrival::Refused(_) => "refused",
            };
            assert_eq!(came, expected, "{sent:?}");
        }
    }
}
