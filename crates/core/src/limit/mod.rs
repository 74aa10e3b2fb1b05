//! Limits: what a plan allows over a period, and one decision over all limits that apply.
//!
//! A counter's identity is its subject and its [`Window`]. Editing a plan, moving a consumer to another plan
//! or rotating a key therefore never refills a period.

mod decision;
mod fixed_window;
mod gauge;
mod rule;
mod token_bucket;
mod window;
mod windows;

pub use decision::{Outcome, Refusal, Standing, Standings, Subject, decide, inspect};
pub use rule::{LimitRule, RuleHeaders};
pub use window::{BadWindow, Counted, Window};
pub use windows::{CounterRecord, SubjectWindows};
