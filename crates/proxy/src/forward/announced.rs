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

/// What is switched to at once is a stack of protocols, no high one: each is looked for among all that the client offers.
const MOST_PROTOCOLS: usize = 16;

/// Whether what is switched to is said, and every such protocol was offered (RFC 9110 section 7.8). Names and versions are compared without
/// regard to case, as WebSocket has it (RFC 6455 section 4.1).
fn is_offered(response: &ResponseHead, offer: &[u8]) -> bool {
    let protocols = || response.fields.all(FieldId::Upgrade).flat_map(list_tokens);
    let was_offered =
        |protocol: &[u8]| list_tokens(offer).any(|offered| offered.eq_ignore_ascii_case(protocol));
    let count = protocols().take(MOST_PROTOCOLS + 1).count();
    (1..=MOST_PROTOCOLS).contains(&count) && protocols().all(was_offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switching_to(protocols: &str) -> ResponseHead {
        let mut response = ResponseHead::new();
        response.status = 101;
        response.fields.append(b"Upgrade", protocols.as_bytes());
        response
    }

    #[test]
    fn what_is_switched_to_is_a_stack_of_protocols_that_were_offered() {
        let offer = b"foo/1, WebSocket";
        for protocols in ["websocket", "websocket, FOO/1", &"websocket,".repeat(MOST_PROTOCOLS)] {
            assert!(is_offered(&switching_to(protocols), offer), "{protocols}");
        }
        for protocols in ["", ",", "foo", "websocket, bar", &"websocket,".repeat(MOST_PROTOCOLS + 1)] {
            assert!(!is_offered(&switching_to(protocols), offer), "{protocols}");
        }
    }
}
