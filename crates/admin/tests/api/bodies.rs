use serde_json::{Value, json};

use crate::gateway::Gateway;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn what_is_no_json_is_400() {
    let gateway = Gateway::start();
    for body in ["{", "", "nonsense", "{\"slug\":\"a\"} {}", "{\"slug\":\"a\",}"] {
        let answer = gateway.admin().send("POST", "/api/tenants", &[JSON], Some(body.to_owned()));
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        answer.refused(400);
    }
}

#[test]
fn a_field_of_the_wrong_kind_is_422_with_its_path() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let cases = [
        (json!({ "slug": 5, "url": "http://a" }), "slug"),
        (json!({ "slug": "a", "url": "http://a", "colour": "red" }), "colour"),
        (json!({ "url": "http://a" }), "slug"),
        (
            json!({ "slug": "a", "targets": [{ "url": "http://a" }, { "url": "http://b", "weight": -1 }] }),
            "targets[1].weight",
        ),
        (json!({ "slug": "a", "targets": [{ "url": "http://a", "wait": 1 }] }), "targets[0].wait"),
        (json!({ "slug": "a", "targets": [{}] }), "targets[0].url"),
        (json!({ "slug": "a", "url": "http://a", "timeouts": { "connect": "soon" } }), "timeouts.connect"),
        (json!([]), ""),
    ];
    for (body, field) in cases {
        let answer = acme.post("/api/services", &body);
        assert_eq!(answer.refused(422), [field], "{body} {}", answer.text);
        assert!(!answer.text.contains(" at line "), "{}", answer.text);
    }
}

#[test]
fn what_is_wrong_with_a_draft_hides_no_name_that_nothing_has() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let key = acme.post("/api/keys", &json!({ "name": "good" })).expect(201);
    let wrong = json!({ "name": "", "plan": "gold", "consumer": "ann", "services": ["-", "api"] });
    let fields = ["name", "services[0]", "plan", "consumer", "services[1]"];
    assert_eq!(acme.post("/api/keys", &wrong).refused(422), fields);
    let path = format!("/api/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(acme.put(&path, &wrong).refused(422), fields);
    let wrong = json!({ "client_id": "a b", "name": "Ann", "plan": "gold" });
    assert_eq!(acme.post("/api/consumers", &wrong).refused(422), ["client_id", "plan"]);
    let wrong = json!({ "name": "", "services": [{ "service": "api" }, { "service": "web", "weight": 0 }] });
    let fields = ["name", "services[1].weight", "services[0].service", "services[1].service"];
    let mut found = acme.post("/api/routes", &wrong).refused(422);
    found.sort_unstable();
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    assert_eq!(found, fields);
}

#[test]
fn a_value_of_another_type_is_named_in_words() {
    let gateway = Gateway::start();
    let wrong = json!({ "slug": "a", "limits": [{ "requests": -1, "per": true }] });
    let answer = gateway.admin_in("acme").post("/api/plans", &wrong);
    assert_eq!(answer.refused(422), ["limits[0].per", "limits[0].requests"]);
    for words in ["must be a whole number that is not negative, not -1", "must be a string, not true"] {
        assert!(answer.text.contains(words), "{}", answer.text);
    }
}

#[test]
fn no_name_in_an_object_comes_twice() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    for field in ["headers", "query"] {
        let body = format!(r#"{{"name":"r","service":"api","{field}":{{"a":"1","b":"2","a":"3"}}}}"#);
        let answer = acme.send("POST", "/api/routes", &[JSON], Some(body));
        assert_eq!(answer.refused(422), [format!("{field}.a")], "{}", answer.text);
    }
}

#[test]
fn what_is_wrong_with_the_shape_hides_nothing_else() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let wrong = json!({
        "slug": 5, "targets": [{ "url": "ftp://x", "weight": 0 }, { "url": 5 }, "x"], "auth_header": "Host",
        "breaker": { "failures": 0, "zzz": 1 }, "timeouts": { "connect": "0s", "bogus": "1s" }, "nope": 1,
        "max_body_bytes": -5,
    });
    let mut fields = acme.post("/api/services", &wrong).refused(422);
    fields.sort_unstable();
    let wanted = [
        "auth_header",
        "breaker.failures",
        "breaker.zzz",
        "max_body_bytes",
        "nope",
        "slug",
        "targets[0].url",
        "targets[0].weight",
        "targets[1].url",
        "targets[2]",
        "timeouts.bogus",
        "timeouts.connect",
    ];
    assert_eq!(fields, wanted);
    let wrong =
        json!({ "limits": [{ "requests": 0, "per": "minute" }, { "per": "foo" }, null], "counting": "a" });
    let mut fields = acme.post("/api/plans", &wrong).refused(422);
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["counting", "limits[0].requests", "limits[1].per", "limits[1].requests", "limits[2]", "slug"]
    );
    let document = json!({
        "tenants": [{ "slug": "C 1", "foo": 1 }],
        "services": [{ "slug": "a", "url": "ftp://x" }, { "slug": "a", "zzz": 1 }],
        "keys": [{ "name": "", "key": "short" }, { "nme": "x" }],
    });
    let mut fields = gateway.admin().post("/api/config", &document).refused(422);
    fields.sort_unstable();
    fields.dedup();
    for field in [
        "tenants[0].slug",
        "tenants[0].foo",
        "services[0].url",
        "services[1].zzz",
        "keys[0].key",
        "keys[1].nme",
        "keys[1].name",
    ] {
        assert!(fields.iter().any(|found| found == field), "{field}: {fields:?}");
    }
}

