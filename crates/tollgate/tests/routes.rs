//! Which service a request goes to: routes by host, path, method, header and query.

mod harness;

use harness::{Control, EchoUpstream, Echoed, Gateway, Response, Tenant, eventually};
use serde_json::{Value, json};

/// A tenant with the services `one` and `two`, which tell in the path who they are, and a key without limits.
fn with_services(gateway: &Gateway, upstream: &EchoUpstream) -> (Tenant, String) {
    let tenant = gateway.tenant("acme");
    for service in ["one", "two"] {
        tenant.service(service, &format!("{}/{service}", upstream.url()));
    }
    let key = tenant.unlimited_key();
    (tenant, key)
}

#[track_caller]
fn route(tenant: &Tenant, route: &Value) -> Value {
    tenant.post("routes", route).expect(201)
}

/// What the upstream was asked for, or the status where it was not.
fn asked(response: &Response) -> String {
    if response.status == 200 { Echoed::of(response).target } else { response.status.to_string() }
}

fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> String {
    asked(&gateway.client().get(path, headers))
}

#[test]
fn hosts_and_paths_choose_the_service_and_the_rest_goes_by_tenant_and_service() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    for (name, service, hosts, paths) in [
        ("all of the shop", "one", json!(["shop.example"]), json!([])),
        ("users", "two", json!(["shop.example"]), json!(["/users/{id}", "/users/{id}/*"])),
        ("me", "one", json!(["shop.example"]), json!(["/users/me"])),
        ("wild", "two", json!(["*.shop.example"]), json!(["/*"])),
        ("address", "one", json!(["[::1]", "127.0.0.1"]), json!(["/by-address"])),
    ] {
        route(&tenant, &json!({ "name": name, "service": service, "hosts": hosts, "paths": paths }));
    }
    for (host, path, expected) in [
        ("shop.example", "/", "/one/"),
        ("shop.example", "/a/b?c=d", "/one/a/b?c=d"),
        ("shop.example", "/users/7", "/two/users/7"),
        ("shop.example", "/users/7/orders", "/two/users/7/orders"),
        ("shop.example", "/users/me", "/one/users/me"),
        ("Shop.Example.:8080", "/users/7", "/two/users/7"),
        ("eu.shop.example", "/users/me", "/two/users/me"),
        ("a.b.shop.example", "/", "/two/"),
        ("workshop.example", "/", "404"),
        ("[0:0::1]:80", "/by-address", "/one/by-address"),
        ("127.0.0.1:1", "/by-address", "/one/by-address"),
        ("127.0.0.1:1", "/acme/two/x", "/two/x"),
        ("elsewhere.example", "/acme/one/x", "/one/x"),
    ] {
        assert_eq!(get(&gateway, path, &[("Host", host), ("X-API-Key", &key)]), expected, "{host}{path}");
    }
    // The host of an absolute target goes before the field (RFC 9112 section 3.2.2).
    let absolute = get(&gateway, "http://shop.example/users/7", &[("Host", "x.test"), ("X-API-Key", &key)]);
    assert_eq!(absolute, "/two/users/7");
    let health = gateway.client().get("/health", &[("Host", "shop.example")]).expect(200);
    assert_eq!(health.json()["status"], "ready");
    gateway.client().get("/", &[("Host", "shop.example")]).expect(401);
}

#[test]
fn a_route_without_hosts_is_within_its_tenant() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    route(&tenant, &json!({ "name": "v2", "service": "two", "paths": ["/v2/{id}", "/one/special"] }));
    for (path, expected) in [
        ("/acme/v2/7", "/two/v2/7"),
        ("/acme/v2", "404"),
        ("/acme/one/special", "/two/one/special"),
        ("/acme/one/other", "/one/other"),
        ("/acme/two", "/two"),
        ("/acme", "404"),
        ("/", "404"),
        ("/v2/7", "404"),
    ] {
        assert_eq!(get(&gateway, path, &[("X-API-Key", &key)]), expected, "{path}");
    }
    route(&tenant, &json!({ "name": "all", "service": "one" }));
    for (path, expected) in [("/acme", "/one"), ("/acme/", "/one/"), ("/acme/two/x", "/one/two/x")] {
        assert_eq!(get(&gateway, path, &[("X-API-Key", &key)]), expected, "{path}");
    }
    // A host that nobody has a route for is as good as any.
    let with_host = [("Host", "shop.example"), ("X-API-Key", key.as_str())];
    assert_eq!(get(&gateway, "/acme/v2/7", &with_host), "/two/v2/7");
}

