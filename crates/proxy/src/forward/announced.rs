//! What a target's final head says of what follows it.

use tollgate_http1::{BodyLength, ResponseHead, response_body};

use super::UpstreamFailure;
use super::attempt::Upload;
use crate::request::Request;

/// Proof that the response is one that can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    Body(BodyLength),
    /// A protocol that the client asked for.
    Upgrade,
}

impl Announced {
    pub fn by(
        response: &ResponseHead,
        request: &Request<'_>,
        upload: Upload,
    ) -> Result<Self, UpstreamFailure> {
        if response.status == 101 {
            return if request.upgrade.is_some() && upload == Upload::Sent {
                Ok(Self::Upgrade)
            } else {
                Err(UpstreamFailure::Protocol("an upgrade that nobody asked for"))
            };
        }
        response_body(request.head.method, response)
            .map(Self::Body)
            .map_err(|_| UpstreamFailure::Protocol("the response's length is ambiguous"))
    }
}
