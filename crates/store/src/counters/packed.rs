//! Counter records as bytes: a version, then for each record the subject (16 bytes), the window (a tag and four
//! bytes of seconds), and the count (a tag and its numbers). All numbers are big-endian.

use tollgate_core::limit::{Counted, CounterRecord, Subject, Window};
use tollgate_core::time::UnixMicros;
use uuid::Uuid;

const VERSION: u8 = 1;
/// Of the longest record.
const RECORD_BYTES: usize = 16 + 5 + 1 + 32;

const SPAN: u8 = 0;
const CALENDAR_DAY: u8 = 1;
const CALENDAR_MONTH: u8 = 2;
const BUCKET: u8 = 0;
const FIXED: u8 = 1;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadBatch {
    #[error("the batch was packed by another version")]
    Version,
    #[error("the batch is cut short or damaged")]
    Damaged,
}

pub(super) fn pack(records: &[CounterRecord]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + records.len() * RECORD_BYTES);
    bytes.push(VERSION);
    for record in records {
        bytes.extend_from_slice(record.subject.0.as_bytes());
        let (tag, secs) = match record.window {
            Window::Span { secs } => (SPAN, secs),
            Window::CalendarDay => (CALENDAR_DAY, 0),
            Window::CalendarMonth => (CALENDAR_MONTH, 0),
        };
        bytes.push(tag);
        bytes.extend_from_slice(&secs.to_be_bytes());
        match record.counted {
            Counted::Bucket { missing, at, full_at } => {
                bytes.push(BUCKET);
                bytes.extend_from_slice(&missing.to_be_bytes());
                bytes.extend_from_slice(&at.0.to_be_bytes());
                bytes.extend_from_slice(&full_at.0.to_be_bytes());
            }
            Counted::Fixed { start_secs, used } => {
                bytes.push(FIXED);
                bytes.extend_from_slice(&start_secs.to_be_bytes());
                bytes.extend_from_slice(&used.to_be_bytes());
            }
        }
    }
    bytes
}

pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<CounterRecord>, BadBatch> {
    let (&version, rest) = bytes.split_first().ok_or(BadBatch::Damaged)?;
    if version != VERSION {
        return Err(BadBatch::Version);
    }
    let mut input = Input(rest);
    let mut records = Vec::with_capacity(rest.len() / RECORD_BYTES);
    while !input.0.is_empty() {
        records.push(input.record().ok_or(BadBatch::Damaged)?);
    }
    Ok(records)
}

struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn record(&mut self) -> Option<CounterRecord> {
        let subject = Subject(Uuid::from_bytes(self.take()?));
        let [tag] = self.take()?;
        let secs = u32::from_be_bytes(self.take()?);
        let window = match tag {
            SPAN if secs > 0 => Window::Span { secs },
            CALENDAR_DAY => Window::CalendarDay,
            CALENDAR_MONTH => Window::CalendarMonth,
            _ => return None,
        };
        let counted = match self.take()? {
            [BUCKET] => Counted::Bucket {
                missing: u128::from_be_bytes(self.take()?),
                at: UnixMicros(self.number()?),
                full_at: UnixMicros(self.number()?),
            },
            [FIXED] => Counted::Fixed { start_secs: self.number()?, used: self.number()? },
            _ => return None,
        };
        Some(CounterRecord { subject, window, counted })
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<CounterRecord> {
        let subject = Subject(Uuid::from_u128(7));
        let bucket = Counted::Bucket { missing: u128::MAX, at: UnixMicros(u64::MAX), full_at: UnixMicros(3) };
        let fixed = Counted::Fixed { start_secs: 1, used: u64::MAX };
        [(Window::Span { secs: 90 }, bucket), (Window::CalendarDay, fixed), (Window::CalendarMonth, fixed)]
            .map(|(window, counted)| CounterRecord { subject, window, counted })
            .to_vec()
    }

    #[test]
    fn what_is_packed_unpacks_to_the_same() {
        assert_eq!(unpack(&pack(&records())).unwrap(), records());
        assert_eq!(unpack(&pack(&[])).unwrap(), []);
    }

    #[test]
    fn a_batch_that_is_cut_short_or_damaged_is_refused() {
        let whole = pack(&records());
        for length in 2..whole.len() {
            match unpack(&whole[..length]) {
                Err(error) => assert_eq!(error, BadBatch::Damaged),
                // A cut between two records cannot be told; no other may pass.
                Ok(kept) => assert_eq!(pack(&kept), whole[..length]),
            }
        }
        assert_eq!(unpack(&[]), Err(BadBatch::Damaged));
        assert_eq!(unpack(&[9]), Err(BadBatch::Version));
        let mut odd = whole;
        odd[17] = 7;
        assert_eq!(unpack(&odd), Err(BadBatch::Damaged));
    }
}
