//! Names of targets: which whole names one stands for, and what is in force of the answers to them.

mod refresh;
mod search;

pub use refresh::{Answer, Doubt, InForce, Refresh, Step};
pub use search::{Search, ServerOptions, local_domains};
