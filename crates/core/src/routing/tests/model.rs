//! The documented order, route by route and segment by segment.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Request, plain};
use crate::resource::{Route, RouteId};
use crate::routing::{HostPattern, Methods, PathTemplate, Wanted};

#[derive(Debug, Default)]
pub struct Model {
    pub routes: Vec<Arc<Route>>,
}

/// What a segment of a template is; the less, the more specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Literal,
    Parameter,
    Rest,
}

/// The less, the sooner it is taken.
type Rank = (Reverse<i32>, Reverse<usize>, Vec<Kind>, Reverse<usize>);

impl Model {
    /// The route for a request, and which methods it may have where only the method misses.
    pub fn select(&self, host: &str, path: &str, asked: &Request) -> (Option<RouteId>, String) {
        let mut ranked: Vec<(Rank, &Route)> = Vec::new();
        let mut allowed = BTreeSet::new();
        for route in &self.routes {
            for (own_host, template) in pairs(route) {
                if !is_for_host(own_host, host)
                    || !is_for_path(template, path)
                    || !meets_conditions(route, asked)
                {
                    continue;
                }
                if is_for_method(&route.rules.methods, &asked.method) {
                    ranked.push((rank(route, own_host, template), route));
                } else {
                    allowed.extend(route.rules.methods.iter());
                }
            }
        }
        ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let [(first, one), (second, other), ..] = &ranked[..] {
            assert!(first != second || one.id == other.id, "a tie was let in: {one:?} {other:?}");
        }
        match ranked.first() {
            Some((_, route)) => (Some(route.id), String::new()),
            None => (None, allowed.into_iter().collect::<Vec<_>>().join(", ")),
        }
    }

    /// Whether a request can be made that this route and one that is there match alike: one that has all that both
    /// want, at a host and a path of both.
    pub fn ties(&self, route: &Route) -> bool {
        self.routes.iter().any(|held| {
            let Some(asked) = request_for_both(held, route) else { return false };
            pairs(held).any(|(host, template)| {
                let own = rank(held, host, template);
                // A host and a path that the held one is for, and as little else as possible.
                let (name, path) = (host.as_str().replace('*', "zzz"), sample(template));
                pairs(route).any(|(other_host, other)| {
                    is_for_host(other_host, &name)
                        && is_for_path(other, &path)
                        && rank(route, other_host, other) == own
                        && meets_conditions(held, &asked)
                        && meets_conditions(route, &asked)
                })
            })
        })
    }
}

fn pairs(route: &Route) -> impl Iterator<Item = (&HostPattern, &str)> {
    let paths: Vec<&str> = match &route.rules.paths[..] {
        [] => vec!["/*"],
        paths => paths.iter().map(PathTemplate::as_str).collect(),
    };
    route.rules.hosts.iter().flat_map(move |host| paths.clone().into_iter().map(move |path| (host, path)))
}

fn rank(route: &Route, host: &HostPattern, template: &str) -> Rank {
    let labels = match host.wildcard() {
        None => usize::MAX,
        Some(name) => name.split('.').count(),
    };
    let rules = &route.rules;
    let conditions = usize::from(!rules.methods.is_any()) + rules.headers.len() + rules.query.len();
    let kinds = template[1..].split('/').map(kind).collect();
    (Reverse(rules.priority), Reverse(labels), kinds, Reverse(conditions))
}

fn kind(segment: &str) -> Kind {
    match segment.as_bytes() {
        [b'*', ..] | [b'{', b'*', ..] => Kind::Rest,
        [b'{', ..] => Kind::Parameter,
        _ => Kind::Literal,
    }
}

fn is_for_host(pattern: &HostPattern, host: &str) -> bool {
    match pattern.wildcard() {
        None => pattern.as_str() == host,
        Some(name) => host.strip_suffix(name).is_some_and(|before| before.len() > 1 && before.ends_with('.')),
    }
}

fn is_for_path(template: &str, path: &str) -> bool {
    let path = String::from_utf8(plain(path).collect()).unwrap();
    let mut segments = path[1..].split('/');
    for wanted in template[1..].split('/') {
        let segment = segments.next();
        match kind(wanted) {
            Kind::Rest => return segment.is_some(),
            Kind::Parameter if segment.is_none_or(str::is_empty) => return false,
            Kind::Literal if segment != Some(wanted) => return false,
            Kind::Parameter | Kind::Literal => {}
        }
    }
    segments.next().is_none()
}

fn sample(template: &str) -> String {
    let segment = |segment: &str| match kind(segment) {
        Kind::Literal => segment.to_owned(),
        Kind::Parameter | Kind::Rest => "zzz".to_owned(),
    };
    format!("/{}", template[1..].split('/').map(segment).collect::<Vec<_>>().join("/"))
}

fn is_for_method(methods: &Methods, method: &str) -> bool {
    methods.is_any() || methods.iter().any(|own| own == method)
}

