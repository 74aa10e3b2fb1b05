//! Time that runs out, as the operator's configuration has it.

mod harness;

use std::thread;
use std::time::{Duration, Instant};

use harness::{
    BodyEnd, EchoUpstream, Echoed, Gate, Gateway, RawClient, ScriptedUpstream, Step, Stopped, eventually,
};

/// A gateway with one worker and these timeouts.
fn gateway_with(timeouts: &str) -> Gateway {
    let config = format!("[proxy]\nworkers = 1\n[proxy.timeouts]\n{timeouts}\n");
    Gateway::builder().config(&config).start()
}

#[test]
fn a_head_that_does_not_arrive_in_time_is_answered_with_408() {
    let gateway = gateway_with("head = \"300ms\"");
    for part in ["G", "GET /acme/api HTTP/1.1\r\nHost: g\r\nX-Slow"] {
        let mut client = gateway.client();
        client.send(part);
        let response = client.read_response().expect(408);
        assert_eq!(response.header("Connection"), Some("close"));
        assert!(client.is_closed());
    }
    let mut client = gateway.client();
    client.send("HEAD /acme/half?token=x HTTP/1.1\r\nHost: g\r\nX-Slow");
    client.try_read_response("HEAD").expect("a response").expect(408);
    assert!(client.is_closed(), "nothing follows the head");
    let line = gateway.await_logged(|line| line["path"] == "/acme/half");
    assert_eq!((&line["method"], &line["status"]), (&"HEAD".into(), &408.into()));
}

#[test]
fn a_head_that_trickles_in_gains_no_time_by_that() {
    let gateway = gateway_with("head = \"300ms\"");
    let mut client = gateway.client();
    let began = Instant::now();
    client.send("GET / HTTP/1.1\r\n");
    client.set_timeout(Duration::from_millis(20));
    let first = loop {
        assert!(began.elapsed() < Duration::from_secs(5), "still trickling");
        // May fail once the gateway has closed; what it said before is read all the same.
        let _sent = client.try_send("X-Slow: 1\r\n");
        match client.read_bytes(12) {
            Ok(bytes) => break bytes,
            Err(Stopped::TimedOut) => {}
            Err(stopped) => panic!("{stopped:?}"),
        }
    };
    assert_eq!(String::from_utf8_lossy(&first), "HTTP/1.1 408");
}

#[test]
fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let gateway = gateway_with("head = \"300ms\"\nkeep_alive = \"300ms\"");
    let mut silent = gateway.client();
    assert!(silent.is_closed());
    let mut blank = gateway.client();
    blank.send("\r\n");
    assert!(blank.is_closed());

    let mut kept = gateway.client();
    kept.get("/health", &[]).expect(200);
    assert!(kept.is_closed());
}

#[test]
fn an_empty_line_gains_a_connection_without_a_request_no_time() {
    let gateway = gateway_with("head = \"300ms\"");
    let mut blank = gateway.client();
    blank.send("\r\n");
    assert!(blank.is_closed(), "it is kept as if there had been a request");
}

#[test]
fn a_connection_is_kept_for_the_keep_alive_time() {
    let gateway = gateway_with("head = \"100ms\"\nkeep_alive = \"20s\"");
    let mut client = gateway.client();
    client.get("/health", &[]).expect(200);
    // Longer than a head may take, which counts from its first byte alone.
    thread::sleep(Duration::from_millis(400));
    client.get("/health", &[]).expect(200);
}

#[test]
fn an_empty_line_behind_a_body_begins_no_request() {
    let (gateway, upstream) = (gateway_with("head = \"300ms\""), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    let post =
        format!("POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 4\r\n\r\nbody");
    client.send(format!("{post}\r\n"));
    assert_eq!(Echoed::of(&client.read_response()).body, "body");
    // The time itself is what is tested: the next head is not waited for yet.
    thread::sleep(Duration::from_millis(900));
    client.send("\r\n");
    thread::sleep(Duration::from_millis(900));
    client.send(post);
    assert_eq!(Echoed::of(&client.read_response()).body, "body");
}

#[test]
fn a_body_that_stops_is_answered_with_408_and_never_a_complete_request() {
    let gateway = gateway_with("body_idle = \"300ms\"");
    let upstream = EchoUpstream::start();
    let key = gateway.expose(&upstream.url());
    for part in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut client = gateway.client();
        client.send(format!("POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n{part}"));
        let response = client.read_response().expect(408);
        assert_eq!(response.header("Connection"), Some("close"));
        assert!(client.is_closed());
        upstream.await_open_connections(0);
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| !request.is_complete && request.body == b"abc"), "{requests:?}");
}

