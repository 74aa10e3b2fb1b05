//! The `Date` of responses.

use std::cell::Cell;

use tollgate_core::time::{UnixMicros, imf_fixdate};

/// The text of the second that was asked for last: thousands of responses share one.
#[derive(Default)]
pub(crate) struct DateText(Cell<Option<(u64, [u8; 29])>>);

impl DateText {
    pub fn at(&self, now: UnixMicros) -> [u8; 29] {
        let secs = now.secs();
        match self.0.get() {
            Some((held_secs, held)) if held_secs == secs => held,
            Some(_) | None => {
                let text = imf_fixdate(secs);
                self.0.set(Some((secs, text)));
                text
            }
        }
    }
}
