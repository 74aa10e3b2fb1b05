//! A proxy node without a database: it is fed by a control plane ([`feed`]), keeps the last good state on its disk
//! ([`saved`]) and serves from it when the control plane is away, counts limits for itself ([`counts`]), and
//! reports where it stands ([`report`]).

mod backoff;
mod counts;
mod crossings;
mod feed;
mod link;
mod node;
mod report;
mod saved;
mod uses;

pub use link::{Link, NodeToken};
pub use node::{Facts, Node, OpenError, Settings};
