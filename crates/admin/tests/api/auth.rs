use serde_json::json;
use tollgate_admin::{FirstStart, Settings};

use crate::gateway::{Gateway, unconfigured};

#[test]
fn without_a_good_token_nothing_is_told() {
    let gateway = Gateway::start();
    let paths = ["/api/tenants", "/api/services?tenant=a", "/api/keys", "/api/users", "/api/auth/me"];
    for path in paths {
        let answer = gateway.anyone().get(path);
        answer.refused(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"tollgate\"");
        let answer = gateway.anyone().with_token("wrong").get(path);
        answer.refused(401);
        assert!(answer.header("www-authenticate").contains("invalid_token"));
    }
    // Before anything about the body.
    gateway.anyone().post("/api/tenants", &json!(1)).refused(401);
    gateway.anyone().post("/api/config", &json!(1)).refused(401);
    let basic = [("Authorization", "Basic YTpi")];
    gateway.anyone().send("GET", "/api/tenants", &basic, None).refused(401);
    let (right, wrong) = ("Bearer a-configured-admin-token", "Bearer wrong");
    for (first, second) in [(right, wrong), (wrong, right), (right, right)] {
        let both = [("Authorization", first), ("Authorization", second)];
        gateway.anyone().send("GET", "/api/tenants", &both, None).refused(400);
    }
    let lower = [("Authorization", "bearer a-configured-admin-token")];
    gateway.anyone().send("GET", "/api/tenants", &lower, None).expect(200);
}

#[test]
fn a_user_signs_in_and_out() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    let me = ann.get("/api/auth/me").expect(200);
    assert_eq!(
        (&me["username"], &me["role"], &me["tenant"]),
        (&json!("ann"), &json!("tenant_user"), &json!("acme"))
    );
    assert!(me["expires_at"].is_string());
    let again = gateway.signed_in("Ann", "correct horse");
    ann.send("POST", "/api/auth/logout", &[], None).expect(204);
    ann.get("/api/auth/me").refused(401);
    again.get("/api/auth/me").expect(200);

    let me = gateway.admin().get("/api/auth/me").expect(200);
    assert_eq!((&me["username"], &me["role"]), (&json!(null), &json!("platform_administrator")));
    gateway.admin().send("POST", "/api/auth/logout", &[], None).expect(204);
    gateway.admin().get("/api/auth/me").expect(200);
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    gateway.user_of("acme", "ann");
    let login = |username: &str, password: &str| {
        gateway.anyone().post("/api/auth/login", &json!({ "username": username, "password": password }))
    };
    let wrong = login("ann", "wrong password");
    let unknown = login("nobody", "wrong password");
    wrong.refused(401);
    assert_eq!((wrong.status, &wrong.text), (unknown.status, &unknown.text));
    login("no such name!", "x").refused(401);
    let fields = gateway.anyone().post("/api/auth/login", &json!({ "username": "ann" })).refused(422);
    assert_eq!(fields, ["password"]);
}

#[test]
fn guessing_is_slowed_down() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    gateway.user_of("acme", "ann");
    let login = |username: &str, password: &str| {
        gateway.anyone().post("/api/auth/login", &json!({ "username": username, "password": password }))
    };
    for _ in 0..10 {
        login("ann", "wrong password").refused(401);
    }
    let answer = login("ann", "correct horse");
    answer.refused(429);
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    login("bob", "wrong password").refused(401);
}

#[test]
fn what_the_database_failed_is_no_guess() {
    let gateway = Gateway::start();
    gateway.close_store();
    let login = json!({ "username": "ann", "password": "correct horse" });
    for _ in 0..15 {
        gateway.anyone().post("/api/auth/login", &login).refused(500);
    }
}

#[test]
fn sessions_end_with_the_password_and_with_the_user() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let before = gateway.user_of("acme", "ann");
    let changed = json!({ "username": "ann", "password": "battery staple", "tenant": "acme" });
    gateway.admin().put("/api/users/ann", &changed).expect(200);
    before.get("/api/auth/me").refused(401);
    let after = gateway.signed_in("ann", "battery staple");
    gateway.admin().delete("/api/users/ann").expect(204);
    after.get("/api/auth/me").refused(401);
}

#[test]
fn without_a_configured_token_one_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, first_start) = Gateway::start_in(folder, unconfigured());
    let FirstStart::GeneratedToken(unseen) = first_start else { panic!("no token was made") };
    // It could not be shown: the next start makes another.
    let (gateway, first_start) = Gateway::start_in(gateway.stop(), unconfigured());
    let FirstStart::GeneratedToken(token) = first_start else {
        panic!("a token that nobody saw is in force")
    };
    gateway.anyone().with_token(&unseen).get("/api/tenants").refused(401);
    gateway.runtime.block_on(gateway.plane.keep_admin_token()).unwrap();
    assert!(token.starts_with("tga_") && token.len() == 4 + 64);
    gateway.anyone().with_token(&token).get("/api/tenants").expect(200);
    assert!(!gateway.bytes_on_disk().windows(token.len()).any(|window| window == token.as_bytes()));

    let (gateway, first_start) = Gateway::start_in(gateway.stop(), unconfigured());
    assert!(matches!(first_start, FirstStart::TokenKnown));
    gateway.anyone().with_token(&token).get("/api/tenants").expect(200);

    let settings = Settings { admin_token: Some("another".into()), ..unconfigured() };
    let (gateway, _) = Gateway::start_in(gateway.stop(), settings);
    gateway.anyone().with_token(&token).get("/api/tenants").refused(401);
    gateway.anyone().with_token("another").get("/api/tenants").expect(200);
}

#[test]
fn guesses_of_tokens_are_slowed_down_and_hold_up_nobody_who_has_one() {
    let gateway = Gateway::start();
    let guess = |number: u32| gateway.anyone().with_token(&format!("guess-{number}")).get("/api/tenants");
    for number in 0..100 {
        guess(number).refused(401);
    }
    let refused = guess(100);
    refused.refused(429);
    assert!(refused.header("Retry-After").parse::<u32>().unwrap() > 1);
    gateway.admin().post("/api/tenants", &serde_json::json!({ "slug": "acme" })).expect(201);
    gateway.user_of("acme", "ann").get("/api/auth/me").expect(200);
    gateway.anyone().get("/api/tenants").refused(401);
}

#[test]
fn more_than_one_token_is_refused() {
    let gateway = Gateway::start();
    gateway.admin().send("GET", "/api/tenants", &[("Authorization", "Bearer another")], None).refused(400);
}
