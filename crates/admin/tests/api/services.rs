use serde_json::{Value, json};
use tollgate_admin::Settings;
use tollgate_core::address::{AllowList, Reach};

use crate::gateway::{Gateway, settings};

fn target_ids(service: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let targets = service["targets"].as_array().unwrap();
    targets.iter().map(|target| (text(&target["url"]), text(&target["id"]))).collect()
}

#[test]
fn an_issuer_called_like_tollgate_itself_is_refused() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let issuer =
        |name: &str| json!({ "issuer": name, "audience": "a", "jwks_url": "https://127.0.0.1:1/keys" });
    let service = json!({ "slug": "api", "url": "https://up.example", "jwt": [issuer("https://id.example"), issuer("tollgate")] });
    let refused = admin.post("/api/services", &service);
    assert_eq!(refused.refused(422), ["jwt[1].issuer"]);
    assert!(refused.text.contains("tokens.issuer"), "{}", refused.text);
    let mut entry = service;
    entry["tenant"] = json!("acme");
    let document = json!({ "services": [entry] });
    assert_eq!(gateway.admin().post("/api/config", &document).refused(422), ["services[0].jwt[1].issuer"]);
}

#[test]
fn a_service_is_in_force_when_the_answer_arrives() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let draft = json!({
        "slug": "api", "targets": [{ "url": "http://127.0.0.1:9001/base/", "weight": 3 }],
        "timeouts": { "connect": "250ms" }, "max_body_bytes": 1000
    });
    let answer = acme.post("/api/services", &draft);
    let made = answer.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/services/{id}?tenant=acme"));
    assert_eq!(made["targets"][0]["url"], "http://127.0.0.1:9001/base");
    assert_eq!(made["targets"][0]["weight"], 3);
    assert_eq!(made["timeouts"], json!({ "connect": "250ms" }));
    assert_eq!(made["auth_header"], "X-API-Key");
    let snapshot = gateway.snapshot();
    let service = snapshot.tenant("acme").unwrap().service("api").unwrap();
    assert_eq!((service.targets[0].endpoint.port, service.targets[0].endpoint.reach), (9001, Reach::Private));
    assert_eq!(acme.get(&format!("/api/services/{id}")).expect(200), made);
    assert_eq!(acme.get("/api/services/api").expect(200), made);
    acme.delete("/api/services/api").expect(204);
    assert!(gateway.snapshot().tenant("acme").unwrap().service("api").is_none());
}

#[test]
fn everything_wrong_is_said_at_once_with_its_field() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let draft = json!({
        "slug": "No!", "auth_header": "Host",
        "targets": [{ "url": "http://ok" }, { "url": "http://169.254.169.254" }, { "url": "ftp://x", "weight": 0 }]
    });
    let fields = acme.post("/api/services", &draft).refused(422);
    assert_eq!(fields, ["slug", "targets[1].url", "targets[2].weight", "targets[2].url", "auth_header"]);
}

#[test]
fn a_target_keeps_its_id_as_long_as_its_url() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let draft =
        json!({ "slug": "api", "targets": [{ "url": "http://a" }, { "url": "http://b", "weight": 2 }] });
    let before = target_ids(&acme.post("/api/services", &draft).expect(201));
    let draft =
        json!({ "slug": "api", "targets": [{ "url": "http://c" }, { "url": "http://b:80/", "weight": 9 }] });
    let after = target_ids(&acme.put("/api/services/api", &draft).expect(200));
    assert_eq!(after[1], before[1]);
    assert!(before.iter().all(|(_, id)| *id != after[0].1));
}

#[test]
fn tenants_users_reach_public_addresses_and_what_the_operator_allows() {
    let allow_list = AllowList::new(vec!["10.1.0.0/16".parse().unwrap()]);
    let gateway = Gateway::start_with(Settings { allow_list, ..settings() });
    gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    for refused in ["http://127.0.0.1:1", "http://localhost", "http://10.2.0.1", "http://[::1]:80"] {
        let draft = json!({ "slug": "api", "targets": [{ "url": "http://ok" }, { "url": refused }] });
        assert_eq!(ann.post("/api/services", &draft).refused(422), ["targets[1].url"], "{refused}");
    }
    assert_eq!(
        ann.post("/api/services", &json!({ "slug": "api", "url": "http://127.0.0.1" })).refused(422),
        ["url"]
    );
    let targets = json!([{ "url": "http://10.1.2.3" }, { "url": "http://public.example" }, { "url": "http://8.8.8.8" }]);
    ann.post("/api/services", &json!({ "slug": "api", "targets": targets })).expect(201);
    let snapshot = gateway.snapshot();
    let service = snapshot.tenant("acme").unwrap().service("api").unwrap();
    assert!(service.targets.iter().all(|target| target.endpoint.reach == Reach::Public));
}

