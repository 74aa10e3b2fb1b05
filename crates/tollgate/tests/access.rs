//! Who gets through: keys, where they are carried, and for whom they speak.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{EchoUpstream, Echoed, Gateway, Response, Tenant};
use serde_json::{Value, json};

fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    gateway.client().get(path, headers)
}

#[track_caller]
fn assert_forbidden(response: Response) {
    let response = response.expect(403);
    assert_eq!(response.json()["error"]["code"], 403);
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

#[test]
fn a_request_without_a_key_is_401_and_told_how_to_bring_one() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for headers in [&[][..], &[("Authorization", "Basic dXNlcjpwdw==")], &[("X-Token", &key)]] {
        let response = get(&gateway, "/acme/api", headers).expect(401);
        assert!(response.header("WWW-Authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
        assert_eq!(response.json()["error"]["code"], 401);
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_key_is_taken_from_the_service_s_header_or_as_bearer() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("usual", &upstream.url());
    tenant.service_with(&json!({ "slug": "own", "url": upstream.url(), "auth_header": "X-Shop-Token" }));
    let key = tenant.unlimited_key();
    let bearer = |scheme: &str| format!("{scheme} {key}");
    for (service, header, value, status) in [
        ("usual", "X-API-Key", key.clone(), 200),
        ("usual", "x-api-KEY", key.clone(), 200),
        ("usual", "Authorization", bearer("Bearer"), 200),
        ("usual", "authorization", bearer("bearer"), 200),
        ("usual", "Authorization", key.clone(), 401),
        ("usual", "X-Shop-Token", key.clone(), 401),
        ("own", "X-Shop-Token", key.clone(), 200),
        ("own", "Authorization", bearer("Bearer"), 200),
        ("own", "X-API-Key", key.clone(), 401),
    ] {
        let response = get(&gateway, &format!("/acme/{service}"), &[(header, &value)]);
        assert_eq!(response.status, status, "{service} {header}: {}", response.text());
    }
}

#[test]
fn a_key_that_is_wrong_expired_or_another_tenant_s_is_403() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let other = gateway.tenant("other");
    other.service("api", &upstream.url());
    let others = other.unlimited_key();
    let past = gateway
        .admin()
        .post("/api/keys?tenant=acme", &json!({ "name": "past", "expires_at": "2020-01-01T00:00:00Z" }));
    let expired = past.expect(201);
    let mut damaged = key.clone();
    damaged.truncate(key.len() - 1);
    let longer = format!("{key}0");
    for credential in [text(&expired, "key"), &others, &damaged, &longer, "secret_key_12345", "x"] {
        assert_forbidden(get(&gateway, "/acme/api", &[("X-API-Key", credential)]));
        assert_forbidden(get(&gateway, "/acme/api", &[("Authorization", &format!("Bearer {credential}"))]));
    }
    // Elsewhere nobody learns that there is such a key.
    let message = |tenant: &str, key: &str| {
        let response = get(&gateway, &format!("/{tenant}/api"), &[("X-API-Key", key)]).expect(403);
        response.json()["error"]["message"].clone()
    };
    assert_eq!(message("acme", text(&expired, "key")), "The API key has expired");
    assert_eq!(message("other", text(&expired, "key")), message("other", "x"));
    assert_eq!(upstream.requests().len(), 0);
    get(&gateway, "/other/api", &[("X-API-Key", &others)]).expect(200);
}

#[test]
fn a_key_bound_to_services_opens_these_alone() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    for service in ["one", "two", "three"] {
        tenant.service(service, &upstream.url());
    }
    let bound = tenant.key_with(&json!({ "name": "bound", "services": ["one", "three"] }));
    let key = [("X-API-Key", text(&bound, "key"))];
    get(&gateway, "/acme/one", &key).expect(200);
    assert_forbidden(get(&gateway, "/acme/two", &key));
    get(&gateway, "/acme/three", &key).expect(200);
}

#[test]
fn what_does_not_exist_is_404() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for path in ["/", "/acme", "/acme/", "/acme/nothing", "/nobody/api", "/ACME/api", "//api", "/-/nothing"] {
        let response = get(&gateway, path, &[("X-API-Key", &key)]).expect(404);
        assert_eq!(response.json()["error"]["code"], 404, "{path}");
    }
}

/// A tenant with two consumers, a key for the first of them and one for nobody in particular.
fn with_consumers(gateway: &Gateway, url: &str) -> (Tenant, String, String) {
    let tenant = gateway.tenant("acme");
    tenant.service("api", url).plan("basic", &[(1_000, "month")]).plan("gold", &[(2_000, "month")]);
    tenant.consumer("shop-1", "gold").consumer("shop-2", "basic");
    let bound = tenant.key_with(&json!({ "name": "bound", "consumer": "shop-1", "plan": "basic" }));
    let free = tenant.key("basic");
    (tenant, text(&bound, "key").to_owned(), free)
}

