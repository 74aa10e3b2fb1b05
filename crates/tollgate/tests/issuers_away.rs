//! Token issuers that are slow, or away while the gateway, or a node of it, starts again.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{
    AUDIENCE, Control, EchoUpstream, Gateway, ISSUER, Issuer, RawClient, Response, ScriptedUpstream, Step,
    Tenant, eventually, exactly, overlaid,
};
use serde_json::{Value, json};

const DAMAGED: &str = "the kept keys of an issuer cannot be read";
const NOT_KEPT: &str = "the keys of an issuer cannot be kept for a restart";

/// Gives the tenant a consumer and the service `api`, which takes tokens of the issuer.
fn serve(tenant: &Tenant, upstream: &EchoUpstream, issuer: &Issuer) {
    serve_with(tenant, upstream, &issuer.jwks_url(), &json!({}));
}

fn serve_with(tenant: &Tenant, upstream: &EchoUpstream, jwks_url: &str, fields: &Value) {
    tenant.plan_with(&json!({ "slug": "basic", "limits": [exactly(1_000)] }));
    tenant.consumer("ann@example.com", "basic");
    let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": jwks_url });
    let service = json!({ "slug": "api", "url": upstream.url(), "jwt": [entry] });
    tenant.service_with(&overlaid(service, fields));
}

/// A key of the issuer, shown at once when a service is written, and from then on after so long.
fn slow_keys(issuer: &Issuer, late: Duration) -> ScriptedUpstream {
    let shown = Step::respond("200 OK", &json!({ "keys": [issuer.key("one", "EC")] }).to_string());
    ScriptedUpstream::scripts(vec![shown.clone(), [vec![Step::Pause(late)], shown].concat()])
}

/// Asks with a token that was not seen before.
fn get(mut client: RawClient, issuer: &Issuer, kid: &str, jti: &str) -> Response {
    let token = issuer.token(kid, "ES256", &Issuer::claims(&json!({ "jti": jti })));
    client.get("/acme/api/hello", &[("Authorization", &format!("Bearer {token}"))])
}

fn kept(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "jwks"))
        .collect()
}

fn logged(gateway: &Gateway, text: &str) -> bool {
    gateway.stderr().iter().any(|line| line.contains(text))
}

#[test]
fn keys_outlast_a_restart_while_their_issuer_is_away() {
    let issuer = Issuer::start();
    let (one, two) = (issuer.key("one", "EC"), issuer.key("two", "EC"));
    issuer.publish(std::slice::from_ref(&one));
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    serve(&gateway.tenant("acme"), &upstream, &issuer);
    get(gateway.client(), &issuer, "one", "before").expect(200);
    let directory = gateway.directory().join("data/key-sets");
    eventually("the keys are kept", || !kept(&directory).is_empty());
    issuer.withdraw();
    let gateway = gateway.restart_after("KILL");
    get(gateway.client(), &issuer, "one", "after").expect(200);
    let refused = get(gateway.client(), &issuer, "two", "unknown").expect(403).json();
    assert_eq!(refused["error"]["message"], "The token is not valid");
    // What was kept does not hide a key that came while the gateway was away.
    issuer.publish(&[one, two]);
    let gateway = gateway.restart_after("KILL");
    get(gateway.client(), &issuer, "two", "new").expect(200);
    eventually("both keys are kept", || {
        kept(&directory).iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("two")))
    });
    assert!(!logged(&gateway, DAMAGED) && !logged(&gateway, NOT_KEPT));
    // A damaged file is as good as none, but it is told.
    for file in kept(&directory) {
        fs::write(file, "nonsense").expect("a file");
    }
    issuer.withdraw();
    let gateway = gateway.restart_after("KILL");
    get(gateway.client(), &issuer, "one", "lost").expect(503);
    eventually("it is told", || logged(&gateway, DAMAGED));
}

#[test]
fn keys_that_cannot_be_kept_serve_all_the_same_and_it_is_told() {
    let issuer = Issuer::start();
    issuer.publish(&[issuer.key("one", "EC")]);
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    serve(&gateway.tenant("acme"), &upstream, &issuer);
    fs::write(gateway.directory().join("data/key-sets"), "a file where a directory should be")
        .expect("a file");
    get(gateway.client(), &issuer, "one", "first").expect(200);
    eventually("it is told", || logged(&gateway, NOT_KEPT));
    get(gateway.client(), &issuer, "one", "second").expect(200);
}

#[test]
fn the_wait_for_an_issuer_s_keys_is_not_its_target_s_time() {
    let (issuer, upstream) = (Issuer::start(), EchoUpstream::start());
    let keys = slow_keys(&issuer, Duration::from_secs(1));
    let gateway = Gateway::builder().arg("--workers").arg("1").start();
    let tenant = gateway.tenant("acme");
    let timeouts = json!({ "timeouts": { "first_byte": "500ms" } });
    serve_with(&tenant, &upstream, &format!("{}/keys", keys.url()), &timeouts);
    // Whose connection is used again.
    gateway.client().get("/acme/api/before", &[("X-API-Key", &tenant.unlimited_key())]).expect(200);
    get(gateway.client(), &issuer, "one", "late").expect(200);
    let line = gateway.await_logged(|line| line["path"] == "/acme/api/hello");
    let millis = |name: &str| line[name].as_f64().expect("milliseconds");
    assert!(millis("duration_ms") >= 900.0 && millis("upstream_ms") < 500.0, "{line}");
}

#[test]
fn keys_are_waited_for_no_longer_than_the_request_may_take() {
    let (issuer, upstream) = (Issuer::start(), EchoUpstream::start());
    let keys = slow_keys(&issuer, Duration::from_secs(1));
    let gateway = Gateway::start();
    let timeouts = json!({ "timeouts": { "total": "300ms" } });
    serve_with(&gateway.tenant("acme"), &upstream, &format!("{}/keys", keys.url()), &timeouts);
    get(gateway.client(), &issuer, "one", "early").expect(503);
    assert_eq!(upstream.requests().len(), 0);
    eventually("the keys to be there", || get(gateway.client(), &issuer, "one", "late").status == 200);
}

#[test]
fn a_node_starts_with_the_keys_it_had_while_issuer_and_control_plane_are_away() {
    let issuer = Issuer::start();
    issuer.publish(&[issuer.key("one", "EC")]);
    let (control, upstream) = (Control::start(), EchoUpstream::start());
    serve(&control.tenant("acme"), &upstream, &issuer);
    let node = control.node("edge-1");
    control.await_in_step("edge-1");
    get(node.client(), &issuer, "one", "before").expect(200);
    let directory = node.directory().join("key-sets");
    eventually("the keys are kept", || !kept(&directory).is_empty());
    issuer.withdraw();
    control.end();
    let node = node.end("KILL").start();
    node.await_ready();
    get(node.client(), &issuer, "one", "after").expect(200);
}
