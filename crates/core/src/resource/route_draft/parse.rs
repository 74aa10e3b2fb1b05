//! What it means, or all that is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use smol_str::SmolStr;

use super::{MOST_SERVICES, RouteDraft};
use crate::problem::Problems;
use crate::resource::bounds::{parse_body_limit, parse_weight};
use crate::resource::{
    DisplayName, DurationText, GivenServices, RouteRules, RouteSpec, RouteState, ServiceSlug, TextOrBool,
    UpstreamHost,
};
use crate::routing::{
    HeaderCondition, HostPattern, Methods, PathChange, PathRewrite, PathTemplate, QueryCondition, Sticky,
    Wanted, parse_beginning,
};

const MOST_ENTRIES: usize = 64;
const MOST_CONDITIONS: usize = 16;
const MOST_RETRIES: u8 = 10;
const PRIORITIES: std::ops::RangeInclusive<i32> = -1_000_000..=1_000_000;
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);
/// What the proxy answers itself, on every host.
const RESERVED_PATHS: [&str; 6] =
    ["/health", "/health/live", "/health/ready", "/-/usage", "/-/token", "/.well-known/jwks.json"];

impl RouteDraft {
    pub fn parse(&self) -> Result<RouteSpec, Problems> {
        let mut problems = Problems::default();
        let name = problems.check("name", DisplayName::parse(&self.name));
        let (services, given) = self.parse_services(&mut problems);
        let sticky = self.sticky.as_deref().and_then(|text| problems.check("sticky", Sticky::parse(text)));
        if sticky.is_some() && given == GivenServices::One {
            problems.add("sticky", "goes with `services`");
        }
        let rules = self.parse_rules(&mut problems);
        problems.finish(name.map(|name| RouteSpec { name, services, given, sticky, rules }))
    }

    /// What it says besides its name and its services.
    pub fn parse_rules(&self, problems: &mut Problems) -> RouteRules {
        let hosts = entries(&self.hosts, "hosts", problems, HostPattern::parse);
        twice(&hosts, "hosts", problems, |one, other| one == other);
        let paths = entries(&self.paths, "paths", problems, PathTemplate::parse);
        twice(&paths, "paths", problems, PathTemplate::is_same);
        if !self.hosts.is_empty() {
            refuse_reserved(&paths, problems);
        }
        RouteRules {
            state: if self.enabled == Some(false) { RouteState::Disabled } else { RouteState::Enabled },
            path_change: self.parse_path_change(&paths, problems),
            hosts,
            paths,
            methods: self.parse_methods(problems),
            headers: conditions(&self.headers, "headers", problems, |name, wanted| {
                HeaderCondition::parse(name, wanted)
            }),
            query: conditions(&self.query, "query", problems, |name, wanted| {
                QueryCondition::parse(name, wanted)
            }),
            priority: self.parse_priority(problems),
            upstream_host: self.parse_upstream_host(problems),
            timeout: self.parse_timeout(problems),
            retries: self.parse_retries(problems),
            max_body_bytes: parse_body_limit(self.max_body_bytes, problems),
        }
    }

    fn parse_services(&self, problems: &mut Problems) -> (Vec<(ServiceSlug, u32)>, GivenServices) {
        let mut services: Vec<(ServiceSlug, u32)> = Vec::new();
        match (&self.service, &self.services) {
            (Some(_), Some(_)) => problems.add("service", "give either `service` or `services`"),
            (None, None) => problems.add("service", "must name the service"),
            (Some(slug), None) => {
                services.extend(problems.check("service", ServiceSlug::parse(slug)).map(|slug| (slug, 1)));
                return (services, GivenServices::One);
            }
            (None, Some(shares)) => {
                let shares = problems.check_length("services", shares, 1..=MOST_SERVICES);
                for (index, share) in shares.iter().enumerate() {
                    let weight = parse_weight(share.weight, &format!("services[{index}].weight"), problems);
                    let field = format!("services[{index}].service");
                    let Some(slug) = problems.check(&field, ServiceSlug::parse(&share.service)) else {
                        continue;
                    };
                    if services.iter().any(|(earlier, _)| *earlier == slug) {
                        problems.add(field, "is the service of an earlier entry");
                    }
                    services.push((slug, weight));
                }
            }
        }
        (services, GivenServices::Several)
    }

    fn parse_methods(&self, problems: &mut Problems) -> Methods {
        let mut methods = Methods::default();
        let names = problems.check_length("methods", &self.methods, 0..=MOST_ENTRIES);
        for (index, name) in names.iter().enumerate() {
            problems.check(&format!("methods[{index}]"), methods.add(name));
        }
        methods
    }

    fn parse_priority(&self, problems: &mut Problems) -> i32 {
        let priority = self.priority.unwrap_or(0);
        if !PRIORITIES.contains(&priority) {
            problems.add("priority", format!("must be {} to {}", PRIORITIES.start(), PRIORITIES.end()));
        }
        priority
    }

