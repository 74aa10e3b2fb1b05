//! What a key may be used for beyond its services: paths, methods, and from which addresses.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PathPattern;
use super::text::parsed;
use crate::address::Network;
use crate::problem::Problems;

const MOST_ENTRIES: usize = 64;
const LONGEST_PATH: usize = 512;
/// Of all paths and methods together: every key is in the memory of every node.
const MOST_TEXT_BYTES: usize = 16 << 10;
const LONGEST_METHOD: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyScope {
    /// One of them has to match; all do where `None`.
    pub routes: Option<Vec<KeyRoute>>,
    /// The client has to be in one of them; it may be anywhere where `None`.
    pub allow_ips: Option<Vec<Network>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRoute {
    pub paths: Option<Vec<PermittedPath>>,
    /// Compared letter for letter, as methods are (RFC 9110 section 9.1).
    pub methods: Option<Vec<Box<str>>>,
}

/// A path within the service: itself alone, or with `/*` at its end everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermittedPath(PathPattern);

/// One or both of paths and methods.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRouteDraft {
    /// Paths within the service: `/orders` alone, `/orders/*` for everything below it; any where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Such as `GET`; any where left out. `HEAD` is a method of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
}

/// As a database keeps it.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyScopeDraft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<KeyRouteDraft>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_ips: Option<Vec<String>>,
}

impl KeyScope {
    /// The fields' paths are those of the key's draft. Nothing where the key may do anything from anywhere.
    pub fn parse(
        routes: Option<&[KeyRouteDraft]>,
        allow_ips: Option<&[String]>,
        problems: &mut Problems,
    ) -> Option<Box<Self>> {
        let routes = list(routes, "routes", problems, |field, draft, problems| draft.parse(field, problems));
        let allow_ips = list(allow_ips, "allow_ips", problems, |field, text, problems| {
            problems.check(field, text.parse())
        });
        (routes.is_some() || allow_ips.is_some()).then(|| Box::new(Self { routes, allow_ips }))
    }

    /// What a new scope may hold. An earlier build kept more, which loads.
    pub(super) fn check_size(&self, problems: &mut Problems) {
        let bytes: usize = self.routes.iter().flatten().map(KeyRoute::text_bytes).sum();
        if bytes > MOST_TEXT_BYTES {
            let message = format!("must have at most {MOST_TEXT_BYTES} bytes of paths and methods together");
            problems.add("routes", message);
        }
    }

    /// `path` is within the service: empty, or starting with a slash.
    pub fn permits_route(&self, method: &[u8], path: &str) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.iter().any(|route| route.matches(method, path)))
    }

    pub fn permits_client(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.allow_ips.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(client)))
    }
}

impl KeyRoute {
    fn text_bytes(&self) -> usize {
        let paths = self.paths.iter().flatten().map(|path| path.as_str().len());
        let methods = self.methods.iter().flatten().map(|method| method.len());
        paths.chain(methods).sum()
    }

    fn matches(&self, method: &[u8], path: &str) -> bool {
        let is_method = |allowed: &Vec<Box<str>>| allowed.iter().any(|allowed| allowed.as_bytes() == method);
        let is_path = |allowed: &Vec<PermittedPath>| allowed.iter().any(|allowed| allowed.matches(path));
        self.methods.as_ref().is_none_or(is_method) && self.paths.as_ref().is_none_or(is_path)
    }
}

impl Serialize for PermittedPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PermittedPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}

impl PermittedPath {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "must be a plain path such as /orders, or /orders/* for everything below it";
        // A beginning of a segment is none of a path: `/orders*` would permit `/orders-of-others`.
        let is_whole = !text.ends_with('*') || text.ends_with("/*");
        let pattern = PathPattern::parse(text).ok().filter(|_| is_whole && text.len() <= LONGEST_PATH);
        pattern.map(Self).ok_or(EXPECTED)
    }

    fn matches(&self, path: &str) -> bool {
        self.0.matches(path)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl KeyRouteDraft {
    fn parse(&self, field: &str, problems: &mut Problems) -> Option<KeyRoute> {
        if self.paths.is_none() && self.methods.is_none() {
            problems.add(field, "must have `paths`, `methods`, or both");
            return None;
        }
        let paths =
            list(self.paths.as_deref(), &format!("{field}.paths"), problems, |field, text, problems| {
                problems.check(field, PermittedPath::parse(text))
            });
        let methods =
            list(self.methods.as_deref(), &format!("{field}.methods"), problems, |field, text, problems| {
                problems.check(field, parse_method(text))
            });
        Some(KeyRoute { paths, methods })
    }
}

impl From<&KeyScope> for KeyScopeDraft {
    fn from(scope: &KeyScope) -> Self {
        let route = |route: &KeyRoute| KeyRouteDraft {
            paths: route
                .paths
                .as_ref()
                .map(|paths| paths.iter().map(|path| path.as_str().to_owned()).collect()),
            methods: route.methods.as_ref().map(|methods| methods.iter().map(ToString::to_string).collect()),
        };
        Self {
            routes: scope.routes.as_ref().map(|routes| routes.iter().map(route).collect()),
            allow_ips: scope
                .allow_ips
                .as_ref()
                .map(|networks| networks.iter().map(ToString::to_string).collect()),
        }
    }
}

fn parse_method(text: &str) -> Result<Box<str>, &'static str> {
    let is_token = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    if (1..=LONGEST_METHOD).contains(&text.len()) && text.bytes().all(is_token) {
        Ok(text.into())
    } else {
        Err("must be a method in capitals, such as GET")
    }
}

