//! Heads and bodies that the gateway writes itself.

mod accept;
mod client_head;
mod hidden;
mod json;
mod limits;
mod nominations;
mod reply;
mod times;
mod upstream_head;

pub(crate) use client_head::{ClientHead, Persistence, is_limit_field, write_interim, write_response};
pub(crate) use hidden::Hidden;
pub(crate) use json::{push_json_string, push_number, push_plain};
pub(crate) use limits::push_limit_lines;
pub(crate) use nominations::Nominations;
pub(crate) use reply::{ALLOW_ALL, Reply, write_rejection, write_reply};
pub(crate) use times::TimeTexts;
pub(crate) use upstream_head::{UpstreamHead, write_request};