#[test]
fn x_client_id_names_a_consumer_that_the_key_may_speak_for() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (_, bound, free) = with_consumers(&gateway, &upstream.url());
    let call = |key: &str, client: Option<&str>| {
        let own = [("X-API-Key", key)];
        let named: Vec<_> = client.map(|client| ("X-Client-ID", client)).into_iter().collect();
        get(&gateway, "/acme/api", &[&own[..], &named].concat())
    };
    for (key, client, organization, consumer, plan) in [
        (&free, None, "acme", None, "basic"),
        (&free, Some("shop-1"), "shop-1", Some("shop-1"), "gold"),
        (&free, Some("shop-2"), "shop-2", Some("shop-2"), "basic"),
        (&bound, None, "shop-1", Some("shop-1"), "gold"),
        (&bound, Some("shop-1"), "shop-1", Some("shop-1"), "gold"),
    ] {
        let echoed = Echoed::of(&call(key, client));
        assert_eq!(echoed.header("X-Tenant-ID"), Some("acme"));
        assert_eq!(echoed.header("X-Organization-ID"), Some(organization), "{client:?}");
        assert_eq!(echoed.header("X-Consumer-ID"), consumer, "{client:?}");
        assert_eq!(echoed.header("X-Plan-Tier"), Some(plan), "{client:?}");
    }
    for (key, client) in [(&bound, "shop-2"), (&bound, "nobody"), (&free, "nobody"), (&free, "SHOP-1")] {
        assert_forbidden(call(key, Some(client)));
    }
}

#[test]
fn two_credentials_in_one_field_are_400() {
    let (gateway, _upstream, key) = harness::started();
    let bearer = format!("Bearer {key}");
    for fields in [
        [("X-API-Key", key.as_str()), ("x-api-key", "another")],
        [("Authorization", &bearer), ("Authorization", "Bearer another")],
    ] {
        get(&gateway, "/acme/api", &fields).expect(400);
    }
}

#[test]
fn two_x_client_ids_are_400() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (_, bound, free) = with_consumers(&gateway, &upstream.url());
    for key in [&bound, &free] {
        for second in ["shop-2", "shop-1", "nobody"] {
            let fields = [("X-API-Key", key.as_str()), ("X-Client-ID", "shop-1"), ("x-client-id", second)];
            get(&gateway, "/acme/api", &fields).expect(400);
        }
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn no_credential_reaches_the_upstream_a_log_or_the_disk() {
    let (mut gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    let (key, second) = (tenant.unlimited_key(), tenant.unlimited_key());
    let (bearer, lower) = (format!("Bearer {key}"), format!("bearer  {second}"));
    let carried: [&[(&str, &str)]; 6] = [
        &[("X-API-Key", &key)],
        &[("X-API-KEY", &second)],
        &[("Authorization", &bearer)],
        &[("authorization", &lower)],
        &[("Authorization", &bearer), ("X-API-Key", &second)],
        &[("X-API-Key", &key), ("Authorization", &lower), ("Authorization", &bearer)],
    ];
    for headers in carried {
        get(&gateway, "/acme/api", headers).expect(200);
        get(&gateway, "/acme/absent", headers).expect(404);
        get(&gateway, "/-/usage", headers).expect(200);
    }
    for request in upstream.requests() {
        let head = String::from_utf8_lossy(&request.raw_head).into_owned();
        assert!(!head.contains(&key) && !head.contains(&second), "{head}");
    }
    gateway.end();
    assert!(gateway.access_log().len() >= 3 * carried.len());
    let output = [gateway.stdout(), gateway.stderr()].concat().join("\n");
    for key in [&key, &second] {
        assert!(!output.contains(key), "{output}");
        assert!(gateway.files_with(key).is_empty(), "{:?}", gateway.files_with(key));
    }
}

#[test]
fn a_key_in_the_usual_header_reaches_no_upstream_whose_service_has_another() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "auth_header": "X-Shop-Token" }));
    let (key, second) = (tenant.unlimited_key(), tenant.unlimited_key());
    for (value, expected) in [(&*key, None), (&*second, None), ("the upstream's", Some("the upstream's"))] {
        let headers = [("X-Shop-Token", &*key), ("X-API-Key", value)];
        let echoed = Echoed::of(&get(&gateway, "/acme/api", &headers));
        assert_eq!(echoed.header("X-API-Key"), expected);
    }
}

