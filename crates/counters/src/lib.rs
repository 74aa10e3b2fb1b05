//! Where limits are counted: [`Counters`] in this process ([`LocalCounters`]), or in a store that several nodes share, which
//! a [`Keeper`] keeps at hand. What was counted in process is kept as bytes: [`packed`].

mod counters;
mod entries;
mod local;
pub mod packed;
mod shared;
mod sweeps;

pub use counters::{Attempt, Counters, Moment};
pub use local::{Decision, LocalCounters, Permits, Verdict};
pub use shared::{Keeper, LONGEST_WAIT, StoreSettings, StoreState, StoreStatus, TimeSource, Undecided};
pub use sweeps::Sweeps;
