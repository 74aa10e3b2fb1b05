use serde_json::{Value, json};
use tollgate_admin::{ApplyError, Document, Principal};
use tollgate_core::resource::{Role, TenantId};

use crate::gateway::Gateway;

fn document() -> Value {
    json!({
        "tenants": [{ "slug": "acme", "name": "Acme Ltd", "time_zone": "Asia/Tokyo" }],
        "plans": [{ "slug": "basic", "limits": [{ "requests": 5, "per": "minute" }, { "requests": 100, "per": "month" }] }],
        "services": [
            { "slug": "api", "url": "http://127.0.0.1:9001" },
            { "slug": "web", "tenant": "acme", "targets": [{ "url": "http://a" }, { "url": "http://b", "weight": 2 }] }
        ],
        "consumers": [{ "client_id": "ann", "plan": "basic", "subscribed_at": "2026-01-31T00:00:00Z" }],
        "keys": [
            { "name": "plain", "key": "secret_key_12345", "plan": "basic", "consumer": "ann", "services": ["web", "api"] },
            { "name": "hashed", "key_hash": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
              "prefix": "abc", "expires_at": "2100-01-01T00:00:00Z" }
        ],
        "users": [{ "username": "testuser", "password": "password", "tenant": "acme" }]
    })
}

fn parsed(document: &Value) -> Document {
    serde_json::from_value(document.clone()).unwrap()
}

#[test]
fn everything_that_is_wrong_with_a_user_is_told_at_once() {
    let gateway = Gateway::start();
    let document = json!({ "users": [{ "username": "a", "password": "abc", "tenant": "nope" }] });
    let refused = gateway.admin().post("/api/config", &document).refused(422);
    assert_eq!(refused, ["users[0].password", "users[0].tenant"]);
}

#[test]
fn a_value_in_use_is_named_by_the_member_that_has_it() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let hash = "ab".repeat(32);
    let key = |name: &str, hash: &str| json!({ "tenant": "acme", "name": name, "key_hash": hash });
    gateway.admin().post("/api/config", &json!({ "keys": [key("first", &hash)] })).expect(200);
    let again = json!({ "keys": [key("second", &hash)] });
    assert_eq!(gateway.admin().post("/api/config", &again).refused(422), ["keys[0].key_hash"]);
}

#[test]
fn a_document_is_applied_and_applying_it_again_changes_nothing() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let applied = admin.post("/api/config", &document()).expect(200);
    assert_eq!(applied["services"], json!({ "created": 2, "updated": 0, "unchanged": 0 }));
    assert_eq!(applied["revision"], gateway.revision());
    assert!(gateway.key_in_force("secret_key_12345").is_some());
    assert!(gateway.key_in_force("abc").is_some());
    let session = gateway.signed_in("testuser", "password");
    let keys = session.get("/api/keys").expect(200);
    assert_eq!(keys["items"][0]["prefix"], "secr");
    assert_eq!(keys["items"][0]["services"], json!(["api", "web"]));
    assert_eq!(keys["items"][1]["prefix"], "abc");

    let again = admin.post("/api/config", &document()).expect(200);
    for kind in ["tenants", "plans", "services", "consumers", "keys", "users"] {
        assert_eq!((&again[kind]["created"], &again[kind]["updated"]), (&json!(0), &json!(0)), "{kind}");
    }
    assert_eq!(again["revision"], applied["revision"]);
    assert_eq!(session.get("/api/keys").expect(200), keys, "nothing was touched, the session holds");
}

