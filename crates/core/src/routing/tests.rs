//! Routes are looked up as the documented order says: shown against a matcher that knows nothing of tries.

mod changes;
mod model;
mod sizes;

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use self::model::Model;
use super::*;
use crate::resource::{DisplayName, Route, RouteDraft, RouteId, ServiceId, TenantId};

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

fn route(number: u128, json: &str) -> Arc<Route> {
    let draft: RouteDraft = serde_json::from_str(json).unwrap();
    let spec = draft.parse().unwrap_or_else(|problems| panic!("{problems}: {json}"));
    Arc::new(Route {
        id: RouteId(Uuid::from_u128(number)),
        tenant: TENANT,
        name: DisplayName::parse(&draft.name).unwrap(),
        split: Split { shares: vec![(ServiceId(Uuid::from_u128(7)), 1)], sticky: None },
        rules: spec.rules,
    })
}

#[derive(Debug, Clone, Default)]
struct Request {
    method: String,
    headers: HashMap<String, String>,
    query: String,
}

impl Asked for Request {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(String::as_bytes)
    }

    fn query(&self) -> &[u8] {
        self.query.as_bytes()
    }
}

fn get() -> Request {
    Request { method: "GET".into(), ..Request::default() }
}

/// Puts a route in as a snapshot does.
fn put(hosts: &mut Hosts, route: &Arc<Route>) -> Result<(), Conflict> {
    for host in &route.rules.hosts {
        hosts.claim(host, TENANT).unwrap();
    }
    for host in &route.rules.hosts {
        for (path, template) in route.templates() {
            hosts.insert(host, template.key(), route, path, Admission::New(Crowd::default()))?;
        }
    }
    Ok(())
}

fn take(hosts: &mut Hosts, route: &Route) {
    for host in &route.rules.hosts {
        for (_, template) in route.templates() {
            hosts.remove(host, template.key(), route);
        }
        hosts.release(host);
    }
}

