//! Where limits are counted. In process, for now: [`LocalCounters`].

mod local;

pub use local::{Decision, LocalCounters, Permits, Verdict};
