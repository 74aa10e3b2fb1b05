//! A request of the gateway's own, in the background: for an issuer's keys, or whether a target is well. It is sent with
//! the care that upstreams are reached with: the same address policy, applied to what the name resolves to, and the same
//! authorities.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tollgate_core::resource::TenantId;
use tollgate_core::snapshot::Endpoint;
use tollgate_http1::{HeadError, HeadLimits, ResponseHead, ResponseParser};

use crate::forward::{DialError, dial};
use crate::gateway::Gateway;
use crate::wire::{READ_BYTES, Stream};

#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("it cannot be reached: {0}")]
    Dial(DialError),
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    #[error("the connection was closed before an answer was whole")]
    Closed,
    #[error("the answer's head is too large")]
    TooLarge,
    #[error("the answer is not valid HTTP: {0}")]
    Malformed(&'static str),
}

impl From<HeadError> for AskError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::RequestLineTooLong | HeadError::HeadTooLarge | HeadError::TooManyFields => {
                Self::TooLarge
            }
            HeadError::Malformed(what) => Self::Malformed(what),
        }
    }
}

/// A response whose head is there, and whose body may follow.
pub(crate) struct Answer {
    pub head: ResponseHead,
    stream: Stream,
    /// Read and not yet used.
    pub input: BytesMut,
}

/// Sends a request without a body over a connection of its own. Time is the caller's to limit: `within` is all that there is.
pub(crate) async fn ask(
    gateway: &Gateway,
    endpoint: &Endpoint,
    request: &str,
    tenant: TenantId,
    within: Duration,
) -> Result<Answer, AskError> {
    let within = gateway.settings.timeouts.connect.min(within);
    let dialled = dial(gateway, endpoint, None, within, tenant).await;
    let mut stream = dialled.map_err(AskError::Dial)?.stream;
    let mut unsent = request.as_bytes();
    while !unsent.is_empty() {
        let sent = poll_fn(|cx| stream.poll_write(cx, unsent, &[])).await?;
        unsent = &unsent[sent..];
    }
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    let mut input = BytesMut::new();
    let head = read_head(&mut stream, &mut input).await?;
    Ok(Answer { head, stream, input })
}

impl Answer {
    /// Reads more behind the input; zero at the end.
    pub async fn read(&mut self) -> io::Result<usize> {
        read(&mut self.stream, &mut self.input).await
    }
}

/// The final response's head; interim ones are passed over.
async fn read_head(stream: &mut Stream, input: &mut BytesMut) -> Result<ResponseHead, AskError> {
    let (mut parser, limits, mut head) =
        (ResponseParser::new(), HeadLimits::default(), ResponseHead::default());
    loop {
        match parser.parse(input, &limits, &mut head)? {
            Some(bytes) => {
                input.advance(bytes);
                if head.status >= 200 || head.status == 101 {
                    return Ok(head);
                }
                head.clear();
            }
            None => {
                if read(stream, input).await? == 0 {
                    return Err(AskError::Closed);
                }
            }
        }
    }
}

async fn read(stream: &mut Stream, input: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, input, READ_BYTES)).await
}