fn of_paths(paths: &[&str]) -> Hosts {
    let mut hosts = Hosts::default();
    for (number, path) in (1..).zip(paths) {
        put(
            &mut hosts,
            &route(number, &format!(r#"{{"name":"{path}","service":"s","hosts":["h"],"paths":["{path}"]}}"#)),
        )
        .unwrap();
    }
    hosts
}

/// Name of the route for a path at host `h`, and what was captured.
fn found(hosts: &Hosts, path: &str) -> Option<(String, Vec<String>)> {
    CanonicalPath::parse(path.as_bytes()).unwrap();
    match hosts.select(&mut b"h".to_vec(), path, &get()) {
        Selection::Route(matched) => {
            let captured = (0..).map_while(|index| matched.capture(index, path).map(str::to_owned)).collect();
            Some((matched.route.name.to_string(), captured))
        }
        Selection::OtherMethods(_) | Selection::Nothing => None,
    }
}

#[test]
fn the_most_specific_path_is_taken_from_the_left() {
    let hosts = of_paths(&[
        "/*",
        "/users/{id}",
        "/users/me",
        "/users/{id}/{*rest}",
        "/users/me/*",
        "/users/{id}/files/{file}",
        "/users/",
    ]);
    for (path, expected, captured) in [
        ("/", "/*", vec![""]),
        ("/users", "/*", vec!["users"]),
        ("/users/", "/users/", vec![]),
        ("/users/7", "/users/{id}", vec!["7"]),
        ("/users/me", "/users/me", vec![]),
        ("/users/mel", "/users/{id}", vec!["mel"]),
        ("/users/m", "/users/{id}", vec!["m"]),
        ("/users/7/", "/users/{id}/{*rest}", vec!["7", ""]),
        ("/users/7/files/a", "/users/{id}/files/{file}", vec!["7", "a"]),
        ("/users/7/files/a/b", "/users/{id}/{*rest}", vec!["7", "files/a/b"]),
        // From the left: `me` before a parameter, whatever follows.
        ("/users/me/files/a", "/users/me/*", vec!["files/a"]),
        ("//users//%6de", "/users/me", vec![]),
        ("/users/a%20b", "/users/{id}", vec!["a%20b"]),
        ("//users///7//x//y", "/users/{id}/{*rest}", vec!["7", "x//y"]),
    ] {
        let captured = captured.into_iter().map(str::to_owned).collect();
        assert_eq!(found(&hosts, path), Some((expected.to_owned(), captured)), "{path}");
    }
    assert_eq!(found(&of_paths(&["/a/{b}"]), "/a/"), None, "a parameter is not empty");
}

#[test]
fn a_host_is_matched_by_its_longest_pattern_and_then_by_wider_ones() {
    let mut hosts = Hosts::default();
    for (number, host) in (1..).zip(["a.b.example.com", "*.b.example.com", "*.example.com", "[::1]"]) {
        let json =
            format!(r#"{{"name":"{host}","service":"s","hosts":["{host}"],"paths":["/own","/{number}"]}}"#);
        put(&mut hosts, &route(number, &json)).unwrap();
    }
    let find = |authority: &str, path: &str| {
        let mut buffer = [0; 254];
        let host = read_host(authority.as_bytes(), &mut buffer)?;
        match hosts.select(host, path, &get()) {
            Selection::Route(matched) => Some(matched.route.name.to_string()),
            Selection::OtherMethods(_) | Selection::Nothing => None,
        }
    };
    for (authority, path, expected) in [
        ("A.b.Example.com.:81", "/own", Some("a.b.example.com")),
        ("a.b.example.com", "/2", Some("*.b.example.com")),
        ("a.b.example.com", "/3", Some("*.example.com")),
        ("x.y.b.example.com", "/own", Some("*.b.example.com")),
        ("b.example.com", "/own", Some("*.example.com")),
        ("example.com", "/own", None),
        ("badexample.com", "/own", None),
        ("*.example.com", "/own", Some("*.example.com")),
        ("[0:0::1]:80", "/own", Some("[::1]")),
        ("..example.com", "/own", Some("*.example.com")),
    ] {
        assert_eq!(find(authority, path).as_deref(), expected, "{authority} {path}");
    }
}

#[test]
fn a_higher_priority_goes_before_everything() {
    let mut hosts = Hosts::default();
    for (number, json) in (1..).zip([
        r#"{"name":"exact","service":"s","hosts":["a.b.c"],"paths":["/x/y"]}"#,
        r#"{"name":"wide","service":"s","hosts":["*.b.c"],"paths":["/*"],"priority":1}"#,
        r#"{"name":"canary","service":"s","hosts":["a.b.c"],"paths":["/x/{y}"],"priority":1,"headers":{"X-Canary":true}}"#,
        r#"{"name":"low","service":"s","hosts":["a.b.c"],"paths":["/x/y"],"headers":{"X-Canary":"1"},"priority":-1}"#,
    ]) {
        put(&mut hosts, &route(number, json)).unwrap();
    }
    let find = |asked: &Request| match hosts.select(&mut b"a.b.c".to_vec(), "/x/y", asked) {
        Selection::Route(matched) => matched.route.name.to_string(),
        Selection::OtherMethods(_) | Selection::Nothing => String::new(),
    };
    assert_eq!(find(&get()), "wide");
    let headers = HashMap::from([("x-canary".to_owned(), "1".to_owned())]);
    assert_eq!(find(&Request { headers, ..get() }), "canary");
}

#[test]
fn where_the_method_alone_misses_the_others_are_told() {
    let mut hosts = Hosts::default();
    for (number, json) in (1..).zip([
        r#"{"name":"1","service":"s","hosts":["h"],"paths":["/x"],"methods":["PUT","GET"]}"#,
        r#"{"name":"2","service":"s","hosts":["h"],"paths":["/{x}"],"methods":["PURGE","PUT"]}"#,
        r#"{"name":"3","service":"s","hosts":["h"],"paths":["/x"],"methods":["POST"],"headers":{"X-A":"1"}}"#,
    ]) {
        put(&mut hosts, &route(number, json)).unwrap();
    }
    let select = |method: &str, path: &str| {
        let asked = Request { method: method.into(), ..Request::default() };
        match hosts.select(&mut b"h".to_vec(), path, &asked) {
            Selection::Route(matched) => matched.route.name.to_string(),
            Selection::OtherMethods(methods) => methods,
            Selection::Nothing => "nothing".to_owned(),
        }
    };
    assert_eq!(select("DELETE", "/x"), "GET, PURGE, PUT");
    assert_eq!(select("get", "/x"), "GET, PURGE, PUT");
    assert_eq!(select("LINK", "/y"), "PURGE, PUT");
    assert_eq!(select("PURGE", "/x"), "2");
    assert_eq!(select("GET", "/x/y"), "nothing");
}

#[test]
fn two_routes_that_one_request_could_match_in_any_order_tie() {
    let mut hosts = Hosts::default();
    let held =
        r#"{"name":"held","service":"s","hosts":["h"],"paths":["/a/{x}","/b"],"methods":["GET","PUT"]}"#;
    put(&mut hosts, &route(1, held)).unwrap();
    for (json, ties) in [
        (r#"{"name":"n","service":"s","hosts":["h"],"paths":["/a/{y}"],"methods":["PUT","POST"]}"#, true),
        (r#"{"name":"n","service":"s","hosts":["h"],"paths":["/a/{y}"],"methods":["POST"]}"#, false),
        (
            r#"{"name":"n","service":"s","hosts":["h"],"paths":["/a/{y}"],"methods":["PUT"],"priority":1}"#,
            false,
        ),
        (r#"{"name":"n","service":"s","hosts":["h"],"paths":["/a/{y}"]}"#, false),
        (r#"{"name":"n","service":"s","hosts":["h"],"paths":["/c","/%62"],"methods":["GET"]}"#, true),
        (r#"{"name":"n","service":"s","hosts":["h"],"paths":["/a/{y}"],"headers":{"X-A":true}}"#, true),
        (r#"{"name":"n","service":"s","hosts":["i"],"paths":["/b"],"methods":["GET"]}"#, false),
    ] {
        let outcome = put(&mut hosts.clone(), &route(2, json));
        let tied = matches!(&outcome, Err(Conflict::Tie(route)) if *route.name.to_string() == *"held");
        assert_eq!((tied, outcome.is_err()), (ties, ties), "{json}");
    }
    let values = |value: &str| {
        route(
            3,
            &format!(r#"{{"name":"v","service":"s","hosts":["h"],"paths":["/v"],"query":{{"v":{value}}}}}"#),
        )
    };
    put(&mut hosts, &values("1")).unwrap();
    let other = Arc::new(Route { id: RouteId(Uuid::from_u128(4)), ..values("2").as_ref().clone() });
    assert_eq!(put(&mut hosts.clone(), &other), Ok(()), "one request has one first value");
    let any = Arc::new(Route { id: RouteId(Uuid::from_u128(4)), ..values("true").as_ref().clone() });
    assert!(put(&mut hosts, &any).is_err());
}

proptest! {
    #[test]
    fn a_look_up_finds_what_the_documented_order_says(
        specs in prop::collection::vec(model::route_json(), 1..14),
        requests in prop::collection::vec(model::request(), 1..24),
        removed in any::<u16>(),
    ) {
        let (mut hosts, mut model) = (Hosts::default(), Model::default());
        for (number, json) in (1..).zip(&specs) {
            let route = route(number, json);
            let mut candidate = hosts.clone();
            let outcome = put(&mut candidate, &route);
            prop_assert_eq!(outcome.is_err(), model.ties(&route), "{} beside {:?}", json, model);
            if outcome.is_ok() {
                hosts = candidate;
                model.routes.push(route);
            }
        }
        let whole = model.routes.clone();
        for remaining in [u16::MAX, !removed] {
            let is_gone = |index: usize| remaining >> (index % 16) & 1 == 0;
            let before = hosts.clone();
            for (_, route) in whole.iter().enumerate().filter(|(index, _)| is_gone(*index)) {
                take(&mut hosts, route);
            }
            drop(before);
            model.routes =
                whole.iter().enumerate().filter(|(index, _)| !is_gone(*index)).map(|(_, route)| Arc::clone(route)).collect();
            for (host, path, asked) in &requests {
                let (expected, allowed) = model.select(host, path, asked);
                match hosts.select(&mut host.clone().into_bytes(), path, asked) {
                    Selection::Route(matched) => {
                        prop_assert_eq!(Some(matched.route.id), expected, "{} {} {:?}", host, path, asked);
                    }
                    Selection::OtherMethods(methods) => {
                        prop_assert_eq!((None, methods), (expected, allowed), "{} {}", host, path);
                    }
                    Selection::Nothing => prop_assert_eq!((expected, allowed), (None, String::new()), "{} {}", host, path),
                }
            }
        }
    }
}
