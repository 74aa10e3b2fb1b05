use serde_json::json;

use crate::gateway::Gateway;

#[test]
fn a_tenant_is_made_shown_renamed_and_deleted() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let answer = admin.post("/api/tenants", &json!({ "slug": "acme", "name": "Acme Ltd" }));
    let made = answer.expect(201);
    assert_eq!(answer.header("location"), "/api/tenants/acme");
    assert!(answer.header("etag").starts_with("\"1-"));
    assert_eq!(
        (&made["slug"], &made["name"], &made["version"]),
        (&json!("acme"), &json!("Acme Ltd"), &json!(1))
    );
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(admin.get("/api/tenants/acme").expect(200), made);
    assert!(gateway.snapshot().tenant("acme").is_some());

    let renamed = admin.put("/api/tenants/acme", &json!({ "slug": "apex" })).expect(200);
    assert_eq!(
        (&renamed["id"], &renamed["name"], &renamed["version"]),
        (&made["id"], &json!("apex"), &json!(2))
    );
    admin.get("/api/tenants/acme").refused(404);
    assert!(gateway.snapshot().tenant("acme").is_none() && gateway.snapshot().tenant("apex").is_some());

    admin.delete("/api/tenants/apex").expect(204);
    admin.get("/api/tenants/apex").refused(404);
    assert!(gateway.snapshot().tenant("apex").is_none());
}

#[test]
fn a_slug_is_taken_once_and_reserved_ones_never() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    admin.post("/api/tenants", &json!({ "slug": "acme" })).expect(201);
    let revision = gateway.revision();
    assert_eq!(admin.post("/api/tenants", &json!({ "slug": "acme" })).refused(409), ["slug"]);
    assert_eq!(admin.post("/api/tenants", &json!({ "slug": "health" })).refused(422), ["slug"]);
    assert_eq!(gateway.revision(), revision);
}

#[test]
fn a_tenants_user_sees_its_own_tenant_and_writes_none() {
    let gateway = Gateway::start();
    gateway.admin_in("other");
    gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    let listed = ann.get("/api/tenants").expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["slug"], "acme");
    ann.get("/api/tenants/acme").expect(200);
    ann.get("/api/tenants/other").refused(404);
    ann.get("/api/tenants/absent").refused(404);
    ann.post("/api/tenants", &json!({ "slug": "new" })).refused(403);
    ann.put("/api/tenants/acme", &json!({ "slug": "new" })).refused(403);
    ann.delete("/api/tenants/acme").refused(403);
}

#[test]
fn a_deleted_tenant_takes_users_sessions_and_keys_along() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let key = made["key"].as_str().unwrap();
    assert!(gateway.key_in_force(key).is_some());
    gateway.admin().delete("/api/tenants/acme").expect(204);
    ann.get("/api/auth/me").refused(401);
    assert!(gateway.key_in_force(key).is_none());
    acme.get("/api/keys").refused(404);
}

#[test]
fn a_tenants_time_zone_is_shown_and_an_unknown_one_refused() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let made = admin.post("/api/tenants", &json!({ "slug": "acme" })).expect(201);
    assert_eq!(made["time_zone"], "UTC");
    let tenant = |time_zone| json!({ "slug": "acme", "time_zone": time_zone });
    let moved = admin.put("/api/tenants/acme", &tenant("america/sao_paulo")).expect(200);
    assert_eq!((&moved["time_zone"], &moved["version"]), (&json!("America/Sao_Paulo"), &json!(2)));
    assert_eq!(gateway.snapshot().tenant("acme").unwrap().time_zone.name(), "America/Sao_Paulo");
    for bad in ["Mars/Olympus", "+02:00", ""] {
        assert_eq!(admin.put("/api/tenants/acme", &tenant(bad)).refused(422), ["time_zone"]);
    }
    assert_eq!(admin.get("/api/tenants/acme").expect(200), moved);
}