/// An empty list allows nothing, which nobody means.
fn list<D, T>(
    drafts: Option<&[D]>,
    field: &str,
    problems: &mut Problems,
    mut parse: impl FnMut(&str, &D, &mut Problems) -> Option<T>,
) -> Option<Vec<T>> {
    let drafts = drafts?;
    if drafts.is_empty() || drafts.len() > MOST_ENTRIES {
        problems.add(field, format!("must have 1 to {MOST_ENTRIES} entries, or be left out"));
        return None;
    }
    let parsed = drafts
        .iter()
        .enumerate()
        .filter_map(|(index, draft)| parse(&format!("{field}[{index}]"), draft, problems));
    Some(parsed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<KeyScope, Vec<String>> {
        let draft: KeyScopeDraft = serde_json::from_str(json).unwrap();
        let mut problems = Problems::default();
        let scope = KeyScope::parse(draft.routes.as_deref(), draft.allow_ips.as_deref(), &mut problems);
        let fields: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.field).collect();
        if fields.is_empty() { Ok(*scope.unwrap()) } else { Err(fields) }
    }

    #[test]
    fn a_path_means_itself_or_what_is_below_it() {
        let scope =
            parse(r#"{"routes":[{"paths":["/orders","/public/*"]},{"methods":["GET"],"paths":["/"]}]}"#);
        let scope = scope.unwrap();
        for (method, path, expected) in [
            ("POST", "/orders", true),
            ("POST", "/orders/", false),
            ("POST", "/orders/7", false),
            ("POST", "/Orders", false),
            ("POST", "/public", false),
            ("POST", "/public/", true),
            ("POST", "/public/a/b", true),
            ("POST", "/publicity", false),
            ("POST", "/%6frders", true),
            ("POST", "//orders", true),
            ("GET", "", true),
            ("GET", "/", true),
            ("POST", "/", false),
            ("get", "/", false),
        ] {
            assert_eq!(scope.permits_route(method.as_bytes(), path), expected, "{method} {path}");
        }
        let all = parse(r#"{"routes":[{"paths":["/*"]}]}"#).unwrap();
        assert!(all.permits_route(b"GET", "") && all.permits_route(b"GET", "/a/b"));
    }

    #[test]
    fn clients_are_told_by_their_networks() {
        let scope = parse(r#"{"allow_ips":["192.0.2.0/24","2001:db8::/32"]}"#).unwrap();
        for (client, expected) in [
            ("192.0.2.9", true),
            ("::ffff:192.0.2.9", true),
            ("192.0.3.1", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(scope.permits_client(client.parse().unwrap()), expected, "{client}");
        }
        assert!(scope.permits_route(b"ANY", "/thing"));
    }

    #[test]
    fn a_new_scope_is_of_a_bounded_size() {
        let of_paths = |count: usize| {
            let paths = (0..count).map(|number| format!("/{number:02}/{}", "a".repeat(508))).collect();
            let draft = KeyRouteDraft { paths: Some(paths), methods: None };
            *KeyScope::parse(Some(&[draft]), None, &mut Problems::default()).unwrap()
        };
        for (paths, expected) in [(32, &[][..]), (33, &["routes"])] {
            let mut problems = Problems::default();
            of_paths(paths).check_size(&mut problems);
            let fields: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.field).collect();
            assert_eq!(fields, expected, "{paths}");
        }
    }

    #[test]
    fn every_problem_names_its_field() {
        let wrong = r#"{"routes":[{},{"paths":["orders","/a*","/../b","/*/b"],"methods":["get",""]},{"paths":[]}],
            "allow_ips":["ten","10.0.0.0/8"]}"#;
        assert_eq!(
            parse(wrong).unwrap_err(),
            [
                "routes[0]",
                "routes[1].paths[0]",
                "routes[1].paths[1]",
                "routes[1].paths[2]",
                "routes[1].paths[3]",
                "routes[1].methods[0]",
                "routes[1].methods[1]",
                "routes[2].paths",
                "allow_ips[0]",
            ]
        );
        assert_eq!(parse(r#"{"routes":[],"allow_ips":[]}"#).unwrap_err(), ["routes", "allow_ips"]);
    }
}
