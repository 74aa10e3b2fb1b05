//! A body on its way from one connection to another: decoded, framed anew, never held whole.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tollgate_core::resource::HeaderName;
use tollgate_http1::{BodyDecoder, BodyEncoder, BodyError, BodyLength, Decoded, Fields, is_same_variable};

use super::{Buffers, Stream};
use crate::forwarded::is_a_proxys;
use crate::message::{Hidden, Nominations, is_limit_field};

/// While more than this waits to be written, nothing more is read: the slower side sets the pace.
const HIGH_WATER_BYTES: usize = 64 * 1_024;
const BODY_READ_BYTES: usize = 64 * 1_024;
const FIRST_BODY_READ_BYTES: usize = 16 * 1_024;
/// Payload at least this long is written from where it was read, without a copy.
const DIRECT_BYTES: usize = 2 * 1_024;

pub(crate) struct Pump {
    decoder: BodyDecoder,
    encoder: BodyEncoder,
    /// Largest payload to pass on.
    most_bytes: u64,
    /// Payload passed on.
    moved_bytes: u64,
    /// Whether any payload or its framing was taken from the source.
    begun: bool,
    /// Payload at the start of the input that is being written from there, and how long it was.
    direct: Option<Direct>,
    read_bytes: usize,
    stage: Stage,
    waiting_for: Side,
    /// Trailers that are not passed on.
    hidden: [Option<HeaderName>; 2],
    /// Nor are these.
    nominated: Option<Box<Nominations>>,
}

/// The side that a pump which is not ready waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

struct Direct {
    left: usize,
    whole: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Flowing,
    /// All is framed; the last of it may still have to be written.
    Framed,
    Done,
}

#[derive(Debug)]
pub(crate) enum PumpError {
    /// The source's connection failed, or ended before the body did.
    SourceCut,
    /// The source broke the framing.
    SourceBroken(BodyError),
    /// The body is longer than may be passed on.
    TooLarge,
    /// The sink's connection failed.
    Sink,
    /// The payload does not fit what was announced to the sink.
    Misfit,
}

impl Pump {
    pub fn new(from: BodyLength, to: BodyLength, most_bytes: Option<u64>) -> Self {
        Self {
            decoder: BodyDecoder::new(from),
            encoder: BodyEncoder::new(to),
            most_bytes: most_bytes.unwrap_or(u64::MAX),
            moved_bytes: 0,
            begun: false,
            direct: None,
            read_bytes: FIRST_BODY_READ_BYTES,
            stage: Stage::Flowing,
            waiting_for: Side::Sink,
            hidden: [None, None],
            nominated: None,
        }
    }

    /// Leaves this field out of the trailers as well.
    #[must_use]
    pub fn hiding(self, hidden: Hidden<'_>) -> Self {
        let mut names = hidden.names().cloned();
        Self { hidden: [names.next(), names.next()], ..self }
    }

    /// Leaves out of the trailers what the message's `Connection` names (RFC 9110 section 7.6.1).
    #[must_use]
    pub fn without(self, nominated: Option<Box<Nominations>>) -> Self {
        Self { nominated, ..self }
    }

    pub const fn waiting_for(&self) -> Side {
        self.waiting_for
    }

    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    pub const fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// Payload that has gone to the sink, `to` being what is still to be written to it. While something is, its framing and a
    /// head before the body count as payload: it is never more than has gone.
    pub fn sent_bytes(&self, to: &Buffers) -> u64 {
        self.moved_bytes.saturating_sub((self.held_bytes() + to.unsent().len()) as u64)
    }

    /// Payload that counts as moved and still lies in the source's input.
    pub fn held_bytes(&self) -> usize {
        self.direct.as_ref().map_or(0, |direct| direct.left)
    }

