//! Active checks beside each other: of tenants that have many silent targets, of services that are edited or deleted meanwhile.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;

use harness::{Gate, Gateway, PATIENCE, ScriptedUpstream, Step, Stopped, Tenant, eventually, overlaid};
use serde_json::{Value, json};

/// Takes connections, and never says anything.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    address
}

/// Holds what it is asked until the gateway gives up, however long that takes.
fn holding() -> ScriptedUpstream {
    ScriptedUpstream::start(|exchange| {
        loop {
            match exchange.read_bytes() {
                Ok(_) | Err(Stopped::TimedOut) => {}
                Err(stopped) => return Err(stopped),
            }
        }
    })
}

/// For as long as a check may take.
fn patient() -> Value {
    json!({ "interval": "60s", "timeout": "60s", "path": "/up" })
}

fn service(url: &str, check: &Value) -> Value {
    json!({ "slug": "api", "url": url, "health_check": check })
}

fn status(gateway: &Gateway, tenant: &Tenant) -> Value {
    let list = gateway.admin().get(&tenant.path("health/services")).expect(200);
    list["items"][0]["status"].clone()
}

#[test]
fn a_tenant_with_many_silent_targets_keeps_nobody_elses_from_being_checked() {
    let gateway = Gateway::start();
    let (address, upstream) = (silent(), ScriptedUpstream::responding("up"));
    let (greedy, acme) = (gateway.tenant("greedy"), gateway.tenant("acme"));
    for number in 0..2 {
        let targets: Vec<_> =
            (0..256).map(|target| json!({ "url": format!("http://{address}/{target}") })).collect();
        greedy.service_with(&json!({ "slug": format!("silent-{number}"), "targets": targets,
            "health_check": patient() }));
    }
    // It comes when all that may be under way for the other is.
    let watched = ScriptedUpstream::responding("up");
    greedy.service_with(&json!({ "slug": "watched", "url": watched.url(), "health_check": patient() }));
    eventually("another service of the same tenant to be checked", || !watched.requests().is_empty());
    acme.service_with(&service(&upstream.url(), &patient()));
    eventually("another tenant's target to be found well", || status(&gateway, &acme) == "healthy");
}

#[test]
fn a_service_that_is_deleted_is_asked_nothing_any_more() {
    let (gateway, upstream) = (Gateway::start(), holding());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&service(&upstream.url(), &patient()));
    upstream.await_open_connections(1);
    gateway.admin().delete(&tenant.path("services/api")).expect(204);
    upstream.await_open_connections(0);
}

#[test]
fn a_check_that_is_edited_is_made_again_as_it_is_now() {
    let (gateway, upstream) = (Gateway::start(), holding());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&service(&upstream.url(), &patient()));
    assert_eq!(upstream.await_request(0).target, "/up");
    let mut edited = patient();
    edited["path"] = json!("/well");
    gateway.admin().put(&tenant.path("services/api"), &service(&upstream.url(), &edited)).expect(200);
    assert_eq!(upstream.await_request(1).target, "/well");
    upstream.await_open_connections(1);
}

#[test]
fn an_edited_interval_holds_from_the_edit_on() {
    let (gateway, upstream) = (Gateway::start(), ScriptedUpstream::responding("up"));
    let tenant = gateway.tenant("acme");
    tenant.service_with(&service(&upstream.url(), &json!({ "interval": "24h" })));
    eventually("its first check to have ended", || status(&gateway, &tenant) == "healthy");
    let edited = service(&upstream.url(), &json!({ "interval": "100ms" }));
    gateway.admin().put(&tenant.path("services/api"), &edited).expect(200);
    upstream.await_request(3);
}