#[test]
fn an_edited_document_changes_what_it_names_and_leaves_the_rest() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    admin.post("/api/config", &document()).expect(200);
    let acme = admin.in_tenant("acme");
    let before = acme.get("/api/services/web").expect(200);
    let edited = json!({
        "services": [{ "tenant": "acme", "slug": "web", "targets": [{ "url": "http://b" }] }],
        "keys": [{ "tenant": "acme", "name": "plain", "key": "another_key_12345" }],
        "users": [{ "username": "testuser", "password": "new password", "tenant": "acme" }]
    });
    let applied = admin.post("/api/config", &edited).expect(200);
    assert_eq!(applied["services"]["updated"], 1);
    assert_eq!((&applied["keys"]["updated"], &applied["users"]["updated"]), (&json!(1), &json!(1)));
    let after = acme.get("/api/services/web").expect(200);
    assert_eq!((&after["id"], &after["targets"][0]["id"]), (&before["id"], &before["targets"][1]["id"]));
    assert!(
        gateway.key_in_force("secret_key_12345").is_none()
            && gateway.key_in_force("another_key_12345").is_some()
    );
    assert!(gateway.key_in_force("abc").is_some());
    acme.get("/api/services/api").expect(200);
    gateway.signed_in("testuser", "new password");
}

#[test]
fn one_problem_and_nothing_is_applied() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let revision = gateway.revision();
    let mut bad = document();
    bad["services"][1]["targets"][0]["url"] = json!("ftp://x");
    bad["plans"][0]["limits"][1]["per"] = json!("fortnight");
    bad["keys"][0]["services"] = json!(["web", "absent"]);
    bad["keys"][1]["key"] = json!("both_are_given_123");
    bad["keys"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "stray", "tenant": "absent", "key": "secret_key_67890" }));
    let fields = admin.post("/api/config", &bad).refused(422);
    let expected = [
        "plans[0].limits[1].per",
        "services[1].targets[0].url",
        "consumers[0].plan",
        "keys[1].key",
        "keys[2].tenant",
        "keys[0].plan",
        "keys[0].consumer",
        "keys[0].services[0]",
        "keys[0].services[1]",
    ];
    let sorted = |mut fields: Vec<String>| {
        fields.sort();
        fields
    };
    assert_eq!(sorted(fields), sorted(expected.map(str::to_owned).to_vec()));
    assert_eq!(gateway.revision(), revision);
    admin.get("/api/tenants/acme").refused(404);
    admin.get("/api/users/testuser").refused(404);
    // The writer is free, and the snapshot still in step.
    admin.post("/api/config", &document()).expect(200);
}

#[test]
fn who_names_a_refused_entry_is_told_to_look_there() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let bad = json!({
        "tenants": [{ "slug": "acme" }, { "slug": "Not A Slug" }],
        "plans": [{ "tenant": "acme", "slug": "basic", "limits": [{ "requests": 0, "per": "day" }] }],
        "services": [
            { "tenant": "acme", "slug": "web", "url": "http://a" },
            { "tenant": "acme", "slug": "api", "url": "ftp://x" },
            { "tenant": "Not A Slug", "slug": "lost", "url": "http://a" }
        ],
        "routes": [
            { "tenant": "acme", "name": "one", "service": "api", "paths": ["/a"] },
            { "tenant": "acme", "name": "two", "service": "absent", "paths": ["/b"] },
            { "tenant": "acme", "name": "three", "service": "web", "paths": ["/c"] }
        ],
        "consumers": [{ "tenant": "acme", "client_id": "ann", "plan": "basic" }],
        "keys": [
            { "tenant": "acme", "name": "k", "key": "secret_key_12345", "consumer": "ann", "services": ["web", "api"] },
            { "tenant": "acme", "name": "", "key": "secret_key_67890", "plan": "absent", "consumer": "ann" }
        ]
    });
    let answer = admin.post("/api/config", &bad).expect(422);
    let message = |field: &str| {
        let errors = answer["errors"].as_array().unwrap();
        errors.iter().find(|error| error["field"] == field).map(|error| error["message"].clone())
    };
    for (field, expected) in [
        ("services[2].tenant", "is not valid: see tenants[1]"),
        ("routes[0].service", "is not valid: see services[1]"),
        ("routes[1].service", "does not exist"),
        ("consumers[0].plan", "is not valid: see plans[0]"),
        ("keys[0].consumer", "is not valid: see consumers[0]"),
        ("keys[0].services[1]", "is not valid: see services[1]"),
        ("keys[1].plan", "does not exist"),
        ("keys[1].consumer", "is not valid: see consumers[0]"),
    ] {
        assert_eq!(message(field), Some(json!(expected)), "{field}: {answer}");
    }
    assert_eq!(message("routes[2].service"), None);
}

