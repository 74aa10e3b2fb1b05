//! Edits while requests wait for their turn, or for an issuer's keys: what was edited holds for those too.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    AUDIENCE, Gate, Gateway, ISSUER, Issuer, RawClient, ScriptedUpstream, Step, Tenant, eventually,
    eventually_some, exactly, overlaid,
};
use serde_json::{Value, json};

/// One request at a time, while others wait for it.
fn one_at_a_time(upstream: &ScriptedUpstream, fields: &Value) -> Value {
    let channel = json!({ "concurrency": 1, "queue": 9, "longest_wait": "1m" });
    overlaid(json!({ "slug": "api", "url": upstream.url(), "channel": channel }), fields)
}

fn edit(gateway: &Gateway, service: &Value) {
    gateway.admin().put("/api/services/api?tenant=acme", service).expect(200);
}

/// A request that holds the service's one place, and one that waits for it, sent as they stand.
fn at_the_target_and_waiting(gateway: &Gateway, first: &str, waiting: &str) -> [RawClient; 2] {
    let await_channel = |in_flight: u32, queued: u32| {
        eventually("the requests to be in the channel", || {
            let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
            let channel = &list["items"][0]["channel"];
            channel["in_flight"] == in_flight && channel["queued"] == queued
        });
    };
    let mut clients = [gateway.client(), gateway.client()];
    clients[0].send(first);
    await_channel(1, 0);
    clients[1].send(waiting);
    await_channel(1, 1);
    clients
}

fn serving(service: &Value) -> (Gateway, Tenant) {
    let gateway = Gateway::builder().arg("--workers").arg("2").start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(service);
    (gateway, tenant)
}

#[test]
fn a_target_that_drains_while_a_body_is_gathered_does_not_get_it() {
    let upstreams = ["0", "1"].map(ScriptedUpstream::responding);
    let draining = |which: Option<usize>| {
        let target = |place: usize| json!({ "url": upstreams[place].url(), "drain": which == Some(place) });
        json!({ "slug": "api", "targets": [target(0), target(1)], "retries": {} })
    };
    let (gateway, tenant) = serving(&draining(None));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    client.send(format!(
        "PUT /acme/api/put HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbo"
    ));
    let picked = eventually_some("the request to have a target", || {
        let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
        (0..2).find(|&place| list["items"][0]["targets"][place]["in_flight"] == 1)
    });
    edit(&gateway, &draining(Some(picked)));
    client.send("dy");
    assert_eq!(client.read_response().expect(200).text(), (1 - picked).to_string());
}

#[test]
fn targets_that_are_all_replaced_while_a_body_is_gathered_leave_it_to_the_new_ones() {
    let [old, new] = ["old", "new"].map(ScriptedUpstream::responding);
    let at = |upstream: &ScriptedUpstream| json!({ "slug": "api", "url": upstream.url(), "retries": {} });
    let (gateway, tenant) = serving(&at(&old));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    client.send(format!(
        "PUT /acme/api/put HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbo"
    ));
    eventually("the request to have a target", || {
        let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
        list["items"][0]["targets"][0]["in_flight"] == 1
    });
    edit(&gateway, &at(&new));
    client.send("dy");
    assert_eq!(client.read_response().expect(200).text(), "new");
    assert_eq!(new.requests()[0].body, b"body");
}

#[test]
fn a_retry_goes_to_the_targets_that_have_replaced_all_of_before() {
    let gate = Gate::new();
    let broken = || ScriptedUpstream::script(vec![Step::Await(gate.clone()), Step::Close]);
    let (old, new) = ([broken(), broken()], ScriptedUpstream::responding("new"));
    let targets = old.each_ref().map(|upstream| json!({ "url": upstream.url() }));
    let (gateway, tenant) = serving(&json!({ "slug": "api", "targets": targets, "retries": {} }));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    eventually("the request at a target", || old.iter().any(|upstream| upstream.requests().len() == 1));
    edit(&gateway, &json!({ "slug": "api", "url": new.url(), "retries": {} }));
    gate.open();
    assert_eq!(client.read_response().expect(200).text(), "new");
}

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