fn meets_conditions(route: &Route, asked: &Request) -> bool {
    let is_met = |wanted: &Wanted, value: Option<&str>| match (wanted, value) {
        (_, None) => false,
        (Wanted::Present, Some(_)) => true,
        (Wanted::Exactly(wanted), Some(value)) => wanted == value,
    };
    let of_query = |name: &str| {
        let mut pairs = asked.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(held, _)| *held == name).map(|(_, value)| value)
    };
    let header = |name: &str| asked.headers.get(name).map(String::as_str);
    route.rules.headers.iter().all(|own| is_met(&own.wanted, header(own.name.as_str())))
        && route.rules.query.iter().all(|own| is_met(&own.wanted, of_query(&own.name)))
}

fn request_for_both(one: &Route, other: &Route) -> Option<Request> {
    let shared = ["GET", "PUT", "PURGE"]
        .into_iter()
        .find(|method| [one, other].iter().all(|route| is_for_method(&route.rules.methods, method)))?;
    let value = |wanted: &Wanted| match wanted {
        Wanted::Present => None,
        Wanted::Exactly(value) => Some(value.to_string()),
    };
    let (mut headers, mut query) = (HashMap::new(), HashMap::new());
    for route in [one, other] {
        for own in &route.rules.headers {
            let held: &mut Option<String> = headers.entry(own.name.to_string()).or_default();
            *held = value(&own.wanted).or(held.take());
        }
        for own in &route.rules.query {
            let held: &mut Option<String> = query.entry(own.name.to_string()).or_default();
            *held = value(&own.wanted).or(held.take());
        }
    }
    let query = query.into_iter().map(|(name, value)| format!("{name}={}", value.unwrap_or_default()));
    Some(Request {
        method: shared.to_owned(),
        headers: headers.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
        query: query.collect::<Vec<_>>().join("&"),
    })
}

fn template() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => Just("a"), 2 => Just("b"), 2 => Just("ab"), 3 => Just("{}")];
    let tail = prop_oneof![4 => Just(""), 1 => Just("/"), 2 => Just("/*"), 1 => Just("/{*rest}")];
    (prop::collection::vec(segment, 0..4), tail).prop_map(|(segments, tail)| {
        let mut path = String::new();
        for (index, segment) in segments.into_iter().enumerate() {
            path.push('/');
            path.push_str(&segment.replace("{}", &format!("{{p{index}}}")));
        }
        path.push_str(tail);
        if path.is_empty() { "/".to_owned() } else { path }
    })
}

/// Routes of few hosts, segments and conditions, so that they meet.
pub fn route_json() -> impl Strategy<Value = String> {
    let host = prop_oneof![Just("a.b.c"), Just("*.b.c"), Just("*.a.b.c")];
    let methods = prop_oneof![
        3 => Just(""), 1 => Just(r#""GET""#), 1 => Just(r#""GET","PUT""#), 1 => Just(r#""PUT""#), 1 => Just(r#""PURGE""#)
    ];
    let conditions = prop_oneof![
        4 => Just(""),
        1 => Just(r#","headers":{"x-a":"1"}"#),
        1 => Just(r#","headers":{"X-A":true}"#),
        1 => Just(r#","headers":{"X-A":"2"},"query":{"q":"1"}"#),
        1 => Just(r#","query":{"q":true}"#),
        1 => Just(r#","query":{"q":"1"}"#),
    ];
    let priority = prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(-1)];
    (host, prop::collection::vec(template(), 1..3), methods, conditions, priority).prop_filter_map(
        "two paths of one route are the same",
        |(host, paths, methods, conditions, priority)| {
            if let [one, other] = &paths[..]
                && one.replace("{*rest}", "*") == other.replace("{*rest}", "*")
            {
                return None;
            }
            let paths = paths.join(r#"",""#);
            Some(format!(
                r#"{{"name":"r","service":"s","hosts":["{host}"],"paths":["{paths}"],"methods":[{methods}],"priority":{priority}{conditions}}}"#
            ))
        },
    )
}

pub fn request() -> impl Strategy<Value = (String, String, Request)> {
    let host = prop_oneof![Just("a.b.c"), Just("x.b.c"), Just("x.a.b.c"), Just("y.x.a.b.c"), Just("b.c")];
    let segment =
        prop_oneof![Just("a"), Just("b"), Just("ab"), Just("c"), Just("%61"), Just(""), Just("a%62")];
    let path = prop::collection::vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")));
    let method = prop_oneof![3 => Just("GET"), 1 => Just("PUT"), 1 => Just("PURGE"), 1 => Just("LINK")];
    let header =
        prop_oneof![2 => Just(None), 1 => Just(Some("1")), 1 => Just(Some("2")), 1 => Just(Some("3"))];
    let query = prop_oneof![2 => Just(""), 1 => Just("q=1"), 1 => Just("q=2"), 1 => Just("z=1&q=1&q=2")];
    (host, path, method, header, query).prop_map(|(host, path, method, header, query)| {
        let headers = header.map(|value| ("x-a".to_owned(), value.to_owned())).into_iter().collect();
        (host.to_owned(), path, Request { method: method.to_owned(), headers, query: query.to_owned() })
    })
}
