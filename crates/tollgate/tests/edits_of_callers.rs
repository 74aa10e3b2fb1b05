//! Edits of what a caller may do, while its request waits for its turn: they hold for it too.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    AUDIENCE, Gate, Gateway, ISSUER, Issuer, RawClient, ScriptedUpstream, Step, Tenant,
    at_the_target_and_waiting, await_channel, edit, eventually, exactly, one_at_a_time, overlaid, serving,
};
use serde_json::{Value, json};

/// A service that has one request at a time, and whoever made what waits for it.
struct Turn {
    gate: Gate,
    upstream: ScriptedUpstream,
    gateway: Gateway,
    tenant: Tenant,
    /// Holds the one place.
    key: String,
}

impl Turn {
    /// What the service is charged for shows in its own limit.
    fn with(fields: &Value) -> Self {
        let gate = Gate::new();
        let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "answered")].concat();
        let upstream = ScriptedUpstream::script(steps);
        let service = overlaid(json!({ "limits": [exactly(10)] }), fields);
        let (gateway, tenant) = serving(&one_at_a_time(&upstream, &service));
        tenant.plan_with(&json!({ "slug": "basic", "limits": [exactly(1_000)] }));
        for consumer in ["ann", "ben"] {
            tenant.consumer(consumer, "basic");
        }
        let key = tenant.unlimited_key();
        Self { gate, upstream, gateway, tenant, key }
    }

    /// Another field of the service.
    fn edit(&self, fields: &Value) {
        let service = overlaid(json!({ "limits": [exactly(10)] }), fields);
        edit(&self.gateway, &one_at_a_time(&self.upstream, &service));
    }

    /// A request with these fields waits for its turn while this is done, and is refused then, uncharged.
    fn refuses(&self, fields: &str, status: u16, meanwhile: impl FnOnce(&Self)) {
        let first = format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {}\r\n\r\n", self.key);
        let waiting = format!("GET /acme/api/waiting HTTP/1.1\r\nHost: g\r\n{fields}\r\n\r\n");
        let mut clients = at_the_target_and_waiting(&self.gateway, &first, &waiting);
        meanwhile(self);
        self.gate.open();
        let [_first, refused] = clients.each_mut().map(RawClient::read_response);
        assert_eq!((refused.status, self.upstream.requests().len()), (status, 1), "{fields}");
        let usage =
            self.gateway.client().get("/-/usage?service=api", &[("X-API-Key", &self.key)]).expect(200);
        assert_eq!(usage.json()["limits"][0]["used"], 1, "{fields}: {}", usage.text());
    }
}

#[test]
fn whose_key_or_consumer_is_removed_while_a_request_waits_is_refused_and_not_charged() {
    for removed in ["key", "consumer"] {
        let turn = Turn::with(&json!({}));
        let made = turn.tenant.key_with(&json!({ "name": "removed" }));
        let key = made["key"].as_str().expect("the key is shown once");
        turn.refuses(&format!("X-API-Key: {key}\r\nX-Client-ID: ann"), 403, |turn| {
            let path = match removed {
                "key" => format!("/api/keys/{}?tenant=acme", made["id"].as_str().expect("an id")),
                _ => "/api/consumers/ann?tenant=acme".to_owned(),
            };
            turn.gateway.admin().delete(&path).expect(204);
        });
    }
}

#[test]
fn what_a_key_is_for_is_asked_again_of_who_waits() {
    for narrowed in [
        json!({ "services": ["other"] }),
        json!({ "routes": [{ "paths": ["/else"] }] }),
        json!({ "routes": [{ "methods": ["POST"] }] }),
        json!({ "allow_ips": ["192.0.2.0/24"] }),
        json!({ "consumer": "ben" }),
    ] {
        let turn = Turn::with(&json!({}));
        turn.tenant.service("other", &turn.upstream.url());
        let before = json!({ "name": "narrowed", "consumer": "ann" });
        let made = turn.tenant.key_with(&before);
        let key = made["key"].as_str().expect("the key is shown once");
        turn.refuses(&format!("X-API-Key: {key}"), 403, |turn| {
            let path = format!("/api/keys/{}?tenant=acme", made["id"].as_str().expect("an id"));
            turn.gateway.admin().put(&path, &overlaid(before, &narrowed)).expect(200);
        });
    }
}

#[test]
fn a_key_that_expires_while_its_request_waits_opens_nothing_more() {
    let turn = Turn::with(&json!({}));
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let made = turn.tenant.key_with(&json!({ "name": "short", "expires_at": ends.to_string() }));
    let key = made["key"].as_str().expect("the key is shown once");
    turn.refuses(&format!("X-API-Key: {key}"), 403, |turn| {
        let usage = || turn.gateway.client().get("/-/usage", &[("X-API-Key", key)]);
        eventually("the key to expire", || usage().status == 403);
    });
}

#[test]
fn a_key_that_is_over_while_its_requests_wait_is_no_guess() {
    let gate = Gate::new();
    let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "answered")].concat();
    let upstream = ScriptedUpstream::script(steps);
    let gateway = Gateway::builder().config("auth.failures_per_minute = 1\n").start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(&one_at_a_time(&upstream, &json!({})));
    let made = tenant.key_with(&json!({ "name": "removed" }));
    let key = made["key"].as_str().expect("the key is shown once");
    let of = |key: &str| format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n");
    let [mut first, mut second] = at_the_target_and_waiting(&gateway, &of(&tenant.unlimited_key()), &of(key));
    let mut third = gateway.client();
    third.send(of(key));
    await_channel(&gateway, 1, 2);
    gateway
        .admin()
        .delete(&format!("/api/keys/{}?tenant=acme", made["id"].as_str().expect("an id")))
        .expect(204);
    gate.open();
    first.read_response().expect(200);
    for client in [&mut second, &mut third] {
        client.read_response().expect(403);
    }
    let guess = || gateway.client().get("/acme/api", &[("X-API-Key", key)]).status;
    assert_eq!([guess(), guess()], [403, 429], "whoever comes with it later guesses");
}

