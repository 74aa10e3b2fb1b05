//! The levels at which limits are set, each alone and all together.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{EchoUpstream, Echoed, Gateway, Response, Tenant, exactly, overlaid};
use serde_json::{Value, json};

/// A tenant `acme` with the service `api` before an upstream that echoes.
fn started(service: &Value) -> (Gateway, EchoUpstream, Tenant) {
    started_with("", service)
}

fn started_with(config: &str, service: &Value) -> (Gateway, EchoUpstream, Tenant) {
    let (gateway, upstream) = (Gateway::builder().config(config).start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&overlaid(json!({ "slug": "api", "url": upstream.url() }), service));
    (gateway, upstream, tenant)
}

fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    gateway.client().get(path, headers)
}

fn statuses(gateway: &Gateway, path: &str, headers: &[(&str, &str)], count: usize) -> Vec<u16> {
    (0..count).map(|_| get(gateway, path, headers).status).collect()
}

/// Which limit refused: whose it is, and its window.
#[track_caller]
fn refused(response: Response) -> (String, String) {
    let body = response.expect(429).json();
    let detail = |name: &str| body["error"]["details"][name].as_str().expect("a detail").to_owned();
    (detail("level"), detail("limit_type"))
}

fn of(level: &str) -> (String, String) {
    (level.to_owned(), "700h".to_owned())
}

#[test]
fn a_key_has_limits_of_its_own_besides_its_plan() {
    let (gateway, upstream, tenant) = started(&json!({}));
    tenant.plan_with(&json!({ "slug": "plan", "limits": [exactly(5)] })).consumer("shop", "plan");
    let key = |name: &str, limits: Value| {
        let made = tenant.key_with(&json!({ "name": name, "consumer": "shop", "limits": limits }));
        made["key"].as_str().expect("a key").to_owned()
    };
    let (narrow, wide) = (key("narrow", json!([exactly(2)])), key("wide", json!([])));
    let (narrow, wide) = ([("X-API-Key", narrow.as_str())], [("X-API-Key", wide.as_str())]);
    let first = get(&gateway, "/acme/api", &narrow).expect(200);
    assert_eq!(first.header("X-RateLimit-Remaining-700h"), Some("4"), "the plan's");
    assert_eq!(first.header("RateLimit-Policy"), Some("\"700h\";q=5;w=2520000, \"key-700h\";q=2;w=2520000"));
    assert!(first.header("RateLimit").is_some_and(|all| all.contains("\"key-700h\";r=1;")));
    get(&gateway, "/acme/api", &narrow).expect(200);
    assert_eq!(refused(get(&gateway, "/acme/api", &narrow)), of("key"));
    // The consumer's other key has what that one left.
    assert_eq!(statuses(&gateway, "/acme/api", &wide, 4), [200, 200, 200, 429]);
    assert_eq!(refused(get(&gateway, "/acme/api", &wide)), of("plan"));
    let usage = get(&gateway, "/-/usage", &narrow).expect(200).json();
    let levels: Vec<_> = usage["limits"]
        .as_array()
        .expect("limits")
        .iter()
        .map(|limit| (limit["level"].clone(), limit["used"].clone()))
        .collect();
    assert_eq!(levels, [(json!("plan"), json!(5)), (json!("key"), json!(2))]);
    assert_eq!(upstream.requests().len(), 5);
}

#[test]
fn a_service_s_limits_are_for_all_its_callers_together() {
    let (gateway, _upstream, tenant) = started(&json!({ "limits": [exactly(3)] }));
    let (first, second) = (tenant.unlimited_key(), tenant.unlimited_key());
    let (first, second) = ([("X-API-Key", first.as_str())], [("X-API-Key", second.as_str())]);
    let response = get(&gateway, "/acme/api", &first).expect(200);
    assert_eq!(response.header("RateLimit-Policy"), Some("\"service-700h\";q=3;w=2520000"));
    assert_eq!(response.header("X-RateLimit-Limit-700h"), None, "no limit of the caller's own");
    assert_eq!(statuses(&gateway, "/acme/api", &second, 2), [200, 200]);
    assert_eq!(refused(get(&gateway, "/acme/api", &first)), of("service"));
}

