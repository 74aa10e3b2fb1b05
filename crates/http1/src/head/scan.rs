//! Finds the end of a head that arrives in pieces, looking at every byte once.

use memchr::memchr2_iter;

use super::limits::{HeadError, HeadLimits};

/// How far a head has been read. Offsets count from the first byte of the caller's input, which
/// therefore has to stay in place until the head is complete.
///
/// It refuses at the first byte that breaks a rule, so that a head fails for the same reason
/// however it was cut into pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadScan {
    /// Where the start line begins, after skipped empty lines.
    pub(crate) start: usize,
    /// Where the field lines begin, once the start line is complete.
    pub(crate) fields_start: Option<usize>,
    line_start: usize,
    searched: usize,
    field_lines: usize,
}

/// What limits the start line.
#[derive(Clone, Copy)]
pub(crate) struct StartLineLimit {
    pub(crate) bytes: usize,
    pub(crate) error: HeadError,
}

const BARE_LINE_FEED: HeadError = HeadError::Malformed("line feed without carriage return");
const BARE_CARRIAGE_RETURN: HeadError = HeadError::Malformed("carriage return without line feed");

impl HeadScan {
    /// A scan of field lines alone, as in a trailer section.
    pub(crate) fn of_fields() -> Self {
        Self { fields_start: Some(0), ..Self::default() }
    }

    /// Whether nothing of the head has been seen before.
    pub(crate) fn is_untouched(&self) -> bool {
        self.start == 0 && self.searched == 0 && self.fields_start.is_none()
    }

    /// Moves `start` past empty lines. A caller that goes on to check the start line meets there
    /// whatever was too much.
    pub(crate) fn skip_empty_lines(&mut self, input: &[u8]) {
        while self.start < 2 * HeadLimits::MAX_EMPTY_LINES && input[self.start..].starts_with(b"\r\n") {
            self.start += 2;
            self.line_start = self.start;
            self.searched = self.start;
        }
    }

    /// Returns where the head ends, once it does.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        start_line: StartLineLimit,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        let base = self.searched;
        for at in memchr2_iter(b'\r', b'\n', &input[base..]).map(|found| base + found) {
            if input[at] == b'\r' {
                self.check_line_feed_at(at + 1, start_line, limits)?;
                if input.get(at + 1).is_some_and(|&next| next != b'\n') {
                    return Err(BARE_CARRIAGE_RETURN);
                }
                continue;
            }
            self.check_line_feed_at(at, start_line, limits)?;
            let line = input[self.line_start..at].strip_suffix(b"\r").ok_or(BARE_LINE_FEED)?;
            self.line_start = at + 1;
            if self.fields_start.is_none() {
                self.fields_start = Some(self.line_start);
            } else if line.is_empty() {
                return Ok(Some(self.line_start));
            } else {
                self.field_lines += 1;
                if self.field_lines > limits.fields.min(HeadLimits::MAX_FIELDS) {
                    return Err(HeadError::TooManyFields);
                }
            }
        }
        // The head goes on, so the next line feed is beyond the input: is there room for it?
        self.check_line_feed_at(input.len(), start_line, limits)?;
        // A CR at the end is judged again with what follows it.
        self.searched = input.len() - usize::from(input.ends_with(b"\r"));
        Ok(None)
    }

    /// Refuses a head whose current line ends no earlier than `at` and so exceeds its limit.
    fn check_line_feed_at(
        &self,
        at: usize,
        start_line: StartLineLimit,
        limits: &HeadLimits,
    ) -> Result<(), HeadError> {
        match self.fields_start {
            None if at - self.start > start_line.bytes.saturating_add(1) => Err(start_line.error),
            Some(fields_start) if at - fields_start >= limits.head_bytes => Err(HeadError::HeadTooLarge),
            None | Some(_) => Ok(()),
        }
    }
}
