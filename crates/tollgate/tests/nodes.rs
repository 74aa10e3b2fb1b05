//! Planes apart: a control plane, and proxy nodes without a database.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::fs;
use std::net::TcpStream;

use harness::{Control, EchoUpstream, Gateway, Node, Relay, Tenant, eventually, exactly, tollgate};
use serde_json::{Value, json};

/// A control plane with a service at `/acme/api`.
fn exposed(upstream: &EchoUpstream) -> (Control, Tenant) {
    let control = Control::start();
    let tenant = control.tenant("acme");
    tenant.service("api", &upstream.url());
    (control, tenant)
}

#[track_caller]
fn await_status(node: &Node, key: &str, status: u16) {
    eventually(&format!("{status}"), || node.get("/acme/api/", key) == status);
}

fn revoke(control: &Control, id: &str) {
    control.admin().delete(&format!("/api/keys/{id}?tenant=acme")).expect(204);
}

#[test]
fn a_change_comes_into_force_on_every_node() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let nodes = [control.node("edge-1"), control.node("edge-2")];
    let made = tenant.key_with(&json!({ "name": "key" }));
    let key = made["key"].as_str().expect("a key");
    for node in &nodes {
        await_status(node, key, 200);
    }
    revoke(&control, made["id"].as_str().expect("an id"));
    for node in &nodes {
        await_status(node, key, 403);
    }
    for name in ["edge-1", "edge-2"] {
        let listed = control.await_in_step(name);
        assert_eq!(listed["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((&listed["full_syncs"], &listed["changes"]), (&json!(1), &json!(2)), "{listed}");
    }
    let table = tollgate()
        .args(["nodes", "list", "--admin-url", &format!("http://{}", control.address())])
        .env("TOLLGATE_ADMIN_TOKEN", "test-admin-token")
        .output()
        .expect("tollgate");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.starts_with("NAME") && table.contains("edge-1") && table.contains("edge-2"), "{table}");
}

#[test]
fn serve_feeds_nodes_as_well() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let made = gateway.admin().post("/api/node-tokens", &json!({ "name": "edge" })).expect(201);
    let node = Node::start(gateway.admin_address(), "edge", made["token"].as_str().expect("a token"));
    await_status(&node, &key, 200);
}

#[test]
fn nodes_serve_on_and_start_without_the_control_plane_and_catch_up_with_what_changed() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let key = tenant.unlimited_key();
    let (staying, restarting) = (control.node("staying"), control.node("restarting"));
    await_status(&restarting, &key, 200);
    control.await_in_step("staying");
    let start_again = control.kill();
    assert_eq!(staying.get("/acme/api/", &key), 200);
    let restarted = restarting.end("TERM").start();
    restarted.await_ready();
    assert_eq!(restarted.get("/acme/api/", &key), 200);

    let control = start_again();
    let added = control.admin().post("/api/keys?tenant=acme", &json!({ "name": "added" })).expect(201);
    let added = added["key"].as_str().expect("a key");
    for (node, name, full_syncs) in [(&staying, "staying", 1), (&restarted, "restarting", 0)] {
        await_status(node, added, 200);
        let listed = control.await_in_step(name);
        assert_eq!(listed["full_syncs"], full_syncs, "{listed}");
    }
    assert_eq!(control.await_in_step("restarting")["changes"], 1);
}

#[test]
fn a_node_that_was_killed_starts_from_what_it_had_saved() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let key = tenant.unlimited_key();
    let node = control.node("edge");
    await_status(&node, &key, 200);
    let state = node.state_file();
    // In force first, saved after.
    eventually("the state is saved", || state.exists());
    assert!(fs::read(&state).expect("a state").windows(key.len()).all(|window| window != key.as_bytes()));
    let stopped = node.end("KILL");
    drop(control.kill());
    let node = stopped.start();
    node.await_ready();
    assert_eq!(node.get("/acme/api/", &key), 200);
}

#[test]
fn what_was_counted_survives_a_nodes_restart() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    tenant.plan_with(&json!({ "slug": "two", "limits": [exactly(2)] }));
    let key = tenant.key("two");
    let node = control.node("edge");
    await_status(&node, &key, 200);
    let node = node.end("TERM").start();
    assert_eq!([(); 2].map(|()| node.get("/acme/api/", &key)), [200, 429]);
}

