//! What many tests begin with: a gateway before an upstream that echoes, at `/acme/api`.

use serde_json::{Value, json};

use super::echo::EchoUpstream;
use super::gateway::Gateway;
use super::seed::Tenant;

/// With a key that has no limits.
#[track_caller]
pub fn started() -> (Gateway, EchoUpstream, String) {
    started_with("")
}

/// The same with this `tollgate.toml`.
#[track_caller]
pub fn started_with(config: &str) -> (Gateway, EchoUpstream, String) {
    let (gateway, upstream) = (Gateway::builder().config(config).start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    (gateway, upstream, key)
}

/// With a plan `plan` of these limits, and a key on it.
#[track_caller]
pub fn started_limited(limits: &Value) -> (Gateway, EchoUpstream, Tenant, String) {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).plan_with(&json!({ "slug": "plan", "limits": limits }));
    let key = tenant.key("plan");
    (gateway, upstream, tenant, key)
}

/// A limit that is counted exactly, in a window so long that no test sees it end.
pub fn exactly(requests: u64) -> Value {
    json!({ "requests": requests, "per": "700h", "algorithm": "fixed_window" })
}

/// The head of a POST to the service, whose framing is in `fields`.
pub fn post(fields: &str, key: &str) -> String {
    format!("POST /acme/api HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n{fields}\r\n")
}

/// An object with the members of another put over its own.
#[track_caller]
pub fn overlaid(mut object: Value, over: &Value) -> Value {
    for (name, value) in over.as_object().expect("an object") {
        object[name] = value.clone();
    }
    object
}
