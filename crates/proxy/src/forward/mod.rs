//! The way to a target and back.

mod affinity;
mod announced;
mod attempt;
mod bounds;
mod connect;
mod deadlines;
mod dial;
mod failure;
mod hedge;
mod idle;
mod journey;
mod kept_body;
mod pool;
mod queue;
mod relay;
mod respond;
mod retry_after;
mod send;
mod tls;
mod waited;

pub(crate) use bounds::longest;
pub(crate) use dial::{DialError, dial};
pub(crate) use failure::UpstreamFailure;
pub(crate) use pool::Pools;
pub(crate) use send::{Forward, Forwarded, Sides, send};
pub(crate) use tls::client_config;
pub use tls::{RootsError, roots};
