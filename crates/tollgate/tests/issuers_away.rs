//! Token issuers that are away while the gateway, or a node of it, starts again.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::{
    AUDIENCE, Control, EchoUpstream, Gateway, ISSUER, Issuer, RawClient, Response, Tenant, eventually,
    exactly,
};
use serde_json::json;

const DAMAGED: &str = "the kept keys of an issuer cannot be read";
const NOT_KEPT: &str = "the keys of an issuer cannot be kept for a restart";

/// Gives the tenant a consumer and the service `api`, which takes tokens of the issuer.
fn serve(tenant: &Tenant, upstream: &EchoUpstream, issuer: &Issuer) {
    tenant.plan_with(&json!({ "slug": "basic", "limits": [exactly(1_000)] }));
    tenant.consumer("ann@example.com", "basic");
    let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.jwks_url() });
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "jwt": [entry] }));
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
    assert!(logged(&gateway, DAMAGED));
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
