//! Routes from declarative files and from the command line.

#![allow(clippy::unwrap_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::fs;

use harness::{EchoUpstream, Echoed, Gateway, Ran};
use serde_json::{Value, json};

#[track_caller]
fn json_of(ran: Ran) -> Value {
    let ran = ran.success();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error} in {:?}", ran.text()))
}

/// Applies a file of `examples/` whose upstream is this one.
fn apply_example(gateway: &Gateway, upstream: &EchoUpstream, name: &str) {
    let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.contains("http://127.0.0.1:8082"));
    let file = gateway.directory().join(name);
    fs::write(&file, text.replace("http://127.0.0.1:8082", &upstream.url())).unwrap();
    gateway.command(&["config", "apply", file.to_str().unwrap()]).success();
}

#[test]
fn the_example_that_passes_through_does() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    apply_example(&gateway, &upstream, "pass-through.yaml");
    let key = [("X-API-Key", "example-key-0123456789")];
    assert_eq!(Echoed::of(&gateway.client().get("/demo/api/get?a=1", &key)).target, "/get?a=1");
    gateway.client().get("/demo/api/get", &[]).expect(401);
}

#[test]
fn the_example_that_routes_does_as_it_says() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    apply_example(&gateway, &upstream, "trie-routing.yaml");
    let get = |method: &str, host: &str, path: &str, more: &[(&str, &str)]| {
        let headers = [&[("Host", host), ("X-API-Key", "example-key-0123456789")], more].concat();
        gateway.client().request(method, path, &headers, b"")
    };
    let target =
        |host: &str, path: &str, more: &[(&str, &str)]| Echoed::of(&get("GET", host, path, more)).target;
    assert_eq!(target("shop.localhost", "/codes/204", &[]), "/status/204");
    assert_eq!(target("shop.localhost", "/codes/usual", &[]), "/get");
    assert_eq!(target("shop.localhost", "/files/64", &[]), "/bytes/64");
    assert_eq!(target("shop.localhost", "/get?a=1", &[]), "/get?a=1");
    assert_eq!(target("shop.localhost", "/get", &[("X-Canary", "1")]), "/headers");
    let wild = Echoed::of(&get("GET", "eu.shop.localhost", "/x", &[]));
    assert_eq!((wild.target.as_str(), wild.header("Host")), ("/headers", Some("eu.shop.localhost")));
    assert_eq!(target("any.host", "/demo/short", &[]), "/get");
    let refused = get("DELETE", "any.host", "/demo/short", &[]).expect(405);
    assert_eq!(refused.header("Allow"), Some("GET, HEAD"));
}

/// A file with these routes of one tenant.
fn apply(gateway: &Gateway, url: &str, routes: &Value) -> Ran {
    let document = json!({
        "tenants": [{ "slug": "acme" }], "services": [{ "slug": "api", "url": url }, { "slug": "other", "url": url }],
        "routes": routes,
        "keys": [{ "name": "key", "key": "example-key-0123456789" }]
    });
    let file = gateway.directory().join("routes.json");
    fs::write(&file, document.to_string()).unwrap();
    gateway.command(&["config", "apply", file.to_str().unwrap(), "--json"])
}

#[test]
fn routes_of_a_file_change_places_in_one_step() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let routes = |first: &str, second: &str| {
        json!([
            { "name": "first", "service": "api", "hosts": ["a.example"], "paths": [first] },
            { "name": "second", "service": "api", "hosts": ["a.example"], "paths": [second] }
        ])
    };
    let tally = |ran: Ran| json_of(ran)["routes"].clone();
    let made = tally(apply(&gateway, &upstream.url(), &routes("/x", "/y")));
    assert_eq!(made, json!({ "created": 2, "updated": 0, "unchanged": 0 }));
    let swapped = tally(apply(&gateway, &upstream.url(), &routes("/y", "/x")));
    assert_eq!(swapped, json!({ "created": 0, "updated": 2, "unchanged": 0 }));
    let again = tally(apply(&gateway, &upstream.url(), &routes("/y", "/x")));
    assert_eq!(again, json!({ "created": 0, "updated": 0, "unchanged": 2 }));
    gateway.client().get("/x", &[("Host", "a.example"), ("X-API-Key", "example-key-0123456789")]).expect(200);
    assert_eq!(gateway.await_logged(|line| line["path"] == "/x")["route"], "second");
}