#[test]
fn who_needs_no_key_is_asked_for_one_once_the_service_wants_it() {
    let turn = Turn::with(&json!({ "anonymous": {} }));
    turn.refuses("Accept: */*", 401, |turn| turn.edit(&json!({})));
}

#[test]
fn an_issuer_s_token_is_verified_again_for_who_waits() {
    let issuer = Issuer::start();
    issuer.publish(&[issuer.key("one", "EC")]);
    let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.jwks_url() });
    let by = |over: &Value| json!({ "jwt": [overlaid(entry.clone(), over)] });
    for edited in [json!({}), by(&json!({ "audience": "another" })), by(&json!({ "consumer_claim": "azp" }))]
    {
        let turn = Turn::with(&by(&json!({})));
        let claims = Issuer::claims(&json!({ "sub": "ann", "azp": "ben", "jti": edited.to_string() }));
        let token = issuer.token("one", "ES256", &claims);
        turn.refuses(&format!("Authorization: Bearer {token}"), 403, |turn| turn.edit(&edited));
    }
}

#[test]
fn the_keys_of_two_issuers_are_waited_for_no_longer_than_those_of_one() {
    let (issuer, gate) = (Issuer::start(), Gate::new());
    let shown = Step::respond("200 OK", &json!({ "keys": [issuer.key("one", "EC")] }).to_string());
    let never = [vec![Step::Await(gate.clone())], shown.clone()].concat();
    // At once when the service is written.
    let [before, after] = [(); 2].map(|()| ScriptedUpstream::scripts(vec![shown.clone(), never.clone()]));
    let upstream = ScriptedUpstream::responding("answered");
    let service = |keys: &ScriptedUpstream| {
        let entry =
            json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": format!("{}/keys", keys.url()) });
        let timeouts = json!({ "total": "2s" });
        json!({ "slug": "api", "url": upstream.url(), "jwt": [entry], "timeouts": timeouts })
    };
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    gateway.tenant("acme").service_with(&service(&before));
    let token = issuer.token("one", "ES256", &Issuer::claims(&json!({})));
    let send = |path: &str| {
        let mut client = gateway.client();
        client.send(format!(
            "GET /acme/api/{path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        client
    };
    let mut first = send("first");
    eventually("the keys to be asked for", || before.requests().len() == 2);
    edit(&gateway, &service(&after));
    let mut second = send("second");
    for client in [&mut first, &mut second] {
        client.read_response().expect(503);
    }
    gate.open();
    gateway.await_logged(|line| line["path"] == "/acme/api/second");
    let lines = gateway.access_log();
    let paths: Vec<_> = lines.iter().filter(|line| line["status"] == 503).map(|line| &line["path"]).collect();
    assert_eq!(
        paths,
        ["/acme/api/first", "/acme/api/second"],
        "who came first waits no longer than who came next"
    );
}

#[test]
fn who_leaves_while_keys_are_waited_for_gives_its_turn_to_the_next() {
    let (issuer, gate) = (Issuer::start(), Gate::new());
    let key = issuer.key("one", "EC");
    issuer.publish(std::slice::from_ref(&key));
    let shown = Step::respond("200 OK", &json!({ "keys": [key] }).to_string());
    // At once when the service is written.
    let late = ScriptedUpstream::scripts(vec![shown, vec![Step::Await(gate.clone())]]);
    let by =
        |jwks_url: &str| json!({ "jwt": [{ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": jwks_url }] });
    let turn = Turn::with(&by(&issuer.jwks_url()));
    let token = issuer.token("one", "ES256", &Issuer::claims(&json!({ "sub": "ann" })));
    let first = format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {}\r\n\r\n", turn.key);
    let waiting =
        format!("GET /acme/api/waiting HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n");
    let [mut first, waiting] = at_the_target_and_waiting(&turn.gateway, &first, &waiting);
    turn.edit(&by(&format!("{}/keys", late.url())));
    turn.gate.open();
    first.read_response().expect(200);
    eventually("the keys to be asked for", || late.requests().len() == 2);
    drop(waiting);
    let line = turn.gateway.await_logged(|line| line["path"] == "/acme/api/waiting");
    assert_eq!(line["status"], 499, "its place was held until the keys were given up");
    gate.open();
}

#[test]
fn who_waits_with_a_token_for_a_key_is_let_through_after_an_edit_of_something_else() {
    let gate = Gate::new();
    let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "answered")].concat();
    let upstream = ScriptedUpstream::script(steps);
    let service = one_at_a_time(&upstream, &json!({}));
    let (gateway, tenant) = serving(&service);
    let key = tenant.unlimited_key();
    let issued = gateway.client().request("POST", "/-/token", &[("X-API-Key", &key)], b"").expect(200).json();
    let token = issued["token"].as_str().expect("a token");
    let request = format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut clients = at_the_target_and_waiting(&gateway, &request, &request);
    edit(&gateway, &overlaid(service, &json!({ "name": "another name" })));
    gate.open();
    for client in &mut clients {
        client.read_response().expect(200);
    }
}
