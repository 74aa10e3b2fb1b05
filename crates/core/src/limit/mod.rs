//! Limits: what a plan allows over a period, and one decision over all limits that apply.
//!
//! A counter's identity is its subject and its [`Window`]. Editing a plan, moving a consumer to another plan
//! or rotating a key therefore never refills a period.

mod calendar;
mod decision;
mod fixed_window;
mod gauge;
mod rule;
mod sliding_log;
mod sliding_window;
mod token_bucket;
mod window;
mod windows;

pub use calendar::Calendar;
pub use decision::{Outcome, Refusal, Standing, Standings, Subject, decide, inspect};
pub use rule::{LimitRule, RuleHeaders};
pub use sliding_log::Log;
pub use window::{BadWindow, Counted, RequestMicros, Window};
pub use windows::{CounterRecord, SubjectWindows};