#[test]
fn what_is_wrong_with_a_file_s_routes_is_told_by_entry_and_changes_nothing() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let routes = json!([
        { "name": "fine", "service": "api", "hosts": ["a.example"], "paths": ["/x/{id}"] },
        { "name": "tied", "service": "other", "hosts": ["b.example", "a.example"], "paths": ["/y", "/x/{name}"] },
        { "name": "lost", "service": "nowhere", "paths": ["/z"] },
        { "name": "bad", "service": "api", "paths": ["/a/../b"] }
    ]);
    let refused = apply(&gateway, &upstream.url(), &routes);
    assert_eq!(refused.code, Some(1));
    let answer: Value =
        serde_json::from_str(&refused.stderr).unwrap_or_else(|error| panic!("{error}: {}", refused.stderr));
    let errors = answer["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["routes[2].service", "routes[3].paths[0]", "routes[1].paths[1]"]);
    let tie = errors[2]["message"].as_str().unwrap();
    assert!(tie.contains("\"tied\"") && tie.contains("\"fine\""), "{tie}");
    gateway.admin().get("/api/tenants/acme").expect(404);

    let file = gateway.directory().join("routes.json");
    let checked = gateway.command(&["config", "validate", file.to_str().unwrap()]);
    assert!(checked.code == Some(1) && checked.stderr.contains("routes[3].paths[0]"), "{}", checked.stderr);
}

#[test]
fn a_route_is_made_changed_and_deleted_on_the_command_line() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let run = |arguments: &[&str]| {
        gateway.command(&[&["routes"], arguments, &["--tenant", "acme", "--json"]].concat())
    };
    let made = json_of(run(&[
        "create",
        "--name",
        "users",
        "--service",
        "api",
        "--host",
        "a.example",
        "--path",
        "/users/{id}",
        "--path",
        "/users",
        "--method",
        "GET",
        "--header",
        "X-A=1",
        "--query",
        "debug",
        "--priority",
        "-3",
        "--rewrite-path",
        "/u",
        "--timeout",
        "5s",
    ]));
    assert_eq!((&made["headers"], &made["query"]), (&json!({ "x-a": "1" }), &json!({ "debug": true })));
    assert_eq!(
        (&made["priority"], &made["timeout"], &made["enabled"]),
        (&json!(-3), &json!("5s"), &json!(true))
    );
    let get = || {
        let headers = [("Host", "a.example"), ("X-A", "1"), ("X-API-Key", key.as_str())];
        gateway.client().get("/users/7?debug", &headers)
    };
    assert_eq!(Echoed::of(&get()).target, "/u?debug");
    let changed = json_of(run(&[
        "update",
        "users",
        "--rewrite-path",
        "",
        "--strip-prefix",
        "/users",
        "--service",
        "api=2",
    ]));
    assert_eq!((&changed["rewrite_path"], &changed["strip_prefix"]), (&Value::Null, &json!("/users")));
    assert_eq!(changed["services"], json!([{ "service": "api", "weight": 2 }]));
    assert_eq!(changed["paths"], made["paths"]);
    assert_eq!(Echoed::of(&get()).target, "/7?debug");
    assert_eq!(json_of(run(&["update", "users", "--service", "api"]))["service"], "api");
    assert_eq!(json_of(run(&["list"]))["items"][0]["name"], "users");
    run(&["delete", "users"]).success();
    get().expect(404);
}