#[test]
fn a_node_tells_how_a_key_was_used() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    tenant.plan_with(&json!({ "slug": "three", "limits": [exactly(3)] }));
    let made = tenant.key_with(&json!({ "name": "key", "plan": "three" }));
    let key = made["key"].as_str().expect("a key");
    let node = control.node("edge");
    await_status(&node, key, 200);
    let path = format!("/api/keys/{}?tenant=acme", made["id"].as_str().expect("an id"));
    eventually("the use is known", || control.admin().get(&path).expect(200)["last_used_at"].is_string());
    assert_eq!([(); 3].map(|()| node.get("/acme/api/", key)), [200, 200, 429]);
    node.end("TERM");
    let shown = control.restart().admin().get(&path).expect(200);
    assert_eq!((&shown["requests"], &shown["rejections"]), (&json!(4), &json!(1)), "{shown}");
}

#[test]
fn what_was_not_told_when_the_node_ended_is_told_after_its_next_start() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let limits = json!([{ "requests": 4, "per": "month", "thresholds": [50, 100] }]);
    tenant.plan_with(&json!({ "slug": "four", "limits": limits }));
    let made = tenant.key_with(&json!({ "name": "key", "plan": "four" }));
    let key = made["key"].as_str().expect("a key");
    let node = control.node("edge");
    await_status(&node, key, 200);
    let path = format!("/api/keys/{}?tenant=acme", made["id"].as_str().expect("an id"));
    eventually("the use is known", || control.admin().get(&path).expect(200)["last_used_at"].is_string());
    let start_again = control.kill();
    assert_eq!([(); 4].map(|()| node.get("/acme/api/", key)), [200, 200, 200, 429]);
    let node = node.end("TERM");
    let control = start_again();
    let _node = node.start();
    eventually("all uses are known", || control.admin().get(&path).expect(200)["requests"] == 5);
    assert_eq!(control.admin().get(&path).expect(200)["rejections"], 1);
    let events =
        || control.admin().get("/api/events?tenant=acme&type=limit.threshold").expect(200)["items"].clone();
    eventually("both thresholds are told", || events().as_array().is_some_and(|events| events.len() == 2));
}

#[test]
fn a_node_forgets_signing_keys_that_are_lost_with_the_secret() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let key = tenant.unlimited_key();
    let node = control.node("edge");
    await_status(&node, &key, 200);
    let issued = node.client().request("POST", "/-/token", &[("X-API-Key", &key)], b"").expect(200).json();
    let bearer = format!("Bearer {}", issued["token"].as_str().expect("a token"));
    let status = || node.client().get("/acme/api/", &[("Authorization", &bearer)]).status;
    assert_eq!(status(), 200);
    let secret = control.directory().join("tollgate.secret");
    let start_again = control.kill();
    fs::remove_file(secret).expect("a secret");
    let _control = start_again();
    eventually("the token is refused", || status() == 403);
}

/// A control plane, a node whose way to it loses the answers to reports, and a key that was not used yet.
fn reporting(upstream: &EchoUpstream) -> (Control, Relay, Node, String, String) {
    let (control, tenant) = exposed(upstream);
    let made = tenant.key_with(&json!({ "name": "key" }));
    let relay = Relay::to(control.address(), "POST /api/node/status ");
    let (_, token) = control.node_token("edge");
    let node = Node::start(relay.address(), "edge", &token);
    node.await_ready();
    let text = |field: &str| made[field].as_str().expect("a text");
    (control, relay, node, text("key").to_owned(), format!("/api/keys/{}?tenant=acme", text("id")))
}

#[test]
fn what_a_node_tells_again_because_no_answer_came_counts_once() {
    let upstream = EchoUpstream::start();
    let (control, relay, node, key, path) = reporting(&upstream);
    relay.lose(3);
    await_status(&node, &key, 200);
    eventually("answers are lost", || relay.lost() == 3);
    for _ in 0..4 {
        assert_eq!(node.get("/acme/api/", &key), 200);
    }
    node.end("TERM");
    let shown = control.admin().get(&path).expect(200);
    assert_eq!((&shown["requests"], &shown["rejections"]), (&json!(5), &json!(0)), "{shown}");
}

#[test]
fn what_a_control_plane_had_written_when_it_was_killed_counts_once() {
    let upstream = EchoUpstream::start();
    let (control, relay, node, key, path) = reporting(&upstream);
    let is_told = || control.admin().get(&path).expect(200)["last_used_at"].is_string();
    relay.lose(usize::MAX);
    await_status(&node, &key, 200);
    eventually("the use is written, and no answer came", is_told);
    let start_again = control.kill();
    relay.lose(0);
    for _ in 0..4 {
        assert_eq!(node.get("/acme/api/", &key), 200);
    }
    let control = start_again();
    control.await_in_step("edge");
    node.end("TERM");
    let shown = control.admin().get(&path).expect(200);
    assert_eq!((&shown["requests"], &shown["rejections"]), (&json!(5), &json!(0)), "{shown}");
}

