//! A rule of a service: which requests it is for, what one costs, and limits of their own.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::limit::{Subscribed, parse_limits};
use super::text::parsed;
use super::{Limit, LimitDraft, RuleName};
use crate::problem::Problems;
use crate::routing::{CanonicalPath, plain};

const MOST_PATTERNS: usize = 64;
const LONGEST_PATTERN: usize = 1_024;
const LONGEST_METHOD: usize = 32;
/// Of one request.
const HIGHEST_COST: u32 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub name: RuleName,
    /// Any path where empty.
    pub paths: Vec<PathPattern>,
    /// Any method where empty.
    pub methods: Vec<SmolStr>,
    /// What a request takes of every limit that applies to it.
    pub cost: NonZeroU32,
    /// Counted for each caller.
    pub limits: Vec<Limit>,
}

/// A path, or the beginning of one where it ends in an asterisk; both without percent-encoding and with one slash
/// for several, because servers take those for the same: a limit on `/search` must hold for `//%73earch` too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: SmolStr,
    plain: Box<[u8]>,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exact,
    Anything,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a path of at most 1024 bytes that starts with a slash, with an asterisk at its end alone")]
pub struct BadPattern;

impl PathPattern {
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let (path, end) =
            text.strip_suffix('*').map_or((text, End::Exact), |beginning| (beginning, End::Anything));
        if text.len() > LONGEST_PATTERN
            || path.contains('*')
            || CanonicalPath::parse(path.as_bytes()).is_err()
        {
            return Err(BadPattern);
        }
        Ok(Self { text: text.into(), plain: plain(path).collect(), end })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a canonical path, as the service sees it, is one of those meant; an empty one is `/`.
    pub fn matches(&self, path: &str) -> bool {
        let mut path = plain(if path.is_empty() { "/" } else { path });
        let starts_alike = self.plain.iter().all(|byte| path.next() == Some(*byte));
        starts_alike
            && match self.end {
                End::Exact => path.next().is_none(),
                End::Anything => true,
            }
    }
}

impl Serialize for PathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A rule as it is written. Of several, the first that a request matches applies.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleDraft {
    /// Lower-case letters, digits, hyphens, underscores; what was counted stays with it.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub name: String,
    /// Paths within the service, such as `/search`, or their beginnings: `/search/*`. Any where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub paths: Vec<String>,
    /// Methods such as `GET`; any where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub methods: Vec<String>,
    /// What one request takes of every limit that applies to it: 1 to 1000000; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000))]
    pub cost: Option<u32>,
    /// Limits of these requests, counted for each caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub limits: Vec<LimitDraft>,
}

impl RuleDraft {
    pub(super) fn parse(&self) -> Result<Rule, Problems> {
        let mut problems = Problems::default();
        let name = problems.check("name", RuleName::parse(&self.name));
        let paths = problems.check_length("paths", &self.paths, 0..=MOST_PATTERNS);
        let methods = problems.check_length("methods", &self.methods, 0..=MOST_PATTERNS);
        let paths = paths
            .iter()
            .enumerate()
            .filter_map(|(index, path)| problems.check(&format!("paths[{index}]"), PathPattern::parse(path)));
        let paths = paths.collect();
        let methods = methods
            .iter()
            .enumerate()
            .filter_map(|(index, method)| problems.check(&format!("methods[{index}]"), parse_method(method)));
        let methods = methods.collect();
        let cost = NonZeroU32::new(self.cost.unwrap_or(1)).filter(|cost| cost.get() <= HIGHEST_COST);
        let cost = problems.check("cost", cost.ok_or(format!("must be 1 to {HIGHEST_COST}")));
        let limits = parse_limits("limits", &self.limits, Subscribed::No, &mut problems);
        let rule = name.zip(cost).map(|(name, cost)| Rule { name, paths, methods, cost, limits });
        problems.finish(rule)
    }
}

impl From<&Rule> for RuleDraft {
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.to_string(),
            paths: rule.paths.iter().map(ToString::to_string).collect(),
            methods: rule.methods.iter().map(ToString::to_string).collect(),
            cost: (rule.cost != NonZeroU32::MIN).then_some(rule.cost.get()),
            limits: rule.limits.iter().map(LimitDraft::from).collect(),
        }
    }
}

/// Methods are told apart by case (RFC 9110 section 9.1), and none that is in use has lower-case letters.
fn parse_method(text: &str) -> Result<SmolStr, &'static str> {
    let is_method = (1..=LONGEST_METHOD).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if is_method { Ok(text.into()) } else { Err("must be a method in capital letters, such as GET") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn a_pattern_is_a_path_or_the_beginning_of_one() {
        for (pattern, path, expected) in [
            ("/search", "/search", true),
            ("/search", "/search/x", false),
            ("/search", "/searching", false),
            ("/search*", "/searching", true),
            ("/search/*", "/search/x/y", true),
            ("/search/*", "/search", false),
            ("/", "", true),
            ("/*", "", true),
            ("/*", "/anything", true),
            ("/search", "/Search", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn writing_a_path_another_way_does_not_escape_its_rule() {
        for path in ["//search", "/%73earch", "/%73%65%61%72%63%68", "///%73earch"] {
            assert!(matches("/search", path), "{path}");
        }
        assert!(matches("/a%20b/*", "/a%20b//c"));
        assert!(matches("/%C3%A9", "/%c3%a9"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", "*", "search", "/a*b", "/**", "/a/../b", "/a?b", "/a b", "/%zz", "/%2f"] {
            assert_eq!(PathPattern::parse(bad), Err(BadPattern), "{bad}");
        }
        assert!(PathPattern::parse(&format!("/{}", "a".repeat(1_024))).is_err());
    }

    #[test]
    fn every_problem_of_a_rule_is_named() {
        let json = r#"{"name":"A","paths":["/ok","nok"],"methods":["GET","get"],"cost":0,
            "limits":[{"requests":0,"per":"minute"}]}"#;
        let problems = serde_json::from_str::<RuleDraft>(json).unwrap().parse().unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["name", "paths[1]", "methods[1]", "cost", "limits[0].requests"]);
    }

    proptest! {
        #[test]
        fn a_path_matches_itself_however_it_is_encoded(path in "/[a-z/]{0,12}", encoded: [bool; 13]) {
            let other: String = path
                .bytes()
                .zip(encoded)
                .map(|(byte, encoded)| match byte {
                    b'/' => "/".to_owned(),
                    byte if encoded => format!("%{byte:02X}"),
                    byte => char::from(byte).to_string(),
                })
                .collect();
            prop_assert!(matches(&path, &other));
            prop_assert!(matches(&other, &path));
        }
    }
}