    /// Moves what can be moved now. Ready when the whole body has been written. `before_last` is called, perhaps
    /// more than once, before the last of it is.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (source, from): (&mut Stream, &mut Buffers),
        (sink, to): (&mut Stream, &mut Buffers),
        before_last: impl Fn(),
    ) -> Poll<Result<(), PumpError>> {
        while self.stage != Stage::Done {
            let wanted = self.frame(from, to)?;
            if self.encoder.is_filled() {
                before_last();
            }
            self.waiting_for = Side::Sink;
            ready!(self.poll_write(cx, from, sink, to)).map_err(|_| PumpError::Sink)?;
            match (self.stage, wanted) {
                (Stage::Framed, _) => self.stage = Stage::Done,
                (Stage::Flowing, Side::Source) => {
                    self.waiting_for = Side::Source;
                    ready!(self.poll_read(cx, source, from, to))?;
                }
                (Stage::Flowing, Side::Sink) | (Stage::Done, _) => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Frames what has been read, as far as the high-water mark. Says which side is needed to go on: the
    /// source only once all that was read is framed, for what it holds may end the body.
    fn frame(&mut self, from: &mut Buffers, to: &mut Buffers) -> Result<Side, PumpError> {
        while self.stage == Stage::Flowing && self.direct.is_none() && to.output.len() < HIGH_WATER_BYTES {
            match self.decoder.decode(&from.input).map_err(PumpError::SourceBroken)? {
                Decoded::Data { skip, len } => {
                    self.begun = true;
                    self.moved_bytes += len as u64;
                    if self.moved_bytes > self.most_bytes {
                        return Err(PumpError::TooLarge);
                    }
                    from.input.advance(skip);
                    if len >= DIRECT_BYTES {
                        self.encoder.chunk_prefix(len, to.output()).map_err(|_| PumpError::Misfit)?;
                        self.direct = Some(Direct { left: len, whole: len });
                    } else {
                        self.encoder.data(&from.input[..len], to.output()).map_err(|_| PumpError::Misfit)?;
                        from.input.advance(len);
                    }
                }
                Decoded::NeedMore { consumed } => {
                    self.begun |= consumed > 0;
                    from.input.advance(consumed);
                    return Ok(Side::Source);
                }
                Decoded::End { consumed } => {
                    self.begun |= consumed > 0;
                    from.input.advance(consumed);
                    self.end(to)?;
                }
            }
        }
        Ok(Side::Sink)
    }

    fn end(&mut self, to: &mut Buffers) -> Result<(), PumpError> {
        let trailers = self.decoder.trailers();
        let kept = trailers.map(|trailers| passed_on(trailers, &self.hidden, self.nominated.as_deref()));
        self.encoder.end(kept.as_ref(), to.output()).map_err(|_| PumpError::Misfit)?;
        self.stage = Stage::Framed;
        Ok(())
    }

    /// Writes the framed output, and direct payload with it.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Buffers,
        sink: &mut Stream,
        to: &mut Buffers,
    ) -> Poll<io::Result<()>> {
        while let Some(direct) = &mut self.direct {
            let unsent = to.unsent().len();
            let bytes = ready!(sink.poll_write(cx, to.unsent(), &from.input[..direct.left]))?;
            to.sent(bytes.min(unsent));
            let payload = bytes.saturating_sub(unsent);
            from.input.advance(payload);
            to.sent_directly(payload);
            direct.left -= payload;
            if direct.left == 0 {
                self.encoder.chunk_suffix(direct.whole, to.output());
                self.direct = None;
            }
        }
        to.poll_flush(cx, sink)
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        from: &mut Buffers,
        to: &mut Buffers,
    ) -> Poll<Result<(), PumpError>> {
        match ready!(from.poll_read(cx, source, self.read_bytes)) {
            Ok(0) => {
                // Nothing more will come: only a body that ends with the connection is complete.
                self.decoder.end_of_input().map_err(|_| PumpError::SourceCut)?;
                Poll::Ready(self.end(to))
            }
            Ok(bytes) => {
                if bytes == self.read_bytes {
                    self.read_bytes = BODY_READ_BYTES;
                }
                Poll::Ready(Ok(()))
            }
            Err(_) => Poll::Ready(Err(PumpError::SourceCut)),
        }
    }
}

/// Without what no header may say either: some recipients take trailers for headers.
fn passed_on(trailers: &Fields, hidden: &[Option<HeaderName>], nominated: Option<&Nominations>) -> Fields {
    let is_hidden = |name: &[u8]| {
        hidden.iter().flatten().any(|hidden| is_same_variable(hidden.as_str().as_bytes(), name))
    };
    let mut kept = Fields::new();
    for field in trailers.iter() {
        if !is_hidden(field.name)
            && !is_a_proxys(field.name)
            && !is_limit_field(field.name)
            && !nominated.is_some_and(|nominated| nominated.contain(field.id, field.name))
        {
            kept.append(field.name, field.value);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
