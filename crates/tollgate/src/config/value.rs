//! A setting's value as it was written, and the readers that turn it into what it means.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tollgate_core::address::Network;
use tollgate_core::feed::NodeName;
use tollgate_core::resource::{BaseUrl, parse_duration};
use tracing::level_filters::LevelFilter;

use super::{AccessLog, DemandedOf};

const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of a flag, a variable or a default: text that may stand for a number or a list as well.
    Plain(String),
    /// A string of the file.
    Text(String),
    Integer(u64),
    List(Vec<Value>),
    /// What no setting takes (a date, a negative number …), as it was written.
    Other(String),
}

impl Value {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Text(text) => Some(text),
            Self::Integer(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// As it would be written in the environment.
    pub fn plain(&self) -> String {
        match self {
            Self::Plain(text) | Self::Text(text) | Self::Other(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::List(values) => values.iter().map(Self::plain).collect::<Vec<_>>().join(","),
        }
    }

    fn integer(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => Some(*number),
            // `parse` alone would take a plus sign.
            Self::Plain(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Self::Plain(_) | Self::Text(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// The entries of a list; outside the file they are separated by commas.
    fn entries(&self) -> Option<Vec<&str>> {
        match self {
            Self::List(values) => values.iter().map(Self::text).collect(),
            Self::Plain(text) => {
                Some(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect())
            }
            Self::Text(_) | Self::Integer(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) | Self::Text(text) => match text.split_once("://") {
                // A URL may hold a password, and messages end up in logs.
                Some((scheme, _)) => write!(f, "\"{scheme}://…\""),
                None => write!(f, "{text:?}"),
            },
            Self::Integer(number) => number.fmt(f),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    let separator = if index > 0 { ", " } else { "" };
                    write!(f, "{separator}{value}")?;
                }
                f.write_str("]")
            }
            Self::Other(written) => f.write_str(written),
        }
    }
}

/// The value is not what its setting expects.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit;

pub type Reading<T> = Result<T, Misfit>;

pub fn whole_number(value: &Value, range: RangeInclusive<u64>) -> Reading<u64> {
    value.integer().filter(|number| range.contains(number)).ok_or(Misfit)
}

pub fn size(value: &Value, range: RangeInclusive<u64>) -> Reading<usize> {
    whole_number(value, range)?.try_into().map_err(|_| Misfit)
}

/// `None` for `auto`.
pub fn workers(value: &Value) -> Reading<Option<NonZeroUsize>> {
    if value.text() == Some("auto") {
        return Ok(None);
    }
    let workers = size(value, 1..=1_024)?;
    NonZeroUsize::new(workers).map(Some).ok_or(Misfit)
}

pub fn socket_address(value: &Value) -> Reading<SocketAddr> {
    value.text().and_then(|text| text.parse().ok()).ok_or(Misfit)
}

/// Addresses of DNS servers; port 53 where none is written.
pub fn dns_servers(value: &Value) -> Reading<Vec<SocketAddr>> {
    const PORT: u16 = 53;
    let parse = |text: &str| {
        let address = text.parse().ok();
        address.or_else(|| text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, PORT))).ok_or(Misfit)
    };
    value.entries().ok_or(Misfit)?.into_iter().map(parse).collect()
}

pub fn duration(value: &Value) -> Reading<Duration> {
    let duration = value.text().and_then(|text| parse_duration(text).ok());
    duration.filter(|duration| *duration <= LONGEST_TIMEOUT).ok_or(Misfit)
}

pub fn timeout(value: &Value) -> Reading<Duration> {
    duration(value).and_then(|timeout| if timeout.is_zero() { Err(Misfit) } else { Ok(timeout) })
}

/// Whole seconds.
pub fn seconds_within(value: &Value, range: RangeInclusive<Duration>) -> Reading<Duration> {
    let duration = value.text().and_then(|text| parse_duration(text).ok());
    duration.filter(|duration| range.contains(duration) && duration.subsec_nanos() == 0).ok_or(Misfit)
}

/// Something that stands in claims and messages.
pub fn visible_text(value: &Value) -> Reading<Box<str>> {
    let text = value.text().filter(|text| (1..=255).contains(&text.len()));
    text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic())).map(Into::into).ok_or(Misfit)
}

/// What `read` makes of the value, or nothing where it says `none`.
pub fn or_none<T>(value: &Value, read: impl FnOnce(&Value) -> Reading<T>) -> Reading<Option<T>> {
    if value.text() == Some("none") { Ok(None) } else { read(value).map(Some) }
}