#[test]
fn a_node_with_a_bad_token_learns_nothing_and_says_why() {
    let control = Control::start();
    let node = control.unready_node("edge", "tgn_0000000000");
    node.await_logged("TOLLGATE_NODE_TOKEN");
    let ready = node.client().get("/health/ready", &[]).expect(503);
    assert_eq!(ready.json(), json!({ "status": "starting" }));
    node.client().get("/health/live", &[]).expect(200);
    // Not that there is no such service: it does not know.
    node.client().get("/acme/api/", &[]).expect(503);
    assert!(control.listed("edge").is_none());
}

#[test]
fn a_node_whose_token_was_revoked_is_fed_no_more_and_serves_what_it_has() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let key = tenant.unlimited_key();
    let (id, token) = control.node_token("edge");
    let node = control.unready_node("edge", &token);
    await_status(&node, &key, 200);
    control.admin().delete(&format!("/api/node-tokens/{id}")).expect(204);
    node.await_logged("TOLLGATE_NODE_TOKEN");
    let listed = control.listed("edge").expect("a line");
    assert_eq!((&listed["connected"], &listed["revoked"]), (&json!(false), &json!(true)), "{listed}");
    let unheard = tenant.unlimited_key();
    assert_eq!((node.get("/acme/api/", &key), node.get("/acme/api/", &unheard)), (200, 403));
}

#[test]
fn a_damaged_state_is_reported_and_fetched_anew() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let key = tenant.unlimited_key();
    let node = control.node("edge");
    await_status(&node, &key, 200);
    let stopped = node.end("TERM");
    stopped.damage();
    let node = stopped.start();
    node.await_logged("the saved state cannot be used");
    await_status(&node, &key, 200);
    assert_eq!(control.await_in_step("edge")["full_syncs"], 1);
    // It was saved anew.
    let node = node.end("TERM").start();
    node.await_ready();
    // Until it has reported, what is listed is of the run before.
    eventually("it is sent no more than changes", || control.await_in_step("edge")["full_syncs"] == 0);
}

#[test]
fn a_node_that_was_away_over_a_restart_of_the_control_plane_gets_only_what_changed() {
    let upstream = EchoUpstream::start();
    let (control, tenant) = exposed(&upstream);
    let key = tenant.unlimited_key();
    let node = control.node("edge");
    await_status(&node, &key, 200);
    let stopped = node.end("TERM");
    let missed = tenant.unlimited_key();
    let control = control.kill()();
    let node = stopped.start();
    await_status(&node, &missed, 200);
    let listed = control.await_in_step("edge");
    assert_eq!((&listed["full_syncs"], &listed["changes"]), (&json!(0), &json!(1)), "{listed}");
}

#[test]
fn a_node_that_missed_more_than_the_log_holds_gets_everything() {
    let upstream = EchoUpstream::start();
    let (control, _) = exposed(&upstream);
    let stopped = control.node("edge").end("TERM");
    for part in 0..10 {
        let key =
            |number: u32| json!({ "tenant": "acme", "name": format!("k{number}"), "key": secret(number) });
        let keys: Vec<Value> = (part * 10_000..(part + 1) * 10_000).map(key).collect();
        control.admin().post("/api/config", &json!({ "keys": keys })).expect(200);
    }
    let node = stopped.start();
    for number in [0, 99_999] {
        await_status(&node, &secret(number), 200);
    }
    let listed = control.await_in_step("edge");
    assert_eq!((&listed["full_syncs"], &listed["changes"]), (&json!(1), &json!(0)), "{listed}");
}

fn secret(number: u32) -> String {
    format!("a-secret-of-the-test-{number}")
}

#[test]
fn a_node_ends_as_politely_as_a_server_and_control_has_no_proxy() {
    let control = Control::start();
    let node = control.node("edge");
    let address = node.address();
    drop(node.end("TERM"));
    assert!(TcpStream::connect(address).is_err());
    assert!(control.said().iter().all(|line| !line.contains("proxy listening")));
    control.end();
}

#[test]
fn a_node_that_cannot_start_says_what_is_missing() {
    let run = |arguments: &[&str]| {
        let output = tollgate().arg("proxy").args(arguments).output().expect("tollgate");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run(&[]).contains("--control-url"));
    assert!(run(&["--control-url", "http://127.0.0.1:1"]).contains("TOLLGATE_NODE_TOKEN"));
    let odd = run(&["--control-url", "control:8081", "--node-token", "tgn_1"]);
    assert!(odd.contains("--control-url must be a control plane's URL"), "{odd}");
}