    fn parse_path_change(&self, paths: &[PathTemplate], problems: &mut Problems) -> PathChange {
        let (field, change) = match (&self.strip_prefix, &self.rewrite_path) {
            (Some(TextOrBool::Text(_) | TextOrBool::Bool(true)), Some(_)) => {
                problems.add("rewrite_path", "goes not with `strip_prefix`: it says the whole path");
                return PathChange::Kept;
            }
            (Some(TextOrBool::Bool(true)), None) => ("strip_prefix", Some(PathChange::StripMatched)),
            (Some(TextOrBool::Text(text)), None) => {
                let beginning = parse_beginning(text);
                let beginning =
                    beginning.map_err(|_| "must be a path such as /api, without a slash at its end");
                ("strip_prefix", problems.check("strip_prefix", beginning).map(PathChange::Strip))
            }
            (_, Some(text)) => {
                let rewrite = problems.check("rewrite_path", PathRewrite::parse(text));
                ("rewrite_path", rewrite.map(PathChange::Rewrite))
            }
            (Some(TextOrBool::Bool(false)) | None, None) => return PathChange::Kept,
        };
        let change = change.unwrap_or_default();
        let any = [PathTemplate::any()];
        let paths = if self.paths.is_empty() { &any } else { paths };
        for template in paths {
            if let Err(message) = change.suits(template) {
                problems.add(field, message);
            }
        }
        change
    }

    fn parse_upstream_host(&self, problems: &mut Problems) -> UpstreamHost {
        let is_preserved = self.preserve_host == Some(true);
        match &self.rewrite_host {
            Some(_) if is_preserved => {
                problems.add("rewrite_host", "goes not with `preserve_host`");
                UpstreamHost::Preserved
            }
            Some(text) => problems
                .check("rewrite_host", parse_authority(text))
                .map_or_else(UpstreamHost::default, UpstreamHost::Rewritten),
            None if is_preserved => UpstreamHost::Preserved,
            None => UpstreamHost::Target,
        }
    }

    fn parse_timeout(&self, problems: &mut Problems) -> Option<Duration> {
        let DurationText(timeout) = self.timeout?;
        if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
            problems.add("timeout", "must be between 1ms and 24h");
        }
        Some(timeout)
    }

    fn parse_retries(&self, problems: &mut Problems) -> Option<u8> {
        if self.retries.is_some_and(|retries| retries > MOST_RETRIES) {
            problems.add("retries", format!("must be 0 to {MOST_RETRIES}"));
        }
        self.retries
    }
}

fn entries<T, E: fmt::Display>(
    texts: &[String],
    field: &str,
    problems: &mut Problems,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    let texts = problems.check_length(field, texts, 0..=MOST_ENTRIES);
    let entry = |(index, text): (usize, &String)| problems.check(&format!("{field}[{index}]"), parse(text));
    texts.iter().enumerate().filter_map(entry).collect()
}

fn twice<T>(entries: &[T], field: &str, problems: &mut Problems, is_same: impl Fn(&T, &T) -> bool) {
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index].iter().any(|earlier| is_same(earlier, entry)) {
            problems.add(format!("{field}[{index}]"), "means the same as an earlier one");
        }
    }
}

fn refuse_reserved(paths: &[PathTemplate], problems: &mut Problems) {
    for (index, path) in paths.iter().enumerate() {
        if RESERVED_PATHS.iter().any(|reserved| path.is_exactly(reserved)) {
            problems.add(format!("paths[{index}]"), "can't match: the gateway answers this path itself");
        }
    }
}

fn conditions<T, E: fmt::Display>(
    drafts: &BTreeMap<String, TextOrBool>,
    field: &str,
    problems: &mut Problems,
    parse: impl Fn(&str, Wanted) -> Result<T, E>,
) -> Vec<T> {
    problems.check_count(field, drafts.len(), 0..=MOST_CONDITIONS);
    let mut conditions = Vec::new();
    for (index, (name, given)) in drafts.iter().take(MOST_CONDITIONS).enumerate() {
        let entry = format!("{field}.{name}");
        let is_earlier = |earlier: &String| field == "headers" && earlier.eq_ignore_ascii_case(name);
        if drafts.keys().take(index).any(is_earlier) {
            problems.add(entry, "is the name of an earlier one: case makes no difference");
            continue;
        }
        let wanted = match given {
            TextOrBool::Text(text) => Wanted::Exactly(text.as_str().into()),
            TextOrBool::Bool(true) => Wanted::Present,
            TextOrBool::Bool(false) => {
                problems.add(entry, "must be a value, or true for any");
                continue;
            }
        };
        conditions.extend(problems.check(&entry, parse(name, wanted)));
    }
    conditions
}

/// A host, perhaps with a port.
fn parse_authority(text: &str) -> Result<SmolStr, &'static str> {
    const EXPECTED: &str = "must be a host such as internal.example or internal.example:8080";
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => HostPattern::parse(host).is_ok_and(|host| host.wildcard().is_none()),
    };
    if is_host && port.is_none_or(is_port) { Ok(text.into()) } else { Err(EXPECTED) }
}
