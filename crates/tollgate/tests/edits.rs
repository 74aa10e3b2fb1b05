//! Edits while requests wait for their turn, for an issuer's keys or for their bodies: what was edited holds for those too.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    AUDIENCE, Gate, Gateway, ISSUER, Issuer, RawClient, ScriptedUpstream, Step, at_the_target_and_waiting,
    edit, eventually, eventually_some, exactly, one_at_a_time, serving,
};
use serde_json::{Value, json};

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
