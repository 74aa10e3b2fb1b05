//! An answer's body: once it is over, all that is left is to send it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::phase::Phases;

pub struct Answer {
    body: Body,
    _over: Over,
}

struct Over(Phases);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.sending();
    }
}

impl Answer {
    pub fn new(body: Body, phases: Phases) -> Self {
        phases.answering();
        Self { body, _over: Over(phases) }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