#[test]
fn an_upstream_that_does_not_say_whether_it_wants_the_body_is_504() {
    let gateway = gateway_with("body_idle = \"200ms\"\nfirst_byte = \"600ms\"");
    let consenting = vec![Step::write("HTTP/1.1 100 Continue\r\n\r\n"), Step::AwaitClose];
    let upstream = ScriptedUpstream::scripts(vec![vec![Step::AwaitClose], consenting]);
    let key = gateway.expose(&upstream.url());
    let message = format!(
        "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    );
    let mut client = gateway.client();
    client.send(&message);
    let response = client.read_response().expect(504);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=connection_read_timeout"));
    assert!(client.is_closed());

    // Once it has said so, it is the client that is waited for.
    let mut client = gateway.client();
    client.send(&message);
    assert_eq!(client.read_response().status, 100);
    client.read_response().expect(408);
}

#[test]
fn a_response_to_half_a_request_is_not_waited_for_for_long() {
    let gateway = Gateway::start();
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let upstream = ScriptedUpstream::script(vec![Step::write(begun), Step::AwaitClose]);
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(format!(
        "POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    ));
    let mut received = Vec::new();
    while !received.ends_with(b"abc") {
        received.extend(client.read_bytes(1_024).expect("the beginning of the response"));
    }
    client.send("zz\r\n");
    // Sooner than after a body's time without a byte, a minute.
    upstream.await_open_connections(0);
    assert_eq!(client.read_bytes(1), Err(Stopped::Reset));
}

#[test]
fn a_body_that_is_slow_but_steady_is_taken() {
    let gateway = gateway_with("body_idle = \"2s\"");
    let upstream = EchoUpstream::start();
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client
        .send(format!("POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 5\r\n\r\n"));
    // Longer in all than it may pause.
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(500));
        client.send("x");
    }
    assert_eq!(Echoed::of(&client.read_response()).body, "xxxxx");
}

#[test]
fn an_upstream_that_does_not_answer_is_504() {
    for (timeouts, error) in [
        ("first_byte = \"300ms\"", "connection_read_timeout"),
        ("total = \"300ms\"", "http_response_timeout"),
    ] {
        let gateway = gateway_with(timeouts);
        let upstream = ScriptedUpstream::script(vec![Step::AwaitClose]);
        let key = gateway.expose(&upstream.url());
        let mut client = gateway.client();
        let response = client.get("/acme/api", &[("X-API-Key", &key)]).expect(504);
        assert_eq!(response.header("Proxy-Status"), Some(format!("tollgate; error={error}").as_str()));
        upstream.await_open_connections(0);
        // Nothing was wrong with the client.
        client.get("/health", &[]).expect(200);
    }
}

#[test]
fn an_upstream_that_stops_within_its_response_is_cut() {
    for (timeouts, said) in [
        ("body_idle = \"300ms\"", "stood still for too long"),
        ("total = \"300ms\"", "took longer than it may"),
    ] {
        let gateway = gateway_with(timeouts);
        let upstream = ScriptedUpstream::script(vec![
            Step::write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
            Step::AwaitClose,
        ]);
        let key = gateway.expose(&upstream.url());
        let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]);
        assert_eq!((response.text().as_str(), response.end), ("abc", BodyEnd::CutShort));
        upstream.await_open_connections(0);
        eventually("the operator reads why", || gateway.stderr().iter().any(|line| line.contains(said)));
    }
}

#[test]
fn a_client_that_stops_reading_is_cut() {
    let gateway = gateway_with("body_idle = \"300ms\"");
    let upstream = ScriptedUpstream::start(|exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        loop {
            exchange.write(&chunk)?;
        }
    });
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    // The upstream would give up in the end as well.
    eventually("the operator reads why", || {
        gateway.stderr().iter().any(|line| line.contains("stood still for too long"))
    });
    upstream.await_open_connections(0);
}

