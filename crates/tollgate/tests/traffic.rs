//! Services whose targets are several, slow, wrong or gone: who gets a request, who gets the next one, and when the
//! gateway says no by itself.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use harness::{
    EchoUpstream, Echoed, Gate, Gateway, Load, Nginx, ScriptedUpstream, Step, Tenant, eventually, overlaid,
};
use serde_json::{Value, json};

fn with_one_worker() -> Gateway {
    Gateway::builder().arg("--workers").arg("1").start()
}

/// An address that refuses connections: no server of a test has this port.
fn refusing(number: u8) -> String {
    format!("http://127.0.0.{number}:1")
}

/// The service `api` of `acme` on these targets, with these fields besides; and a key.
fn expose(gateway: &Gateway, targets: &[String], fields: &Value) -> (Tenant, String) {
    let tenant = gateway.tenant("acme");
    let targets: Vec<_> = targets.iter().map(|url| json!({ "url": url })).collect();
    tenant.service_with(&overlaid(json!({ "slug": "api", "targets": targets }), fields));
    let key = tenant.unlimited_key();
    (tenant, key)
}

fn get(gateway: &Gateway, key: &str) -> harness::Response {
    gateway.client().get("/acme/api", &[("X-API-Key", key)])
}

fn circuit(gateway: &Gateway) -> Value {
    let list = gateway.admin().get("/api/circuit-breakers?tenant=acme").expect(200);
    list["items"][0].clone()
}

#[test]
fn a_service_that_fails_is_held_back_and_let_in_again_when_it_works() {
    let works = Gate::new();
    let upstream = ScriptedUpstream::failing_until(&works);
    let gateway = with_one_worker();
    let breaker = json!({ "breaker": { "recovery": "1s" } });
    let (_, key) = expose(&gateway, &[upstream.url()], &breaker);
    for _ in 0..5 {
        get(&gateway, &key).expect(500);
    }
    let refused = get(&gateway, &key).expect(503);
    assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=destination_unavailable"));
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!((upstream.requests().len(), &circuit(&gateway)["state"]), (5, &json!("open")));
    works.open();
    eventually("the circuit to let requests through", || get(&gateway, &key).status == 200);
    for _ in 0..2 {
        get(&gateway, &key).expect(200);
    }
    assert_eq!(circuit(&gateway)["state"], "closed");
    assert_eq!(circuit(&gateway)["opened"], 1);
    for state in ["closed", "open", "half_open"] {
        gateway.await_logged(|line| line["circuit"] == state);
    }
}

#[test]
fn a_request_that_a_half_open_circuit_refuses_is_told_and_logged_so() {
    let (works, answers) = (Gate::new(), Gate::new());
    let (is_well, held) = (works.clone(), answers.clone());
    let upstream = ScriptedUpstream::start(move |exchange| {
        if is_well.is_open() {
            exchange.run(&[vec![Step::Await(held.clone())], Step::respond("200 OK", "")].concat())
        } else {
            exchange.run(&Step::respond("500 Internal Server Error", ""))
        }
    });
    let gateway = with_one_worker();
    let breaker = json!({ "breaker": { "failures": 1, "recovery": "2s", "probes": 1 } });
    let (_, key) = expose(&gateway, &[upstream.url()], &breaker);
    get(&gateway, &key).expect(500);
    works.open();
    thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the circuit to let a probe through", || get(&gateway, &key).status == 200);
        });
        eventually("the probe at the upstream", || upstream.requests().len() == 2);
        let refused = get(&gateway, &key).expect(503);
        answers.open();
        assert!(refused.text().contains("its circuit is half open"), "{}", refused.text());
        assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=destination_unavailable"));
        assert_eq!(refused.header("Retry-After"), Some("1"));
    });
    gateway.await_logged(|line| line["circuit"] == "half_open" && line["status"] == 503);
}

