//! The server-side scripts: what they are asked, and what they answer.

use redis::{Cmd, Value};
use smallvec::SmallVec;
use tollgate_core::limit::{
    Calendar, Counted, LimitRule, Log, RequestMicros, Subject, SubjectWindows, Window,
};
use tollgate_core::resource::{Algorithm, Overage};
use tollgate_core::time::UnixMicros;

use super::doubles::{Packed, Unpacked};
use super::scripts::Scripts;

/// The scripts' own: no count is larger.
const COUNT_MOST: u64 = 1 << 50;

/// The version of the scripts' records. Those of another are no counts to them, and would be removed: they have other keys.
const RECORDS: u32 = 2;

/// In place of an incarnation.
pub const WHICHEVER: u64 = 0;

/// Whose clock the scripts go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerTime {
    /// The server's own.
    Own,
    /// The caller's: for tests, which do not wait.
    Given(UnixMicros),
}

/// Requests of one cost, and a slice of more.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    pub cost: u64,
    pub times: u64,
    /// Most units of the slice.
    pub extra: u64,
    pub life_micros: u64,
    /// A slice is at most so-manieth of what is left.
    pub divisor: u64,
}

/// What is charged to a limit over it too, or given back.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    More(u64),
    Less {
        units: u64,
        charged_at: UnixMicros,
        /// Of the limit when that was charged; 0 where it is not known.
        depth: u64,
    },
}

impl Amount {
    pub const fn is_less(&self) -> bool {
        matches!(self, Self::Less { .. })
    }
}

/// For each limit that is a bucket what it misses right after an answer, on top of all that was given back to it before; 0 for
/// others. What is charged with that answer and given back later would not have come back by itself as long as this much
/// did not flow.
pub type Depths = SmallVec<[u64; 3]>;

/// The same amount for each of so many limits, to be given back.
pub fn less(limits: usize, units: u64, charged_at: UnixMicros, depths: &Depths) -> Box<[Amount]> {
    let depths = depths.iter().copied().chain(std::iter::repeat(0));
    depths.take(limits).map(|depth| Amount::Less { units, charged_at, depth }).collect()
}

/// What a script says of one subject.
#[derive(Debug)]
pub struct Answer {
    /// Requests that were let through.
    pub admitted: u64,
    pub slice: u64,
    /// The server's time.
    pub now: UnixMicros,
    /// Which of the answers it is.
    pub number: u64,
    /// The store's incarnation in which the counts are said.
    pub said_in: u64,
    /// That in which each limit's count was said before; 0 where it was not there.
    pub was_said_in: SmallVec<[u64; 4]>,
    pub windows: SubjectWindows,
    pub depths: Depths,
}

#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made, for every request")]
#[derive(Debug)]
pub enum Answered {
    Done(Answer),
    /// The server's clock is in another day or month than the caller's.
    Elsewhen(UnixMicros),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the counter store gave an answer that is none")]
pub struct BadAnswer;

/// The parts of a call that are the same whatever is asked.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Known since the store was first there; until then nothing is asked of it.
    pub scripts: Option<&'a Scripts>,
    pub time: ServerTime,
    /// Of the store, as this node sees it: later ones are greater.
    pub incarnation: u64,
    pub subject: Subject,
    pub rules: &'a [LimitRule],
}

