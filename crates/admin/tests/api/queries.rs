use serde_json::json;

use crate::gateway::Gateway;

#[test]
fn a_parameter_that_an_operation_does_not_have_is_refused_before_anything_is_done() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let admin = gateway.admin();
    let user = json!({ "username": "ann", "password": "correct horse" });
    let answer = admin.post("/api/users?tenant=acme", &user);
    assert_eq!(answer.refused(422), ["tenant"], "an administrator of the platform would have been made");
    assert!(answer.text.contains("there are no query parameters here"), "{}", answer.text);
    admin.get("/api/users/ann").refused(404);
    admin.post("/api/users", &user).expect(201);
    assert_eq!(admin.delete("/api/users/ann?tenant=absent").refused(422), ["tenant"]);
    admin.get("/api/users/ann").expect(200);
    let document = json!({ "tenants": [{ "slug": "other" }] });
    let answer = admin.post("/api/config?dryrun=true&tenant=acme", &document);
    assert_eq!(answer.refused(422), ["dryrun", "tenant"]);
    assert!(answer.text.contains("the query parameters here are dry_run"), "{}", answer.text);
    admin.get("/api/tenants/other").refused(404);
    assert_eq!(admin.get("/api/plans?tenant=acme&limt=1").refused(422), ["limt"]);
    let twice = "tenant=acme&limit=1&limit=2&limit=3&tenant=b";
    assert_eq!(admin.get(&format!("/api/plans?{twice}")).refused(422), ["limit", "tenant"]);
    let many = (0..5_000).map(|number| format!("a{number}")).collect::<Vec<_>>().join("&");
    assert_eq!(admin.get(&format!("/api/plans?{many}")).refused(422).len(), 32);
    assert_eq!(admin.send("HEAD", "/api/tenants?limt=1", &[], None).status, 422);
}

#[test]
fn what_is_documented_is_taken_and_probes_may_add_what_they_like() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.get("/api/events?type=limit.threshold&limit=5").expect(200);
    gateway
        .admin()
        .post("/api/config?dry_run=true", &json!({ "tenants": [{ "slug": "other" }] }))
        .expect(200);
    gateway.admin().get("/api/tenants/other").refused(404);
    for path in ["/health?at=1", "/health/live?at=1", "/metrics?name%5B%5D=a"] {
        assert_eq!(gateway.anyone().get(path).status, 200, "{path}");
    }
}
