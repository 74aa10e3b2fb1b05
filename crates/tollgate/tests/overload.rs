//! A node that has all that it can take: it says so at once, and goes on with what it has begun.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Gate, Gateway, RawClient, ScriptedUpstream, Step, eventually, eventually_some};

fn start(limits: &str) -> Gateway {
    Gateway::builder().config(limits).arg("--workers").arg("2").start()
}

/// On a connection of its own; `None` where that was closed without an answer.
fn status(gateway: &Gateway, path: &str, key: &str) -> Option<u16> {
    let mut client = RawClient::try_connect(gateway.proxy_address()).ok()?;
    client.try_send(format!("GET {path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n")).ok()?;
    client.try_read_response("GET").ok().map(|response| response.status)
}

/// A connection within the bound: others that have ended may still be counted for a moment.
#[track_caller]
fn within(gateway: &Gateway) -> RawClient {
    eventually_some("a connection within the bound", || {
        let mut client = gateway.client();
        let answer = client.get("/health", &[]).expect(200);
        answer.header("Connection").is_none().then_some(client)
    })
}

#[test]
fn a_flood_is_turned_away_while_health_and_the_admin_api_go_on() {
    let gate = Gate::new();
    let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "at last")].concat();
    let upstream = ScriptedUpstream::script(steps);
    let gateway = start("proxy.limits.max_requests = 4\n");
    let key = gateway.expose(&upstream.url());
    let mut within: Vec<_> = (0..4)
        .map(|_| {
            let mut client = gateway.client();
            client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
            client
        })
        .collect();
    eventually("four requests at the target", || upstream.requests().len() == 4);
    let mut client = gateway.client();
    for _ in 0..50 {
        let refused = client.get("/acme/api", &[("X-API-Key", &key)]).expect(503);
        assert_eq!(refused.header("Retry-After"), Some("1"));
        assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=connection_limit_reached"));
    }
    for path in ["/health", "/health/live", "/health/ready"] {
        client.get(path, &[]).expect(200);
    }
    gateway.admin_connection().get("/health/ready", &[]).expect(200);
    gateway.admin().get("/api/tenants").expect(200);
    let metrics = gateway.admin_connection().get("/metrics", &[]).expect(200).text();
    assert!(metrics.contains("\ntollgate_proxy_overloaded_total 50\n"), "{metrics}");
    assert_eq!(upstream.requests().len(), 4);
    gate.open();
    for client in &mut within {
        client.read_response().expect(200);
    }
    eventually("room for another", || client.get("/acme/api", &[("X-API-Key", &key)]).status == 200);
}

#[test]
fn a_tunnel_is_one_of_the_requests_until_it_ends() {
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\n";
    let upstream = ScriptedUpstream::script(vec![Step::write(upgrade), Step::AwaitClose]);
    let gateway = start("proxy.limits.max_requests = 1\n");
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    let fields = "Connection: Upgrade\r\nUpgrade: talk";
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n{fields}\r\n\r\n"));
    client.read_response().expect(101);
    assert_eq!(status(&gateway, "/acme/api", &key), Some(503));
    drop(client);
    let is_unknown = || status(&gateway, "/acme/nothing", &key) == Some(404);
    eventually("room for another request", is_unknown);
}

#[test]
fn connections_beyond_the_bound_are_told_so_and_make_way() {
    let upstream = ScriptedUpstream::responding("well");
    let gateway = start("proxy.limits.max_connections = 3\n");
    let key = gateway.expose(&upstream.url());
    let mut within: Vec<_> = (0..3).map(|_| within(&gateway)).collect();
    for client in &mut within {
        client.get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    }
    let refused = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(503);
    assert_eq!((refused.header("Retry-After"), refused.header("Connection")), (Some("1"), Some("close")));
    gateway.client().get("/health/ready", &[]).expect(200);
    for client in &mut within {
        client.get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    }
    drop(within.pop());
    eventually("room for another", || status(&gateway, "/acme/api", &key) == Some(200));
}

#[test]
fn connections_that_say_nothing_keep_nobody_out_for_long() {
    let gateway = start("proxy.limits.max_connections = 3\n");
    let silent: Vec<_> = (0..60).map(|_| RawClient::try_connect(gateway.proxy_address())).collect();
    gateway.admin_connection().get("/health/ready", &[]).expect(200);
    eventually("the proxy to say how it is", || status(&gateway, "/health/live", "none") == Some(200));
    assert!(silent.iter().all(Result::is_ok));
}

#[test]
fn a_connection_beyond_the_bound_that_says_nothing_is_closed_soon() {
    let gateway = start("proxy.limits.max_connections = 1\nproxy.timeouts.head = \"10m\"\n");
    let _within = within(&gateway);
    for begun in ["", "GET /health HTTP/1.1\r\n"] {
        let mut surplus = gateway.client();
        surplus.send(begun);
        if !begun.is_empty() {
            surplus.read_response().expect(408);
        }
        assert!(surplus.is_closed());
    }
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let upstream = ScriptedUpstream::responding("well");
    let gateway = Gateway::builder().open_files(60, 2_000).start();
    let key = gateway.expose(&upstream.url());
    let mut clients: Vec<_> = (0..150).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    }
}

#[test]
fn where_files_are_few_there_are_fewer_connections_and_no_one_is_left_hanging() {
    let upstream = ScriptedUpstream::responding("well");
    let gateway = Gateway::builder().open_files(250, 250).start();
    let key = gateway.expose(&upstream.url());
    let warning = "the limit of open files is too low";
    assert!(gateway.stderr().iter().any(|line| line.contains(warning)), "{:?}", gateway.stderr());
    let mut clients: Vec<_> = (0..300).map(|_| RawClient::try_connect(gateway.proxy_address())).collect();
    let mut answered = std::collections::BTreeMap::new();
    for client in clients.iter_mut().flatten() {
        let sent = client.try_send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
        let response = sent.ok().and_then(|()| client.try_read_response("GET").ok());
        // Those that are too many even to be told are closed as they come.
        let status = response.map_or(0, |response| response.status);
        *answered.entry(status).or_insert(0) += 1;
    }
    let counted: Vec<_> = answered.keys().copied().collect();
    assert!(counted == [0, 200, 503] && answered[&200] >= 50, "{answered:?}");
    gateway.admin_connection().get("/health/ready", &[]).expect(200);
    assert!(!gateway.stderr().iter().any(|line| line.contains("cannot accept")), "{:?}", gateway.stderr());
}

#[test]
fn where_not_all_workers_can_be_started_none_is() {
    let builder = Gateway::builder().open_files(64, 64).arg("--workers").arg("40");
    let refused = builder.try_start().err().expect("it does not start");
    assert!(!refused.status.success() && !refused.stdout.contains("proxy listening"), "{refused:?}");
    let reasons = ["of 40 workers could be started", "Too many open files", "ulimit -n"];
    assert!(reasons.iter().all(|reason| refused.stderr.contains(reason)), "{}", refused.stderr);
}

#[test]
fn a_bound_of_nothing_is_no_bound() {
    for setting in ["max_connections", "max_requests"] {
        let config = format!("proxy.limits.{setting} = 0\n");
        let refused = Gateway::builder().config(&config).try_start().err().expect("it does not start");
        assert!(refused.stderr.contains(&format!("proxy.limits.{setting}")), "{}", refused.stderr);
    }
}