impl Caller<'_> {
    /// `now` is the server's time as far as it is known: days and months are told by it.
    pub fn take(self, calendar: Calendar<'_>, now: UnixMicros, take: Take) -> Cmd {
        let Take { cost, times, extra, life_micros, divisor } = take;
        let mut cmd = self.begin(|scripts| &scripts.take, &[cost, times, extra, life_micros, divisor]);
        for rule in self.rules {
            cmd.arg(packed(rule, rule.calendar_period(calendar, now)).bytes());
        }
        cmd
    }

    /// Each rule has its amount. Days and months that are not begun yet are those of `periods`.
    pub fn adjust(self, periods: Periods<'_>, amounts: &[Amount]) -> Cmd {
        self.adjust_said_in(WHICHEVER, periods, amounts)
    }

    /// The same of counts that are still said in this incarnation.
    pub fn adjust_said_in(self, said_in: u64, periods: Periods<'_>, amounts: &[Amount]) -> Cmd {
        let mut cmd = self.begin(|scripts| &scripts.adjust, &[said_in]);
        for (rule, amount) in self.rules.iter().zip(amounts) {
            let mut packed = packed(rule, periods.of(rule));
            match *amount {
                Amount::More(units) => packed.numbers(&[units, 0, 0]),
                Amount::Less { units, charged_at, depth } => {
                    packed.below_zero(units);
                    packed.numbers(&[charged_at.0, depth]);
                }
            }
            cmd.arg(packed.bytes());
        }
        cmd
    }

    /// What is known of each rule; a rule of which nothing is known is left as it is.
    pub fn put(self, known: &SubjectWindows) -> Cmd {
        let mut cmd = self.begin(|scripts| &scripts.put, &[]);
        for rule in self.rules {
            let mut packed = packed(rule, Periods::Of(known).of(rule));
            if let Some(counted) = known.find(rule.window) {
                push_state(&mut packed, rule, counted);
            }
            cmd.arg(packed.bytes());
        }
        cmd
    }

    fn begin(self, script: impl Fn(&Scripts) -> &str, own: &[u64]) -> Cmd {
        let Self { scripts, time, incarnation, subject, rules } = self;
        let logs = rules.iter().filter(|rule| rule.algorithm == Algorithm::SlidingLog);
        let mut cmd = Cmd::with_capacity(5 + 2 * rules.len(), 256 + 128 * rules.len());
        cmd.arg("EVALSHA").arg(scripts.map_or("", script)).arg(1 + logs.clone().count());
        let state = format!("tg:{{{}}}:{RECORDS}", subject.0.simple());
        cmd.arg(&state);
        for rule in logs {
            cmd.arg(format!("{state}:{}:log", window_name(rule.window)));
        }
        let now = match time {
            ServerTime::Own => 0,
            ServerTime::Given(now) => now.0,
        };
        let mut numbers = Packed::of(&[now, incarnation]);
        numbers.numbers(own);
        cmd.arg(numbers.bytes());
        cmd
    }
}

/// Where the bounds of days and months are from.
#[derive(Debug, Clone, Copy)]
pub enum Periods<'a> {
    Now(Calendar<'a>, UnixMicros),
    /// What was counted knows its own.
    Of(&'a SubjectWindows),
}

impl Periods<'_> {
    fn of(self, rule: &LimitRule) -> Option<(u64, u64)> {
        match self {
            Self::Now(calendar, now) => rule.calendar_period(calendar, now),
            Self::Of(windows) => match windows.find(rule.window) {
                Some(&Counted::Fixed { start_secs, end_secs, .. }) if rule.window.is_calendar() => {
                    Some((start_secs, end_secs))
                }
                // A second that is past: nothing is counted in it.
                _ if rule.window.is_calendar() => Some((0, 1)),
                _ => None,
            },
        }
    }
}

/// A number that no other window has.
fn window_name(window: Window) -> f64 {
    match window {
        Window::Span { secs } => f64::from(secs),
        Window::CalendarDay => -1.0,
        Window::CalendarMonth => -2.0,
    }
}

fn packed(rule: &LimitRule, period: Option<(u64, u64)>) -> Packed {
    let (kind, burst) = match rule.algorithm {
        Algorithm::TokenBucket { burst } => (b'B', burst),
        Algorithm::FixedWindow => (b'F', 0),
        Algorithm::SlidingWindow => (b'S', 0),
        Algorithm::SlidingLog => (b'L', 0),
    };
    let (start_secs, end_secs) = period.unwrap_or_default();
    // What may be gone over is counted and refuses nothing: what callers are told of it is computed here.
    let requests = match rule.overage {
        Overage::Deny => rule.requests,
        Overage::Allow => COUNT_MOST,
    };
    let mut packed = Packed::default();
    packed.double(window_name(rule.window));
    packed.letter(kind);
    packed.numbers(&[requests, window_micros(rule.window), burst, start_secs, end_secs]);
    packed
}

const fn window_micros(window: Window) -> u64 {
    window.nominal_secs() * 1_000_000
}

