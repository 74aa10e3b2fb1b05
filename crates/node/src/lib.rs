//! A proxy node without a database: it is fed by a control plane ([`feed`]), keeps the last good state on its disk
//! ([`saved`]) and serves from it when the control plane is away, counts limits for itself ([`counts`]), and
//! reports where it stands ([`report`]) and what it knows of services ([`sightings`]). What operators have done on all nodes
//! comes with the feed ([`orders`]).
//! What could not be reported by the end waits for the next start ([`untold`]).

mod backoff;
mod coming;
mod counts;
mod crossings;
mod feed;
mod link;
mod node;
mod orders;
mod report;
mod saved;
mod sightings;
mod untold;
mod uses;

pub use coming::{Coming, Placed};
pub use link::{Link, NodeToken};
pub use node::{CarryingOut, Facts, Lost, Node, OpenError, Settings};
