use serde_json::json;
use tollgate_core::routing::{Asked, Selection};

use crate::gateway::{Gateway, settings};

#[test]
fn after_a_restart_everything_is_in_force_again() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/plans", &json!({ "slug": "basic", "limits": [{ "requests": 5, "per": "minute" }] }))
        .expect(201);
    acme.post("/api/services", &json!({ "slug": "api", "url": "http://127.0.0.1:9001" })).expect(201);
    acme.post("/api/consumers", &json!({ "client_id": "ann", "plan": "basic" })).expect(201);
    let made =
        acme.post("/api/keys", &json!({ "name": "k", "services": ["api"], "consumer": "ann" })).expect(201);
    let rotate = format!("/api/keys/{}/rotate", made["id"].as_str().unwrap());
    let rotated = acme.post(&rotate, &json!({ "grace": "1h" })).expect(200);
    let ann = gateway.user_of("acme", "ann");
    let before = gateway.snapshot();
    let token = ann.token().to_owned();

    let (gateway, _) = Gateway::start_in(gateway.stop(), settings());
    let after = gateway.snapshot();
    assert_eq!(after.revision(), before.revision());
    assert_eq!(after.key_hashes(), before.key_hashes());
    for value in [&made["key"], &rotated["key"]] {
        let hash = tollgate_core::credential::KeyHash::of(value.as_str().unwrap().as_bytes());
        let (before, after) = (before.key(&hash).unwrap(), after.key(&hash).unwrap());
        assert_eq!(before, after);
    }
    let service = |snapshot: &tollgate_core::snapshot::Snapshot| {
        format!("{:?}", snapshot.tenant("acme").unwrap().service("api").unwrap())
    };
    assert_eq!(service(&after), service(&before));
    gateway.anyone().with_token(&token).get("/api/keys").expect(200);
    // And writing goes on where it stopped.
    gateway.admin().in_tenant("acme").post("/api/keys", &json!({ "name": "next" })).expect(201);
    assert_eq!(gateway.revision(), before.revision() + 1);
}

#[test]
fn routes_that_an_earlier_build_let_in_are_in_force_after_a_restart() {
    struct LastVersion;
    impl Asked for LastVersion {
        fn method(&self) -> &[u8] {
            b"GET"
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            None
        }
        fn query(&self) -> &[u8] {
            b"?v=65"
        }
    }

    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/services", &json!({ "slug": "api", "url": "http://127.0.0.1:9001" })).expect(201);
    let first = json!({ "name": "0", "service": "api", "hosts": ["h.example"], "paths": ["/all"], "query": { "v": "0" } });
    acme.post("/api/routes", &first).expect(201);
    gateway.runtime.block_on(async {
        let store = gateway.open_store_again().await;
        let tenant = gateway.snapshot().tenant("acme").unwrap().id;
        let name = tollgate_core::resource::DisplayName::parse("0").unwrap();
        let stored = store.read().await.unwrap().route_by_name(tenant, &name).await.unwrap();
        let mut route = stored.unwrap().value.route;
        let mut write = store.write(1_800_000_000).await.unwrap();
        for number in 1..=65 {
            let mut draft = first.clone();
            draft["name"] = number.to_string().into();
            draft["query"]["v"] = number.to_string().into();
            let draft: tollgate_core::resource::RouteDraft = serde_json::from_value(draft).unwrap();
            let spec = draft.parse().unwrap();
            route.id = tollgate_core::resource::RouteId(uuid::Uuid::now_v7());
            (route.name, route.rules) = (spec.name, spec.rules);
            write.insert_route(&route).await.unwrap();
        }
        write.commit().await.unwrap();
    });

    let (gateway, _) = Gateway::start_in(gateway.stop(), settings());
    let acme = gateway.admin().in_tenant("acme");
    let listed = acme.get("/api/routes?limit=100").expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 66);
    let snapshot = gateway.snapshot();
    let selected = snapshot.hosts().unwrap().select(&mut b"h.example".to_vec(), "/all", &LastVersion);
    assert!(matches!(selected, Selection::Route(found) if found.route.name.as_str() == "65"));
    // New ones are not let in until some of them are gone.
    let more = json!({ "name": "66", "service": "api", "hosts": ["h.example"], "paths": ["/all"], "query": { "v": "66" } });
    acme.post("/api/routes", &more).refused(422);
    for item in &listed["items"].as_array().unwrap()[..3] {
        acme.delete(&format!("/api/routes/{}", item["id"].as_str().unwrap())).expect(204);
    }
    acme.post("/api/routes", &more).expect(201);
}

#[test]
fn what_another_process_wrote_is_not_written_over() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    gateway.runtime.block_on(async {
        let other = gateway.open_store_again().await;
        let mut write = other.write(1_800_000_000).await.unwrap();
        write.set_revision(1_000).await.unwrap();
        write.commit().await.unwrap();
    });
    let answer = acme.post("/api/plans", &json!({ "slug": "basic" }));
    answer.refused(503);
    assert!(answer.text.contains("another process"), "{}", answer.text);
    acme.get("/api/plans").expect(200);
}
