//! Where limits are counted. In process, for now: [`LocalCounters`]. What was counted is kept as bytes: [`packed`].

mod local;
pub mod packed;

pub use local::{Decision, LocalCounters, Permits, Verdict};
