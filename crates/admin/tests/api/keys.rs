use serde_json::{Value, json};

use crate::gateway::Gateway;

#[test]
fn a_key_is_shown_once_and_works_at_once() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/plans", &json!({ "slug": "basic" })).expect(201);
    acme.post("/api/services", &json!({ "slug": "api", "url": "http://a" })).expect(201);
    acme.post("/api/consumers", &json!({ "client_id": "ann" })).expect(201);
    let draft = json!({
        "name": "Ann's", "plan": "basic", "consumer": "ann", "services": ["api", "api"],
        "expires_at": "2100-01-01T02:00:00+02:00"
    });
    let answer = acme.post("/api/keys", &draft);
    let made = answer.expect(201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(key.starts_with("tg_") && key.starts_with(made["prefix"].as_str().unwrap()));
    assert_eq!(made["expires_at"], "2100-01-01T00:00:00Z");
    assert_eq!(
        (&made["plan"], &made["consumer"], &made["services"]),
        (&json!("basic"), &json!("ann"), &json!(["api"]))
    );
    assert_eq!(gateway.key_in_force(key).unwrap().id.to_string(), id);

    let mut shown = acme.get(&format!("/api/keys/{id}")).expect(200);
    assert!(shown.get("key").is_none());
    shown["key"] = made["key"].clone();
    assert_eq!(shown, made);
    assert!(!acme.get("/api/keys").text.contains(key));
}

#[test]
fn editing_a_key_keeps_its_value() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let made =
        acme.post("/api/keys", &json!({ "name": "k", "expires_at": "2100-01-01T00:00:00Z" })).expect(201);
    let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
    let edited = acme.put(&path, &json!({ "name": "renamed" })).expect(200);
    assert_eq!(
        (&edited["name"], &edited["expires_at"], &edited["version"]),
        (&json!("renamed"), &json!(null), &json!(2))
    );
    let in_force = gateway.key_in_force(made["key"].as_str().unwrap()).unwrap();
    assert_eq!(in_force.ends_at_secs, None);
}

#[test]
fn a_revoked_key_is_gone_with_all_its_values() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
    let rotated = acme.post(&format!("{path}/rotate"), &json!({})).expect(200);
    acme.delete(&path).expect(204);
    for value in [&made["key"], &rotated["key"]] {
        assert!(gateway.key_in_force(value.as_str().unwrap()).is_none());
    }
    acme.get(&path).refused(404);
    acme.delete(&path).refused(404);
}

#[test]
fn rotation_leaves_every_value_valid_whose_grace_lasts() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let rotate = format!("/api/keys/{}/rotate", made["id"].as_str().unwrap());
    let answer = acme.send("POST", &rotate, &[], None);
    let second = answer.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!((&second["id"], &second["version"]), (&made["id"], &json!(2)));
    let third = acme.post(&rotate, &json!({ "grace": "1h" })).expect(200);
    let value = |answer: &Value| answer["key"].as_str().unwrap().to_owned();
    let first_use = gateway.key_in_force(&value(&made)).unwrap();
    let second_use = gateway.key_in_force(&value(&second)).unwrap();
    assert!(first_use.ends_at_secs > second_use.ends_at_secs);
    assert!(second_use.ends_at_secs.is_some());
    assert_eq!(gateway.key_in_force(&value(&third)).unwrap().ends_at_secs, None);

    let fourth = acme.post(&rotate, &json!({ "grace": "0s" })).expect(200);
    assert!(gateway.key_in_force(&value(&third)).is_none(), "it had no grace");
    assert!(gateway.key_in_force(&value(&second)).is_some());
    assert!(gateway.key_in_force(&value(&fourth)).is_some());
    // An edit in between ends nobody's grace.
    let path = rotate.strip_suffix("/rotate").unwrap();
    acme.put(path, &json!({ "name": "renamed" })).expect(200);
    assert!(gateway.key_in_force(&value(&second)).is_some());
}

#[test]
fn a_former_value_that_a_document_brings_back_can_be_rotated_again() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let document = json!({ "keys": [{ "tenant": "acme", "name": "k", "key": "secret_key_12345" }] });
    gateway.admin().post("/api/config", &document).expect(200);
    let listed = acme.get("/api/keys").expect(200);
    let rotate = format!("/api/keys/{}/rotate", listed["items"][0]["id"].as_str().unwrap());
    acme.post(&rotate, &json!({ "grace": "1h" })).expect(200);
    gateway.admin().post("/api/config", &document).expect(200);
    assert_eq!(gateway.key_in_force("secret_key_12345").unwrap().ends_at_secs, None);
    acme.post(&rotate, &json!({ "grace": "2h" })).expect(200);
    assert!(gateway.key_in_force("secret_key_12345").unwrap().ends_at_secs.is_some());
}

