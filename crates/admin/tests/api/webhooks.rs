use serde_json::{Value, json};
use tollgate_core::event::EventKind;
use tollgate_core::resource::TenantId;
use tollgate_store::EventRecord;
use uuid::Uuid;

use crate::gateway::{Client, Gateway};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap()
}

/// What a node says that has seen this subject reach a threshold.
fn crossed(tenant: &Value, subject: u32, percent: u32, used: u64) -> Value {
    json!({ "tenant": tenant["id"], "level": "tenant", "subject": format!("00000000-0000-8000-8000-{subject:012}"),
            "consumer": null, "key": null, "plan": null, "service": null, "rule": null, "window": "CalendarMonth",
            "requests": 10, "percent": percent, "used": used, "period_end_secs": 1_900_000_000,
            "at_secs": 1_800_000_000 })
}

/// Tells it as a node does.
fn report(gateway: &Gateway, node: &Client, crossed: &[Value]) {
    let report = json!({ "node": "edge", "version": "1", "revision": gateway.revision(), "full_syncs": 1,
        "changes": 0, "session": "01890000-0000-7000-8000-000000000001", "number": 0, "key_uses": [],
        "limits_crossed": crossed });
    node.post("/api/node/status", &report).expect(204);
}

fn node(gateway: &Gateway) -> Client {
    let made = gateway.admin().post("/api/node-tokens", &json!({ "name": "edge" })).expect(201);
    gateway.anyone().with_token(made["token"].as_str().unwrap())
}

#[test]
fn a_webhook_shows_its_secret_once_and_keeps_it_sealed() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let answer = acme.post("/api/webhooks", &json!({ "url": "https://hooks.example/a?b=c" }));
    let made = answer.expect(201);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("location"), format!("/api/webhooks/{}?tenant=acme", id(&made)));
    assert!(answer.header("etag").starts_with("\"1-"));
    let path = format!("/api/webhooks/{}", id(&made));
    let shown = acme.get(&path);
    assert!(shown.header("etag").starts_with("\"1-"));
    assert_eq!(shown.expect(200)["url"], "https://hooks.example/a?b=c");
    assert!(!shown.text.contains("secret") && !acme.get("/api/webhooks").text.contains("secret"));

    let own = json!({ "url": "https://hooks.example/", "events": ["limit.threshold"], "secret": SECRET });
    let given = acme.post("/api/webhooks", &own).expect(201);
    assert_eq!((&given["secret"], &given["events"]), (&json!(SECRET), &json!(["limit.threshold"])));
    for text in [SECRET, secret, "MfKQ9r8G"] {
        assert!(!gateway.bytes_on_disk().windows(text.len()).any(|bytes| bytes == text.as_bytes()), "{text}");
    }
    let raw = b"\x31\xf2\x90\xf6\xbf\x06";
    assert!(!gateway.bytes_on_disk().windows(raw.len()).any(|bytes| bytes == raw), "as bytes neither");
}

#[test]
fn webhooks_are_replaced_and_deleted_with_the_version_that_was_read() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let made = acme.post("/api/webhooks", &json!({ "url": "https://hooks.example/" }));
    let (read, path) = (made.header("etag"), format!("/api/webhooks/{}", id(&made.expect(201))));
    let other = json!({ "url": "https://hooks.example/other", "events": ["limit.threshold"] });
    let changed = acme.put_if_match(&path, read, &other).expect(200);
    assert_eq!((&changed["version"], &changed["secret"]), (&json!(2), &Value::Null));
    acme.put_if_match(&path, read, &other).refused(412);
    assert_eq!(acme.put(&path, &other).expect(200)["version"], 2, "nothing changed");
    assert_eq!(acme.put(&path, &json!({ "url": other["url"] })).expect(200)["events"], Value::Null);
    acme.delete(&path).expect(204);
    acme.get(&path).refused(404);
    acme.get(&format!("{path}/deliveries")).refused(404);
    acme.post(&format!("{path}/test"), &json!({})).refused(404);
}

#[test]
fn what_is_wrong_with_a_webhook_is_named() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    for (webhook, fields) in [
        (json!({}), vec!["url"]),
        (json!({ "url": "ftp://hooks.example" }), vec!["url"]),
        (json!({ "url": "https://169.254.169.254/" }), vec!["url"]),
        (json!({ "url": "https://hooks.example/", "events": [] }), vec!["events"]),
        (
            json!({ "url": "https://hooks.example/", "events": ["all"], "secret": "abc" }),
            vec!["events[0]", "secret"],
        ),
        (json!({ "url": "https://hooks.example/", "colour": 1 }), vec!["colour"]),
    ] {
        assert_eq!(acme.post("/api/webhooks", &webhook).refused(422), fields, "{webhook}");
    }
    let add = || acme.post("/api/webhooks", &json!({ "url": "https://hooks.example/" }));
    for _ in 0..20 {
        add().expect(201);
    }
    assert_eq!(add().refused(422), [""]);
    assert_eq!(acme.get("/api/events?type=limits").refused(422), ["type"]);
}

