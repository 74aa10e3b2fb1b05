//! Running a gateway: health, logs, and starts that cannot succeed.

mod harness;

use std::fs;
use std::net::TcpListener;

use harness::{EchoUpstream, Gateway, ScriptedUpstream, Step, eventually, eventually_some, exactly};
use serde_json::{Value, json};

#[test]
fn health_is_answered_without_a_key_and_never_by_an_upstream() {
    let gateway = Gateway::start();
    for (path, word) in [("/health", "ready"), ("/health/ready", "ready"), ("/health/live", "live")] {
        let response = gateway.client().get(path, &[]).expect(200);
        assert_eq!(response.json(), json!({ "status": word }), "{path}");
        let head = gateway.client().request("HEAD", path, &[], b"").expect(200);
        assert_eq!(head.body, b"");
        let post = gateway.client().request("POST", path, &[], b"x").expect(405);
        assert_eq!(post.header("Allow"), Some("GET, HEAD"));
    }
    // Nobody can take the name.
    let refused = gateway.admin().post("/api/tenants", &json!({ "slug": "health", "name": "x" })).expect(422);
    assert_eq!(refused["errors"][0]["field"], "slug");
}

#[test]
fn every_request_leaves_one_line_with_all_the_facts() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).plan("basic", &[(100, "hour")]).consumer("shop", "basic");
    let created = tenant.key_with(&json!({ "name": "key", "consumer": "shop" }));
    let key = created["key"].as_str().expect("a key");
    let path = "/acme/api/a%20path?secret=hunter2";
    let response = gateway.client().request("POST", path, &[("X-API-Key", key)], b"body").expect(200);
    let line = gateway.await_logged(|line| line["service"] == "api");
    let expected = json!({
        "level": "info", "method": "POST", "path": "/acme/api/a%20path", "status": 200,
        "bytes": response.body.len(), "client_ip": "127.0.0.1",
        "request_id": response.header("X-Request-ID"), "tenant": "acme", "service": "api", "route": null,
        "consumer": "shop", "organization_id": "shop", "plan_tier": "basic", "key_id": created["id"],
        "limited": false, "circuit": "closed", "cache": null,
    });
    let mut facts = line.as_object().expect("an object").clone();
    let timestamp = facts.remove("timestamp").expect("a timestamp");
    let timestamp: jiff::Timestamp = timestamp.as_str().and_then(|text| text.parse().ok()).expect("RFC 3339");
    assert!((0..20).contains(&jiff::Timestamp::now().duration_since(timestamp).as_secs()), "{timestamp}");
    let mut millis = |name: &str| facts.remove(name).and_then(|value| value.as_f64()).expect("a duration");
    let (whole, upstream_part) = (millis("duration_ms"), millis("upstream_ms"));
    assert!(0.0 < upstream_part && upstream_part <= whole && whole < 20_000.0, "{upstream_part} of {whole}");
    assert_eq!(Value::Object(facts), expected);
}

