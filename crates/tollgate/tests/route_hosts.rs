//! Whose a host is.

mod harness;

use harness::{EchoUpstream, Gateway, Tenant};
use serde_json::{Value, json};

fn tenants(gateway: &Gateway, upstream: &EchoUpstream) -> [Tenant; 2] {
    ["acme-secret-name", "rival"].map(|slug| {
        let tenant = gateway.tenant(slug);
        tenant.service("api", &upstream.url());
        tenant
    })
}

fn draft(name: &str, hosts: &[&str]) -> Value {
    json!({ "name": name, "service": "api", "hosts": hosts })
}

#[test]
fn a_host_and_all_that_its_wildcard_is_for_belong_to_one_tenant() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let [first, second] = tenants(&gateway, &upstream);
    first.post("routes", &draft("mine", &["shop.example", "*.api.example.com"])).expect(201);
    let ann = second.user("ann");
    for taken in [
        "shop.example",
        "SHOP.example.",
        "*.api.example.com",
        "v1.api.example.com",
        "*.v1.api.example.com",
        "*.example.com",
    ] {
        let refused = ann.post("/api/routes", &draft("theirs", &["free.example", taken]));
        let text = refused.response.text();
        let refused = refused.expect(422);
        assert_eq!(refused["errors"][0]["field"], "hosts[1]", "{taken}");
        // Neither who has it nor what is there is told.
        assert!(!text.contains("acme-secret-name") && !text.contains("mine"), "{text}");
    }
    ann.post("/api/routes", &draft("free", &["other.example", "api.example.com", "free.example"]))
        .expect(201);
    first.post("routes", &draft("late", &["free.example"])).expect(422);
    // The owner may have as many routes at its hosts as it wants, narrower and wider ones.
    first.post("routes", &draft("narrower", &["v1.api.example.com"])).expect(201);
    first.post("routes", &draft("elsewhere", &["*.eu.shop.example"])).expect(201);
}

#[test]
fn a_host_is_free_again_with_its_last_route_or_its_tenant() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let [first, second] = tenants(&gateway, &upstream);
    let admin = gateway.admin();
    first.post("routes", &draft("one", &["shop.example"])).expect(201);
    let mut switched_off = draft("two", &["shop.example"]);
    switched_off["enabled"] = json!(false);
    first.post("routes", &switched_off).expect(201);
    admin.delete(&first.path("routes/one")).expect(204);
    second.post("routes", &draft("mine", &["shop.example"])).expect(422);
    admin.put(&first.path("routes/two"), &draft("two", &["elsewhere.example"])).expect(200);
    second.post("routes", &draft("mine", &["shop.example"])).expect(201);
    second.post("routes", &draft("more", &["elsewhere.example"])).expect(422);
    admin.delete("/api/tenants/acme-secret-name").expect(204);
    second.post("routes", &draft("more", &["elsewhere.example"])).expect(201);
}

/// Requests at another tenant's host are for that tenant, and its keys alone open it.
#[test]
fn a_key_of_one_tenant_opens_no_route_of_another() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let [first, second] = tenants(&gateway, &upstream);
    first.post("routes", &draft("mine", &["shop.example"])).expect(201);
    let keys = [first.unlimited_key(), second.unlimited_key()];
    let status = |key: &str, path: &str| {
        gateway.client().get(path, &[("Host", "shop.example"), ("X-API-Key", key)]).status
    };
    assert_eq!(
        (status(&keys[0], "/rival/api"), status(&keys[1], "/rival/api")),
        (200, 403),
        "the route is for any path"
    );
    assert_eq!(upstream.requests().len(), 1);
}
