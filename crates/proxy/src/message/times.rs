//! Texts of instants: one response after another says the same ones.

use std::cell::Cell;

use tollgate_core::time::{UnixMicros, imf_fixdate, rfc3339};

/// The texts that were asked for last.
#[derive(Default)]
pub(crate) struct TimeTexts {
    instants: [LastText<20>; SLOTS],
    date: LastText<29>,
}

const SLOTS: usize = 4;

impl TimeTexts {
    /// RFC 3339; `slot` is where to look, and any number.
    pub fn text(&self, slot: usize, secs: u64) -> [u8; 20] {
        self.instants[slot % SLOTS].of(secs, rfc3339)
    }

    /// The value of `Date`.
    pub fn date(&self, now: UnixMicros) -> [u8; 29] {
        self.date.of(now.secs(), imf_fixdate)
    }
}

#[derive(Default)]
struct LastText<const BYTES: usize>(Cell<Option<(u64, [u8; BYTES])>>);

impl<const BYTES: usize> LastText<BYTES> {
    fn of(&self, secs: u64, write: impl FnOnce(u64) -> [u8; BYTES]) -> [u8; BYTES] {
        match self.0.get() {
            Some((held_secs, held)) if held_secs == secs => held,
            Some(_) | None => {
                let text = write(secs);
                self.0.set(Some((secs, text)));
                text
            }
        }
    }
}