#[test]
fn an_open_circuit_is_closed_by_hand() {
    let upstream = ScriptedUpstream::scripts(vec![
        Step::respond("502 Bad Gateway", ""),
        Step::respond("200 OK", "again"),
    ]);
    let gateway = Gateway::start();
    let (_, key) = expose(&gateway, &[upstream.url()], &json!({ "breaker": { "failures": 1 } }));
    get(&gateway, &key).expect(502);
    get(&gateway, &key).expect(503);
    let path = "/api/circuit-breakers/api/reset?tenant=acme";
    assert_eq!(gateway.admin().post(path, &json!({})).expect(200)["state"], "closed");
    eventually("it is logged as what it is", || {
        let lines = gateway.stderr();
        lines.iter().any(|line| line.contains("a circuit is closed by hand"))
            && !lines.iter().any(|line| line.contains("a circuit closes"))
    });
    get(&gateway, &key).expect(200);
    gateway.admin().post("/api/circuit-breakers/nothing/reset?tenant=acme", &json!({})).expect(404);
}

#[test]
fn a_service_without_a_breaker_is_asked_every_time() {
    let gateway = Gateway::start();
    let (_, key) = expose(&gateway, &[refusing(1)], &json!({ "breaker": { "enabled": false } }));
    for _ in 0..8 {
        get(&gateway, &key).expect(502);
    }
    assert_eq!(circuit(&gateway)["state"], "off");
}

#[test]
fn clients_do_not_see_that_one_of_three_targets_is_gone() {
    let upstreams = [EchoUpstream::start(), EchoUpstream::start()];
    let targets = [refusing(1), upstreams[0].url(), upstreams[1].url()];
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &targets, &json!({}));
    for method in ["GET", "POST", "PUT"].repeat(12) {
        let response = gateway.client().request(method, "/acme/api", &[("X-API-Key", &key)], b"body");
        assert_eq!(Echoed::of(&response).body, "body");
    }
    assert_eq!(upstreams.iter().map(|upstream| upstream.requests().len()).sum::<usize>(), 36);
}

#[test]
fn one_of_six_targets_is_enough() {
    let upstream = EchoUpstream::start();
    let gateway = with_one_worker();
    for algorithm in ["round_robin", "least_requests", "latency", "hash"] {
        let slug = algorithm.replace('_', "-");
        let tenant = gateway.tenant(&slug);
        let targets = [1, 2, 3, 4, 5].map(refusing).into_iter().chain([upstream.url()]);
        let targets: Vec<_> = targets.map(|url| json!({ "url": url })).collect();
        let balancer = match algorithm {
            "hash" => json!({ "algorithm": algorithm, "hash_on": "path" }),
            _ => json!({ "algorithm": algorithm }),
        };
        tenant.service_with(&json!({ "slug": "api", "targets": targets, "balancer": balancer }));
        let key = tenant.unlimited_key();
        // Until five failures in a row have each of the others ejected, and beyond, where so many ejections are doubted.
        for number in 0..80 {
            let (method, path) = (["GET", "POST"][number % 2], format!("/{slug}/api/{number}"));
            let response = gateway.client().request(method, &path, &[("X-API-Key", &key)], b"body");
            assert_eq!(Echoed::of(&response).body, "body", "{algorithm}");
        }
    }
}

#[test]
fn retries_are_at_most_the_stated_share_of_the_requests() {
    let upstream = ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::Close]);
    let gateway = with_one_worker();
    let fields = json!({ "retries": { "budget_percent": 10, "attempts": 5, "on": ["reset"] },
        "breaker": { "enabled": false } });
    let (_, key) = expose(&gateway, &[upstream.url()], &fields);
    for _ in 0..60 {
        get(&gateway, &key).expect(502);
    }
    let sent = upstream.requests().len();
    assert!((61..=66).contains(&sent), "{sent} of 60 requests");
}