#[test]
fn what_an_administrator_allowed_stays_allowed_when_a_user_saves_it_again() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    let draft = json!({ "slug": "api", "targets": [{ "url": "http://127.0.0.1:9001" }] });
    acme.post("/api/services", &draft).expect(201);
    let draft = json!({ "slug": "api", "name": "Renamed", "targets": [{ "url": "http://127.0.0.1:9001", "weight": 5 }] });
    ann.put("/api/services/api", &draft).expect(200);
    let snapshot = gateway.snapshot();
    assert_eq!(
        snapshot.tenant("acme").unwrap().service("api").unwrap().targets[0].endpoint.reach,
        Reach::Private
    );
    let moved = json!({ "slug": "api", "targets": [{ "url": "http://127.0.0.1:9002" }] });
    assert_eq!(ann.put("/api/services/api", &moved).refused(422), ["targets[0].url"]);
}

#[test]
fn an_edit_of_another_version_is_refused() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let draft = |name: &str| json!({ "slug": "api", "name": name, "url": "http://a" });
    acme.post("/api/services", &draft("one")).expect(201);
    let path = "/api/services/api";
    let first = acme.get(path).header("etag").to_owned();
    let answer = acme.put_if_match(path, &first, &draft("two"));
    answer.expect(200);
    let second = answer.header("etag");
    assert!(second.starts_with("\"2-"));
    acme.put_if_match(path, &first, &draft("three")).refused(412);
    acme.put_if_match(path, &format!("W/{second}"), &draft("three")).refused(412);
    // A number names no resource: another may have the name by now.
    acme.put_if_match(path, "\"2\"", &draft("three")).refused(412);
    acme.put_if_match(path, &format!("\"7\", {second}"), &draft("three")).expect(200);
    acme.put_if_match(path, "*", &draft("four")).expect(200);
    acme.put(path, &draft("five")).expect(200);
    acme.send("DELETE", path, &[("If-Match", &first)], None).refused(412);
    let tag = acme.get(path).header("etag").to_owned();
    acme.send("DELETE", path, &[("If-Match", &tag)], None).expect(204);
}

#[test]
fn what_a_key_names_cannot_be_deleted() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/plans", &json!({ "slug": "basic", "limits": [{ "requests": 5, "per": "minute" }] }))
        .expect(201);
    acme.post("/api/services", &json!({ "slug": "api", "url": "http://a" })).expect(201);
    acme.post("/api/consumers", &json!({ "client_id": "ann", "plan": "basic" })).expect(201);
    let draft = json!({ "name": "k", "plan": "basic", "consumer": "ann", "services": ["api"] });
    let key = acme.post("/api/keys", &draft).expect(201);
    for path in ["/api/services/api", "/api/plans/basic", "/api/consumers/ann"] {
        acme.delete(path).refused(409);
    }
    acme.delete(&format!("/api/keys/{}", key["id"].as_str().unwrap())).expect(204);
    for path in ["/api/services/api", "/api/consumers/ann", "/api/plans/basic"] {
        acme.delete(path).expect(204);
    }
}

#[test]
fn nothing_is_found_across_tenants() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    gateway.admin_in("other");
    let mallory = gateway.user_of("other", "mallory");
    let service = acme.post("/api/services", &json!({ "slug": "api", "url": "http://a" })).expect(201);
    acme.post("/api/plans", &json!({ "slug": "basic" })).expect(201);
    acme.post("/api/consumers", &json!({ "client_id": "ann" })).expect(201);
    let key = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let (service, key) = (service["id"].as_str().unwrap(), key["id"].as_str().unwrap());
    let paths = [
        format!("/api/services/{service}"),
        "/api/services/api".to_owned(),
        "/api/plans/basic".to_owned(),
        "/api/consumers/ann".to_owned(),
        format!("/api/keys/{key}"),
    ];
    for path in &paths {
        acme.get(path).expect(200);
        mallory.get(path).refused(404);
        mallory.get(&format!("{path}?tenant=acme")).refused(404);
        gateway.admin().in_tenant("other").get(path).refused(404);
        mallory.delete(path).refused(404);
    }
    mallory.post(&format!("/api/keys/{key}/rotate"), &json!({})).refused(404);
    mallory.put("/api/services/api", &json!({ "slug": "api", "url": "http://b" })).refused(404);
    // An existing tenant and an absent one look the same.
    let existing = mallory.get("/api/services?tenant=acme");
    let absent = mallory.get("/api/services?tenant=absent");
    assert_eq!((existing.status, &existing.text), (404, &absent.text));
    mallory.get("/api/services?tenant=other").expect(200);
    let draft = json!({ "name": "k", "plan": "basic", "consumer": "ann", "services": ["api"] });
    assert_eq!(mallory.post("/api/keys", &draft).refused(422), ["plan", "consumer", "services[0]"]);
}

