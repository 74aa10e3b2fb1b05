//! What can be the matter with an attempt, and which of it counts.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No connection came about: not one byte was sent.
    Connect,
    /// The same, and the target's machine said so at once: nobody listens there.
    Refused,
    /// The connection broke, or carried nonsense, before the response's head was whole.
    Reset,
    /// The target did not answer in time.
    Timeout,
    Status(u16),
}

/// One entry of a list of causes, as it is written: `connect`, `reset`, `timeout`, `503` or `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CausePattern {
    Connect,
    Reset,
    Timeout,
    Status(u16),
    /// The first digit.
    Class(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be connect, reset, timeout, a status such as 503, or a class such as 5xx")]
pub struct BadCause;

impl CausePattern {
    pub fn parse(text: &str) -> Result<Self, BadCause> {
        match text {
            "connect" => return Ok(Self::Connect),
            "reset" => return Ok(Self::Reset),
            "timeout" => return Ok(Self::Timeout),
            _ => {}
        }
        match text.as_bytes() {
            [class @ b'2'..=b'5', b'x', b'x'] => Ok(Self::Class(class - b'0')),
            [b'2'..=b'5', _, _] => text.parse().map(Self::Status).map_err(|_| BadCause),
            _ => Err(BadCause),
        }
    }

    /// Whether an attempt that it matches can have failed: a response below 400 is none that did.
    pub const fn may_be_failure(self) -> bool {
        match self {
            Self::Connect | Self::Reset | Self::Timeout => true,
            Self::Status(status) => status >= 400,
            Self::Class(class) => class >= 4,
        }
    }

    fn matches(self, cause: Cause) -> bool {
        match (self, cause) {
            (Self::Connect, Cause::Connect | Cause::Refused)
            | (Self::Reset, Cause::Reset)
            | (Self::Timeout, Cause::Timeout) => true,
            (Self::Status(wanted), Cause::Status(status)) => wanted == status,
            (Self::Class(class), Cause::Status(status)) => status / 100 == u16::from(class),
            (Self::Connect | Self::Reset | Self::Timeout | Self::Status(_) | Self::Class(_), _) => false,
        }
    }
}

impl fmt::Display for CausePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("timeout"),
            Self::Status(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Causes(Cow<'static, [CausePattern]>);

impl Causes {
    /// What counts as a failure of a service or a target where nothing else is said.
    pub const FAILURES: Self = Self(Cow::Borrowed(&[
        CausePattern::Connect,
        CausePattern::Reset,
        CausePattern::Timeout,
        CausePattern::Class(5),
    ]));
    /// What is worth another attempt where nothing else is said: failures that no response tells of, and that took
    /// no time.
    pub const RETRIED: Self = Self(Cow::Borrowed(&[CausePattern::Connect, CausePattern::Reset]));

    pub const fn new(patterns: Vec<CausePattern>) -> Self {
        Self(Cow::Owned(patterns))
    }

    /// Those that an attempt can have failed by.
    #[must_use]
    pub fn failures(&self) -> Self {
        // The usual ones are shared, not copied.
        if self.patterns().all(CausePattern::may_be_failure) {
            return self.clone();
        }
        Self::new(self.patterns().filter(|pattern| pattern.may_be_failure()).collect())
    }

    pub fn contain(&self, cause: Cause) -> bool {
        self.0.iter().any(|pattern| pattern.matches(cause))
    }

    pub fn patterns(&self) -> impl Iterator<Item = CausePattern> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_parses_back() {
        for text in ["connect", "reset", "timeout", "503", "5xx", "429"] {
            assert_eq!(CausePattern::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "5x", "50x", "99", "600", "1xx", "Connect", "+50", "5030"] {
            assert_eq!(CausePattern::parse(bad), Err(BadCause), "{bad}");
        }
    }

    #[test]
    fn a_class_holds_its_statuses() {
        for (cause, is_failure) in [
            (Cause::Refused, true),
            (Cause::Status(500), true),
            (Cause::Status(599), true),
            (Cause::Status(499), false),
            (Cause::Timeout, true),
        ] {
            assert_eq!(Causes::FAILURES.contain(cause), is_failure, "{cause:?}");
        }
        assert!(!Causes::RETRIED.contain(Cause::Timeout));
    }
}