#[test]
fn a_put_whose_target_breaks_off_is_sent_whole_to_another() {
    let body = vec![b'x'; 40_000];
    for steps in [vec![Step::ReadBody(1_000), Step::Reset], vec![Step::ReadWholeBody, Step::Close]] {
        let (breaking, echo) = (ScriptedUpstream::script(steps), EchoUpstream::start());
        let gateway = with_one_worker();
        let (_, key) = expose(&gateway, &[breaking.url(), echo.url()], &json!({}));
        let mut client = gateway.client();
        for _ in 0..2 {
            let response = client.request("PUT", "/acme/api", &[("X-API-Key", &key)], &body);
            assert!(Echoed::of(&response).body.as_bytes() == body);
        }
        assert_eq!((breaking.requests().len(), echo.requests().len()), (1, 2));
    }
}

#[test]
fn a_post_that_may_have_been_done_is_not_sent_again() {
    let (breaking, echo) =
        (ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::Close]), EchoUpstream::start());
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &[breaking.url(), echo.url()], &json!({}));
    let post = || gateway.client().request("POST", "/acme/api", &[("X-API-Key", &key)], b"order").status;
    let statuses = [post(), post()];
    assert!(statuses == [502, 200] || statuses == [200, 502], "{statuses:?}");
}

#[test]
fn a_status_that_is_worth_another_attempt_is_not_passed_on() {
    let (busy, echo) =
        (ScriptedUpstream::script(Step::respond("503 Service Unavailable", "busy")), EchoUpstream::start());
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &[busy.url(), echo.url()], &json!({ "retries": { "on": ["503"] } }));
    for _ in 0..4 {
        Echoed::of(&get(&gateway, &key));
    }
    assert_eq!(busy.requests().len(), 2);
}

#[test]
fn a_retry_waits_as_long_as_its_only_target_asks_but_not_past_the_end_nor_for_ever() {
    for (retry_after, total) in [
        ("60", "20s"),
        ("Tue, 31 Dec 2999 23:59:59 GMT", "20s"),
        ("Tue, 31 Dec 2999 23:59:59 GMT", "24h"),
        ("18446744073709551615", "24h"),
    ] {
        let busy = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {retry_after}\r\nContent-Length: 4\r\n\r\nbusy"
        );
        let upstream = ScriptedUpstream::script(vec![Step::ReadWholeBody, Step::write(&*busy)]);
        let gateway = Gateway::start();
        let fields = json!({ "retries": { "on": ["503"] }, "timeouts": { "total": total } });
        let (_, key) = expose(&gateway, &[upstream.url()], &fields);
        assert_eq!(get(&gateway, &key).expect(503).text(), "busy");
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn a_target_that_fails_is_left_out() {
    let (broken, echo) =
        (ScriptedUpstream::script(Step::respond("500 Internal Server Error", "")), EchoUpstream::start());
    let gateway = with_one_worker();
    let fields = json!({ "outlier": { "consecutive": 3 }, "breaker": { "enabled": false } });
    let (_, key) = expose(&gateway, &[broken.url(), echo.url()], &fields);
    let failed = (0..30).filter(|_| get(&gateway, &key).status == 500).count();
    assert_eq!((failed, echo.requests().len()), (3, 27));
}

#[test]
fn targets_that_all_fail_all_get_requests() {
    let broken = [(); 2].map(|()| ScriptedUpstream::script(Step::respond("500 Internal Server Error", "")));
    let gateway = with_one_worker();
    let fields = json!({ "outlier": { "consecutive": 1 }, "breaker": { "enabled": false } });
    let (_, key) = expose(&gateway, &[broken[0].url(), broken[1].url()], &fields);
    for _ in 0..10 {
        get(&gateway, &key).expect(500);
    }
    assert!(broken.iter().all(|upstream| upstream.requests().len() >= 4));
}

#[test]
fn a_target_that_drains_gets_no_new_requests_and_ends_what_it_has() {
    let gate = Gate::new();
    let held = ScriptedUpstream::script(
        [vec![Step::Await(gate.clone())], Step::respond("200 OK", "at last")].concat(),
    );
    let echo = EchoUpstream::start();
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &[held.url(), echo.url()], &json!({}));
    let mut waiting = gateway.client();
    waiting.send(format!("GET /acme/api HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    eventually("the request at the target", || held.requests().len() == 1);
    let targets = json!([{ "url": held.url(), "drain": true }, { "url": echo.url() }]);
    let service = json!({ "slug": "api", "targets": targets });
    let shown = gateway.admin().put("/api/services/api?tenant=acme", &service).expect(200);
    assert_eq!(shown["targets"][0]["drain"], true);
    for _ in 0..6 {
        Echoed::of(&get(&gateway, &key));
    }
    gate.open();
    assert_eq!(waiting.read_response().expect(200).text(), "at last");
    assert_eq!(held.requests().len(), 1);
}

#[test]
fn a_service_whose_targets_all_drain_is_503() {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "targets": [{ "url": refusing(1), "drain": true }] }));
    let key = tenant.unlimited_key();
    assert_eq!(get(&gateway, &key).expect(503).header("Retry-After"), Some("1"));
}