#[test]
fn an_authorization_that_is_not_the_gateway_s_is_passed_on() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for authorization in ["Bearer of-the-upstream", "Basic dXNlcjpwdw==", "Digest username=\"a\""] {
        let headers = [("X-API-Key", key.as_str()), ("Authorization", authorization)];
        let echoed = Echoed::of(&get(&gateway, "/acme/api", &headers));
        assert_eq!(echoed.header("Authorization"), Some(authorization));
    }
}

#[test]
fn a_change_is_in_force_before_it_is_answered() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (admin, tenant) = (gateway.admin(), gateway.tenant("acme"));
    let mut client = gateway.client();
    let mut status = |key: &str, path: &str| client.get(path, &[("X-API-Key", key)]).status;
    for round in 0..10 {
        let service = format!("api-{round}");
        let path = format!("/acme/{service}");
        let created = tenant.key_with(&json!({ "name": "key" }));
        let (id, key) = (text(&created, "id"), text(&created, "key"));
        assert_eq!(status(key, &path), 404);
        tenant.service(&service, &upstream.url());
        assert_eq!(status(key, &path), 200);

        let of_key = |rest: &str| format!("/api/keys/{id}{rest}?tenant=acme");
        let rotated = admin.post(&of_key("/rotate"), &json!({ "grace": "1h" })).expect(200);
        let second = text(&rotated, "key");
        assert_eq!((status(key, &path), status(second, &path)), (200, 200), "both, within the grace");
        let rotated = admin.post(&of_key("/rotate"), &json!({ "grace": "0s" })).expect(200);
        let third = text(&rotated, "key");
        assert_eq!((status(second, &path), status(third, &path)), (403, 200), "the new one at once");

        admin.delete(&of_key("")).expect(204);
        assert_eq!(status(third, &path), 403);
        admin.delete(&format!("/api/services/{service}?tenant=acme")).expect(204);
        assert_eq!(status(third, &path), 404);
    }
}

#[test]
fn guessing_is_slowed_down_and_good_keys_are_not() {
    let upstream = EchoUpstream::start();
    let config = "auth.failures_per_minute = 3\nproxy.trusted_proxies = [\"127.0.0.1\"]\n";
    let gateway = Gateway::builder().config(config).start();
    let key = gateway.expose(&upstream.url());
    let from = |address: &str, header: &str, credential: &str| {
        get(&gateway, "/acme/api", &[("X-Forwarded-For", address), (header, credential)])
    };
    for guess in ["not-a-key-of-ours", "a.b.c", "another-guess-of-mine"] {
        from("192.0.2.7", "X-API-Key", guess).expect(403);
    }
    for (header, guess) in [("X-API-Key", "not-a-key-of-ours"), ("Authorization", "Bearer a.b.c")] {
        let refused = from("192.0.2.7", header, guess).expect(429);
        let wait: u64 = refused.header("Retry-After").expect("Retry-After").parse().expect("seconds");
        assert!((1..=20).contains(&wait), "{wait}");
        assert_eq!(refused.json()["error"]["message"], "Too many failed credentials from this address");
    }
    gateway
        .client()
        .request("POST", "/-/token", &[("X-Forwarded-For", "192.0.2.7"), ("X-API-Key", "x.y")], b"")
        .expect(429);
    // Who has no credential at all has not guessed, a good one is good, and elsewhere is elsewhere.
    get(&gateway, "/acme/api", &[("X-Forwarded-For", "192.0.2.7")]).expect(401);
    from("192.0.2.7", "X-API-Key", &key).expect(200);
    from("192.0.2.8", "X-API-Key", "not-a-key-of-ours").expect(403);
    // A host has a whole /64 of addresses.
    for host in 1..=4 {
        let status = from(&format!("2001:db8:1:2::{host}"), "X-API-Key", "not-a-key-of-ours").status;
        assert_eq!(status, if host <= 3 { 403 } else { 429 });
    }
}

