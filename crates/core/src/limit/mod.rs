//! Limits: what is allowed over a period at each [`Level`], and one decision over all limits that apply.
//!
//! A counter's identity is its subject and its [`Window`]. Editing a plan, moving a consumer to another plan
//! or rotating a key therefore never refills a period.

mod calendar;
mod decision;
mod fixed_window;
mod gauge;
mod level;
mod owed;
mod rule;
mod share;
mod sliding_log;
mod sliding_window;
mod subject;
mod threshold;
mod token_bucket;
mod window;
mod windows;

pub use calendar::Calendar;
pub use decision::{
    Charge, Outcome, Refusal, Settled, Settlement, Standing, Standings, charge_each, decide, inspect, settle,
    used,
};
pub use level::{Demand, Level, LevelLimits, SubjectLimits};
pub use owed::{Base, Tally, on_top_of, owed, settle_on_top, take_off_owed};
pub use rule::{LimitRule, RuleHeaders};
pub use share::{Share, decide_share};
pub use sliding_log::Log;
pub use subject::Subject;
pub use threshold::{Crossed, Crossing, Threshold, crossed_between};
pub use window::{BadWindow, Counted, RequestMicros, Window};
pub use windows::{CounterRecord, SubjectWindows};
