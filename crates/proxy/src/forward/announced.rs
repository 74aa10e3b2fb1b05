//! What a target's final head says of what follows it.

use tollgate_http1::{BodyLength, FieldId, ResponseHead, list_tokens, response_body};

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
            let is_asked_for = request.upgrade.as_deref().is_some_and(|offer| is_offered(response, offer));
            return if is_asked_for && upload == Upload::Sent {
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

/// Whether what is switched to is said, and every such protocol was offered (RFC 9110 section 7.8). Names and versions are compared without
/// regard to case, as WebSocket has it (RFC 6455 section 4.1).
fn is_offered(response: &ResponseHead, offer: &[u8]) -> bool {
    let mut protocols = response.fields.all(FieldId::Upgrade).flat_map(list_tokens).peekable();
    protocols.peek().is_some()
        && protocols.all(|protocol| list_tokens(offer).any(|offered| offered.eq_ignore_ascii_case(protocol)))
}