#[test]
fn what_the_service_takes_from_nobody_is_a_refusal_and_costs_nothing() {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let failing = ScriptedUpstream::script(Step::respond("500 Internal Server Error", ""));
    tenant.service_with(&json!({ "slug": "drained", "targets": [{ "url": refusing(1), "drain": true }] }));
    tenant.service_with(&json!({ "slug": "broken", "url": failing.url(), "breaker": { "failures": 1 } }));
    let key = tenant.plan("ten", &[(10, "month")]).key("ten");
    let remaining = |path: &str, status| {
        let response = gateway.client().get(path, &[("X-API-Key", &key)]).expect(status);
        response.header("X-RateLimit-Remaining-Month").expect("the limit").to_owned()
    };
    assert_eq!(remaining("/acme/broken", 500), "9", "a target has seen it");
    for path in ["/acme/broken", "/acme/drained", "/acme/broken", "/acme/drained"] {
        assert_eq!(remaining(path, 503), "9", "{path}");
    }
}

/// Which of the upstreams each of these cookies' requests went to.
fn places(gateway: &Gateway, key: &str, upstreams: &[EchoUpstream]) -> BTreeMap<u32, usize> {
    (0..30)
        .map(|session| {
            let before: Vec<_> = upstreams.iter().map(|upstream| upstream.requests().len()).collect();
            let cookie = format!("theme=dark; session={session}");
            Echoed::of(&gateway.client().get("/acme/api", &[("X-API-Key", key), ("Cookie", &cookie)]));
            let place = upstreams
                .iter()
                .zip(before)
                .position(|(upstream, before)| upstream.requests().len() > before);
            (session, place.expect("an upstream"))
        })
        .collect()
}

#[test]
fn requests_of_one_session_go_to_one_target_on_every_worker() {
    let upstreams = [(); 3].map(|()| EchoUpstream::start());
    let gateway = Gateway::builder().arg("--workers").arg("4").start();
    let targets = upstreams.iter().map(|upstream| upstream.url()).collect::<Vec<_>>();
    let balancer = json!({ "balancer": { "algorithm": "hash", "hash_on": "cookie:session" } });
    let (_, key) = expose(&gateway, &targets, &balancer);
    let first = places(&gateway, &key, &upstreams);
    assert_eq!(places(&gateway, &key, &upstreams), first);
    assert!((0..3).all(|place| first.values().any(|&held| held == place)), "{first:?}");
}