#[test]
fn entries_that_name_the_same_thing_are_refused() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let twice = json!({
        "tenants": [{ "slug": "acme" }],
        "plans": [{ "slug": "a" }, { "slug": "a" }],
        "services": [{ "slug": "s", "url": "http://a" }, { "slug": "s", "url": "http://a" }],
        "keys": [
            { "name": "one", "key": "secret_key_12345" },
            { "name": "one", "key": "secret_key_67890" },
            { "name": "two", "key": "secret_key_12345" }
        ]
    });
    let fields = admin.post("/api/config", &twice).refused(422);
    assert_eq!(fields, ["plans[1].slug", "services[1].slug", "keys[1].name", "keys[2].key"]);
    let shape = json!({ "tenants": [{ "slug": "acme" }], "services": [{ "slug": "a", "url": "http://a", "colour": 1 }] });
    assert_eq!(admin.post("/api/config", &shape).refused(422), ["services[0].colour"]);
    assert_eq!(admin.post("/api/config", &json!({ "colours": [] })).refused(422), ["colours"]);
    let nameless = json!({ "tenants": [{ "slug": "a" }, { "slug": "b" }], "plans": [{ "slug": "p" }] });
    assert_eq!(admin.post("/api/config", &nameless).refused(422), ["plans[0].tenant"]);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let revision = gateway.revision();
    for path in ["/api/config?dry_run=true", "/api/config/validate"] {
        let would_be = admin.post(path, &document()).expect(200);
        assert_eq!(would_be["keys"]["created"], 2);
        assert_eq!(
            admin.post(path, &json!({ "keys": [{ "name": "k" }] })).refused(422),
            ["keys[0].tenant", "keys[0].key"]
        );
    }
    assert_eq!(gateway.revision(), revision);
    admin.get("/api/tenants/acme").refused(404);
    assert_eq!(admin.post("/api/config?dry_run=perhaps", &document()).refused(422), ["dry_run"]);
}

#[test]
fn a_dry_run_names_the_fields_that_change_and_shows_no_value() {
    let gateway = Gateway::start();
    let admin = gateway.admin();
    let written = |path: &str, document: &Value| admin.post(path, document).expect(200)["changes"].clone();
    let mut edited = document();
    edited["routes"] = json!([{ "name": "r", "service": "api", "paths": ["/x"] }]);
    assert_eq!(written("/api/config", &edited), json!([]));
    edited["tenants"][0]["time_zone"] = json!("UTC");
    edited["plans"][0]["limits"][1]["requests"] = json!(99);
    edited["services"][0]["retries"] = json!({ "attempts": 1 });
    edited["services"][1]["targets"][1]["weight"] = json!(3);
    edited["routes"][0]["methods"] = json!(["GET"]);
    edited["consumers"][0].as_object_mut().unwrap().remove("plan");
    edited["keys"][0]["key"] = json!("secret_key_67890");
    edited["keys"][0]["services"] = json!(["api"]);
    edited["users"][0]["password"] = json!("another password");
    let changed =
        |entry: &str, name: &str, fields: Value| json!({ "entry": entry, "name": name, "fields": fields });
    let expected = json!([
        changed("tenants[0]", "acme", json!(["time_zone"])),
        changed("plans[0]", "basic", json!(["limits[1].requests"])),
        changed("services[0]", "api", json!(["retries"])),
        changed("services[1]", "web", json!(["targets[1].weight"])),
        changed("routes[0]", "r", json!(["methods"])),
        changed("consumers[0]", "ann", json!(["plan"])),
        changed("keys[0]", "plain", json!(["key", "services"])),
        changed("users[0]", "testuser", json!(["password"])),
    ]);
    for path in ["/api/config?dry_run=true", "/api/config/validate", "/api/config"] {
        assert_eq!(written(path, &edited), expected, "{path}");
    }
    assert_eq!(written("/api/config", &edited), json!([]));
}