#[test]
fn checks_on_demand_join_the_one_under_way_and_are_bounded() {
    let (gateway, upstream) = (Gateway::start(), holding());
    let (tenant, other) = (gateway.tenant("acme"), gateway.tenant("other"));
    tenant.service_with(&service(&upstream.url(), &patient()));
    upstream.await_request(0);
    let (answers, answered) = mpsc::channel();
    for _ in 0..17 {
        let (admin, path, answers) =
            (gateway.admin(), tenant.path("services/api/health-check"), answers.clone());
        thread::spawn(move || drop(answers.send(admin.post(&path, &json!({})))));
    }
    let refused = answered.recv_timeout(PATIENCE).expect("one of them is one too many");
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("1")));
    assert_eq!(upstream.connections(), 1);
    let up = ScriptedUpstream::responding("up");
    other.service("api", &up.url());
    let checked = gateway.admin().post(&other.path("services/api/health-check"), &json!({})).expect(200);
    assert_eq!(checked["status"], "healthy", "nobody else waits for them");
    gateway.admin().delete(&tenant.path("services/api")).expect(204);
    for _ in 0..16 {
        answered.recv_timeout(PATIENCE).expect("there is nothing to wait for").expect(200);
    }
}

#[test]
fn a_check_on_demand_that_has_no_turn_in_time_is_503() {
    let (gateway, upstream) = (Gateway::start(), holding());
    let tenant = gateway.tenant("acme");
    let targets: Vec<_> =
        (0..256).map(|target| json!({ "url": format!("{}/{target}", upstream.url()) })).collect();
    tenant.service_with(&json!({ "slug": "api", "targets": targets, "health_check": patient() }));
    let refused = gateway.admin().post(&tenant.path("services/api/health-check"), &json!({}));
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("1")));
    assert!(upstream.connections() < 128, "{} at once", upstream.connections());
}

#[test]
fn what_was_switched_off_keeps_nobody_out_in_the_view_either() {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let works = Gate::new();
    let (failing, well) = (ScriptedUpstream::failing_until(&works), ScriptedUpstream::responding("up"));
    let targets = json!([{ "url": failing.url() }, { "url": well.url() }]);
    let write = |extra: &Value| {
        let fields = json!({ "slug": "api", "targets": targets, "breaker": { "enabled": false }, "retries": { "enabled": false } });
        overlaid(fields, extra)
    };
    let checked = json!({ "health_check": { "interval": "100ms", "healthy": 1, "unhealthy": 1 },
        "outlier": { "consecutive": 1, "ejection": "1h", "longest_ejection": "1h" } });
    tenant.service_with(&write(&checked));
    let key = tenant.unlimited_key();
    let health = || gateway.admin().get(&tenant.path("health/services")).expect(200)["items"][0].clone();
    for _ in 0..4 {
        gateway.client().get("/acme/api", &[("X-API-Key", &key)]);
    }
    eventually("it to be ejected and unhealthy", || health()["targets"][0]["ejected_seconds"].is_u64());
    eventually("its checks to have failed", || health()["targets"][0]["last_check"]["passed"] == false);

    let path = tenant.path("services/api");
    gateway.admin().put(&path, &write(&json!({ "outlier": { "enabled": false } }))).expect(200);
    let target = health()["targets"][0].clone();
    assert_eq!((&target["ejected_seconds"], &target["status"]), (&Value::Null, &json!("unhealthy")));

    // The last check says how it was; one on demand says how it is.
    gateway
        .admin()
        .put(&path, &write(&json!({ "outlier": { "enabled": false }, "health_check": { "enabled": false } })))
        .expect(200);
    works.open();
    let checked = gateway.admin().post(&tenant.path("services/api/health-check"), &json!({})).expect(200);
    assert_eq!(
        (&checked["targets"][0]["status"], &checked["status"]),
        (&json!("healthy"), &json!("healthy"))
    );
}

#[test]
fn a_check_that_fails_says_how() {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    for (number, (answer, expected)) in [
        ("", "the connection was closed before an answer was whole"),
        ("HTTP/1.1 20", "the connection was closed before an answer was whole"),
        ("hello\r\n\r\n", "the answer is not valid HTTP: status line"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101"),
    ]
    .into_iter()
    .enumerate()
    {
        let upstream = ScriptedUpstream::script(vec![Step::write(answer), Step::Close]);
        let slug = format!("api-{number}");
        tenant.service(&slug, &upstream.url());
        let path = tenant.path(&format!("services/{slug}/health-check"));
        let checked = gateway.admin().post(&path, &json!({})).expect(200);
        assert_eq!(checked["targets"][0]["last_check"]["error"], expected, "{answer:?}");
    }
}