#[test]
fn an_array_stands_for_no_object() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    assert_eq!(gateway.admin().post("/api/tenants", &json!(["arr1", "Name", "UTC", []])).refused(422), [""]);
    let plan = json!({ "slug": "a", "limits": [[5, "minute"]] });
    assert_eq!(acme.post("/api/plans", &plan).refused(422), ["limits[0]"]);
    let document = json!({ "tenants": [["arr1", "Name", "UTC", []]] });
    assert_eq!(gateway.admin().post("/api/config", &document).refused(422), ["tenants[0]"]);
}

#[test]
fn a_body_has_to_be_announced_as_json() {
    let gateway = Gateway::start();
    let body = || Some(json!({ "slug": "acme" }).to_string());
    for kind in ["text/plain", "application/x-www-form-urlencoded", "json"] {
        gateway.admin().send("POST", "/api/tenants", &[("Content-Type", kind)], body()).refused(415);
    }
    gateway.admin().send("POST", "/api/tenants", &[], body()).refused(415);
    let kind = ("Content-Type", "Application/JSON; charset=utf-8");
    gateway.admin().send("POST", "/api/tenants", &[kind], body()).expect(201);
}

#[test]
fn a_large_body_is_413() {
    let gateway = Gateway::start();
    let name = "n".repeat(1 << 20);
    gateway.admin().post("/api/tenants", &json!({ "slug": "acme", "name": name })).refused(413);
}

#[test]
fn unknown_paths_are_404_and_other_methods_405() {
    let gateway = Gateway::start();
    for path in ["/api", "/api/nonsense", "/api/tenants/a/b", "/nonsense", "/api/routes/a/b"] {
        gateway.admin().get(path).refused(404);
    }
    let answer = gateway.admin().send("PATCH", "/api/tenants/acme", &[JSON], Some("{}".into()));
    answer.refused(405);
    let mut allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
}

/// Without what an edit changes.
fn lasting(mut resource: Value) -> Value {
    let members = resource.as_object_mut().unwrap();
    members.retain(|name, _| name != "version" && name != "updated_at");
    resource
}

#[test]
fn what_is_shown_of_a_resource_can_be_sent_back() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let limits = json!([{ "requests": 5, "per": "minute", "burst": 9, "thresholds": [80] }]);
    let service = json!({
        "slug": "api", "targets": [{ "url": "http://a" }, { "url": "http://b", "weight": 2 }], "limits": limits,
        "balancer": { "algorithm": "least_requests" }, "breaker": {}, "retries": { "attempts": 2 },
        "rules": [{ "name": "search", "paths": ["/search"], "cost": 3 }], "timeouts": { "connect": "250ms" },
    });
    let resources = [
        ("plans", "gold", json!({ "slug": "gold", "limits": limits })),
        ("services", "api", service),
        (
            "routes",
            "id",
            json!({ "name": "all", "service": "api", "paths": ["/all/{rest}"], "headers": { "X-A": true } }),
        ),
        ("consumers", "bob", json!({ "client_id": "bob", "plan": "gold" })),
        ("keys", "id", json!({ "name": "k", "plan": "gold", "services": ["api"], "limits": limits })),
        ("webhooks", "id", json!({ "url": "https://hooks.example/t", "events": ["limit.threshold"] })),
    ];
    for (kind, name, draft) in resources {
        let made = acme.post(&format!("/api/{kind}"), &draft).expect(201);
        let name = if name == "id" { made["id"].as_str().unwrap() } else { name };
        let path = format!("/api/{kind}/{name}");
        let shown = acme.get(&path).expect(200);
        let again = acme.put(&path, &shown).expect(200);
        assert_eq!(lasting(again), lasting(shown), "{kind}");
    }
    let shown = gateway.admin().get("/api/tenants/acme").expect(200);
    assert_eq!(lasting(gateway.admin().put("/api/tenants/acme", &shown).expect(200)), lasting(shown));
    // Where something is made, only what it is made of counts.
    assert_eq!(acme.post("/api/plans", &json!({ "slug": "new", "id": "x" })).refused(422), ["id"]);
    assert_eq!(acme.put("/api/plans/gold", &json!({ "slug": "gold", "idle": 1 })).refused(422), ["idle"]);
}
