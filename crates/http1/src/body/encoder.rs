//! Frames a payload.

use thiserror::Error;

use super::framing::BodyLength;
use crate::head::fields::Fields;

/// Writes one body, in the framing that its head announced.
#[derive(Clone, Copy, Debug)]
pub struct BodyEncoder {
    state: State,
}

/// The payload doesn't fit the framing: what was sent so far must not be taken for a whole message,
/// so the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("payload is longer than announced")]
    TooLong,
    #[error("payload is {missing_bytes} bytes shorter than announced")]
    TooShort { missing_bytes: u64 },
    #[error("payload after the body's end")]
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Exact { left: u64 },
    Chunked,
    UntilClose,
    Ended,
}

impl BodyEncoder {
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None => State::Exact { left: 0 },
            BodyLength::Exact(left) => State::Exact { left },
            BodyLength::Chunked => State::Chunked,
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether nothing that the recipient waits for is still to be framed. Of a body that ends with the
    /// connection only [`end`](Self::end) tells.
    pub const fn is_filled(&self) -> bool {
        match self.state {
            State::Exact { left } => left == 0,
            State::Chunked | State::UntilClose => false,
            State::Ended => true,
        }
    }

    /// Appends `payload` and its framing to `out`. Nothing for an empty payload: a chunk of size 0
    /// would end the body.
    pub fn data(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.chunk_prefix(payload.len(), out)?;
        out.extend_from_slice(payload);
        self.chunk_suffix(payload.len(), out);
        Ok(())
    }

    /// Frames payload that the caller sends itself, without a copy: appends to `out` what has to go
    /// before `payload_bytes` of it. [`chunk_suffix`](Self::chunk_suffix) with the same number is to
    /// follow the payload.
    pub fn chunk_prefix(&mut self, payload_bytes: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match &mut self.state {
            State::Exact { left } => {
                *left = left.checked_sub(payload_bytes as u64).ok_or(EncodeError::TooLong)?;
            }
            State::Chunked if payload_bytes > 0 => push_chunk_size(payload_bytes, out),
            State::Chunked | State::UntilClose => {}
            State::Ended => return Err(EncodeError::Ended),
        }
        Ok(())
    }

    /// Appends to `out` what has to go behind `payload_bytes` of payload.
    pub fn chunk_suffix(&self, payload_bytes: usize, out: &mut Vec<u8>) {
        match self.state {
            State::Chunked if payload_bytes > 0 => out.extend_from_slice(b"\r\n"),
            State::Chunked | State::Exact { .. } | State::UntilClose | State::Ended => {}
        }
    }

    /// Ends the body. Only a chunked one can carry trailers; from others they are left out (RFC 9110
    /// 6.5.1). They are written as given: see [`may_trail`](crate::may_trail).
    pub fn end(&mut self, trailers: Option<&Fields>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.state {
            State::Exact { left: 0 } | State::UntilClose => {}
            State::Exact { left } => return Err(EncodeError::TooShort { missing_bytes: left }),
            State::Chunked => {
                out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    trailers.write_kept(|_| true, out);
                }
                out.extend_from_slice(b"\r\n");
            }
            State::Ended => return Err(EncodeError::Ended),
        }
        self.state = State::Ended;
        Ok(())
    }
}

fn push_chunk_size(payload_bytes: usize, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - payload_bytes.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(HEX[payload_bytes >> (4 * place) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}