#[test]
fn usage_shows_every_level_that_applies() {
    let search = json!({ "name": "search", "paths": ["/search"], "limits": [exactly(7)] });
    let writing = json!({ "name": "writing", "methods": ["POST"], "cost": 2, "limits": [exactly(8)] });
    let service = json!({ "limits": [exactly(5)], "ip_limits": [exactly(6)], "rules": [search, writing] });
    let (gateway, _upstream, tenant) = started(&service);
    tenant
        .service("closed", "http://127.0.0.1:9")
        .plan_with(&json!({ "slug": "plan", "limits": [exactly(3)] }));
    let made = tenant
        .key_with(&json!({ "name": "key", "plan": "plan", "limits": [exactly(4)], "services": ["api"] }));
    let key = [("X-API-Key", made["key"].as_str().expect("a key"))];
    let limited = json!({ "slug": "acme", "name": "acme", "limits": [exactly(9)] });
    gateway.admin().put("/api/tenants/acme", &limited).expect(200);
    get(&gateway, "/acme/api/search", &key).expect(200);
    let shown = |path: &str| {
        let answer = get(&gateway, path, &key).expect(200);
        let policies = answer.header("RateLimit-Policy").expect("policies").matches(";q=").count();
        assert_eq!(policies, 3, "those of the service are in the body alone");
        let json = answer.json();
        let limits = json["limits"].as_array().expect("limits").iter();
        let limit = |limit: &Value| (limit["level"].clone(), limit["rule"].clone(), limit["used"].clone());
        (json["service"].clone(), limits.map(limit).collect::<Vec<_>>())
    };
    let level = |name: &str, used: u64| (json!(name), Value::Null, json!(used));
    let rule = |name: &str, used: u64| (json!("rule"), json!(name), json!(used));
    let everywhere = [level("plan", 1), level("key", 1), level("tenant", 1)];
    assert_eq!(shown("/-/usage"), (Value::Null, everywhere.to_vec()));
    let of_service = [rule("search", 1), rule("writing", 0), level("service", 1), level("ip", 1)];
    assert_eq!(shown("/-/usage?service=api"), (json!("api"), [&everywhere[..], &of_service].concat()));
    get(&gateway, "/-/usage?service=closed", &key).expect(403);
    get(&gateway, "/-/usage?service=absent", &key).expect(404);
    get(&gateway, "/-/usage?servce=api", &key).expect(400);
}

#[test]
fn a_tenant_s_limits_are_for_everything_that_it_has() {
    let (gateway, upstream, tenant) = started(&json!({}));
    tenant.service("other", &upstream.url());
    let key = tenant.unlimited_key();
    let key = [("X-API-Key", key.as_str())];
    let limited = json!({ "slug": "acme", "name": "acme", "limits": [exactly(2)] });
    let shown = gateway.admin().put("/api/tenants/acme", &limited).expect(200);
    assert_eq!(shown["limits"][0]["requests"], 2);
    let response = get(&gateway, "/acme/api", &key).expect(200);
    assert_eq!(response.header("RateLimit-Policy"), Some("\"tenant-700h\";q=2;w=2520000"));
    get(&gateway, "/acme/other", &key).expect(200);
    assert_eq!(refused(get(&gateway, "/acme/api", &key)), of("tenant"));
    // Another tenant is none of its business; its own user cannot lift the cap.
    let neighbour = gateway.tenant("neighbour");
    neighbour.service("api", &upstream.url());
    let other = neighbour.unlimited_key();
    get(&gateway, "/neighbour/api", &[("X-API-Key", &other)]).expect(200);
    let user = tenant.user("ann");
    user.put("/api/tenants/acme", &json!({ "slug": "acme" })).expect(403);
    let lifting = json!({ "tenants": [{ "slug": "acme", "limits": [exactly(9)] }] });
    user.post("/api/config", &lifting).response.expect(422);
}

#[test]
fn an_address_is_counted_as_the_trusted_proxies_give_it() {
    let (gateway, _upstream, tenant) =
        started_with("[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n", &json!({ "ip_limits": [exactly(2)] }));
    let key = tenant.unlimited_key();
    let call = |address: &str| {
        get(&gateway, "/acme/api", &[("X-API-Key", key.as_str()), ("X-Forwarded-For", address)])
    };
    let response = call("192.0.2.1").expect(200);
    assert_eq!(response.header("RateLimit-Policy"), Some("\"ip-700h\";q=2;w=2520000"));
    // The same address, as an IPv6 socket shows it.
    call("::ffff:192.0.2.1").expect(200);
    assert_eq!(refused(call("192.0.2.1")), of("ip"));
    call("192.0.2.2").expect(200);
    // One network of 64 bits is one client.
    call("2001:db8:0:1::1").expect(200);
    call("2001:db8:0:1:ffff::2").expect(200);
    assert_eq!(refused(call("2001:db8:0:1::3")), of("ip"));
    call("2001:db8:0:2::1").expect(200);
}