#[test]
fn a_tenants_user_applies_to_its_own_tenant_alone() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    gateway.admin_in("other");
    let ann = gateway.user_of("acme", "ann");
    let own = json!({ "tenants": [{ "slug": "acme" }], "plans": [{ "slug": "basic" }], "keys": [{ "name": "k", "key": "secret_key_12345" }] });
    ann.post("/api/config", &own).expect(200);
    let others = json!({
        "tenants": [{ "slug": "new" }],
        "plans": [{ "slug": "p", "tenant": "other" }, { "slug": "q", "tenant": "absent" }],
        "services": [{ "slug": "s", "url": "http://127.0.0.1" }],
        "users": [{ "username": "eve", "password": "correct horse" }]
    });
    let fields = ann.post("/api/config", &others).refused(422);
    assert_eq!(fields, ["tenants[0]", "plans[0].tenant", "plans[1].tenant", "services[0].url", "users[0]"]);
}

#[test]
fn a_tenants_user_names_its_tenant_and_leaves_it_as_it_is() {
    let gateway = Gateway::start();
    gateway.admin().post("/api/tenants", &json!({ "slug": "acme", "name": "Acme Ltd" })).expect(201);
    let ann = gateway.user_of("acme", "ann");
    let before = ann.get("/api/tenants/acme").expect(200);
    for tenant in [json!({ "slug": "acme" }), json!({ "slug": "acme", "name": " Acme Ltd " })] {
        let applied = ann.post("/api/config", &json!({ "tenants": [tenant] })).expect(200);
        assert_eq!(applied["tenants"], json!({ "created": 0, "updated": 0, "unchanged": 1 }));
    }
    assert_eq!(ann.get("/api/tenants/acme").expect(200), before);
    let renamed = json!({ "tenants": [{ "slug": "acme", "name": "Mine" }] });
    assert_eq!(ann.post("/api/config", &renamed).refused(422), ["tenants[0]"]);
}

#[test]
fn a_document_for_a_tenant_that_is_gone_is_refused() {
    let gateway = Gateway::start();
    let gone = TenantId("01890000-0000-7000-8000-000000000000".parse().unwrap());
    let author = Principal { role: Role::TenantUser(gone), username: None, session: None, peer: None };
    let document = Document { tenants: Vec::new(), users: Vec::new(), ..parsed(&document()) };
    let outcome = gateway.runtime.block_on(gateway.plane.apply(&author, &document));
    assert!(
        matches!(&outcome, Err(ApplyError::Refused(problems)) if problems.to_string().contains("plans[0].tenant")),
        "{outcome:?}"
    );
}

#[test]
fn without_a_server_every_problem_is_named_but_what_is_referred_to() {
    let mut bad = document();
    bad["tenants"][0]["slug"] = json!("No!");
    bad["plans"].as_array_mut().unwrap().push(json!({ "slug": "basic", "tenant": "No!" }));
    bad["keys"][1]["prefix"] = json!("has a space");
    let again = json!({ "name": " plain ", "key": "secret_key_12345", "services": ["absent"] });
    bad["keys"].as_array_mut().unwrap().push(again);
    bad["users"].as_array_mut().unwrap().push(json!({ "username": "TestUser", "password": "password" }));
    let problems = parsed(&bad).check().unwrap_err();
    let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "tenants[0].slug",
            "plans[1].slug",
            "keys[1].prefix",
            "keys[2].name",
            "keys[2].key",
            "users[1].username"
        ]
    );
    assert_eq!(parsed(&document()).check(), Ok(()));
}

#[test]
fn a_key_of_another_tenant_cannot_be_brought_again() {
    let gateway = Gateway::start();
    gateway.admin().post("/api/config", &document()).expect(200);
    gateway.admin_in("other");
    let copy = json!({ "keys": [{ "tenant": "other", "name": "copy", "key": "secret_key_12345" }] });
    assert_eq!(gateway.admin().post("/api/config", &copy).refused(422), ["keys[0].key"]);
}

