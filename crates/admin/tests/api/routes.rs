use serde_json::{Value, json};

use crate::gateway::{Client, Gateway};

fn with_service(gateway: &Gateway, tenant: &str) -> Client {
    let client = gateway.admin_in(tenant);
    client.post("/api/services", &json!({ "slug": "api", "url": "http://a" })).expect(201);
    client
}

#[test]
fn a_route_is_shown_as_it_was_written() {
    let gateway = Gateway::start();
    let acme = with_service(&gateway, "acme");
    let draft = json!({
        "name": "users of v2", "services": [{ "service": "api", "weight": 3 }], "sticky": "cookie:session",
        "hosts": ["API.example.com."], "paths": ["/users/{id}"], "methods": ["GET", "HEAD"],
        "headers": { "X-Env": "canary", "X-Trace": true }, "query": { "v": "2" }, "priority": -7,
        "rewrite_path": "/u/{id}", "preserve_host": true, "timeout": "1500ms", "retries": 2, "max_body_bytes": 10,
        "enabled": false
    });
    let answer = acme.post("/api/routes", &draft);
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/routes/{id}?tenant=acme"));
    for (field, value) in draft.as_object().unwrap() {
        let expected = match field.as_str() {
            "hosts" => json!(["api.example.com"]),
            "headers" => json!({ "x-env": "canary", "x-trace": true }),
            _ => value.clone(),
        };
        assert_eq!(made[field], expected, "{field}");
    }
    for path in [format!("/api/routes/{id}"), "/api/routes/users%20of%20v2".to_owned()] {
        assert_eq!(acme.get(&path).expect(200), made, "{path}");
    }
    gateway.user_of("acme", "ann").get(&format!("/api/routes/{id}")).expect(200);
    gateway.admin_in("rival").get(&format!("/api/routes/{id}")).refused(404);
    let plain =
        acme.put(&format!("/api/routes/{id}"), &json!({ "name": "plain", "service": "api" })).expect(200);
    assert_eq!(
        (&plain["service"], &plain["services"], &plain["version"]),
        (&json!("api"), &Value::Null, &json!(2))
    );
    assert_eq!(
        (&plain["enabled"], &plain["priority"], &plain["hosts"]),
        (&json!(true), &json!(0), &json!([]))
    );
}

#[test]
fn everything_wrong_is_said_at_once_with_its_field() {
    let gateway = Gateway::start();
    let acme = with_service(&gateway, "acme");
    let draft = json!({
        "name": "", "services": [{ "service": "api", "weight": 0 }], "hosts": ["a:80"], "paths": ["/a/../b", "/{a}{b}"],
        "methods": ["get"], "headers": { "Authorization": "Bearer x" }, "retries": 11, "strip_prefix": true, "rewrite_path": "/x"
    });
    assert_eq!(
        acme.post("/api/routes", &draft).refused(422),
        [
            "name",
            "services[0].weight",
            "hosts[0]",
            "paths[0]",
            "paths[1]",
            "rewrite_path",
            "methods[0]",
            "headers.Authorization",
            "retries"
        ]
    );
    let unknown = json!({ "name": "a", "service": "api", "colour": 1 });
    assert_eq!(acme.post("/api/routes", &unknown).refused(422), ["colour"]);
    let nowhere = json!({ "name": "a", "services": [{ "service": "api" }, { "service": "nowhere" }] });
    assert_eq!(acme.post("/api/routes", &nowhere).refused(422), ["services[1].service"]);
}

#[test]
fn a_tie_is_refused_and_names_both_routes() {
    let gateway = Gateway::start();
    let acme = with_service(&gateway, "acme");
    let draft = |name: &str, path: &str| json!({ "name": name, "service": "api", "hosts": ["h"], "paths": ["/x", path] });
    acme.post(
        "/api/routes",
        &json!({ "name": "first", "service": "api", "hosts": ["h"], "paths": ["/{a}/b"] }),
    )
    .expect(201);
    let answer = acme.post("/api/routes", &draft("second", "/{c}/%62"));
    assert_eq!(answer.refused(422), ["paths[1]"]);
    assert!(answer.text.contains(r#"\"first\""#) && answer.text.contains(r#"\"second\""#), "{}", answer.text);
    // Nothing was left behind.
    assert_eq!(acme.get("/api/routes").expect(200)["items"].as_array().unwrap().len(), 1);
    acme.post("/api/routes", &draft("second", "/{c}/c")).expect(201);
    assert_eq!(acme.put("/api/routes/second", &draft("second", "/{c}/b")).refused(422), ["paths[1]"]);
    acme.put("/api/routes/second", &draft("first", "/{c}/c")).refused(409);
    // Those of two tenants without hosts never meet.
    let within = json!({ "name": "within", "service": "api", "paths": ["/x"] });
    acme.post("/api/routes", &within).expect(201);
    with_service(&gateway, "rival").post("/api/routes", &within).expect(201);
}

#[test]
fn an_edit_of_another_version_is_refused_and_a_service_of_a_route_stays() {
    let gateway = Gateway::start();
    let acme = with_service(&gateway, "acme");
    let draft = |path: &str| json!({ "name": "a", "service": "api", "paths": [path] });
    let made = acme.post("/api/routes", &draft("/x"));
    assert!(made.header("etag").starts_with("\"1-"));
    acme.put_if_match("/api/routes/a", made.header("etag"), &draft("/y")).expect(200);
    acme.put_if_match("/api/routes/a", made.header("etag"), &draft("/z")).refused(412);
    assert_eq!(acme.put("/api/routes/a", &draft("/y")).expect(200)["version"], 2, "nothing was changed");
    acme.delete("/api/services/api").refused(409);
    acme.put("/api/services/api", &json!({ "slug": "renamed", "url": "http://a" })).expect(200);
    assert_eq!(acme.get("/api/routes/a").expect(200)["service"], "renamed");
    acme.delete("/api/routes/a").expect(204);
    acme.delete("/api/services/renamed").expect(204);
}

#[test]
fn routes_come_in_pages() {
    let gateway = Gateway::start();
    let acme = with_service(&gateway, "acme");
    let names = ["c", "a", "b"];
    for name in names {
        acme.post("/api/routes", &json!({ "name": name, "service": "api", "paths": [format!("/{name}")] }))
            .expect(201);
    }
    let first = acme.get("/api/routes?limit=2").expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = acme.get(&format!("/api/routes?cursor={cursor}")).expect(200);
    assert_eq!(second["next_cursor"], Value::Null);
    let items = [&first["items"], &second["items"]].map(|items| items.as_array().unwrap().clone()).concat();
    assert_eq!(items.iter().map(|route| route["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
}