#[test]
fn a_refused_request_leaves_a_line_too() {
    let gateway = Gateway::start();
    gateway.client().get("/nobody/\"api\"?key=hunter2", &[]).expect(404);
    gateway.client().get("http://gateway.test?key=hunter2", &[]).expect(404);
    gateway.await_logged(|line| line["path"] == "/" && line["status"] == 404);
    let mut malformed = gateway.client();
    malformed.send("GET /\\\"\u{1} HTTP/1.1\r\n\r\n");
    malformed.read_response().expect(400);
    let line = gateway.await_logged(|line| line["status"] == 404 && line["path"] != "/");
    assert_eq!((&line["level"], &line["path"]), (&json!("warn"), &json!("/nobody/\"api\"")));
    assert_eq!(
        (&line["tenant"], &line["key_id"], &line["upstream_ms"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    gateway.await_logged(|line| line["status"] == 400);
    let text = fs::read_to_string(gateway.directory().join("access.log")).expect("the log");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_line_tells_the_gateway_s_own_limits_and_bytes_from_others() {
    let gateway = Gateway::start();
    let upstream = ScriptedUpstream::script(Step::respond("429 Too Many Requests", "slower"));
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).plan_with(&json!({ "slug": "once", "limits": [exactly(1)] }));
    let key = tenant.key("once");
    for (path, limited) in [("/acme/api/theirs", false), ("/acme/api/ours", true)] {
        gateway.client().get(path, &[("X-API-Key", &key)]).expect(429);
        let line = gateway.await_logged(|line| line["path"] == path);
        assert_eq!((&line["status"], &line["limited"]), (&json!(429), &json!(limited)), "{line}");
    }
    gateway.client().request("HEAD", "/nowhere", &[], b"").expect(404);
    let line = gateway.await_logged(|line| line["path"] == "/nowhere");
    assert_eq!(line["bytes"], 0, "a HEAD's response has no body: {line}");
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew_on_hangup() {
    let gateway = Gateway::start();
    gateway.client().get("/before", &[]).expect(404);
    gateway.await_logged(|line| line["path"] == "/before");
    let (log, moved) = (gateway.directory().join("access.log"), gateway.directory().join("access.log.1"));
    fs::rename(&log, &moved).expect("a rename");
    gateway.client().get("/between", &[]).expect(404);
    eventually("a line in the moved file", || {
        fs::read_to_string(&moved).is_ok_and(|text| text.contains("/between"))
    });
    gateway.signal("HUP");
    eventually("a new file", || log.exists());
    gateway.client().get("/after", &[]).expect(404);
    gateway.await_logged(|line| line["path"] == "/after");
    let moved = fs::read_to_string(&moved).expect("the moved file");
    assert!(moved.contains("/before") && !moved.contains("/after"), "{moved}");
}

#[test]
fn the_access_log_goes_where_the_operator_wants_it() {
    let gateway = Gateway::builder().config("access_log = \"stdout\"\n").start();
    gateway.client().get("/on-stdout", &[]).expect(404);
    eventually_some("a line on stdout", || {
        gateway.stdout().into_iter().find(|line| line.contains("\"path\":\"/on-stdout\""))
    });

    let mut gateway = Gateway::builder().config("access_log = \"off\"\n").start();
    gateway.client().get("/nowhere", &[]).expect(404);
    gateway.end();
    assert!(!gateway.directory().join("access.log").exists());
    assert!(gateway.stdout().iter().all(|line| !line.contains("/nowhere")));
}

#[test]
fn a_log_that_may_grow_no_more_ends_nothing() {
    let mut gateway = Gateway::builder().file_size(2_048).start();
    let mut client = gateway.client();
    let path = format!("/nowhere/{}", "x".repeat(5_000));
    // More than the log may hold.
    for _ in 0..600 {
        client.get(&path, &[]).expect(404);
    }
    eventually("it is told", || {
        gateway.stderr().iter().any(|line| line.contains("the access log cannot be written"))
    });
    client.get("/health", &[]).expect(200);
    assert!(gateway.is_running());
}

#[test]
fn a_port_that_is_taken_stops_the_start_with_one_line() {
    let running = Gateway::start();
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let foreign = foreign.local_addr().expect("an address").to_string();
    let (proxy, admin) = (running.proxy_address().to_string(), running.admin_address().to_string());
    for (flag, address) in [
        ("--proxy-listen", &proxy),
        ("--admin-listen", &admin),
        ("--proxy-listen", &foreign),
        ("--admin-listen", &foreign),
    ] {
        let refused =
            Gateway::builder().arg(flag).arg(address).try_start().err().expect("a refusal to start");
        assert!(!refused.status.success(), "{refused:?}");
        let lines: Vec<&str> = refused.stderr.lines().collect();
        assert!(
            matches!(lines.as_slice(), [one] if one.contains(address) && one.contains(flag)),
            "{refused:?}"
        );
        assert!(!refused.stdout.contains("listening"), "{refused:?}");
    }
    running.client().get("/health", &[]).expect(200);
}

#[test]
fn as_many_workers_serve_as_the_operator_says() {
    let gateway = Gateway::builder().arg("--workers").arg("3").start();
    let workers = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", gateway.process_id())).expect("threads");
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("worker-")).count()
    };
    // A thread takes its name a moment after it is there.
    eventually("three workers", || workers() >= 3);
    assert_eq!(workers(), 3);
}

#[test]
fn two_servers_do_not_share_a_data_directory() {
    let builder = Gateway::builder();
    let running = builder.clone().start();
    let refused = builder.clone().try_start().err().expect("a refusal to start");
    assert!(!refused.status.success(), "{refused:?}");
    let holder = format!("process {}", running.process_id());
    assert!(refused.stderr.contains("in use") && refused.stderr.contains(&holder), "{refused:?}");
    // However the first one ended.
    drop(running);
    builder.start();
}