#[test]
fn a_method_that_no_route_has_is_405_with_those_that_there_are() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    for (name, service, methods) in
        [("read", "one", json!(["GET"])), ("write", "two", json!(["POST", "PURGE"]))]
    {
        let paths = ["/orders", "/two/fixed"];
        route(&tenant, &json!({ "name": name, "service": service, "paths": paths, "methods": methods }));
    }
    let call = |method: &str, path: &str| gateway.client().request(method, path, &[("X-API-Key", &key)], b"");
    assert_eq!(asked(&call("GET", "/acme/orders")), "/one/orders");
    assert_eq!(asked(&call("PURGE", "/acme/orders")), "/two/orders");
    for path in ["/acme/orders", "/acme/two/fixed"] {
        let refused = call("DELETE", path).expect(405);
        assert_eq!(refused.header("Allow"), Some("GET, POST, PURGE"), "{path}");
        assert_eq!(refused.json()["error"]["code"], 405);
    }
    call("HEAD", "/acme/orders").expect(405);
    assert_eq!(asked(&call("DELETE", "/acme/two/free")), "/two/free");
    let logged = gateway.await_logged(|line| line["status"] == 405);
    assert_eq!(logged["service"], Value::Null);
}

#[test]
fn a_host_s_route_for_other_methods_hides_no_route_of_the_tenant() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    let paths = ["/acme/{x}/{y}"];
    route(
        &tenant,
        &json!({ "name": "a", "service": "one", "hosts": ["a.example"], "paths": paths, "methods": ["POST"] }),
    );
    route(&tenant, &json!({ "name": "b", "service": "two", "paths": ["/v2/*"], "methods": ["GET", "PUT"] }));
    let call = |method: &str, path: &str| {
        let fields = [("Host", "a.example"), ("X-API-Key", key.as_str())];
        gateway.client().request(method, path, &fields, b"")
    };
    assert_eq!(asked(&call("GET", "/acme/v2/7")), "/two/v2/7");
    assert_eq!(asked(&call("POST", "/acme/v2/7")), "/one/acme/v2/7");
    for (method, path) in [("DELETE", "/acme/v2/7"), ("GET", "/acme/one/7"), ("GET", "/acme/none/7")] {
        assert_eq!(call(method, path).expect(405).header("Allow"), Some("POST"), "{method} {path}");
    }
}

#[test]
fn a_route_by_what_only_a_proxy_can_know_is_taken_for_nobody_else() {
    let route_by = |gateway: &Gateway, upstream: &EchoUpstream| {
        let (tenant, key) = with_services(gateway, upstream);
        for (name, value) in
            [("X-Forwarded-Proto", "https"), ("X-Real-IP", "10.0.0.1"), ("Forwarded", "proto=https")]
        {
            route(
                &tenant,
                &json!({ "name": name, "service": "two", "headers": { name: value },
                "paths": [format!("/{name}")] }),
            );
        }
        key
    };
    for (config, expected) in [("", "404"), ("proxy.trusted_proxies = [\"127.0.0.1\"]\n", "/two/")] {
        let (gateway, upstream) = (Gateway::builder().config(config).start(), EchoUpstream::start());
        let key = route_by(&gateway, &upstream);
        for (name, value) in
            [("X-Forwarded-Proto", "https"), ("X-Real-IP", "10.0.0.1"), ("Forwarded", "proto=https")]
        {
            let asked = get(&gateway, &format!("/acme/{name}"), &[("X-API-Key", &key), (name, value)]);
            assert!(asked.starts_with(expected), "{config} {name}: {asked}");
        }
    }
}

#[test]
fn headers_query_and_priority_tell_routes_of_one_path_apart() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    for service in ["canary", "v2", "debug", "forced"] {
        tenant.service(service, &format!("{}/{service}", upstream.url()));
    }
    for (service, extra) in [
        ("one", json!({})),
        ("canary", json!({ "headers": { "X-Canary": "yes" } })),
        ("v2", json!({ "query": { "version": 2 } })),
        ("debug", json!({ "headers": { "X-Canary": true, "X-Debug": true } })),
        ("forced", json!({ "headers": { "X-Forced": true }, "priority": 1 })),
    ] {
        let mut all = json!({ "name": service, "service": service, "hosts": ["a.example"], "paths": ["/x"] });
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        // A header and a query parameter could both be there, and nothing would say which is meant.
        if service == "v2" {
            assert_eq!(tenant.post("routes", &all).expect(422)["errors"][0]["field"], "paths[0]");
            all["priority"] = json!(-1);
            all["paths"] = json!(["/x", "/y"]);
        }
        route(&tenant, &all);
    }
    for (path, headers, expected) in [
        ("/x", vec![], "/one/x"),
        ("/x", vec![("x-canary", "yes")], "/canary/x"),
        ("/x", vec![("X-Canary", "Yes")], "/one/x"),
        ("/x", vec![("X-Canary", "no"), ("X-Canary", "yes")], "/one/x"),
        ("/x", vec![("X-Canary", "no"), ("X-Debug", "")], "/debug/x"),
        ("/x", vec![("X-Canary", "yes"), ("X-Debug", "1"), ("X-Forced", "1")], "/forced/x"),
        ("/x?version=2", vec![], "/one/x?version=2"),
        ("/y?a=b&%76ersion=2", vec![], "/v2/y?a=b&%76ersion=2"),
        ("/y?version=3", vec![], "404"),
    ] {
        let all = [vec![("Host", "a.example"), ("X-API-Key", key.as_str())], headers.clone()].concat();
        assert_eq!(get(&gateway, path, &all), expected, "{path} {headers:?}");
    }
}

