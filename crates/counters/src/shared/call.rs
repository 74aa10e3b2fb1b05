//! The server-side script: what it is asked, and what it answers.

use redis::{Cmd, Value};
use smallvec::SmallVec;
use tollgate_core::limit::{
    Calendar, Counted, LimitRule, Log, RequestMicros, Subject, SubjectWindows, Window,
};
use tollgate_core::resource::{Algorithm, Overage};
use tollgate_core::time::UnixMicros;

pub const SCRIPT: &str = include_str!("subject.lua");

/// The script's own: no count is larger.
const COUNT_MOST: u64 = 1 << 50;

/// Whose clock the script goes by.
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
    Less { units: u64, charged_at: UnixMicros },
}

/// What the script says of one subject.
#[derive(Debug)]
pub struct Answer {
    /// Requests that were let through.
    pub admitted: u64,
    pub slice: u64,
    /// The server's time.
    pub now: UnixMicros,
    /// Which of the answers it is.
    pub number: u64,
    /// The store's incarnation in which the counts were said before; 0 where one was not there.
    pub was_said_in: u64,
    /// That in which they are said now.
    pub said_in: u64,
    pub windows: SubjectWindows,
}

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
    pub script: &'a str,
    pub time: ServerTime,
    /// Of the store, as this node sees it: later ones are greater.
    pub incarnation: u64,
    pub subject: Subject,
    pub rules: &'a [LimitRule],
}

impl Caller<'_> {
    /// `now` is the server's time as far as it is known: days and months are told by it.
    pub fn take(self, calendar: Calendar<'_>, now: UnixMicros, take: Take) -> Cmd {
        let mut cmd = self.begin("take", take);
        for rule in self.rules {
            push_rule(&mut cmd, rule, rule.calendar_period(calendar, now));
        }
        cmd
    }

    /// Each rule has its amount. Days and months that are not begun yet are those of `periods`.
    pub fn adjust(self, periods: Periods<'_>, amounts: &[Amount]) -> Cmd {
        let mut cmd = self.begin("adjust", Take::NOTHING);
        for (rule, amount) in self.rules.iter().zip(amounts) {
            push_rule(&mut cmd, rule, periods.of(rule));
            match *amount {
                Amount::More(units) => cmd.arg(units).arg(0),
                Amount::Less { units, charged_at } => cmd.arg(format!("-{units}")).arg(charged_at.0),
            };
        }
        cmd
    }

    /// What is known of each rule; a rule of which nothing is known is left as it is.
    pub fn put(self, known: &SubjectWindows) -> Cmd {
        let mut cmd = self.begin("put", Take::NOTHING);
        for rule in self.rules {
            push_rule(&mut cmd, rule, Periods::Of(known).of(rule));
            cmd.arg(known.find(rule.window).map_or_else(String::new, |counted| state(rule, counted)));
        }
        cmd
    }

    fn begin(self, operation: &str, take: Take) -> Cmd {
        let Self { script, time, incarnation, subject, rules } = self;
        let logs = rules.iter().filter(|rule| rule.algorithm == Algorithm::SlidingLog);
        let mut cmd = Cmd::with_capacity(10 + 7 * rules.len(), 320 + 110 * rules.len());
        cmd.arg("EVALSHA").arg(script).arg(rules.len() + logs.clone().count());
        for rule in rules {
            cmd.arg(key(subject, rule.window, ""));
        }
        for rule in logs {
            cmd.arg(key(subject, rule.window, ":log"));
        }
        let now = match time {
            ServerTime::Own => 0,
            ServerTime::Given(now) => now.0,
        };
        let Take { cost, times, extra, life_micros, divisor } = take;
        cmd.arg(operation)
            .arg(now)
            .arg(cost)
            .arg(times)
            .arg(extra)
            .arg(life_micros)
            .arg(divisor)
            .arg(incarnation);
        cmd
    }
}

