//! Names of targets: what is in force of the answers to them.

mod refresh;

pub use refresh::{Answer, Doubt, InForce, Refresh, Step};