/// A count as the scripts keep it.
fn push_state(packed: &mut Packed, rule: &LimitRule, counted: &Counted) {
    let (letter, numbers) = match counted {
        &Counted::Bucket { missing, at, .. } => {
            let (missing, window) = (u128::from(missing), u128::from(window_micros(rule.window)));
            let [whole, rest] =
                [missing / window, missing % window].map(|number| u64::try_from(number).unwrap_or(u64::MAX));
            (b'B', [whole, rest, at.0])
        }
        &Counted::Fixed { start_secs, end_secs, used } => (b'F', [start_secs, end_secs, used]),
        &Counted::Sliding { end_secs, previous, current } => (b'S', [end_secs, previous, current]),
        Counted::Log(log) => {
            let (last, used) = log.requests().fold((0, 0), |(_, used), (at, count)| (at.0, used + count));
            (b'L', [used, last, 0])
        }
    };
    packed.letter(letter);
    packed.numbers(&numbers);
}

impl Answered {
    pub fn parse(value: &Value, rules: &[LimitRule], number: u64) -> Result<Self, BadAnswer> {
        let Value::BulkString(bytes) = value else { return Err(BadAnswer) };
        let mut unpacked = Unpacked(bytes);
        let [code, admitted, slice, now, said_in] = unpacked.numbers().ok_or(BadAnswer)?;
        let now = UnixMicros(now);
        if code != 0 {
            return Ok(Self::Elsewhen(now));
        }
        let (mut windows, mut depths) = (SubjectWindows::default(), Depths::new());
        for rule in rules {
            let Record { counted, depth } = parse_record(rule, &mut unpacked)?;
            if let Some(counted) = counted {
                windows.put(rule.window, counted);
            }
            depths.push(depth);
        }
        let mut was_said_in = SmallVec::new();
        for _rule in rules {
            let [its] = unpacked.numbers().ok_or(BadAnswer)?;
            was_said_in.push(its);
        }
        Ok(Self::Done(Answer { admitted, slice, now, number, said_in, was_said_in, windows, depths }))
    }
}

struct Record {
    /// `None` where nothing is used.
    counted: Option<Counted>,
    depth: u64,
}

fn parse_record(rule: &LimitRule, unpacked: &mut Unpacked<'_>) -> Result<Record, BadAnswer> {
    let _window = unpacked.double().ok_or(BadAnswer)?;
    let letter = unpacked.letter().ok_or(BadAnswer)?;
    // Behind the count's own: what is said in which incarnation, until when, and what a bucket was given back. A log that refused
    // somebody who waits says there when the first requests were let through that have to be past for that.
    let [x, y, z, awaited_at, _said_in, _until, returned] = unpacked.numbers().ok_or(BadAnswer)?;
    let depth = if let b'B' | b'W' = letter { x.saturating_add(returned) } else { 0 };
    let counted = match letter {
        b'B' | b'W' => {
            let (whole, rest, at) = (x, y, UnixMicros(z));
            let window = u128::from(window_micros(rule.window));
            let missing = u128::from(whole) * window + u128::from(rest);
            let until_full = u64::try_from(missing.div_ceil(u128::from(rule.requests))).unwrap_or(u64::MAX);
            Counted::Bucket { missing: RequestMicros::from(missing), at, full_at: at.after(until_full) }
        }
        b'F' => Counted::Fixed { start_secs: x, end_secs: y, used: z },
        b'S' => Counted::Sliding { end_secs: x, previous: y, current: z },
        b'L' | b'A' if x == 0 => return Ok(Record { counted: None, depth }),
        // The first of them, and all: nobody asks when those between were let through.
        b'A' if awaited_at < y && z < x => log_of([(UnixMicros(awaited_at), z), (UnixMicros(y), x - z)])?,
        b'L' | b'A' => log_of([(UnixMicros(y), x)])?,
        _ => return Err(BadAnswer),
    };
    Ok(Record { counted: Some(counted), depth })
}

fn log_of(requests: impl IntoIterator<Item = (UnixMicros, u64)>) -> Result<Counted, BadAnswer> {
    Log::of(requests).map(|log| Counted::Log(Box::new(log))).ok_or(BadAnswer)
}
