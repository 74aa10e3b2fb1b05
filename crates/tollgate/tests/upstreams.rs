//! Connections to upstreams: reused, replaced, balanced, given up.

mod harness;

use std::thread;

use harness::{EchoUpstream, Echoed, Gate, Gateway, Nginx, RawClient, ScriptedUpstream, Step, eventually};
use serde_json::json;

/// With one worker there is one pool, so what is reused is exact.
fn with_one_worker() -> Gateway {
    Gateway::builder().arg("--workers").arg("1").start()
}

#[test]
fn one_worker_needs_one_connection_for_requests_one_after_another() {
    let (gateway, upstream) = (with_one_worker(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for number in 0..20 {
        // A client of its own for each.
        let response = gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"body");
        assert_eq!(Echoed::of(&response).body, "body", "{number}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn workers_hand_their_idle_connections_to_each_other() {
    let (gateway, upstream) = (Gateway::builder().arg("--workers").arg("8").start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for _ in 0..200 {
        Echoed::of(&gateway.client().get("/acme/api", &[("X-API-Key", &key)]));
    }
    // Each worker for itself would need eight. A client that has its answer can be faster back than the
    // connection that it came over is in its pool.
    assert!(upstream.connections() <= 4, "{} connections", upstream.connections());
}

#[test]
fn real_servers_connections_are_reused_too() {
    let nginx = Nginx::start("location / { return 200 \"$connection $request_method $http_x_tenant_id\"; }");
    let gateway = with_one_worker();
    let key = gateway.expose(&nginx.url());
    let answers: Vec<String> = ["GET", "POST", "DELETE"]
        .map(|method| gateway.client().request(method, "/acme/api", &[("X-API-Key", &key)], b"x"))
        .map(|response| response.expect(200).text())
        .into();
    let connection = answers[0].split(' ').next().expect("a connection's number");
    let expected = ["GET", "POST", "DELETE"].map(|method| format!("{connection} {method} acme"));
    assert_eq!(answers, expected);
}

#[test]
fn a_connection_that_the_upstream_closes_after_its_response_is_not_used_again() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let upstream =
        ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::write(closing), Step::AwaitClose]);
    let gateway = with_one_worker();
    let key = gateway.expose(&upstream.url());
    for _ in 0..3 {
        gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"body").expect(200);
    }
    assert_eq!((upstream.connections(), upstream.requests().len()), (3, 3));
}

#[test]
fn a_connection_that_somebody_has_signed_in_over_is_nobody_else_s() {
    for (asked, answered) in [
        (&[("Authorization", "NTLM TlRMTVNTUAAD")][..], "200 OK"),
        (&[("authorization", "negotiate YII=")], "200 OK"),
        (&[], "401 Unauthorized\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: NTLM"),
    ] {
        let upstream = ScriptedUpstream::script(Step::respond(answered, ""));
        let gateway = with_one_worker();
        let key = gateway.expose(&upstream.url());
        let fields = [&[("X-API-Key", key.as_str())], asked].concat();
        for _ in 0..2 {
            gateway.client().get("/acme/api", &fields);
        }
        assert_eq!(upstream.connections(), 2, "{asked:?} {answered}");
    }
}

#[test]
fn a_pooled_connection_that_has_died_is_not_used() {
    let (gateway, upstream) = (with_one_worker(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    for number in 0..5 {
        let response = gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"body");
        assert_eq!(Echoed::of(&response).body, "body", "{number}");
        upstream.close_connections();
        upstream.await_open_connections(0);
    }
    assert_eq!((upstream.connections(), upstream.requests().len()), (5, 5));
}

#[test]
fn an_upstream_that_has_gone_is_noticed_although_it_was_just_there() {
    let nginx = Nginx::start("location / { return 200 up; }");
    let gateway = with_one_worker();
    let key = gateway.expose(&nginx.url());
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    nginx.stop();
    let response = gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"x").expect(502);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=connection_refused"));
}

/// Answers the first request, so that its connection is pooled, and then takes these steps.
fn after_one_response(then: Vec<Vec<Step>>) -> ScriptedUpstream {
    let first = Step::respond("200 OK", "first");
    ScriptedUpstream::scripts([vec![first], then].concat())
}

#[test]
fn a_get_whose_pooled_connection_dies_is_sent_once_more() {
    let upstream = after_one_response(vec![vec![Step::Close], Step::respond("200 OK", "again")]);
    let gateway = with_one_worker();
    let key = gateway.expose(&upstream.url());
    let get = || gateway.client().get("/acme/api/x", &[("X-API-Key", &key)]).expect(200).text();
    assert_eq!((get(), get()), ("first".to_owned(), "again".to_owned()));
    let ids: Vec<_> =
        upstream.requests().iter().map(|request| request.header("X-Request-ID").map(str::to_owned)).collect();
    assert_eq!((ids.len(), &ids[1]), (3, &ids[2]), "both are the same request");
    assert_ne!(upstream.requests()[1].connection, upstream.requests()[2].connection);
}