impl Take {
    const NOTHING: Self = Self { cost: 1, times: 0, extra: 0, life_micros: 0, divisor: 1 };
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

fn key(subject: Subject, window: Window, suffix: &str) -> String {
    let subject = subject.0.simple();
    match window {
        Window::Span { secs } => format!("tg:{{{subject}}}:{secs}{suffix}"),
        Window::CalendarDay => format!("tg:{{{subject}}}:day{suffix}"),
        Window::CalendarMonth => format!("tg:{{{subject}}}:month{suffix}"),
    }
}

fn push_rule(cmd: &mut Cmd, rule: &LimitRule, period: Option<(u64, u64)>) {
    let (kind, burst) = match rule.algorithm {
        Algorithm::TokenBucket { burst } => ("B", burst),
        Algorithm::FixedWindow => ("F", 0),
        Algorithm::SlidingWindow => ("S", 0),
        Algorithm::SlidingLog => ("L", 0),
    };
    let (start_secs, end_secs) = period.unwrap_or_default();
    // What may be gone over is counted and refuses nothing: what callers are told of it is computed here.
    let requests = match rule.overage {
        Overage::Deny => rule.requests,
        Overage::Allow => COUNT_MOST,
    };
    cmd.arg(kind).arg(requests).arg(window_micros(rule.window)).arg(burst).arg(start_secs).arg(end_secs);
}

const fn window_micros(window: Window) -> u64 {
    window.nominal_secs() * 1_000_000
}

/// A count as the script keeps it.
fn state(rule: &LimitRule, counted: &Counted) -> String {
    match counted {
        &Counted::Bucket { missing, at, .. } => {
            let (missing, window) = (u128::from(missing), u128::from(window_micros(rule.window)));
            format!("B {} {} {}", missing / window, missing % window, at.0)
        }
        Counted::Fixed { start_secs, end_secs, used } => format!("F {start_secs} {end_secs} {used}"),
        Counted::Sliding { end_secs, previous, current } => format!("S {end_secs} {previous} {current}"),
        Counted::Log(log) => {
            let (last, used) = log.requests().fold((0, 0), |(_, used), (at, count)| (at.0, used + count));
            format!("L {used} {last} 0")
        }
    }
}

impl Answered {
    pub fn parse(value: Value, rules: &[LimitRule], number: u64) -> Result<Self, BadAnswer> {
        let Value::Array(values) = value else { return Err(BadAnswer) };
        let [
            Value::Int(code),
            Value::Int(admitted),
            Value::Int(slice),
            Value::Int(now),
            Value::Int(was_said_in),
            Value::Int(said_in),
            states @ ..,
        ] = &*values
        else {
            return Err(BadAnswer);
        };
        let positive = |number: &i64| u64::try_from(*number).map_err(|_| BadAnswer);
        let now = UnixMicros(positive(now)?);
        if *code != 0 {
            return Ok(Self::Elsewhen(now));
        }
        let mut windows = SubjectWindows::default();
        for (rule, state) in rules.iter().zip(states) {
            let Value::BulkString(text) = state else { return Err(BadAnswer) };
            let text = std::str::from_utf8(text).map_err(|_| BadAnswer)?;
            if let Some(counted) = parse_state(rule, text)? {
                windows.put(rule.window, counted);
            }
        }
        let (admitted, slice) = (positive(admitted)?, positive(slice)?);
        let (was_said_in, said_in) = (positive(was_said_in)?, positive(said_in)?);
        Ok(Self::Done(Answer { admitted, slice, now, number, was_said_in, said_in, windows }))
    }
}

/// `None` where nothing is used.
fn parse_state(rule: &LimitRule, text: &str) -> Result<Option<Counted>, BadAnswer> {
    let mut words = text.split(' ');
    let tag = words.next();
    let numbers: SmallVec<[u64; 4]> =
        words.map(|word| word.parse().map_err(|_| BadAnswer)).collect::<Result<_, _>>()?;
    Ok(Some(match (tag, &*numbers) {
        (Some("B"), &[whole, rest, at]) => {
            let window = u128::from(window_micros(rule.window));
            let missing = u128::from(whole) * window + u128::from(rest);
            let until_full = u64::try_from(missing.div_ceil(u128::from(rule.requests))).unwrap_or(u64::MAX);
            let at = UnixMicros(at);
            Counted::Bucket { missing: RequestMicros::from(missing), at, full_at: at.after(until_full) }
        }
        (Some("F"), &[start_secs, end_secs, used]) => Counted::Fixed { start_secs, end_secs, used },
        (Some("S"), &[end_secs, previous, current]) => Counted::Sliding { end_secs, previous, current },
        (Some("L"), &[0, ..]) => return Ok(None),
        // The first of them, and all: nobody asks when those between were let through.
        (Some("L"), &[used, last, first_used, first]) if first < last && first_used < used => {
            let requests = [(UnixMicros(first), first_used), (UnixMicros(last), used - first_used)];
            Counted::Log(Box::new(Log::of(requests).ok_or(BadAnswer)?))
        }
        (Some("L"), &[used, last, ..]) => {
            Counted::Log(Box::new(Log::of([(UnixMicros(last), used)]).ok_or(BadAnswer)?))
        }
        _ => return Err(BadAnswer),
    }))
}
