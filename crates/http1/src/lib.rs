//! Sans-IO HTTP/1.1 (RFC 9112): bytes in, heads and payload out, and back again.
//!
//! Nothing here reads a socket, a clock or a random number. A message is met in this order:
//!
//! 1. [`RequestParser`] or [`ResponseParser`] finds and checks the head, and fills a [`RequestHead`]
//!    or [`ResponseHead`]. These types and [`Fields`] know nothing of the wire: HTTP/2 fills them too.
//! 2. [`request_body`] or [`response_body`] derives the [`BodyLength`] from the head (RFC 9112 6.3).
//! 3. [`BodyDecoder`] points at the payload within the input, [`BodyEncoder`] frames it again.
//! 4. [`HeadWriter`] puts heads on the wire.
//!
//! The codec is stricter than the RFC asks for wherever two readers of the same bytes could disagree
//! on where a message ends or whom it is for; such messages are refused, never repaired. Heads,
//! fields and buffers are reused from message to message, so that in steady state none allocates.

mod body;
mod head;

pub use body::decoder::{BodyDecoder, BodyError, Decoded};
pub use body::encoder::{BodyEncoder, EncodeError};
pub use body::framing::{BodyLength, FramingError, keep_alive, request_body, response_body};
pub use body::trailers::may_trail;
pub use head::authority::Authority;
pub use head::field_id::FieldId;
pub use head::fields::{Field, Fields};
pub use head::grammar::{is_field_value, is_same_variable, is_token, list_tokens};
pub use head::limits::{HeadError, HeadLimits};
pub use head::method::{Method, Version};
pub use head::parser::{RequestParser, ResponseParser};
pub use head::reason::reason_phrase;
pub use head::request::RequestHead;
pub use head::response::ResponseHead;
pub use head::target::TargetForm;
pub use head::writer::HeadWriter;