#[test]
fn a_get_is_not_sent_a_third_time() {
    let upstream = after_one_response(vec![vec![Step::Close]]);
    let gateway = with_one_worker();
    let key = gateway.expose(&upstream.url());
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(502);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=connection_terminated"));
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn what_the_upstream_may_have_acted_upon_is_not_sent_again() {
    // An idempotent method does not help where its body has gone.
    for (method, body) in
        [("POST", &b""[..]), ("POST", b"body"), ("PATCH", b""), ("PUT", b"body"), ("PAY", b"")]
    {
        let upstream = after_one_response(vec![vec![Step::ReadWholeBody, Step::Close]]);
        let gateway = with_one_worker();
        let key = gateway.expose(&upstream.url());
        gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
        let response =
            gateway.client().request(method, "/acme/api", &[("X-API-Key", &key)], body).expect(502);
        assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=connection_terminated"));
        assert_eq!(upstream.requests().len(), 2, "{method} {body:?}");
    }
}

#[test]
fn a_request_on_a_fresh_connection_is_not_sent_again() {
    let upstream = ScriptedUpstream::script(vec![Step::Close]);
    let gateway = with_one_worker();
    let key = gateway.expose(&upstream.url());
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(502);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_client_that_leaves_takes_its_request_back_at_once() {
    let answer_begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let upstream = ScriptedUpstream::start(move |exchange| {
        let begins = exchange.request.target == "/begins";
        let begun = if begins { vec![Step::write(answer_begun)] } else { Vec::new() };
        exchange.run(&[begun, vec![Step::AwaitClose]].concat())
    });
    let gateway = with_one_worker();
    let key = gateway.expose(&upstream.url());
    let fields = format!("Host: g\r\nX-API-Key: {key}\r\n");
    let messages = [
        format!("GET /acme/api/silent HTTP/1.1\r\n{fields}\r\n"),
        format!("GET /acme/api/begins HTTP/1.1\r\n{fields}\r\n"),
        format!("POST /acme/api/unsent HTTP/1.1\r\n{fields}Content-Length: 10\r\n\r\nabc"),
        format!("POST /acme/api/sent HTTP/1.1\r\n{fields}Content-Length: 3\r\n\r\nabc"),
    ];
    let mut sent = 0;
    for message in &messages {
        for leave in [drop as fn(RawClient), RawClient::reset] {
            let mut client = gateway.client();
            client.send(message);
            sent += 1;
            eventually("the request at the upstream", || upstream.requests().len() == sent);
            leave(client);
            upstream.await_open_connections(0);
        }
    }
    // Nobody was there to be told.
    gateway.await_logged(|line| line["path"] == "/acme/api/silent" && line["status"] == 499);
}

#[test]
fn a_client_that_leaves_while_its_target_takes_nothing_takes_its_request_back_at_once() {
    let (gate, gateway) = (Gate::new(), with_one_worker());
    let held = gate.clone();
    let upstream = ScriptedUpstream::start(move |exchange| {
        if exchange.request.target == "/begins" {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")?;
        }
        // It reads nothing.
        exchange.run(&[Step::Await(held.clone()), Step::Close])
    });
    let key = gateway.expose(&upstream.url());
    for (path, status) in [("silent", 499), ("begins", 200)] {
        let mut client = gateway.client();
        client.send(format!(
            "POST /acme/api/{path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 99999999\r\n\r\n"
        ));
        client.send_until_full();
        client.reset();
        let path = format!("/acme/api/{path}");
        let line = gateway.await_logged(|line| line["path"] == path.as_str());
        assert_eq!(line["status"], status);
    }
    gate.open();
}

#[test]
fn a_client_that_leaves_within_an_early_response_takes_its_request_back_at_once() {
    // The upstream does not wait for the body, and does not come to the end of its response either.
    let upstream = ScriptedUpstream::script(vec![
        Step::write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
        Step::AwaitClose,
    ]);
    let gateway = with_one_worker();
    let key = gateway.expose(&upstream.url());
    for leave in [drop as fn(RawClient), RawClient::reset] {
        let mut client = gateway.client();
        client.send(format!(
            "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 10\r\n\r\nabc"
        ));
        assert_eq!(String::from_utf8_lossy(&client.read_bytes(12).expect("a response")), "HTTP/1.1 200");
        leave(client);
        upstream.await_open_connections(0);
    }
}

#[test]
fn targets_get_exactly_their_share_of_a_round() {
    let upstreams: Vec<EchoUpstream> = (0..3).map(|_| EchoUpstream::start()).collect();
    let gateway = with_one_worker();
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "targets": [
        { "url": upstreams[0].url(), "weight": 5 },
        { "url": upstreams[1].url(), "weight": 2 },
        { "url": upstreams[2].url() },
    ]}));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    for round in 1..=3 {
        for _ in 0..8 {
            Echoed::of(&client.get("/acme/api", &[("X-API-Key", &key)]));
        }
        let counts: Vec<usize> = upstreams.iter().map(|upstream| upstream.requests().len()).collect();
        assert_eq!(counts, [5 * round, 2 * round, round]);
    }
}

#[test]
fn many_clients_at_once_are_all_served() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    thread::scope(|scope| {
        for number in 0..32 {
            let (gateway, key) = (&gateway, &key);
            scope.spawn(move || {
                let mut client = gateway.client();
                for turn in 0..20 {
                    let body = format!("{number}.{turn}");
                    let path = format!("/acme/api/{body}");
                    let response = client.request("POST", &path, &[("X-API-Key", key)], body.as_bytes());
                    let echoed = Echoed::of(&response);
                    assert_eq!((echoed.target, echoed.body), (format!("/{body}"), body));
                }
            });
        }
    });
    assert_eq!(upstream.requests().len(), 640);
}
