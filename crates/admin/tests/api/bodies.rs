use serde_json::json;

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
        (json!({ "slug": 5 }), "slug"),
        (json!({ "slug": "a", "colour": "red" }), "colour"),
        (json!({}), "slug"),
        (
            json!({ "slug": "a", "targets": [{ "url": "http://a" }, { "url": "http://b", "weight": -1 }] }),
            "targets[1].weight",
        ),
        (json!({ "slug": "a", "targets": [{ "url": "http://a", "wait": 1 }] }), "targets[0].wait"),
        (json!({ "slug": "a", "targets": [{}] }), "targets[0].url"),
        (json!({ "slug": "a", "timeouts": { "connect": "soon" } }), "timeouts.connect"),
        (json!([]), ""),
    ];
    for (body, field) in cases {
        let answer = acme.post("/api/services", &body);
        assert_eq!(answer.refused(422), [field], "{body} {}", answer.text);
        assert!(!answer.text.contains(" at line "), "{}", answer.text);
    }
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