#[test]
fn a_header_that_is_renamed_while_a_request_waits_goes_no_further() {
    let gate = Gate::new();
    let answer = "HTTP/1.1 200 OK\r\nX-Cost: 1\r\nX-Price: 1\r\nContent-Length: 0\r\n\r\n";
    let upstream =
        ScriptedUpstream::script(vec![Step::Await(gate.clone()), Step::ReadWholeBody, Step::write(answer)]);
    let named = |auth: &str, cost: &str| {
        let fields = json!({ "auth_header": auth, "cost_header": cost });
        one_at_a_time(&upstream, &fields)
    };
    let (gateway, tenant) = serving(&named("X-Partner-Key", "X-Cost"));
    let key = tenant.unlimited_key();
    let request = |path: &str| {
        format!(
            "POST /acme/api/{path} HTTP/1.1\r\nHost: g\r\nX-Partner-Key: {key}\r\nX_Partner_Key: {key}\r\n\
             X-Api-Token: other\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Partner-Key: {key}\r\n\r\n"
        )
    };
    let mut clients = at_the_target_and_waiting(&gateway, &request("first"), &request("waiting"));
    edit(&gateway, &named("X-Api-Token", "X-Price"));
    gate.open();
    let [first, waiting] = clients.each_mut().map(|client| client.read_response().expect(200));
    let received = upstream.await_request(1);
    let head = String::from_utf8_lossy(&received.raw_head);
    assert!(!head.contains(&key) && !head.contains("X-Api-Token"), "{head}");
    assert!(received.trailers.is_empty(), "{:?}", received.trailers);
    assert_eq!((first.header("X-Cost"), waiting.header("X-Cost")), (None, None));
    assert_eq!(waiting.header("X-Price"), None, "it is what the field is called now");
}

/// A request with a token, whose issuer keeps it waiting for its keys until the gate opens. The service has two targets, one
/// of which drains.
struct Waiting {
    gateway: Gateway,
    client: RawClient,
    keys: ScriptedUpstream,
    targets: [ScriptedUpstream; 2],
    gate: Gate,
}

impl Waiting {
    fn start() -> Self {
        let (issuer, gate) = (Issuer::start(), Gate::new());
        let shown = Step::respond("200 OK", &json!({ "keys": [issuer.key("one", "EC")] }).to_string());
        // At once when the service is written.
        let late = [vec![Step::Await(gate.clone())], shown.clone()].concat();
        let keys = ScriptedUpstream::scripts(vec![shown, late]);
        let targets = ["first", "second"].map(ScriptedUpstream::responding);
        let token = issuer.token("one", "ES256", &Issuer::claims(&json!({})));
        let (gateway, tenant) = serving(&service(&targets, &keys, 1));
        tenant.plan_with(&json!({ "slug": "basic", "limits": [exactly(1_000)] }));
        tenant.consumer("ann@example.com", "basic");
        let mut client = gateway.client();
        client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n"));
        eventually("the keys to be asked for", || keys.requests().len() == 2);
        Self { gateway, client, keys, targets, gate }
    }
}

fn service(targets: &[ScriptedUpstream; 2], keys: &ScriptedUpstream, draining: usize) -> Value {
    let target = |place: usize| json!({ "url": targets[place].url(), "drain": place == draining });
    let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": format!("{}/keys", keys.url()) });
    json!({ "slug": "api", "targets": [target(0), target(1)], "jwt": [entry] })
}

#[test]
fn a_target_that_drains_while_keys_are_waited_for_gets_nothing() {
    let Waiting { gateway, mut client, keys, targets, gate } = Waiting::start();
    edit(&gateway, &service(&targets, &keys, 0));
    gate.open();
    assert_eq!(client.read_response().expect(200).text(), "second");
}

#[test]
fn a_consumer_that_is_removed_while_keys_are_waited_for_is_refused() {
    let Waiting { gateway, mut client, keys: _keys, targets, gate } = Waiting::start();
    gateway.admin().delete("/api/consumers/ann@example.com?tenant=acme").expect(204);
    gate.open();
    client.read_response().expect(403);
    assert!(targets[0].requests().is_empty());
}
