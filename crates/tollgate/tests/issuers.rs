//! Tokens of other issuers: whose are taken, for whom they speak, and what happens while an issuer is away.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "clippy's leave for tests covers test functions alone"
)]

mod harness;

use harness::{
    AUDIENCE, EchoUpstream, Gateway, ISSUER, Issuer, Response, Tenant, eventually, exactly, overlaid, python,
};
use serde_json::{Value, json};

/// A tenant `acme` with consumers and plans, and a service `api` that takes tokens of the issuer.
fn started(issuer: &Issuer, over: &Value) -> (Gateway, EchoUpstream, Tenant) {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.plan_with(&json!({ "slug": "basic", "limits": [exactly(1_000)] }));
    tenant.plan_with(&json!({ "slug": "tiny", "limits": [exactly(2)] }));
    tenant.consumer("ann@example.com", "basic").consumer("bob", "basic");
    let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.jwks_url() });
    let entry = overlaid(entry, over);
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "jwt": [entry] }));
    (gateway, upstream, tenant)
}

fn get(gateway: &Gateway, token: &str) -> Response {
    gateway.client().get("/acme/api/hello", &[("Authorization", &format!("Bearer {token}"))])
}

#[track_caller]
fn assert_refused(gateway: &Gateway, token: &str) {
    let answer = get(gateway, token).expect(403).json();
    assert_eq!(answer["error"]["message"], "The token is not valid", "{token}");
}

#[test]
fn a_token_of_an_issuer_speaks_for_a_consumer() {
    let issuer = Issuer::start();
    let keys = [("r", "RSA"), ("e", "EC"), ("d", "ED25519")].map(|(kid, kind)| issuer.key(kid, kind));
    issuer.publish(&keys);
    let (gateway, upstream, tenant) = started(&issuer, &json!({}));
    tenant.service("plain", &upstream.url());
    let claims = Issuer::claims(&json!({}));
    for (kid, algorithm) in [("r", "RS256"), ("r", "PS256"), ("e", "ES256"), ("d", "EdDSA")] {
        let answer = get(&gateway, &issuer.token(kid, algorithm, &claims)).expect(200);
        assert!(
            answer.header("X-RateLimit-Limit-700h").is_some(),
            "{algorithm}: the consumer's plan applies"
        );
    }
    let logged = gateway.await_logged(|line| line["path"] == "/acme/api/hello");
    assert_eq!((&logged["consumer"], &logged["plan_tier"]), (&json!("ann@example.com"), &json!("basic")));
    assert_eq!(logged["key_id"], Value::Null);
    let token = issuer.token("e", "ES256", &claims);
    let bearer = format!("Bearer {token}");
    let client_id = |name| [("Authorization", bearer.as_str()), ("X-Client-ID", name)];
    gateway.client().get("/acme/api", &client_id("ann@example.com")).expect(200);
    gateway.client().get("/acme/api", &client_id("bob")).expect(403);
    // Only where it was said: not at another service, not at the gateway's own resources.
    gateway.client().get("/acme/plain", &[("Authorization", &bearer)]).expect(403);
    gateway.client().get("/-/usage", &[("Authorization", &bearer)]).expect(403);
    gateway.client().request("POST", "/-/token", &[("Authorization", &bearer)], b"").expect(403);
    let seen = format!("{:?}", upstream.requests());
    assert!(!seen.contains(&token[..40]), "the upstream is not sent the token");
    // Keys and Tollgate's own tokens go on as they do.
    let key = tenant.unlimited_key();
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    let own = gateway.client().request("POST", "/-/token", &[("X-API-Key", &key)], b"").expect(200).json();
    get(&gateway, own["token"].as_str().expect("a token")).expect(200);
}