#[test]
fn a_rule_has_limits_for_each_caller_and_a_cost() {
    let (gateway, _upstream, tenant) = started(&json!({ "rules": [
        { "name": "write", "methods": ["POST", "PUT"], "cost": 2 },
        { "name": "search", "paths": ["/search", "/search/*"], "cost": 5, "limits": [exactly(10)] },
    ] }));
    tenant.plan_with(&json!({ "slug": "plan", "limits": [exactly(20)] }));
    let (first, second) = (tenant.key("plan"), tenant.key("plan"));
    let (first, second) = ([("X-API-Key", first.as_str())], [("X-API-Key", second.as_str())]);
    let remaining = |response: Response| {
        response.expect(200).header("X-RateLimit-Remaining-700h").expect("a limit").to_owned()
    };
    assert_eq!(remaining(get(&gateway, "/acme/api/other", &first)), "19");
    assert_eq!(remaining(gateway.client().request("POST", "/acme/api/search", &first, b"x")), "17");
    let search = get(&gateway, "/acme/api/search", &first);
    assert!(search.header("RateLimit").is_some_and(|all| all.contains("\"rule-search-700h\";r=5;")));
    assert_eq!(remaining(search), "12");
    // However the path is written.
    assert_eq!(remaining(get(&gateway, "/acme/api//%73earch/x?q=1", &first)), "7");
    let refusal = get(&gateway, "/acme/api/search/x", &first);
    assert_eq!(refusal.header("X-RateLimit-Remaining-700h"), Some("7"), "nothing was charged");
    assert_eq!(refused(refusal), of("rule"));
    assert_eq!(remaining(get(&gateway, "/acme/api/other", &first)), "6");
    assert_eq!(remaining(get(&gateway, "/acme/api/search", &second)), "15");
    // A cost beyond what is left is refused whole.
    for _ in 0..2 {
        get(&gateway, "/acme/api/other", &first).expect(200);
    }
    assert_eq!(refused(get(&gateway, "/acme/api/search", &first)), of("plan"));
    gateway.client().request("POST", "/acme/api", &first, b"x").expect(200);
    gateway.client().request("POST", "/acme/api", &first, b"x").expect(200);
    assert_eq!(refused(get(&gateway, "/acme/api/other", &first)), of("plan"));
}

#[test]
fn callers_without_a_credential_are_let_through_where_the_service_says_so() {
    let (gateway, upstream, tenant) = started(&json!({ "anonymous": { "limits": [exactly(2)] } }));
    tenant.service("closed", &upstream.url());
    let key = tenant.unlimited_key();
    let response = get(&gateway, "/acme/api/x", &[]);
    assert_eq!(response.header("X-RateLimit-Limit-700h"), Some("2"));
    assert_eq!(response.header("X-RateLimit-Remaining-700h"), Some("1"));
    assert_eq!(response.header("RateLimit-Policy"), Some("\"anonymous-700h\";q=2;w=2520000"));
    let echoed = Echoed::of(&response);
    let told = |name: &str| harness::header(&echoed.headers, name);
    assert_eq!((told("X-Tenant-ID"), told("X-Consumer-ID"), told("X-Plan-Tier")), (Some("acme"), None, None));
    get(&gateway, "/acme/api", &[]).expect(200);
    assert_eq!(refused(get(&gateway, "/acme/api", &[])), of("anonymous"));
    let logged = gateway.await_logged(|line| line["status"] == 429);
    assert_eq!((&logged["key_id"], &logged["tenant"]), (&Value::Null, &json!("acme")));
    // A key is counted by itself, a wrong one is refused, and nobody names a consumer without one.
    get(&gateway, "/acme/api", &[("X-API-Key", &key)]).expect(200);
    get(&gateway, "/acme/api", &[("X-API-Key", "wrong")]).expect(403);
    get(&gateway, "/acme/api", &[("X-Client-ID", "shop")]).expect(401);
    get(&gateway, "/acme/closed", &[]).expect(401);
    get(&gateway, "/-/usage", &[]).expect(401);
}

#[test]
fn a_credential_that_is_wrong_is_never_anonymous() {
    let (gateway, upstream, _tenant) = started_with(
        "auth.failures_per_minute = 2\n",
        &json!({ "anonymous": { "limits": [exactly(3)] },
            "jwt": [{ "issuer": "https://id.example", "audience": "api", "jwks_url": "https://id.example/keys" }] }),
    );
    let wrong = [
        ("X-API-Key", "wrong"),
        ("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJub2JvZHkifQ."),
        ("X-API-Key", ""),
    ];
    let answers = wrong.map(|header| get(&gateway, "/acme/api", &[header]).status);
    assert_eq!(answers, [403, 403, 429], "the third failure is one too many");
    assert_eq!(upstream.requests().len(), 0);
    // Who brings none is not slowed down by those who fail, and pays its own requests alone.
    assert_eq!(statuses(&gateway, "/acme/api", &[], 4), [200, 200, 200, 429]);
}

