use serde_json::json;

use crate::gateway::Gateway;

#[test]
fn a_list_comes_in_pages_without_gap_or_repetition() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let names: Vec<String> = (0..7).map(|number| format!("plan-{}", 7 - number)).collect();
    for slug in &names {
        acme.post("/api/plans", &json!({ "slug": slug })).expect(201);
    }
    let (mut seen, mut path) = (Vec::new(), "/api/plans?limit=3".to_owned());
    loop {
        let page = acme.get(&path).expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["slug"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/plans?limit=3&cursor={cursor}");
        // What is deleted meanwhile does not disturb the rest.
        acme.delete(&format!("/api/plans/{}", seen[0])).status.to_string();
    }
    assert_eq!(seen, names);
}

#[test]
fn every_list_has_the_same_form() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/services", &json!({ "slug": "api", "url": "http://a" })).expect(201);
    acme.post("/api/consumers", &json!({ "client_id": "ann" })).expect(201);
    acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    gateway.user_of("acme", "ann");
    let admin = gateway.admin();
    for (author, path) in [
        (&admin, "/api/tenants"),
        (&acme, "/api/services"),
        (&acme, "/api/consumers"),
        (&acme, "/api/keys"),
        (&admin, "/api/users"),
    ] {
        let list = author.get(path).expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{path}");
        assert!(list["next_cursor"].is_null(), "{path}");
    }
    let page = acme.get("/api/plans").expect(200);
    assert_eq!(page, json!({ "items": [], "next_cursor": null }));
}

#[test]
fn a_bad_page_is_refused() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    for limit in ["0", "501", "-1", "many", ""] {
        assert_eq!(acme.get(&format!("/api/keys?limit={limit}")).refused(422), ["limit"], "{limit}");
    }
    acme.get("/api/keys?limit=500").expect(200);
    assert_eq!(acme.get("/api/keys?cursor=nonsense&limit=0").refused(422), ["limit", "cursor"]);
}