#[test]
fn an_idle_upstream_connection_is_closed() {
    let gateway = gateway_with("upstream_idle = \"200ms\"");
    let upstream = EchoUpstream::start();
    let key = gateway.expose(&upstream.url());
    Echoed::of(&gateway.client().get("/acme/api", &[("X-API-Key", &key)]));
    upstream.await_open_connections(0);
    Echoed::of(&gateway.client().get("/acme/api", &[("X-API-Key", &key)]));
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_upstream_connection_idles_from_the_end_of_its_last_response() {
    // Longer than a connection may idle.
    let slow = [
        Step::write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"),
        Step::Pause(Duration::from_millis(3_500)),
        Step::write("k"),
    ];
    let upstream = ScriptedUpstream::script(slow.to_vec());
    let gateway = gateway_with("upstream_idle = \"3s\"");
    let key = gateway.expose(&upstream.url());
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    // Idle connections are looked over once a second.
    thread::sleep(Duration::from_millis(1_500));
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    let gateway = gateway_with("tunnel_idle = \"300ms\"");
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let upstream = ScriptedUpstream::script(vec![Step::write(switching), Step::AwaitClose]);
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(format!(
        "GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    ));
    assert_eq!(client.read_response().status, 101);
    assert!(client.is_closed());
    upstream.await_open_connections(0);
}

/// So many clients that begin a head or a body and send nothing more.
fn slow_senders(count: usize, gateway: &Gateway, key: &str) -> Vec<RawClient> {
    let head = "GET /acme/api HTTP/1.1\r\nHost: g".to_owned();
    let body =
        format!("POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\nContent-Length: 9\r\n\r\nabc");
    let senders = [head, body].into_iter().cycle().take(count).map(|part| {
        let mut client = gateway.client();
        client.send(part);
        client
    });
    senders.collect()
}

#[test]
fn hundreds_of_slow_senders_keep_nobody_from_being_served() {
    let gateway = gateway_with("head = \"60s\"");
    let upstream = EchoUpstream::start();
    let key = gateway.expose(&upstream.url());
    let mut slow = slow_senders(200, &gateway, &key);
    eventually("those with a body at the upstream", || upstream.requests().len() == 100);
    for _ in 0..20 {
        Echoed::of(&gateway.client().get("/acme/api", &[("X-API-Key", &key)]));
    }
    // They were there all the time, and go on where they stopped.
    slow[0].send(format!("\r\nX-API-Key: {key}\r\n\r\n"));
    Echoed::of(&slow[0].read_response());
    slow[1].send("defghi");
    assert_eq!(Echoed::of(&slow[1].read_response()).body, "abcdefghi");
}

#[test]
fn slow_senders_are_cut_all_at_once() {
    let gateway = gateway_with("head = \"300ms\"\nbody_idle = \"300ms\"");
    let upstream = EchoUpstream::start();
    let key = gateway.expose(&upstream.url());
    for mut client in slow_senders(100, &gateway, &key) {
        client.read_response().expect(408);
        assert!(client.is_closed());
    }
    upstream.await_open_connections(0);
}

#[test]
fn an_upstream_that_is_slow_for_one_client_is_not_for_another() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = ScriptedUpstream::start(move |exchange| {
        let held =
            if exchange.request.target == "/slow" { vec![Step::Await(held.clone())] } else { Vec::new() };
        exchange.run(&[held, Step::respond("200 OK", "ok")].concat())
    });
    let gateway = gateway_with("");
    let key = gateway.expose(&upstream.url());
    let mut slow: Vec<RawClient> = (0..50)
        .map(|_| {
            let mut client = gateway.client();
            client.send(format!("GET /acme/api/slow HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
            client
        })
        .collect();
    eventually("all of them at the upstream", || upstream.requests().len() == 50);
    gateway.client().get("/acme/api/fast", &[("X-API-Key", &key)]).expect(200);
    gate.open();
    for client in &mut slow {
        assert_eq!(client.read_response().expect(200).text(), "ok");
    }
}
