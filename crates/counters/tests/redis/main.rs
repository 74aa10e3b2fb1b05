//! Counting in Redis: as in process, over several nodes, and without it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it did not expect")]

mod agreement;
mod away;
mod clock;
mod edits;
mod emptied;
mod giving_back;
mod kept;
mod leased_buckets;
mod losing;
mod moving;
mod node;
mod server;
mod several_plans;
mod sharing;
mod soft;
mod telling;