/// Servers take these spellings for the same; so must whatever decides which service is meant and who may use it.
#[test]
fn another_spelling_of_a_path_gets_no_other_route_rule_or_permission() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    let guarded = json!({ "slug": "guarded", "url": format!("{}/guarded", upstream.url()),
        "rules": [{ "name": "secret", "paths": ["/admin/secret"], "limits": [{ "requests": 1, "per": "month" }] }] });
    tenant.service_with(&guarded);
    route(&tenant, &json!({ "name": "all", "service": "one", "hosts": ["a.example"] }));
    route(
        &tenant,
        &json!({ "name": "admin", "service": "guarded", "hosts": ["a.example"], "paths": ["/admin/*"] }),
    );
    let with_host = [("Host", "a.example"), ("X-API-Key", key.as_str())];
    for path in ["/admin/x", "//admin/x", "/%61dmin/x", "/admin//x", "/%61%64%6D%69%6e/x"] {
        assert_eq!(get(&gateway, path, &with_host), format!("/guarded{path}"), "as it came");
    }
    for path in [
        "/x/../admin/x",
        "/x/%2e%2e/admin/x",
        "/admin%2fx",
        "/admin/..;/x",
        "/admin%5cx",
        "/admin\\x",
        "/admin/%00",
    ] {
        assert_eq!(get(&gateway, path, &with_host), "400", "{path}");
    }
    for path in ["/Admin/x", "/administrator", "/admin"] {
        assert_eq!(get(&gateway, path, &with_host), format!("/one{path}"), "another path");
    }
    assert_eq!(get(&gateway, "//%61dmin//secret", &with_host), "/guarded//%61dmin//secret");
    assert_eq!(get(&gateway, "/admin/secret", &with_host), "429");

    let scoped = json!({ "name": "scoped", "routes": [{ "paths": ["/admin/x", "/open/*"] }] });
    let scoped = tenant.key_with(&scoped)["key"].as_str().unwrap().to_owned();
    let with_scope = [("Host", "a.example"), ("X-API-Key", scoped.as_str())];
    for (path, expected) in
        [("/admin/x", "200"), ("//%61dmin/x", "200"), ("/admin/y", "403"), ("/open//a", "200")]
    {
        let status = gateway.client().get(path, &with_scope).status.to_string();
        assert_eq!(status, expected, "{path}");
    }
}

#[test]
fn a_change_of_a_route_is_in_force_with_the_answer_and_after_a_restart() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, key) = with_services(&gateway, &upstream);
    let draft = |service: &str, enabled: bool| json!({ "name": "a \"route\"", "service": service, "hosts": ["a.example"], "enabled": enabled });
    let made = route(&tenant, &draft("one", true));
    let path = tenant.path(&format!("routes/{}", made["id"].as_str().unwrap()));
    let with_host = [("Host", "a.example"), ("X-API-Key", key.as_str())];
    assert_eq!(get(&gateway, "/x", &with_host), "/one/x");
    let logged = gateway.await_logged(|line| line["path"] == "/x");
    assert_eq!((&logged["route"], &logged["service"]), (&json!("a \"route\""), &json!("one")));
    gateway.admin().put(&path, &draft("two", true)).expect(200);
    assert_eq!(get(&gateway, "/x", &with_host), "/two/x");
    gateway.admin().put(&path, &draft("two", false)).expect(200);
    assert_eq!(get(&gateway, "/x", &with_host), "404");
    gateway.admin().put(&path, &draft("two", true)).expect(200);
    let gateway = gateway.restart_after("TERM");
    assert_eq!(get(&gateway, "/x", &with_host), "/two/x");
    gateway.admin().delete(&path).expect(204);
    assert_eq!(get(&gateway, "/x", &with_host), "404");
    assert_eq!(get(&gateway, "/acme/one/y", &with_host), "/one/y");
    assert_eq!(gateway.await_logged(|line| line["path"] == "/acme/one/y")["route"], Value::Null);
}

#[test]
fn a_node_routes_as_its_control_plane_was_told() {
    let (control, upstream) = (Control::start(), EchoUpstream::start());
    let tenant = control.tenant("acme");
    tenant.service("one", &format!("{}/one", upstream.url()));
    let key = tenant.unlimited_key();
    route(&tenant, &json!({ "name": "before", "service": "one", "hosts": ["a.example"] }));
    let node = control.node("edge");
    let get = |host: &str| node.client().get("/x", &[("Host", host), ("X-API-Key", &key)]).status;
    assert_eq!((get("a.example"), get("b.example")), (200, 404));
    let made = route(&tenant, &json!({ "name": "after", "service": "one", "hosts": ["b.example"] }));
    eventually("the node has the route", || get("b.example") == 200);
    control.admin().delete(&tenant.path(&format!("routes/{}", made["id"].as_str().unwrap()))).expect(204);
    eventually("the node has lost the route", || get("b.example") == 404);
}