#[test]
fn the_process_itself_applies_documents_too() {
    let gateway = Gateway::start();
    let document: Document = serde_json::from_value(document()).unwrap();
    let apply =
        |document: &Document| gateway.runtime.block_on(gateway.plane.apply(&Principal::operator(), document));
    assert_eq!(apply(&document).unwrap().keys.created, 2);
    assert_eq!(apply(&document).unwrap().keys.unchanged, 2);
    let written: Document = serde_json::from_value(serde_json::to_value(&document).unwrap()).unwrap();
    assert_eq!(apply(&written).unwrap().services.unchanged, 2);
    let mut bad = document.clone();
    bad.keys[0].draft.name = String::new();
    assert!(
        matches!(apply(&bad), Err(ApplyError::Refused(problems)) if problems.to_string().contains("keys[0].name"))
    );
}

#[test]
fn ten_thousand_services_and_keys_are_applied_in_seconds() {
    let gateway = Gateway::start();
    let services: Vec<_> =
        (0..10_000).map(|n| json!({ "slug": format!("s{n}"), "url": "http://a" })).collect();
    let keys: Vec<_> = (0..10_000)
        .map(|n| json!({ "name": format!("k{n}"), "key": format!("secret_key_{n:06}") }))
        .collect();
    let document = json!({ "tenants": [{ "slug": "acme" }], "services": services, "keys": keys });
    let applied = gateway.admin().post("/api/config", &document).expect(200);
    assert_eq!(
        (&applied["services"]["created"], &applied["keys"]["created"]),
        (&json!(10_000), &json!(10_000))
    );
    let again = gateway.admin().post("/api/config", &document).expect(200);
    assert_eq!(
        (&again["services"]["unchanged"], &again["keys"]["unchanged"]),
        (&json!(10_000), &json!(10_000))
    );
}

#[test]
fn the_passwords_of_a_document_hold_up_nobody_elses_edits() {
    let gateway = Gateway::start();
    let (admin, acme) = (gateway.admin(), gateway.admin_in("acme"));
    let user = |number: u32| json!({ "username": format!("u{number}"), "password": "correct horse battery" });
    let users: Vec<Value> = (0..40).map(user).collect();
    let applying = std::thread::spawn(move || {
        let applied = admin.post("/api/config", &json!({ "users": users })).expect(200);
        assert_eq!(applied["users"]["created"], 40);
        admin.post("/api/config", &json!({ "users": users })).expect(200)
    });
    let mut keys = 0;
    while !applying.is_finished() {
        acme.post("/api/keys", &json!({ "name": "meanwhile" })).expect(201);
        keys += 1;
    }
    assert_eq!(applying.join().unwrap()["users"]["unchanged"], 40);
    // Held up, there would be one before each document, and one behind it.
    assert!(keys > 4, "{keys}");
}

#[test]
fn keys_of_other_tenants_cannot_be_guessed_without_end() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    gateway.admin_in("other");
    let key = |name: &str, key: &str| json!({ "name": name, "key": key });
    let others = json!({ "tenants": [{ "slug": "other" }], "keys": [key("o", "a-key-of-the-other")] });
    gateway.admin().post("/api/config", &others).expect(200);
    let ann = gateway.user_of("acme", "ann");
    let guess = || ann.post("/api/config?dry_run=true", &json!({ "keys": [key("k", "a-key-of-the-other")] }));
    // Its own keys, and keys of nobody, are no guesses that were right.
    for _ in 0..20 {
        ann.post("/api/config", &json!({ "keys": [key("mine", "a-key-of-my-own-12")] })).expect(200);
    }
    for _ in 0..10 {
        assert_eq!(guess().refused(422), ["keys[0].key"]);
    }
    let refused = guess();
    refused.refused(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    // Whoever may see all keys guesses nothing.
    let collides = json!({ "tenants": [{ "slug": "acme" }], "keys": [key("k", "a-key-of-the-other")] });
    for _ in 0..12 {
        gateway.admin().post("/api/config?dry_run=true", &collides).refused(422);
    }
}