#[test]
fn a_target_that_holds_requests_gets_fewer() {
    for algorithm in ["least_requests", "latency"] {
        let gate = Gate::new();
        let held = ScriptedUpstream::script(
            [vec![Step::Await(gate.clone())], Step::respond("200 OK", "at last")].concat(),
        );
        let nginx = Nginx::start("location / { return 200 up; }");
        let gateway = with_one_worker();
        let fields = json!({ "balancer": { "algorithm": algorithm } });
        let (_, key) = expose(&gateway, &[held.url(), nginx.url()], &fields);
        let mut waiting = gateway.client();
        let mut paths = (0..).map(|number| format!("/acme/api/{number}"));
        while held.requests().is_empty() {
            let path = paths.next().unwrap();
            waiting = gateway.client();
            waiting.send(format!("GET {path} HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
            eventually("the request to be somewhere", || {
                let is_answered = gateway.access_log().iter().any(|line| line["path"] == *path);
                !held.requests().is_empty() || is_answered
            });
        }
        for _ in 0..20 {
            assert_eq!(get(&gateway, &key).expect(200).text(), "up");
        }
        assert_eq!(held.requests().len(), 1, "{algorithm}");
        gate.open();
        assert_eq!(waiting.read_response().expect(200).text(), "at last");
    }
}

/// So the slowest percent of all requests is none of its own. By their number alone it would get more than two.
#[test]
fn a_slow_target_gets_less_than_one_request_in_a_hundred() {
    const REQUESTS: usize = 2_500;
    let answering_after = |millis| {
        let pause = Step::Pause(Duration::from_millis(millis));
        ScriptedUpstream::script([vec![pause], Step::respond("200 OK", "")].concat())
    };
    let (slow, others) = (answering_after(600), [(); 2].map(|()| answering_after(30)));
    let targets = [others[0].url(), slow.url(), others[1].url()];
    let gateway = Gateway::start();
    let (_, key) = expose(&gateway, &targets, &json!({ "balancer": { "algorithm": "least_requests" } }));
    let tally = Load::start(&[gateway.proxy_address()], "/acme/api", &key, 24, REQUESTS).finish();
    assert_eq!(tally.only(&[200]).of(200), REQUESTS);
    let at_slow = slow.requests().len();
    assert!((1..REQUESTS / 100).contains(&at_slow), "{at_slow} of {REQUESTS}");
}

#[test]
fn what_cannot_be_is_refused_with_its_field() {
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    for (fields, field) in [
        (json!({ "balancer": { "algorithm": "luck" } }), "balancer.algorithm"),
        (json!({ "balancer": { "algorithm": "hash" } }), "balancer.hash_on"),
        (json!({ "breaker": { "failures": 0 } }), "breaker.failures"),
        (json!({ "outlier": { "ejection": "1h", "longest_ejection": "1m" } }), "outlier.longest_ejection"),
        (json!({ "retries": { "on": ["sometimes"] } }), "retries.on[0]"),
        (json!({ "failure_on": ["timeout", "2xx"] }), "failure_on[1]"),
        (json!({ "health_check": { "interval": "24h", "timeout": "61s" } }), "health_check.timeout"),
        (json!({ "channel": { "concurrency": 0 } }), "channel.concurrency"),
        (json!({ "channel": { "concurrency": 2, "adaptive": {} } }), "channel.concurrency"),
        (json!({ "targets": [{ "url": "http://h", "weight": 0 }] }), "targets[0].weight"),
        (json!({ "targets": [], "balancer": { "algorithm": "hash", "hash_on": "key" } }), "targets"),
    ] {
        let mut service = json!({ "slug": "api", "targets": [{ "url": "http://h" }] });
        service.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let problem = tenant.post("services", &service).expect(422);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
}

#[test]
fn an_edit_of_a_service_forgets_nothing_of_its_circuit() {
    let gateway = Gateway::start();
    let url = refusing(1);
    let (tenant, key) =
        expose(&gateway, std::slice::from_ref(&url), &json!({ "breaker": { "failures": 2 } }));
    for _ in 0..2 {
        get(&gateway, &key).expect(502);
    }
    let service = json!({ "slug": "api", "name": "Renamed", "url": url, "breaker": { "failures": 2 } });
    gateway.admin().put(&tenant.path("services/api"), &service).expect(200);
    get(&gateway, &key).expect(503);
}

fn health(gateway: &Gateway) -> Value {
    let list = gateway.admin().get("/api/health/services?tenant=acme").expect(200);
    list["items"][0].clone()
}

/// Checked ten times a second; a check that fails decides.
fn checked_often() -> Value {
    json!({ "health_check": { "path": "/up", "interval": "100ms", "healthy": 1, "unhealthy": 1 },
        "outlier": { "enabled": false }, "retries": { "enabled": false }, "breaker": { "enabled": false } })
}

#[test]
fn a_target_whose_checks_fail_gets_no_requests() {
    let fails = Gate::new();
    let (failing, well) =
        (ScriptedUpstream::failing_once(&fails), ScriptedUpstream::failing_once(&Gate::new()));
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &[failing.url(), well.url()], &checked_often());
    eventually("both to be found well", || health(&gateway)["status"] == "healthy");
    fails.open();
    eventually("one to be found unhealthy", || health(&gateway)["status"] == "degraded");
    for _ in 0..10 {
        get(&gateway, &key).expect(200);
    }
    let health = health(&gateway);
    assert_eq!(
        (&health["targets"][0]["status"], &health["targets"][1]["status"]),
        (&json!("unhealthy"), &json!("healthy"))
    );
    assert_eq!(health["targets"][0]["last_check"]["error"], "status 503");
    assert!(failing.requests().iter().any(|request| request.target == "/up"));
}

#[test]
fn a_target_that_is_gone_is_found_out_and_found_again() {
    let nginx = Nginx::start("location / { return 200 up; }");
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &[refusing(1), nginx.url()], &checked_often());
    eventually("one to be found unhealthy", || health(&gateway)["status"] == "degraded");
    for _ in 0..10 {
        get(&gateway, &key).expect(200);
    }
}

#[test]
fn where_all_checks_fail_requests_go_to_all_targets() {
    let fails = Gate::new();
    fails.open();
    let failing = [(); 2].map(|()| ScriptedUpstream::failing_once(&fails));
    let gateway = with_one_worker();
    let (_, key) = expose(&gateway, &[failing[0].url(), failing[1].url()], &checked_often());
    eventually("both to be found unhealthy", || health(&gateway)["status"] == "unhealthy");
    get(&gateway, &key).expect(503);
}

#[test]
fn targets_are_checked_on_demand() {
    let nginx = Nginx::start("location / { return 204; }");
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    tenant.service("up", &nginx.url()).service("down", &refusing(1));
    let check = |service: &str| {
        gateway
            .admin()
            .post(&tenant.path(&format!("services/{service}/health-check")), &json!({}))
            .expect(200)
    };
    let up = check("up");
    assert_eq!((&up["status"], &up["targets"][0]["last_check"]["status"]), (&json!("healthy"), &json!(204)));
    assert!(up["targets"][0]["last_check"]["latency_ms"].as_f64() > Some(0.0));
    let down = check("down")["targets"][0]["last_check"].clone();
    let expected = (&json!(false), &json!("it cannot be reached: it refuses connections"));
    assert_eq!((&down["passed"], &down["error"]), expected);
    let all = gateway.admin().post(&tenant.path("health/check-all"), &json!({})).expect(200);
    assert_eq!(all["items"][0]["targets"][0]["history"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["unfinished"], json!([]));
    // Nothing was written of checks: what they find decides nothing.
    let key = tenant.unlimited_key();
    gateway.client().get("/acme/down", &[("X-API-Key", &key)]).expect(502);
}

#[test]
fn the_example_of_balancing_is_one_that_can_be_applied() {
    let gateway = Gateway::start();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/balancing.yaml");
    gateway.command(&["config", "apply", file]).success();
    let service = gateway.admin().get("/api/services/api?tenant=balanced").expect(200);
    assert_eq!(service["balancer"]["algorithm"], "latency");
    let again = gateway.command(&["config", "apply", file]).success().text();
    assert_eq!(again, "tenants: 1 unchanged\nservices: 1 unchanged\nkeys: 1 unchanged\n");
}