#[test]
fn a_token_meets_the_limits_of_its_key_at_every_level() {
    let (gateway, _upstream, tenant) = started(&json!({
        "limits": [exactly(50)], "rules": [{ "name": "all", "limits": [exactly(40)] }],
    }));
    tenant.plan_with(&json!({ "slug": "plan", "limits": [exactly(30)] }));
    let made = tenant.key_with(&json!({ "name": "k", "plan": "plan", "limits": [exactly(2)] }));
    let key = [("X-API-Key", made["key"].as_str().expect("a key"))];
    let token = gateway.client().request("POST", "/-/token", &key, b"").expect(200).json();
    let bearer = format!("Bearer {}", token["token"].as_str().expect("a token"));
    let token = [("Authorization", bearer.as_str())];
    let policy = |response: Response| response.header("RateLimit-Policy").expect("limits").to_owned();
    let by_key = policy(get(&gateway, "/acme/api", &key).expect(200));
    assert_eq!(policy(get(&gateway, "/acme/api", &token).expect(200)), by_key);
    for headers in [&key, &token] {
        assert_eq!(refused(get(&gateway, "/acme/api", headers)), of("key"), "they are counted as one");
    }
}

#[test]
fn all_levels_pass_and_are_charged_or_none_is() {
    let (gateway, upstream, tenant) = started(&json!({
        "limits": [exactly(50)], "ip_limits": [exactly(40)],
        "rules": [{ "name": "all", "limits": [exactly(3)] }],
    }));
    gateway.admin().put("/api/tenants/acme", &json!({ "slug": "acme", "limits": [exactly(60)] })).expect(200);
    tenant.plan_with(&json!({ "slug": "plan", "limits": [exactly(30)] }));
    let key = tenant.key_with(&json!({ "name": "k", "plan": "plan", "limits": [exactly(20)] }));
    let key = [("X-API-Key", key["key"].as_str().expect("a key"))];
    let standing = |response: &Response| -> Vec<u64> {
        let text = response.header("RateLimit").expect("RateLimit").to_owned();
        let remaining = |member: &str| {
            let (_, rest) = member.split_once(";r=").expect("r");
            rest.split(';').next().expect("a number").parse().expect("a number")
        };
        text.split(", ").map(remaining).collect()
    };
    for left in (0..3).rev() {
        let response = get(&gateway, "/acme/api", &key).expect(200);
        let used = 3 - left;
        assert_eq!(standing(&response), [30 - used, 20 - used, left, 50 - used, 40 - used, 60 - used]);
    }
    for _ in 0..3 {
        let response = get(&gateway, "/acme/api", &key);
        assert_eq!(standing(&response), [27, 17, 0, 47, 37, 57], "a refusal charges none");
        assert_eq!(refused(response), of("rule"));
    }
    // Over a restart, too.
    let gateway = gateway.restart_after("TERM");
    let response = get(&gateway, "/acme/api", &key);
    assert_eq!(standing(&response), [27, 17, 0, 47, 37, 57]);
    assert_eq!(refused(response), of("rule"));
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    let (gateway, _upstream, tenant) = started(&json!({}));
    let fields = |answer: harness::Answer| -> Vec<String> {
        let problem = answer.expect(422);
        let errors = problem["errors"].as_array().expect("errors");
        errors.iter().map(|error| error["field"].as_str().expect("a field").to_owned()).collect()
    };
    let none = json!([{ "requests": 0, "per": "minute" }]);
    let service = json!({
        "slug": "bad", "url": "http://192.0.2.1", "limits": none, "ip_limits": none,
        "rules": [{ "name": "a", "paths": ["x"], "methods": ["get"], "cost": 0, "limits": none }, { "name": "a" }],
        "anonymous": { "limits": none }, "cost_header": "Date",
    });
    let expected = [
        "limits[0].requests",
        "ip_limits[0].requests",
        "rules[0].paths[0]",
        "rules[0].methods[0]",
        "rules[0].cost",
        "rules[0].limits[0].requests",
        "anonymous.limits[0].requests",
        "cost_header",
    ];
    assert_eq!(fields(tenant.post("services", &service)), expected);
    assert_eq!(fields(tenant.post("keys", &json!({ "name": "k", "limits": none }))), ["limits[0].requests"]);
    let plan = json!({ "slug": "p", "limits": [], "concurrency": 0 });
    assert_eq!(fields(tenant.post("plans", &plan)), ["concurrency"]);
    let broken = json!({ "slug": "acme", "limits": none });
    assert_eq!(fields(gateway.admin().put("/api/tenants/acme", &broken)), ["limits[0].requests"]);
}
