//! Tollgate's pure core: what operators write ([`resource`]), what the proxy runs ([`snapshot`]), and every
//! decision taken on the way of a request. No I/O, no clock, no randomness: `now` and random bytes are arguments.

pub mod address;
pub mod balance;
pub mod breaker;
pub mod cause;
pub mod channel;
pub mod credential;
mod distance;
pub mod draws;
pub mod event;
pub mod feed;
pub mod health;
pub mod hedge;
pub mod limit;
pub mod name;
pub mod outlier;
pub mod problem;
pub mod resource;
pub mod retry;
pub mod routing;
pub mod sighting;
pub mod snapshot;
pub mod tally;
pub mod time;
pub mod token;
pub mod uptime;
pub mod usage;
pub mod webhook;

pub use problem::{Problem, Problems};
