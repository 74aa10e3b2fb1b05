//! How a gateway ends: what it waits for, and what becomes of what it does not.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use harness::{
    ChildProcess, EchoUpstream, Echoed, Gate, Gateway, RawClient, ScriptedUpstream, Step, Stopped, eventually,
};
use serde_json::json;

/// An upstream that answers when the gate opens.
fn held_upstream() -> (ScriptedUpstream, Gate) {
    let gate = Gate::new();
    let steps = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "at last")].concat();
    (ScriptedUpstream::script(steps), gate)
}

/// A client whose request is at the upstream.
fn waiting_client(gateway: &Gateway, upstream: &ScriptedUpstream) -> RawClient {
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    client.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    eventually("the request at the upstream", || !upstream.requests().is_empty());
    client
}

#[track_caller]
fn await_refused_connections(gateway: &Gateway) {
    let address = gateway.proxy_address();
    eventually("new connections to be refused", || TcpStream::connect(address).is_err());
}

#[test]
fn an_end_that_is_asked_for_waits_for_the_requests_at_hand() {
    for signal in ["TERM", "INT"] {
        let (mut gateway, (upstream, gate)) = (Gateway::start(), held_upstream());
        let mut client = waiting_client(&gateway, &upstream);
        let mut idle = gateway.client();
        idle.get("/health", &[]).expect(200);
        gateway.signal(signal);
        await_refused_connections(&gateway);
        // Who is connected learns that it should go elsewhere.
        let draining = idle.get("/health/ready", &[]).expect(503);
        assert!(draining.header("Retry-After").is_some(), "{draining:?}");
        assert_eq!(gateway.admin().get("/health/ready").expect(503)["status"], "draining");
        gateway.admin().get("/health/live").expect(200);
        assert!(gateway.is_running());
        gate.open();
        let last = client.read_response().expect(200);
        assert_eq!((last.text().as_str(), last.header("Connection")), ("at last", Some("close")));
        assert_eq!(gateway.await_end().code(), Some(0), "{signal}");
        let line = gateway.await_logged(|line| line["path"] == "/acme/api");
        assert_eq!(line["status"], 200);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let (mut gateway, (upstream, _gate)) = (Gateway::start(), held_upstream());
    let mut client = waiting_client(&gateway, &upstream);
    gateway.signal("TERM");
    await_refused_connections(&gateway);
    gateway.signal("TERM");
    assert_eq!(gateway.await_end().code(), Some(143));
    assert!(client.try_read_response("GET").is_err());
}

#[test]
fn the_end_waits_no_longer_than_its_grace() {
    let gateway = Gateway::builder().config("[shutdown]\ngrace = \"300ms\"\n").start();
    let (mut gateway, (upstream, _gate)) = (gateway, held_upstream());
    let mut client = waiting_client(&gateway, &upstream);
    gateway.signal("TERM");
    assert_eq!(gateway.await_end().code(), Some(0));
    assert!(client.try_read_response("GET").is_err());
    // What was cut off is known all the same, and not taken for a client that left.
    let logged = gateway.access_log();
    let cut_off = logged.iter().find(|line| line["path"] == "/acme/api").expect("a line of the log");
    assert_eq!(cut_off["status"], 503);
}

#[test]
fn a_response_that_the_end_cuts_off_is_no_whole_one_and_its_bytes_are_known() {
    let until_close = "HTTP/1.1 200 OK\r\n\r\n123456789";
    let tunnel = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: t\r\nConnection: Upgrade\r\n\r\n123456789";
    let asks_for_tunnel = "HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: t";
    for (begun, asks, status) in [(until_close, "HTTP/1.0", 200), (tunnel, asks_for_tunnel, 101)] {
        let mut gateway = Gateway::builder().config("[shutdown]\ngrace = \"300ms\"\n").start();
        let upstream = ScriptedUpstream::script(vec![Step::write(begun), Step::AwaitClose]);
        let key = gateway.expose(&upstream.url());
        let mut client = gateway.client();
        client.send(format!("GET /acme/api {asks}\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
        let mut received = Vec::new();
        while !received.ends_with(b"123456789") {
            received.extend(client.read_bytes(1_024).expect("the beginning of the response"));
        }
        gateway.signal("TERM");
        assert_eq!(client.read_bytes(1), Err(Stopped::Reset), "{status}");
        assert_eq!(gateway.await_end().code(), Some(0));
        let logged = gateway.access_log();
        let cut_off = logged.iter().find(|line| line["path"] == "/acme/api").expect("a line of the log");
        assert_eq!((&cut_off["status"], &cut_off["bytes"]), (&json!(status), &json!(9)));
        let told = gateway.stderr();
        assert!(told.iter().any(|line| line.contains("a response was cut")), "{told:?}");
    }
}

/// A named pipe, opened for both, so that there is a reader, who reads nothing.
fn pipe_in(directory: &Path) -> (PathBuf, File) {
    let path = directory.join("log");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let unread = File::options().read(true).write(true).open(&path).expect("the pipe");
    (path, unread)
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_the_end_up() {
    for has_reader in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let (pipe, unread) = pipe_in(directory.path());
        let _unread = has_reader.then_some(unread);
        let mut gateway = Gateway::builder().config(&format!("access_log = {pipe:?}\n")).start();
        let mut client = gateway.client();
        // More than a pipe holds.
        for _ in 0..500 {
            client.get(&format!("/nowhere/{}", "x".repeat(200)), &[]).expect(404);
        }
        gateway.signal("HUP");
        gateway.signal("TERM");
        assert_eq!(gateway.await_end().code(), Some(0));
        let told = gateway.stderr();
        assert!(told.iter().any(|line| line.contains("the end of the access log is lost")), "{told:?}");
    }
}

#[test]
fn what_is_said_on_stderr_holds_up_nobody_where_nobody_reads_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, mut unread) = pipe_in(directory.path());
    // All that a pipe holds.
    unread.write_all(&vec![b'\n'; 64 << 10]).expect("room");
    let mut gateway = Gateway::builder().stderr(&path).start();
    for _ in 0..3 {
        gateway.signal("HUP");
    }
    for _ in 0..3 {
        gateway.client().get("/nowhere", &[]).expect(404);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.await_end().code(), Some(0));
}

/// Calls until no connection is accepted any more; gives the number of answers.
fn call_until_refused(gateway: &Gateway, key: &str) -> usize {
    let message = format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n");
    let mut answers = 0;
    while let Ok(mut client) = RawClient::try_connect(gateway.proxy_address()) {
        while client.try_send(&message).is_ok() {
            let Ok(response) = client.try_read_response("GET") else { break };
            Echoed::of(&response);
            answers += 1;
            if response.header("Connection").is_some() {
                break;
            }
        }
    }
    answers
}

#[test]
fn a_request_that_was_begun_is_answered_while_the_gateway_ends() {
    let (mut gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let answers: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| call_until_refused(&gateway, &key))).collect();
        eventually("traffic", || upstream.requests().len() > 200);
        gateway.signal("TERM");
        clients.into_iter().map(|client| client.join().expect("a client")).sum()
    });
    assert_eq!(gateway.await_end().code(), Some(0));
    assert_eq!(upstream.requests().len(), answers);
}

