//! Which target a request goes to.

use serde::{Deserialize, Serialize};

use super::parts::{duration, within};
use crate::balance::SlowStart;
use crate::problem::Problems;
use crate::resource::DurationText;
#[cfg(feature = "openapi")]
use crate::resource::forms;

const USUAL_MOST_LOAD_PERCENT: u32 = 125;
const USUAL_WINDOW: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balancer {
    pub algorithm: Algorithm,
    pub slow_start: Option<SlowStart>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Algorithm {
    #[default]
    RoundRobin,
    LeastRequests,
    Latency,
    Hash {
        on: HashOn,
        /// What a target may have under way, in percent of its share.
        most_load_percent: u32,
    },
}

/// What requests have in common that go to the same target. A request without it counts by its client's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashOn {
    Key,
    Consumer,
    ClientIp,
    Path,
    Header(Box<str>),
    Cookie(Box<str>),
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BalancerDraft {
    /// `round_robin` (where left out), `least_requests`, `latency` or `hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::BalancerWord>, inline))]
    pub algorithm: Option<String>,
    /// For `hash`: `key`, `consumer`, `client_ip`, `path`, `header:NAME` or `cookie:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^(key|consumer|client_ip|path|(header|cookie):.+)$"))]
    pub hash_on: Option<String>,
    /// For `hash`: what a target may have under way, in percent of its share: 101 to 1000; 125 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 101, maximum = 1_000))]
    pub most_load_percent: Option<u32>,
    /// Gives a target that comes back its requests little by little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStartDraft>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SlowStartDraft {
    /// `"30s"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub window: Option<DurationText>,
    /// In percent: 100 (where left out) is a straight line; with more it is steep at first. 10 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 10, maximum = 1_000))]
    pub aggression_percent: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be key, consumer, client_ip, path, header:NAME or cookie:NAME")]
pub struct BadHashOn;

impl HashOn {
    pub fn parse(text: &str) -> Result<Self, BadHashOn> {
        Ok(match text {
            "key" => Self::Key,
            "consumer" => Self::Consumer,
            "client_ip" => Self::ClientIp,
            "path" => Self::Path,
            text => match text.split_once(':') {
                Some(("header", name)) if is_name(name) => Self::Header(name.into()),
                Some(("cookie", name)) if is_name(name) => Self::Cookie(name.into()),
                Some(_) | None => return Err(BadHashOn),
            },
        })
    }
}

/// A token (RFC 9110 section 5.6.2).
fn is_name(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_token_byte)
}

impl std::fmt::Display for HashOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Consumer => f.write_str("consumer"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Path => f.write_str("path"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl BalancerDraft {
    pub(super) fn parse(&self) -> Result<Balancer, Problems> {
        let mut problems = Problems::default();
        let algorithm = self.parse_algorithm(&mut problems);
        let slow_start = self
            .slow_start
            .as_ref()
            .and_then(|slow_start| problems.check_nested("slow_start", slow_start.parse()));
        problems.finish(algorithm.map(|algorithm| Balancer { algorithm, slow_start }))
    }

    fn parse_algorithm(&self, problems: &mut Problems) -> Option<Algorithm> {
        let algorithm = match self.algorithm.as_deref() {
            None | Some("round_robin") => Some(Algorithm::RoundRobin),
            Some("least_requests") => Some(Algorithm::LeastRequests),
            Some("latency") => Some(Algorithm::Latency),
            Some("hash") => return self.parse_hash(problems),
            Some(_) => {
                problems.add("algorithm", "must be round_robin, least_requests, latency or hash");
                return None;
            }
        };
        if self.hash_on.is_some() {
            problems.add("hash_on", "is for the algorithm hash");
        }
        if self.most_load_percent.is_some() {
            problems.add("most_load_percent", "is for the algorithm hash");
        }
        algorithm
    }

    fn parse_hash(&self, problems: &mut Problems) -> Option<Algorithm> {
        let most_load_percent = within(
            "most_load_percent",
            self.most_load_percent,
            USUAL_MOST_LOAD_PERCENT,
            (101, 1_000),
            problems,
        );
        let Some(on) = self.hash_on.as_deref() else {
            problems.add("hash_on", "must say what to hash");
            return None;
        };
        let on = problems.check("hash_on", HashOn::parse(on))?;
        Some(Algorithm::Hash { on, most_load_percent })
    }
}

impl SlowStartDraft {
    fn parse(&self) -> Result<SlowStart, Problems> {
        let mut problems = Problems::default();
        let aggression =
            within("aggression_percent", self.aggression_percent, 100, (10, 1_000), &mut problems);
        let window = duration("window", self.window, USUAL_WINDOW, &mut problems);
        problems.finish(Some(SlowStart { window, aggression_percent: aggression }))
    }
}

impl From<&Balancer> for BalancerDraft {
    fn from(balancer: &Balancer) -> Self {
        let (algorithm, hash_on, most_load_percent) = match &balancer.algorithm {
            Algorithm::RoundRobin => ("round_robin", None, None),
            Algorithm::LeastRequests => ("least_requests", None, None),
            Algorithm::Latency => ("latency", None, None),
            Algorithm::Hash { on, most_load_percent } => {
                ("hash", Some(on.to_string()), Some(*most_load_percent))
            }
        };
        let slow_start = balancer.slow_start.map(|slow_start| SlowStartDraft {
            window: Some(DurationText(slow_start.window)),
            aggression_percent: Some(slow_start.aggression_percent),
        });
        Self { algorithm: Some(algorithm.to_owned()), hash_on, most_load_percent, slow_start }
    }
}