#[test]
fn a_tenants_user_sees_its_own_and_leaves_standing_what_an_administrator_allowed() {
    let gateway = Gateway::start();
    let (acme, other) = (gateway.admin_in("acme"), gateway.admin_in("other"));
    let made = acme.post("/api/webhooks", &json!({ "url": "http://127.0.0.1:1/" })).expect(201);
    let path = format!("/api/webhooks/{}", id(&made));
    let (ann, ben) = (gateway.user_of("acme", "ann"), gateway.user_of("other", "ben"));
    assert_eq!(ann.get(&path).expect(200)["url"], "http://127.0.0.1:1/");
    for stranger in [&ben, &other] {
        stranger.get(&path).refused(404);
        stranger.put(&path, &json!({ "url": "https://hooks.example/" })).refused(404);
        stranger.post(&format!("{path}/test"), &json!({})).refused(404);
        stranger.get(&format!("{path}/deliveries")).refused(404);
        stranger.delete(&path).refused(404);
    }
    let same = json!({ "url": "http://127.0.0.1:1/", "events": ["limit.threshold"] });
    ann.put(&path, &same).expect(200);
    assert_eq!(ann.put(&path, &json!({ "url": "http://127.0.0.1:2/" })).refused(422), ["url"]);
    assert_eq!(ann.post("/api/webhooks", &json!({ "url": "http://10.0.0.1/" })).refused(422), ["url"]);
}

#[test]
fn what_several_nodes_tell_of_one_threshold_is_one_event_and_one_delivery() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let tenant = gateway.admin().get("/api/tenants/acme").expect(200);
    let (all, chosen) = (
        json!({ "url": "http://127.0.0.1:1/" }),
        json!({ "url": "http://127.0.0.1:1/", "events": ["webhook.test"] }),
    );
    let all = acme.post("/api/webhooks", &all).expect(201);
    let chosen = acme.post("/api/webhooks", &chosen).expect(201);
    let node = node(&gateway);
    report(&gateway, &node, &[crossed(&tenant, 1, 80, 8), crossed(&tenant, 1, 80, 9)]);
    report(
        &gateway,
        &node,
        &[crossed(&tenant, 1, 80, 8), crossed(&tenant, 2, 80, 8), crossed(&tenant, 1, 100, 10)],
    );
    // Of a tenant that is gone.
    report(&gateway, &node, &[crossed(&json!({ "id": "00000000-0000-7000-8000-000000000009" }), 1, 80, 8)]);
    let events = acme.get("/api/events?type=limit.threshold").expect(200);
    let told: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| &event["data"]["threshold"]).collect();
    assert_eq!(told, [80, 80, 100]);
    let first = &events["items"][0];
    assert_eq!((&first["type"], &first["timestamp"]), (&json!("limit.threshold"), &json!(gateway_time())));
    let data = json!({ "tenant": "acme", "level": "tenant", "consumer": null, "key_id": null, "plan": null,
        "service": null, "rule": null, "limit": { "requests": 10, "per": "month" }, "threshold": 80, "used": 8,
        "period_end": "2030-03-17T17:46:40Z" });
    assert_eq!(first["data"], data);
    let deliveries = |webhook: &Value| {
        acme.get(&format!("/api/webhooks/{}/deliveries", id(webhook))).expect(200)["items"]
            .as_array()
            .unwrap()
            .clone()
    };
    let waiting = deliveries(&all);
    assert_eq!(waiting.len(), 3);
    assert_eq!((&waiting[0]["event_id"], &waiting[0]["state"]), (&first["id"], &json!("pending")));
    assert_eq!(deliveries(&chosen), Vec::<Value>::new());

    assert_eq!(acme.get("/api/events?type=webhook.test").expect(200)["items"], json!([]));
    let page = acme.get("/api/events?limit=2").expect(200);
    let rest = acme
        .get(&format!("/api/events?limit=2&cursor={}", page["next_cursor"].as_str().unwrap()))
        .expect(200);
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    gateway.user_of("acme", "ann").get("/api/events").expect(200);
    let stranger = gateway.admin_in("other");
    assert_eq!(stranger.get("/api/events").expect(200)["items"], json!([]));
}

#[test]
fn tests_keep_no_event_out_and_are_kept_so_often_an_hour() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let tenant = gateway.admin().get("/api/tenants/acme").expect(200);
    let webhook = acme.post("/api/webhooks", &json!({ "url": "http://127.0.0.1:1/" })).expect(201);
    let owner = TenantId(Uuid::parse_str(id(&tenant)).unwrap());
    gateway.runtime.block_on(async {
        let store = gateway.open_store_again().await;
        let mut write = store.write(1_900_000_000).await.unwrap();
        for number in 0..10_000 {
            let test = EventRecord {
                id: Uuid::now_v7(),
                tenant: owner,
                kind: EventKind::WebhookTest,
                occurred_at_secs: 1_900_000_000,
                data: "{}".into(),
                identity: number.to_string(),
            };
            write.insert_event(&test).await.unwrap();
        }
        write.commit().await.unwrap();
    });
    report(&gateway, &node(&gateway), &[crossed(&tenant, 1, 80, 8)]);
    let events = acme.get("/api/events?type=limit.threshold").expect(200);
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    let path = format!("/api/webhooks/{}", id(&webhook));
    assert_eq!(acme.post(&format!("{path}/test"), &json!({})).expect(200)["state"], "failed");
    let deliveries = acme.get(&format!("{path}/deliveries")).expect(200);
    let kinds: Vec<_> = deliveries["items"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
    assert_eq!(kinds, ["limit.threshold"]);
}

/// What a node with a clock that is right, or behind, has said; one that is ahead is not believed.
fn gateway_time() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let told = now.min(1_800_000_000);
    tollgate_core::time::rfc3339(told).into_iter().map(char::from).collect()
}
