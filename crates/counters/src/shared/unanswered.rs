//! For tests: a store that nobody answers for.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{LANES, Op, Shared};
use crate::{LocalCounters, TimeSource};

/// It, and what it is asked.
pub fn unanswered() -> (Shared, [mpsc::UnboundedReceiver<Op>; LANES]) {
    let [(first, first_asked), (second, second_asked)] = [(); LANES].map(|()| mpsc::unbounded_channel());
    let local = Arc::new(LocalCounters::new());
    (Shared::new(local, TimeSource::Server, [first, second]), [first_asked, second_asked])
}
