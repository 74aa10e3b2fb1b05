//! Tollgate's pure core: what operators write ([`resource`]), what the proxy runs ([`snapshot`]), and every
//! decision taken on the way of a request. No I/O, no clock, no randomness: `now` and random bytes are arguments.

pub mod address;
pub mod balance;
pub mod credential;
pub mod event;
pub mod feed;
pub mod limit;
pub mod problem;
pub mod resource;
pub mod retry;
pub mod routing;
pub mod snapshot;
pub mod time;
pub mod token;
pub mod usage;
pub mod webhook;

pub use problem::{Problem, Problems};