#[test]
fn only_what_the_issuer_signed_for_this_audience_now_is_taken() {
    let issuer = Issuer::start();
    let (rsa, other) = (issuer.key("r", "RSA"), issuer.key("other", "RSA"));
    issuer.publish(&[rsa.clone(), issuer.key("e", "EC")]);
    let over = json!({ "algorithms": ["RS256"], "leeway": "5m" });
    let (gateway, upstream, _tenant) = started(&issuer, &over);
    let claims = Issuer::claims(&json!({}));
    get(&gateway, &issuer.token("r", "RS256", &claims)).expect(200);
    let now = claims["iat"].as_i64().expect("iat");
    for over in [
        json!({ "exp": now - 3_600 }),
        json!({ "nbf": now + 3_600 }),
        json!({ "iat": now + 3_600 }),
        json!({ "exp": "soon" }),
        json!({ "exp": null }),
        json!({ "iss": "https://id.example/" }),
        json!({ "iss": null }),
        json!({ "aud": "else" }),
        json!({ "aud": [] }),
        json!({ "aud": { "orders": true } }),
        json!({ "sub": "nobody" }),
        json!({ "sub": ["ann@example.com"] }),
        json!({ "sub": null }),
        json!({ "deep": [[[[[[[[[[]]]]]]]]]] }),
    ] {
        assert_refused(&gateway, &issuer.token("r", "RS256", &Issuer::claims(&over)));
    }
    get(&gateway, &issuer.token("r", "RS256", &Issuer::claims(&json!({ "exp": now - 60 })))).expect(200);
    let text = claims.to_string();
    let with_header = |header: Value| issuer.token_with("r", "RS256", &header.to_string(), &text);
    for header in [
        json!({ "alg": "none", "kid": "r" }),
        json!({ "alg": "PS256", "kid": "r" }),
        json!({ "alg": "RS512", "kid": "r" }),
        json!({ "alg": "RS256", "kid": "e" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "RS256", "kid": "r", "typ": "JWE" }),
        json!({ "alg": "RS256", "kid": "r", "crit": ["b64"], "b64": false }),
        json!({ "alg": "RS256", "kid": "r", "deep": [[[[[[[[[[]]]]]]]]]] }),
    ] {
        assert_refused(&gateway, &with_header(header));
    }
    // Signed well, by algorithms or keys that are not allowed.
    assert_refused(&gateway, &issuer.token("e", "ES256", &claims));
    assert_refused(&gateway, &issuer.token("r", "PS256", &claims));
    let mut header = json!({ "alg": "RS256", "kid": "r", "jwk": other, "jku": "http://127.0.0.1:1/" });
    assert_refused(&gateway, &issuer.token_with("other", "RS256", &header.to_string(), &text));
    // A member twice, and claims beyond what is looked at.
    let twice = text.replacen('{', r#"{"sub":"bob","#, 1);
    header = json!({ "alg": "RS256", "kid": "r" });
    assert_refused(&gateway, &issuer.token_with("r", "RS256", &header.to_string(), &twice));
    let long = Issuer::claims(&json!({ "long": "x".repeat(9_000) }));
    assert_refused(&gateway, &issuer.token("r", "RS256", &long));
    // HMAC with the public key, which everybody has.
    let confused = "import base64, hashlib, hmac, sys\n\
        encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=')\n\
        signed = encode(b'{\"alg\":\"HS256\",\"kid\":\"r\"}') + b'.' + encode(sys.argv[1].encode())\n\
        print((signed + b'.' + encode(hmac.new(sys.argv[2].encode(), signed, hashlib.sha256).digest())).decode(), end='')";
    for secret in [rsa["n"].as_str().expect("n").to_owned(), rsa.to_string()] {
        assert_refused(&gateway, &python(confused, &[&text, &secret]).success().text());
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_token_of_an_issuer_meets_the_limits_of_every_level() {
    let issuer = Issuer::start();
    issuer.publish(&[issuer.key("d", "ED25519")]);
    let (gateway, upstream, tenant) = started(&issuer, &json!({}));
    let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.jwks_url() });
    tenant.service_with(&json!({
        "slug": "limited", "url": upstream.url(), "jwt": [entry], "limits": [exactly(2)],
        "rules": [{ "name": "all", "limits": [exactly(9)] }], "anonymous": { "limits": [exactly(1)] },
    }));
    let bearer = format!("Bearer {}", issuer.token("d", "EdDSA", &Issuer::claims(&json!({}))));
    let call = || gateway.client().get("/acme/limited", &[("Authorization", &bearer)]);
    let policy = "\"700h\";q=1000;w=2520000, \"rule-all-700h\";q=9;w=2520000, \"service-700h\";q=2;w=2520000";
    for _ in 0..2 {
        assert_eq!(call().expect(200).header("RateLimit-Policy"), Some(policy));
    }
    assert_eq!(call().expect(429).json()["error"]["details"]["level"], "service");
    let forged = format!("{bearer}x");
    gateway.client().get("/acme/limited", &[("Authorization", &forged)]).expect(403);
}

#[test]
fn claims_choose_consumer_and_plan() {
    let issuer = Issuer::start();
    issuer.publish(&[issuer.key("d", "ED25519")]);
    let over = json!({
        "consumer_claim": "https://acme.example/client", "plan_claim": "tier", "plan_map": { "Free": "tiny" },
    });
    let (gateway, _upstream, _tenant) = started(&issuer, &over);
    let token = |over: Value| {
        let claims = overlaid(Issuer::claims(&json!({ "https://acme.example/client": "bob" })), &over);
        issuer.token("d", "EdDSA", &claims)
    };
    let free = token(json!({ "tier": "Free" }));
    assert_eq!(get(&gateway, &free).expect(200).header("X-RateLimit-Limit-700h"), Some("2"));
    // The consumer is counted, whatever the token.
    let usual = get(&gateway, &token(json!({}))).expect(200);
    assert_eq!(usual.header("X-RateLimit-Limit-700h"), Some("1000"));
    assert_eq!(usual.header("X-RateLimit-Remaining-700h"), Some("998"));
    get(&gateway, &free).expect(429);
    // A value that means nothing must not read as no limits.
    for tier in [json!("Gold"), json!("tiny"), json!(7), json!(null)] {
        assert_refused(&gateway, &token(json!({ "tier": tier })));
    }
    assert_refused(&gateway, &token(json!({ "https://acme.example/client": "nobody" })));
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_and_old_ones_last_while_the_issuer_is_away() {
    let issuer = Issuer::start();
    let (one, two) = (issuer.key("one", "EC"), issuer.key("two", "EC"));
    issuer.publish(std::slice::from_ref(&one));
    let (gateway, _upstream, _tenant) = started(&issuer, &json!({}));
    let claims = Issuer::claims(&json!({}));
    let [token_one, token_two] = ["one", "two"].map(|kid| issuer.token(kid, "ES256", &claims));
    get(&gateway, &token_one).expect(200);
    issuer.publish(&[one, two]);
    get(&gateway, &token_two).expect(200);
    issuer.withdraw();
    get(&gateway, &token_two).expect(200);
    get(&gateway, &issuer.token("one", "ES256", &Issuer::claims(&json!({ "jti": "another" })))).expect(200);
    // Made-up keys are refused, and cause no fetch each.
    issuer.key("three", "EC");
    for jti in 0..5 {
        assert_refused(&gateway, &issuer.token("three", "ES256", &Issuer::claims(&json!({ "jti": jti }))));
    }
}

#[test]
fn an_issuer_that_withdraws_all_its_keys_is_heeded() {
    let issuer = Issuer::start();
    issuer.publish(&[issuer.key("one", "EC")]);
    let (gateway, _upstream, _tenant) = started(&issuer, &json!({}));
    let token = |kid: &str, jti: &str| issuer.token(kid, "ES256", &Issuer::claims(&json!({ "jti": jti })));
    get(&gateway, &token("one", "before")).expect(200);
    issuer.publish(&[]);
    // A key that is not known has the keys fetched anew.
    issuer.key("two", "EC");
    assert_refused(&gateway, &token("two", "unknown"));
    assert_refused(&gateway, &token("one", "after"));
    eventually("the log says so", || gateway.stderr().join("\n").contains("has no key that can verify"));
}

#[test]
fn an_issuer_that_never_had_keys_is_a_clear_state() {
    let issuer = Issuer::start();
    let key = issuer.key("one", "EC");
    issuer.publish_text("<!DOCTYPE html><html><body>Sign in</body></html>");
    let (gateway, upstream, tenant) = issuer.while_silent(|| started(&issuer, &json!({})));
    let token = issuer.token("one", "ES256", &Issuer::claims(&json!({})));
    for _ in 0..3 {
        let answer = get(&gateway, &token).expect(503);
        assert_eq!(answer.header("Retry-After"), Some("5"));
        assert!(answer.text().contains("issuer's keys are not available"), "{}", answer.text());
    }
    let log = || gateway.stderr().join("\n");
    eventually("the log says what is wrong", || log().contains("looks like a page of HTML"));
    assert!(log().contains(&issuer.jwks_url()) && !log().contains(&token));
    // What needs no issuer is not touched by it.
    gateway.client().get("/acme/api", &[("X-API-Key", &tenant.unlimited_key())]).expect(200);
    assert_refused(&gateway, "a.b.c");
    assert_eq!(upstream.requests().len(), 1);
    // It mends itself once there are keys.
    issuer.publish(&[key]);
    eventually("the keys are fetched", || get(&gateway, &token).status == 200);
}

#[test]
fn where_keys_are_fetched_is_checked_like_a_target() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    let user = tenant.user("ann");
    let problems = |who: &harness::Admin, jwt: Value| {
        let service = json!({ "slug": "api", "url": "https://upstream.example", "jwt": jwt });
        let answer = who.post("/api/services?tenant=acme", &service).expect(422);
        let fields = answer["errors"].as_array().expect("errors").iter();
        fields.map(|error| error["field"].as_str().expect("a field").to_owned()).collect::<Vec<_>>()
    };
    let at = |url: &str| json!([{ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": url }]);
    for url in [
        "https://127.0.0.1/keys",
        "https://10.0.0.1/keys",
        "https://localhost/keys",
        "http://id.example/keys",
    ] {
        assert_eq!(problems(&user, at(url)), ["jwt[0].jwks_url"], "{url}");
    }
    for url in [
        "keys",
        "https://169.254.169.254/keys",
        "https://id.example/keys?x 1",
        "https://id.example/keys#x",
        "https://a:b@id.example/",
    ] {
        assert_eq!(problems(&gateway.admin(), at(url)), ["jwt[0].jwks_url"], "{url}");
    }
    let wrong = json!([{ "issuer": ISSUER, "audience": "", "jwks_url": "https://id.example/", "algorithms": ["none"] }]);
    assert_eq!(problems(&gateway.admin(), wrong), ["jwt[0].audience", "jwt[0].algorithms[0]"]);
    // What an administrator wrote, the tenant's user may leave standing.
    let entry = at("http://127.0.0.1:9/keys");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "jwt": entry }));
    let shown = user.get("/api/services/api").expect(200);
    assert_eq!(shown["jwt"][0]["consumer_claim"], "sub");
    let kept = json!({ "slug": "api", "name": "renamed", "url": upstream.url(), "jwt": shown["jwt"] });
    let kept = user.put("/api/services/api", &kept).expect(200);
    assert_eq!(kept["jwt"], shown["jwt"]);
    let gateway = gateway.restart_after("KILL");
    assert_eq!(gateway.admin().get("/api/services/api?tenant=acme").expect(200)["jwt"], shown["jwt"]);
}

#[test]
fn a_name_that_a_service_s_issuer_has_already_is_told_at_the_start() {
    let mut gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let issuer =
        json!({ "issuer": "https://id.example", "audience": "a", "jwks_url": "http://127.0.0.1:1/keys" });
    tenant.service_with(&json!({ "slug": "api", "url": "http://127.0.0.1:1", "jwt": [issuer] }));
    gateway.end();
    let mut again = gateway.again().config("[tokens]\nissuer = \"https://id.example\"\n").start();
    again.end();
    let told = again.stderr();
    let is_told = |line: &String| {
        ["acme", "api", "https://id.example", "tokens.issuer"].iter().all(|word| line.contains(word))
    };
    assert!(told.iter().any(is_told), "{told:?}");
}
