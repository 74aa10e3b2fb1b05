//! A time zone by its IANA name. Its rules come from the database that is part of the program: every node has the
//! same, and no file is read.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::{self, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::parsed;

static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the IANA name of a time zone, such as Europe/Berlin or UTC")]
pub struct UnknownTimeZone;

#[derive(Clone)]
pub struct TimeZone(tz::TimeZone);

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

impl TimeZone {
    pub const UTC: Self = Self(tz::TimeZone::UTC);

    /// The case of letters does not matter; the zone shows its name as it is registered.
    pub fn parse(name: &str) -> Result<Self, UnknownTimeZone> {
        match BUNDLED.get(name) {
            Ok(zone) if zone.iana_name().is_some() && !zone.is_unknown() => Ok(Self(zone)),
            Ok(_) | Err(_) => Err(UnknownTimeZone),
        }
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// When which offset from UTC applies.
    pub(crate) const fn rules(&self) -> &tz::TimeZone {
        &self.0
    }

    /// The names of all zones there are.
    #[cfg(test)]
    pub(crate) fn all_names() -> impl Iterator<Item = String> {
        BUNDLED.available().map(|name| name.to_string())
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::UTC
    }
}

/// Zones are the same where their names are: the rules come with the program.
impl PartialEq for TimeZone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for TimeZone {}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeZone({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_shown_by_its_registered_name() {
        for (given, name) in [
            ("UTC", "UTC"),
            ("utc", "UTC"),
            ("europe/berlin", "Europe/Berlin"),
            ("America/Sao_Paulo", "America/Sao_Paulo"),
            ("Asia/Calcutta", "Asia/Calcutta"),
        ] {
            assert_eq!(TimeZone::parse(given).unwrap().name(), name);
        }
        assert_eq!(TimeZone::parse("UTC").unwrap(), TimeZone::default());
    }

    #[test]
    fn every_zone_that_there_is_parses() {
        let mut zones = 0;
        for name in TimeZone::all_names() {
            TimeZone::parse(&name).unwrap_or_else(|_| panic!("{name}"));
            zones += 1;
        }
        assert!(zones > 500, "{zones}");
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for bad in
            ["", "Mars/Olympus", "Berlin", "+02:00", "GMT+2:30", "../etc/localtime", "Etc/Unknown", "é"]
        {
            assert_eq!(TimeZone::parse(bad), Err(UnknownTimeZone), "{bad}");
        }
    }
}
