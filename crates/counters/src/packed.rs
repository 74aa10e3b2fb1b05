//! Counter records as bytes: a version, then for each record the subject (16 bytes), the window (a tag and four
//! bytes of seconds), and the count (a tag and its numbers; of a log how many instants it has, then each with its requests). All numbers are big-endian.

use tollgate_core::limit::{Counted, CounterRecord, Log, Subject, Window};
use tollgate_core::time::UnixMicros;
use uuid::Uuid;

const VERSION: u8 = 1;
/// Of the longest record but a log's.
const RECORD_BYTES: usize = 16 + 5 + 1 + 32;

const SPAN: u8 = 0;
const CALENDAR_DAY: u8 = 1;
const CALENDAR_MONTH: u8 = 2;
const BUCKET: u8 = 0;
const FIXED: u8 = 1;
const SLIDING: u8 = 2;
const LOG: u8 = 3;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    #[error("the batch was packed by another version")]
    Version,
    #[error("the batch is cut short or damaged")]
    Damaged,
}

pub fn pack(records: &[CounterRecord]) -> Vec<u8> {
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
        pack_counted(&mut bytes, &record.counted);
    }
    bytes
}

fn pack_counted(bytes: &mut Vec<u8>, counted: &Counted) {
    let mut push = |tag, numbers: &[u64]| {
        bytes.push(tag);
        bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    };
    match *counted {
        Counted::Bucket { missing, at, full_at } => {
            bytes.push(BUCKET);
            bytes.extend_from_slice(&u128::from(missing).to_be_bytes());
            bytes.extend_from_slice(&at.0.to_be_bytes());
            bytes.extend_from_slice(&full_at.0.to_be_bytes());
        }
        Counted::Fixed { start_secs, end_secs, used } => push(FIXED, &[start_secs, end_secs, used]),
        Counted::Sliding { end_secs, previous, current } => push(SLIDING, &[end_secs, previous, current]),
        Counted::Log(ref log) => {
            let requests = log.requests();
            push(LOG, &[requests.len() as u64]);
            for (at, count) in requests {
                bytes.extend_from_slice(&at.0.to_be_bytes());
                bytes.extend_from_slice(&count.to_be_bytes());
            }
        }
    }
}

pub fn unpack(bytes: &[u8]) -> Result<Vec<CounterRecord>, BadBatch> {
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
                missing: u128::from_be_bytes(self.take()?).into(),
                at: UnixMicros(self.number()?),
                full_at: UnixMicros(self.number()?),
            },
            [FIXED] => {
                Counted::Fixed { start_secs: self.number()?, end_secs: self.number()?, used: self.number()? }
            }
            [SLIDING] => Counted::Sliding {
                end_secs: self.number()?,
                previous: self.number()?,
                current: self.number()?,
            },
            [LOG] => Counted::Log(Box::new(self.log()?)),
            _ => return None,
        };
        Some(CounterRecord { subject, window, counted })
    }

    fn log(&mut self) -> Option<Log> {
        let instants = self.number()?;
        let mut requests = Vec::new();
        for _ in 0..instants {
            requests.push((UnixMicros(self.number()?), self.number()?));
        }
        Log::of(requests)
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
        let bucket =
            Counted::Bucket { missing: u128::MAX.into(), at: UnixMicros(u64::MAX), full_at: UnixMicros(3) };
        let fixed = |used| Counted::Fixed { start_secs: 1, end_secs: 2, used };
        let sliding = Counted::Sliding { end_secs: u64::MAX, previous: 4, current: 5 };
        let log = Log::of([(UnixMicros(5), 1), (UnixMicros(6), u64::MAX - 1)]).unwrap();
        let span = |secs| Window::Span { secs };
        [
            (span(90), bucket),
            (span(91), Counted::Log(Box::new(log))),
            (Window::CalendarDay, fixed(u64::MAX)),
            (span(92), sliding),
            (Window::CalendarMonth, fixed(1)),
        ]
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
        // A log whose instants do not ascend, and one that has none.
        let mut log = pack(&records()[1..2]);
        log[31 + 7] = 9;
        assert_eq!(unpack(&log), Err(BadBatch::Damaged));
        log.truncate(31);
        log[30] = 0;
        assert_eq!(unpack(&log), Err(BadBatch::Damaged));
    }
}