#[test]
fn an_administrator_has_to_name_the_tenant() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    for path in ["/api/services", "/api/plans", "/api/consumers", "/api/keys", "/api/services/api"] {
        assert_eq!(gateway.admin().get(path).refused(422), ["tenant"], "{path}");
    }
    gateway.admin().in_tenant("absent").get("/api/services").refused(404);
}

#[test]
fn what_must_not_be_there_is_not_replaced() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let body = json!({ "slug": "api", "url": "http://127.0.0.1:1" });
    let tag = admin.post("/api/services", &body).header("etag").to_owned();
    let send = |method: &str, if_none_match: &str| {
        let headers = [("Content-Type", "application/json"), ("If-None-Match", if_none_match)];
        let body = json!({ "slug": "api", "url": "http://127.0.0.1:2" }).to_string();
        admin.send(method, "/api/services/api", &headers, (method == "PUT").then_some(body))
    };
    for ruled_out in ["*", &tag, &format!("W/{tag}"), &format!("\"9\", {tag}")] {
        send("PUT", ruled_out).refused(412);
        send("DELETE", ruled_out).refused(412);
    }
    assert_eq!(admin.get("/api/services/api").header("etag"), tag);
    send("PUT", "\"9\"").expect(200);
}

#[test]
fn no_slug_is_another_services_id() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let one = acme.post("/api/services", &json!({ "slug": "one", "url": "http://a" })).expect(201);
    let id = &one["id"];
    let draft = json!({ "slug": id, "url": "http://b" });
    assert_eq!(acme.post("/api/services", &draft).refused(422), ["slug"]);
    acme.put("/api/services/one", &draft).expect(200);
    acme.get(&format!("/api/services/{}", id.as_str().unwrap())).expect(200);
}

#[test]
fn a_tag_of_what_was_deleted_is_not_that_of_another_with_its_name() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let body = json!({ "slug": "api", "url": "http://127.0.0.1:1" });
    let former = admin.post("/api/services", &body).header("etag").to_owned();
    admin.delete("/api/services/api").expect(204);
    assert_eq!(admin.post("/api/services", &body).expect(201)["version"], 1);
    admin.put_if_match("/api/services/api", &former, &body).refused(412);
    admin.send("DELETE", "/api/services/api", &[("If-Match", &former)], None).refused(412);
    let known = admin.send("GET", "/api/services/api", &[("If-None-Match", &former)], None);
    let present = known.header("etag").to_owned();
    assert_eq!(known.expect(200)["version"], 1);
    admin.put_if_match("/api/services/api", &present, &body).expect(200);
}

#[test]
fn who_has_an_answer_already_is_not_sent_it_again() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    admin.post("/api/services", &json!({ "slug": "api", "url": "http://127.0.0.1:1" })).expect(201);
    let route = json!({ "name": "a", "service": "api", "paths": ["/x"] });
    let made = admin.post("/api/routes", &route).header("etag").to_owned();
    let get = |path: &str, known: &str| admin.send("GET", path, &[("If-None-Match", known)], None);
    for known in [&made, &format!("W/{made}"), &format!("\"9\", {made}"), "*"] {
        let answer = get("/api/routes/a", known);
        assert_eq!((answer.status, answer.text.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), made);
    }
    get("/api/routes/a", "\"1\"").expect(200);
    get("/api/routes", "*").expect(200);
    get("/api/routes/absent", "*").refused(404);
    // A route shows its service's slug: another answer, of the same version.
    admin.put("/api/services/api", &json!({ "slug": "new", "url": "http://127.0.0.1:1" })).expect(200);
    assert_eq!(get("/api/routes/a", &made).expect(200)["service"], "new");
    admin.put_if_match("/api/routes/a", &made, &json!({ "name": "b", "service": "new" })).expect(200);
}