pub fn path(value: &Value) -> Reading<PathBuf> {
    optional_path(value)?.ok_or(Misfit)
}

/// A path, or nothing where the text is empty.
pub fn optional_path(value: &Value) -> Reading<Option<PathBuf>> {
    let text = value.text().ok_or(Misfit)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// Nothing where the text is empty.
pub fn optional_url(value: &Value) -> Reading<Option<BaseUrl>> {
    optional(value, |text| BaseUrl::parse(text).ok())
}

/// Nothing where the text is empty.
pub fn optional_socket_address(value: &Value) -> Reading<Option<SocketAddr>> {
    optional(value, |text| text.parse().ok())
}

/// Nothing where the text is empty.
pub fn optional_node_name(value: &Value) -> Reading<Option<NodeName>> {
    optional(value, |text| NodeName::parse(text).ok())
}

fn optional<T>(value: &Value, parse: impl FnOnce(&str) -> Option<T>) -> Reading<Option<T>> {
    match value.text().ok_or(Misfit)? {
        "" => Ok(None),
        text => parse(text).map(Some).ok_or(Misfit),
    }
}

pub fn networks(value: &Value) -> Reading<Vec<Network>> {
    let entries = value.entries().ok_or(Misfit)?;
    entries.into_iter().map(|entry| entry.parse().map_err(|_| Misfit)).collect()
}

/// The file of a `sqlite:` URL; nothing where the text is empty.
pub fn sqlite_file(value: &Value) -> Reading<Option<PathBuf>> {
    let text = value.text().ok_or(Misfit)?;
    if text.is_empty() {
        return Ok(None);
    }
    let path = text.strip_prefix("sqlite:").ok_or(Misfit)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let is_file = !path.is_empty() && !path.starts_with(':') && !path.contains(['?', '#']);
    if is_file { Ok(Some(PathBuf::from(path))) } else { Err(Misfit) }
}

pub fn log_level(value: &Value) -> Reading<LevelFilter> {
    match value.text().ok_or(Misfit)?.to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(Misfit),
    }
}

pub fn demanded_of(value: &Value) -> Reading<DemandedOf> {
    match value.text() {
        Some("nodes") => Ok(DemandedOf::Nodes),
        Some("all") => Ok(DemandedOf::All),
        Some(_) | None => Err(Misfit),
    }
}

pub fn access_log(value: &Value) -> Reading<AccessLog> {
    match value.text() {
        None | Some("") => Err(Misfit),
        Some("off") => Ok(AccessLog::Off),
        Some("stdout") => Ok(AccessLog::Stdout),
        Some(path) => Ok(AccessLog::File(PathBuf::from(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Value {
        Value::Plain(text.to_owned())
    }

    #[test]
    fn outside_the_file_text_stands_for_numbers_and_lists() {
        assert_eq!(whole_number(&plain("64"), 0..=100), Ok(64));
        assert_eq!(networks(&plain("10.0.0.0/8, ::1")).unwrap().len(), 2);
        assert_eq!(networks(&plain("")), Ok(Vec::new()));
    }

    #[test]
    fn in_the_file_a_number_is_a_number() {
        assert_eq!(whole_number(&Value::Text("64".into()), 0..=100), Err(Misfit));
        assert_eq!(whole_number(&Value::Integer(64), 0..=100), Ok(64));
        assert_eq!(whole_number(&Value::Integer(101), 0..=100), Err(Misfit));
        assert_eq!(whole_number(&plain("+64"), 0..=100), Err(Misfit));
    }

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (text, path) in [
            ("sqlite:data/t.db", "data/t.db"),
            ("sqlite:///var/t.db", "/var/t.db"),
            ("sqlite://t.db", "t.db"),
            ("sqlite:/var/t.db", "/var/t.db"),
        ] {
            assert_eq!(sqlite_file(&plain(text)), Ok(Some(PathBuf::from(path))), "{text}");
        }
        for bad in ["postgres://host/db", "sqlite:", "sqlite::memory:", "sqlite:t.db?mode=ro", "t.db"] {
            assert_eq!(sqlite_file(&plain(bad)), Err(Misfit), "{bad}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        assert_eq!(plain("postgres://user:secret@host/db").to_string(), "\"postgres://…\"");
    }

    #[test]
    fn timeouts_have_bounds() {
        assert_eq!(timeout(&plain("0s")), Err(Misfit));
        assert_eq!(duration(&plain("0s")), Ok(Duration::ZERO));
        assert_eq!(timeout(&plain("25h")), Err(Misfit));
        assert_eq!(or_none(&plain("none"), timeout), Ok(None));
    }
}
