//! Requests that wait for their turn at the service `api` of `acme`.

use serde_json::{Value, json};

use super::client::RawClient;
use super::gateway::Gateway;
use super::patience::eventually;
use super::scenes::overlaid;
use super::seed::Tenant;
use super::upstream::ScriptedUpstream;

/// One request at a time, while others wait for it.
pub fn one_at_a_time(upstream: &ScriptedUpstream, fields: &Value) -> Value {
    let channel = json!({ "concurrency": 1, "queue": 9, "longest_wait": "1m" });
    overlaid(json!({ "slug": "api", "url": upstream.url(), "channel": channel }), fields)
}

/// Puts the service `api` of `acme` in the place of what it was.
#[track_caller]
pub fn edit(gateway: &Gateway, service: &Value) {
    gateway.admin().put("/api/services/api?tenant=acme", service).expect(200);
}

/// A request that holds the service's one place, and one that waits for it, sent as they stand.
#[track_caller]
pub fn at_the_target_and_waiting(gateway: &Gateway, first: &str, waiting: &str) -> [RawClient; 2] {
    let mut clients = [gateway.client(), gateway.client()];
    clients[0].send(first);
    await_channel(gateway, 1, 0);
    clients[1].send(waiting);
    await_channel(gateway, 1, 1);
    clients
}

/// Two workers, and the service of `acme`.
#[track_caller]
pub fn serving(service: &Value) -> (Gateway, Tenant) {
    let gateway = Gateway::builder().arg("--workers").arg("2").start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(service);
    (gateway, tenant)
}

/// Waits until so many have a place in its channel, and so many wait for one.
#[track_caller]
pub fn await_channel(gateway: &Gateway, in_flight: u32, queued: u32) {
    eventually("the requests to be in the channel", || {
        let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
        let channel = &list["items"][0]["channel"];
        channel["in_flight"] == in_flight && channel["queued"] == queued
    });
}