#[test]
fn a_key_may_be_for_certain_paths_and_methods() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    let routes =
        json!([{ "paths": ["/orders", "/public/*"], "methods": ["GET"] }, { "methods": ["DELETE"] }]);
    let made = tenant.key_with(&json!({ "name": "scoped", "routes": routes }));
    assert_eq!(made["routes"], routes);
    let key = [("X-API-Key", text(&made, "key"))];
    let token = gateway.client().request("POST", "/-/token", &key, b"").expect(200).json();
    let bearer = format!("Bearer {}", text(&token, "token"));
    for credential in [key[0], ("Authorization", bearer.as_str())] {
        for (method, path, status) in [
            ("GET", "/acme/api/orders?page=2", 200),
            ("GET", "/acme/api/public/a", 200),
            ("DELETE", "/acme/api/anything", 200),
            ("POST", "/acme/api/orders", 403),
            ("GET", "/acme/api/orders/7", 403),
            ("GET", "/acme/api/public", 403),
            ("GET", "/acme/api", 403),
        ] {
            let answer = gateway.client().request(method, path, &[credential], b"");
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        }
    }
    let gateway = gateway.restart_after("KILL");
    get(&gateway, "/acme/api/orders", &key).expect(200);
    assert_forbidden(get(&gateway, "/acme/api", &key));
    let wrong = json!({ "name": "n", "routes": [{ "paths": ["orders"] }], "allow_ips": ["here"], "environment": "prod" });
    let answer = gateway.admin().post("/api/keys?tenant=acme", &wrong).expect(422);
    let fields: Vec<&str> =
        answer["errors"].as_array().expect("errors").iter().map(|error| text(error, "field")).collect();
    assert_eq!(fields, ["routes[0].paths[0]", "allow_ips[0]", "environment"]);
}

#[test]
fn a_key_may_be_for_certain_addresses() {
    let upstream = EchoUpstream::start();
    let gateway = Gateway::builder().config("proxy.trusted_proxies = [\"127.0.0.1\"]\n").start();
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    let made = tenant.key_with(&json!({ "name": "local", "allow_ips": ["192.0.2.0/24", "2001:db8::/32"] }));
    let key = text(&made, "key");
    let ask = |method: &str, path: &str, from: &str| {
        gateway.client().request(method, path, &[("X-Forwarded-For", from), ("X-API-Key", key)], b"")
    };
    for (from, status) in
        [("192.0.2.200", 200), ("2001:db8::7", 200), ("198.51.100.1", 403), ("127.0.0.1", 403)]
    {
        assert_eq!(ask("GET", "/acme/api", from).status, status, "{from}");
        assert_eq!(ask("GET", "/-/usage", from).status, status, "{from}");
        assert_eq!(ask("POST", "/-/token", from).status, status, "{from}");
    }
}

#[test]
fn a_key_says_what_it_is_for() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    for (environment, prefix) in
        [(json!("live"), "tg_live_"), (json!("test"), "tg_test_"), (Value::Null, "tg_")]
    {
        let made = tenant.key_with(&json!({ "name": prefix, "environment": environment }));
        assert!(text(&made, "key").starts_with(prefix) && text(&made, "prefix").starts_with(prefix));
        assert_eq!(made["environment"], environment);
        get(&gateway, "/acme/api", &[("X-API-Key", text(&made, "key"))]).expect(200);
        let path = format!("/api/keys/{}", text(&made, "id"));
        let rotated = gateway.admin().post(&format!("{path}/rotate?tenant=acme"), &json!({})).expect(200);
        assert!(text(&rotated, "key").starts_with(prefix), "rotation keeps it");
    }
    let listed = gateway.admin().get("/api/keys?tenant=acme").expect(200);
    let live = &listed["items"][0];
    let other = json!({ "name": "tg_live_", "environment": "test" });
    let refused =
        gateway.admin().put(&format!("/api/keys/{}?tenant=acme", text(live, "id")), &other).expect(422);
    assert_eq!(refused["errors"][0]["field"], "environment");
}

#[test]
fn what_a_key_was_used_for_is_counted() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).service("other", &upstream.url());
    tenant.plan_with(&json!({ "slug": "plan", "limits": [harness::exactly(2)] }));
    let made = tenant.key_with(&json!({ "name": "counted", "plan": "plan", "services": ["api"] }));
    assert_eq!((&made["requests"], &made["rejections"]), (&json!(0), &json!(0)));
    for (service, status) in [("api", 200), ("api", 200), ("api", 429), ("other", 403)] {
        let answer = get(&gateway, &format!("/acme/{service}"), &[("X-API-Key", text(&made, "key"))]);
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let elsewhere = tenant.key_with(&json!({ "name": "elsewhere", "allow_ips": ["192.0.2.0/24"] }));
    for (method, path) in [("GET", "/-/usage"), ("POST", "/-/token")] {
        let key = [("X-API-Key", text(&elsewhere, "key"))];
        gateway.client().request(method, path, &key, b"").expect(403);
        let line = gateway.await_logged(|line| line["path"] == path);
        assert_eq!((&line["tenant"], &line["key_id"]), (&json!("acme"), &elsewhere["id"]));
    }
    let gateway = gateway.restart_after("TERM");
    for (made, requests, rejections) in [(&made, 4, 2), (&elsewhere, 2, 2)] {
        let shown = gateway.admin().get(&format!("/api/keys/{}?tenant=acme", text(made, "id"))).expect(200);
        assert_eq!((&shown["requests"], &shown["rejections"]), (&json!(requests), &json!(rejections)));
    }
}