#[test]
fn a_bad_grace_is_refused() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let rotate = format!("/api/keys/{}/rotate", made["id"].as_str().unwrap());
    for bad in [json!({ "grace": "31d" }), json!({ "grace": "soon" }), json!({ "grace": 5 })] {
        assert_eq!(acme.post(&rotate, &bad).refused(422), ["grace"]);
    }
    assert_eq!(acme.get("/api/keys").expect(200)["items"][0]["version"], 1);
}

#[test]
fn what_a_key_names_has_to_exist() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let revision = gateway.revision();
    let draft = json!({ "name": "k", "plan": "p", "consumer": "c", "services": ["s", "t"] });
    assert_eq!(
        acme.post("/api/keys", &draft).refused(422),
        ["plan", "consumer", "services[0]", "services[1]"]
    );
    assert_eq!(acme.post("/api/keys", &json!({ "name": "k", "services": [] })).refused(422), ["services"]);
    assert_eq!(acme.post("/api/consumers", &json!({ "client_id": "c", "plan": "p" })).refused(422), ["plan"]);
    assert_eq!(gateway.revision(), revision);
    for id in ["not-an-id", "01890000-0000-7000-8000-000000000000"] {
        acme.get(&format!("/api/keys/{id}")).refused(404);
    }
}

#[test]
fn no_secret_is_on_disk() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let rotate = format!("/api/keys/{}/rotate", made["id"].as_str().unwrap());
    let rotated = acme.post(&rotate, &json!({})).expect(200);
    let document = json!({ "keys": [{ "tenant": "acme", "name": "i", "key": "imported_key_12345" }] });
    gateway.admin().post("/api/config", &document).expect(200);
    let bytes = gateway.bytes_on_disk();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(made["prefix"].as_str().unwrap()), "the search works");
    for secret in [
        made["key"].as_str().unwrap(),
        rotated["key"].as_str().unwrap(),
        "imported_key_12345",
        "correct horse",
        ann.token(),
        crate::gateway::ADMIN_TOKEN,
    ] {
        assert!(!holds(secret), "{secret}");
    }
}

#[test]
fn a_subscription_begins_when_it_is_said_and_stays() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/consumers", &json!({ "client_id": "ann" })).expect(201);
    for (collection, name, field) in [("keys", "id", "name"), ("consumers", "client_id", "client_id")] {
        let draft = |subscribed_at| json!({ field: "bob", "subscribed_at": subscribed_at });
        let path = format!("/api/{collection}");
        let made = acme.post(&path, &json!({ field: "new" })).expect(201);
        assert_eq!(made["subscribed_at"], made["created_at"]);
        let made = acme.post(&path, &draft("2020-01-31T10:20:30+02:00")).expect(201);
        assert_eq!(made["subscribed_at"], "2020-01-31T08:20:30Z");
        let own = format!("{path}/{}", made[name].as_str().unwrap());
        let edited = acme.put(&own, &json!({ field: "bob", "plan": null })).expect(200);
        assert_eq!((&edited["subscribed_at"], &edited["version"]), (&made["subscribed_at"], &json!(1)));
        let moved = acme.put(&own, &draft("2021-01-31T00:00:00Z")).expect(200);
        assert_eq!((&moved["subscribed_at"], &moved["version"]), (&json!("2021-01-31T00:00:00Z"), &json!(2)));
        for bad in ["yesterday", "1960-01-01T00:00:00Z", "2200-01-01T00:00:00Z"] {
            assert_eq!(acme.put(&own, &draft(bad)).refused(422), ["subscribed_at"], "{bad}");
        }
    }
}

#[test]
fn a_key_has_at_most_so_many_former_values_at_a_time() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    let rotate = format!("/api/keys/{}/rotate", made["id"].as_str().unwrap());
    for _ in 0..16 {
        acme.post(&rotate, &json!({ "grace": "1h" })).expect(200);
    }
    let answer = acme.post(&rotate, &json!({ "grace": "1h" }));
    assert_eq!(answer.refused(422), ["grace"]);
    assert!(answer.text.contains("16 former values"), "{}", answer.text);
    // None is ended early for it, and without grace there is no further one.
    let last = acme.post(&rotate, &json!({ "grace": "0s" })).expect(200);
    for value in [&made["key"], &last["key"]] {
        assert!(gateway.key_in_force(value.as_str().unwrap()).is_some());
    }
}

#[test]
fn a_key_for_certain_networks_gets_no_token_elsewhere() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let exchange = |networks: Value| {
        let made = admin.post("/api/keys", &json!({ "name": "k", "allow_ips": networks })).expect(201);
        gateway.anyone().post("/api/auth/token", &json!({ "api_key": made["key"] }))
    };
    exchange(json!(["203.0.113.0/24"])).refused(403);
    exchange(json!(["127.0.0.0/8"])).expect(200);
    exchange(Value::Null).expect(200);
}
