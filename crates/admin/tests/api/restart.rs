use serde_json::json;

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
