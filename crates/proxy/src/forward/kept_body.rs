//! A request's body that is kept until the response has begun, so that it can be sent again.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tollgate_core::retry::RetryRules;
use tollgate_http1::{BodyLength, FieldId};

use super::UpstreamFailure;
use super::deadlines::{Deadlines, Spent};
use super::send::{Forward, Sides};
use crate::rejection::Rejection;
use crate::wire::{Pump, READ_BYTES};

pub(super) struct KeptBody(Bytes);

/// What became of waiting for it.
pub(super) enum Kept {
    Whole(KeptBody),
    /// There is none, or it is not to be kept.
    None,
    ClientGone,
}

impl KeptBody {
    /// Waits until the body is there as a whole. Only one of a known length is kept, that the client sends without being
    /// asked, and of a request that may be repeated: for others another attempt begins before the body does.
    pub async fn gather(
        forward: &Forward<'_, '_>,
        rules: &RetryRules,
        sides: &mut Sides<'_>,
        deadlines: &Deadlines,
    ) -> Result<Kept, Rejection> {
        let head = forward.request.head;
        let length = match forward.request.body {
            BodyLength::Exact(length) if length > 0 && length <= rules.replay_bytes.into() => length,
            BodyLength::None | BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => {
                return Ok(Kept::None);
            }
        };
        if !head.method.is_idempotent() || head.fields.contains(FieldId::Expect) {
            return Ok(Kept::None);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (client, buffers) = (&mut *sides.client, &mut *sides.client_buffers);
        let mut moved_at = Instant::now();
        poll_fn(|cx| {
            while buffers.input.len() < length {
                match buffers.poll_read(cx, &mut client.stream, READ_BYTES) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(Kept::ClientGone)),
                    Poll::Ready(Ok(_)) => moved_at = Instant::now(),
                    Poll::Pending => {
                        let deadline = deadlines.nearer(moved_at + deadlines.idle);
                        return client.watchdog.poll_past(cx, deadline).map(|()| Err(too_slow(deadlines)));
                    }
                }
            }
            Poll::Ready(Ok(Kept::Whole(Self(Bytes::copy_from_slice(&buffers.input[..length])))))
        })
        .await
    }

    /// Puts the body back before what else has come, in place of what `upload` has left of it.
    pub fn restore(&self, input: &mut BytesMut, upload: &Pump) {
        if !upload.has_begun() {
            return;
        }
        let moved = usize::try_from(upload.moved_bytes()).unwrap_or(usize::MAX);
        let left = self.0.len().saturating_sub(moved) + upload.held_bytes();
        input.advance(left.min(input.len()));
        let rest = input.split();
        *input = BytesMut::from(&self.0[..]);
        input.extend_from_slice(&rest);
    }
}

/// What a request is told whose client has stopped within its body, or has taken the request's own time for it.
fn too_slow(deadlines: &Deadlines) -> Rejection {
    if deadlines.is_total_past() {
        Rejection::Upstream(UpstreamFailure::TotalTimeout(Spent::Elsewhere))
    } else {
        Rejection::TooSlow
    }
}
