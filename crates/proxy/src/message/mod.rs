//! Heads and bodies that the gateway writes itself.

mod client_head;
mod date;
mod json;
mod limits;
mod reply;
mod upstream_head;

pub(crate) use client_head::{ClientHead, Persistence, write_interim, write_response};
pub(crate) use date::DateText;
pub(crate) use json::{push_json_string, push_number, push_plain};
pub(crate) use limits::{TimeTexts, push_limit_lines};
pub(crate) use reply::{ALLOW_ALL, Reply, write_rejection, write_reply};
pub(crate) use upstream_head::{UpstreamHead, write_request};