#[test]
fn a_request_on_a_kept_connection_is_answered_or_never_begun_while_the_gateway_ends() {
    let (mut gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.expose(&upstream.url());
    let message = format!("POST /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n");
    let mut kept: Vec<RawClient> = (0..300).map(|_| gateway.client()).collect();
    for client in &mut kept {
        client.get("/health", &[]).expect(200);
    }
    gateway.signal("TERM");
    let answers = kept.iter_mut().filter_map(|client| {
        client.try_send(&message).ok()?;
        client.try_read_response("POST").ok()
    });
    let answers = answers.inspect(|response| assert_eq!(response.status, 200)).count();
    assert_eq!(gateway.await_end().code(), Some(0));
    assert_eq!(upstream.requests().len(), answers);
}

/// Another process that writes to the database, for as long as this lives.
fn lock_database(gateway: &Gateway) -> ChildProcess {
    let script = "import signal, sqlite3, sys\n\
                  database = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  database.execute('BEGIN IMMEDIATE')\n\
                  print('locked', flush=True)\n\
                  signal.pause()";
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(gateway.directory().join("data/tollgate.db"));
    let mut process = ChildProcess::spawn("python3", &mut command);
    process.await_start(|process| process.stdout.after("locked"));
    process
}

#[test]
fn an_end_that_loses_what_was_counted_is_no_good_one() {
    let upstream = EchoUpstream::start();
    let mut gateway = Gateway::start();
    let key = gateway.expose(&upstream.url());
    let _locked = lock_database(&gateway);
    gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
    gateway.signal("TERM");
    assert_eq!(gateway.await_end().code(), Some(1));
    let told = gateway.stderr();
    let expected = "error: what was counted last could not be kept, and is lost";
    assert!(told.iter().any(|line| line.starts_with(expected)), "{told:?}");
}

#[test]
fn a_new_database_beside_an_old_secret_is_told() {
    let is_told = |gateway: &Gateway| {
        gateway
            .stderr()
            .iter()
            .any(|line| line.contains("the database is new, but its secret file is of an earlier one"))
    };
    let mut gateway = Gateway::start();
    gateway.end();
    assert!(!is_told(&gateway));
    let mut again = gateway.again().start();
    again.end();
    assert!(!is_told(&again));
    for file in ["tollgate.db", "tollgate.db-wal", "tollgate.db-shm"] {
        let _may_be_missing = std::fs::remove_file(gateway.directory().join("data").join(file));
    }
    let mut anew = gateway.again().start();
    anew.end();
    assert!(is_told(&anew), "{:?}", anew.stderr());
}
