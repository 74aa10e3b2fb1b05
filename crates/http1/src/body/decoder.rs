//! Finds the payload within a framed body.

use thiserror::Error;

use super::chunk_line::{ChunkLine, ChunkSize};
use super::framing::BodyLength;
use super::trailers::{TrailerReader, TrailerStep};
use crate::head::fields::Fields;

/// Reads one body. The payload is never copied: the decoder says where in the input it lies.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Bytes of chunk extensions beyond what payload has made up for, so that small chunks can't carry much of them, and a
    /// long body may have a short one in every chunk.
    excess_bytes: u64,
    trailers: Option<Fields>,
}

/// What the start of the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Payload is at `input[skip..skip + len]`, and `len` is not 0. Continue with
    /// `input[skip + len..]`.
    Data { skip: usize, len: usize },
    /// The input held no payload; all of it, `consumed` bytes, has been taken.
    NeedMore { consumed: usize },
    /// The body is over; what follows the first `consumed` bytes is not part of it.
    End { consumed: usize },
}

/// Why a body can't be read to its end. What follows on the connection has no known meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    #[error("malformed body: {0}")]
    Malformed(&'static str),
    #[error("chunk extensions are too long")]
    ExtensionsTooLong,
    #[error("trailer section is too large")]
    TrailersTooLarge,
    #[error("body was cut short")]
    Incomplete,
}

#[derive(Debug)]
enum State {
    Exact { left: u64 },
    UntilClose,
    ChunkLine(ChunkLine),
    ChunkPayload { left: u64 },
    ChunkPayloadEnd(LineEnd),
    LastChunkEnd(LineEnd),
    Trailers(Box<TrailerReader>),
    Done,
    Failed(BodyError),
}

#[derive(Clone, Copy, Debug)]
enum LineEnd {
    CarriageReturn,
    LineFeed,
}

/// Of extensions without payload worth them.
const MAX_EXCESS_BYTES: u64 = 16 * 1024;
/// What every chunk, and every byte of payload, makes up for: as Go's `net/http` has it.
const MADE_UP_BY_CHUNK: u64 = 16;
const MADE_UP_BY_BYTE: u64 = 2;

impl BodyDecoder {
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Exact(0) => State::Done,
            BodyLength::Exact(bytes) => State::Exact { left: bytes },
            BodyLength::Chunked => State::ChunkLine(ChunkLine::default()),
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state, excess_bytes: 0, trailers: None }
    }

    /// Reads from the start of `input`, which has to begin where the previous call's result said to
    /// continue. After an error every call returns it again.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, BodyError> {
        self.step(input).inspect_err(|&error| self.state = State::Failed(error))
    }

    /// Takes note that the connection delivers nothing more.
    pub fn end_of_input(&mut self) -> Result<(), BodyError> {
        match &self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(*error),
            State::Exact { .. }
            | State::ChunkLine(_)
            | State::ChunkPayload { .. }
            | State::ChunkPayloadEnd(_)
            | State::LastChunkEnd(_)
            | State::Trailers(_) => {
                self.state = State::Failed(BodyError::Incomplete);
                Err(BodyError::Incomplete)
            }
        }
    }

    /// The fields behind the body, once it is done, without those that [`may_trail`] forbids.
    ///
    /// [`may_trail`]: crate::may_trail
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    fn step(&mut self, input: &[u8]) -> Result<Decoded, BodyError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match (&mut self.state, rest.first()) {
                (State::Done, _) => return Ok(Decoded::End { consumed: at }),
                (State::Failed(error), _) => return Err(*error),
                (
                    State::Exact { .. }
                    | State::UntilClose
                    | State::ChunkLine(_)
                    | State::ChunkPayload { .. }
                    | State::ChunkPayloadEnd(_)
                    | State::LastChunkEnd(_)
                    | State::Trailers(_),
                    None,
                ) => return Ok(Decoded::NeedMore { consumed: at }),
                (State::UntilClose, Some(_)) => return Ok(Decoded::Data { skip: at, len: rest.len() }),
                (State::Exact { left }, Some(_)) => {
                    let len = take(left, rest);
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok(Decoded::Data { skip: at, len });
                }
                (State::ChunkPayload { left }, Some(_)) => {
                    let len = take(left, rest);
                    if *left == 0 {
                        self.state = State::ChunkPayloadEnd(LineEnd::CarriageReturn);
                    }
                    return Ok(Decoded::Data { skip: at, len });
                }
                (State::ChunkLine(line), Some(&byte)) => {
                    at += 1;
                    if let Some(size) = line.push(byte)? {
                        self.start_chunk(&size)?;
                    }
                }
                (State::ChunkPayloadEnd(expected), Some(&byte)) => {
                    at += 1;
                    self.state = match (*expected, byte) {
                        (LineEnd::CarriageReturn, b'\r') => State::ChunkPayloadEnd(LineEnd::LineFeed),
                        (LineEnd::LineFeed, b'\n') => State::ChunkLine(ChunkLine::default()),
                        (LineEnd::CarriageReturn | LineEnd::LineFeed, _) => {
                            return Err(BodyError::Malformed("end of a chunk"));
                        }
                    };
                }
                (State::LastChunkEnd(LineEnd::CarriageReturn), Some(b'\r')) => {
                    at += 1;
                    self.state = State::LastChunkEnd(LineEnd::LineFeed);
                }
                (State::LastChunkEnd(LineEnd::CarriageReturn), Some(_)) => {
                    self.state = State::Trailers(Box::new(TrailerReader::new()));
                }
                (State::LastChunkEnd(LineEnd::LineFeed), Some(b'\n')) => {
                    at += 1;
                    self.state = State::Done;
                }
                (State::LastChunkEnd(LineEnd::LineFeed), Some(_)) => {
                    return Err(BodyError::Malformed("end of the body"));
                }
                (State::Trailers(reader), Some(_)) => match reader.read(rest)? {
                    TrailerStep::NeedMore => return Ok(Decoded::NeedMore { consumed: input.len() }),
                    TrailerStep::End { consumed, trailers } => {
                        at += consumed;
                        self.trailers = (!trailers.is_empty()).then_some(trailers);
                        self.state = State::Done;
                    }
                },
            }
        }
    }

    fn start_chunk(&mut self, size: &ChunkSize) -> Result<(), BodyError> {
        let made_up = size.payload_bytes.saturating_mul(MADE_UP_BY_BYTE).saturating_add(MADE_UP_BY_CHUNK);
        self.excess_bytes = (self.excess_bytes + size.extension_bytes as u64).saturating_sub(made_up);
        if self.excess_bytes > MAX_EXCESS_BYTES {
            return Err(BodyError::ExtensionsTooLong);
        }
        self.state = match size.payload_bytes {
            0 => State::LastChunkEnd(LineEnd::CarriageReturn),
            left => State::ChunkPayload { left },
        };
        Ok(())
    }
}

/// Takes as much of the `left` bytes as `input` has.
fn take(left: &mut u64, input: &[u8]) -> usize {
    match usize::try_from(*left) {
        Ok(wanted) if wanted <= input.len() => {
            *left = 0;
            wanted
        }
        Ok(_) | Err(_) => {
            *left -= input.len() as u64;
            input.len()
        }
    }
}
