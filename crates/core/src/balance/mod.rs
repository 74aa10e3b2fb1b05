//! Which target gets the next request.
//!
//! A balancer is told two things. The [`Shares`] say who may get requests at the moment and how many in proportion:
//! [`serving`] derives them from weights, health, ejections, circuits, draining and slow start, and says until when they
//! hold. The [`Load`] of each target says what it has to do: the only state that workers share, a padded line of atomics
//! for each target. The cursor of the round robin is each worker's own; what hashing needs is immutable and lies in the snapshot.

mod addresses;
mod circuits;
mod latency;
mod load;
mod rendezvous;
mod serving;
mod shares;
mod slow_start;
mod target_set;
mod two_choices;
mod weighted;

pub use addresses::{Addresses, Turn};
pub use circuits::{Unpicked, pick_permitted};
pub use latency::{MeanLatency, PeakEwma};
pub use load::{Load, Underway};
pub use rendezvous::{Rendezvous, hash_key};
pub use serving::{Duty, Mode, Serving, Standing, serving};
pub use shares::Shares;
pub use slow_start::SlowStart;
pub use target_set::TargetSet;
pub use two_choices::{least_requests, lowest_latency};
pub use weighted::SmoothWeighted;

#[cfg(test)]
mod tests;
