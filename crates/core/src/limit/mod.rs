//! Limits: what a plan allows over a period, and one decision over all limits that apply.
//!
//! A counter's identity is its subject and its [`Window`]. Editing a plan, moving a consumer to another plan
//! or rotating a key therefore never refills a period.

mod decision;
mod fixed_window;
mod rule;
mod token_bucket;
mod window;

pub use decision::{
    CounterRecord, Outcome, Refusal, Standing, Standings, Subject, SubjectWindows, decide, inspect,
};
pub use rule::{LimitRule, RuleHeaders};
pub use window::{BadWindow, Counted, Window};
