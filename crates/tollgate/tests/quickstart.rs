//! A stranger's first two minutes, and the demo upstream.

mod harness;

use harness::{Gateway, Ran, RawClient, Response, eventually_some};
use serde_json::Value;

fn quickstart() -> Gateway {
    Gateway::builder().subcommand("quickstart").start()
}

/// The lines to paste, once all are printed.
fn lines_to_paste(gateway: &Gateway) -> Vec<String> {
    eventually_some("three lines to paste", || {
        let lines: Vec<String> = gateway.stdout().iter().map(|line| line.trim().to_owned()).collect();
        let is_command = |line: &String| line.starts_with("curl ") || line.starts_with("for ");
        lines
            .contains(&"Ctrl-C ends it; the data stays for the next time.".to_owned())
            .then(|| lines.into_iter().filter(is_command).collect())
    })
}

fn paste(line: &str) -> String {
    let mut shell = std::process::Command::new("sh");
    Ran::of(shell.args(["-c", line]).env("no_proxy", "*").env("NO_PROXY", "*")).success().text()
}

#[test]
fn the_three_lines_work_when_pasted() {
    let gateway = quickstart();
    let [once, loop_of_six, usage] = lines_to_paste(&gateway).try_into().expect("three lines");
    let answer = paste(&once);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("X-RateLimit-Remaining-Minute: 4"), "{answer}");
    assert!(!answer.contains("secret_key_12345"), "{answer}");
    assert_eq!(paste(&loop_of_six), "200\n200\n200\n200\n429\n429\n");
    let usage: Value = serde_json::from_str(&paste(&usage)).expect("JSON");
    assert_eq!((&usage["tenant"], &usage["plan"]), (&"test-tenant".into(), &"basic".into()));
    assert_eq!(usage["limits"][1]["used"], 5, "{usage}");
}

#[test]
fn the_second_start_goes_on_where_the_first_ended() {
    let gateway = quickstart();
    let key = [("X-API-Key", "secret_key_12345")];
    gateway.client().get("/test-tenant/test-api/get", &key).expect(200);
    // The demo upstream is on another port now.
    let gateway = gateway.restart_after("INT");
    gateway.client().get("/test-tenant/test-api/get", &key).expect(200);
    let usage = gateway.client().get("/-/usage", &key).expect(200).json();
    assert_eq!(usage["limits"][1]["used"], 2, "{usage}");
    let tenants = gateway.admin().get("/api/tenants").expect(200);
    assert_eq!(tenants["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_demo_data_is_that_of_the_documentation() {
    let gateway = quickstart();
    let plans = gateway.admin().get("/api/plans?tenant=test-tenant").expect(200);
    let limits = |slug: &str| {
        let plans = plans["items"].as_array().expect("plans");
        let plan = plans.iter().find(|plan| plan["slug"] == slug).expect("the plan");
        let limits = plan["limits"].as_array().expect("limits");
        let text = |limit: &Value| format!("{}/{}", limit["requests"], limit["per"].as_str().expect("text"));
        (limits.iter().map(text).collect::<Vec<_>>(), limits[0]["burst"].as_u64())
    };
    assert_eq!(limits("basic"), (vec!["5/minute".to_owned(), "100/month".to_owned()], Some(5)));
    assert_eq!(limits("premium"), (vec!["1000/minute".to_owned(), "100000/day".to_owned()], Some(500)));
    assert_eq!(
        limits("enterprise"),
        (vec!["10000/minute".to_owned(), "1000000/day".to_owned()], Some(10_000))
    );
    let login = serde_json::json!({ "username": "testuser", "password": "password" });
    let session = gateway.admin().post("/api/auth/login", &login).expect(200);
    let user = gateway.admin_with(session["token"].as_str().expect("a token"));
    assert_eq!(user.get("/api/tenants").expect(200)["items"][0]["slug"], "test-tenant");
}

#[test]
fn serve_starts_without_any_demo_data() {
    let gateway = Gateway::start();
    let tenants = gateway.admin().get("/api/tenants").expect(200);
    assert_eq!(tenants["items"].as_array().map(Vec::len), Some(0));
    let key = [("X-API-Key", "secret_key_12345")];
    gateway.client().get("/test-tenant/test-api/get", &key).expect(404);
}

/// The demo upstream of a quickstart, asked directly.
fn demo(gateway: &Gateway) -> RawClient {
    let address = eventually_some("the demo upstream", || {
        let lines = gateway.stdout();
        lines.iter().find_map(|line| line.strip_prefix("demo upstream listening on http://")?.parse().ok())
    });
    RawClient::connect(address)
}

#[test]
fn the_demo_upstream_says_what_it_was_sent() {
    let gateway = quickstart();
    let mut demo = demo(&gateway);
    let echoed = demo.get("/get?a=1&b=2&a=3", &[("X-Odd", "yes")]).expect(200).json();
    assert_eq!(echoed["args"], serde_json::json!({ "a": "1, 3", "b": "2" }));
    assert_eq!((&echoed["method"], &echoed["headers"]["x-odd"]), (&"GET".into(), &"yes".into()));
    let echoed = demo.request("POST", "/post", &[], br#"{"x": [1]}"#).expect(200).json();
    assert_eq!((&echoed["body_bytes"], &echoed["json"]["x"][0]), (&10.into(), &1.into()));
    let large = vec![b'x'; 3 << 20];
    let echoed = demo.request("PUT", "/anything/deep/er", &[], &large).expect(200).json();
    assert_eq!((&echoed["path"], &echoed["body_bytes"]), (&"/anything/deep/er".into(), &(3 << 20).into()));
    assert_eq!(echoed["data"].as_str().map(str::len), Some(64 << 10));
    assert_eq!(demo.get("/headers", &[("X-Odd", "yes")]).json()["headers"]["x-odd"], "yes");
    assert!(demo.get("/", &[]).expect(200).text().contains("/stock-price"));
    demo.get("/post", &[]).expect(405);
    demo.get("/nothing", &[]).expect(404);
}

#[test]
fn the_demo_upstream_makes_bodies_and_statuses_to_order() {
    let gateway = quickstart();
    let mut demo = demo(&gateway);
    assert_eq!(demo.get("/status/503", &[]).status, 503);
    assert_eq!(demo.get("/status/204", &[]).status, 204);
    for refused in
        ["/status/101", "/status/9999", "/bytes/104857601", "/stream/10001", "/delay/-1", "/delay/x"]
    {
        demo.get(refused, &[]).expect(400);
    }
    let bytes: Response = demo.get("/bytes/200000", &[]);
    assert_eq!((bytes.header("content-length"), bytes.body.len()), (Some("200000"), 200_000));
    let stream = demo.get("/stream/3", &[]);
    assert_eq!(stream.header("transfer-encoding"), Some("chunked"));
    assert_eq!(stream.text(), "{\"id\":0}\n{\"id\":1}\n{\"id\":2}\n");
    let began = std::time::Instant::now();
    demo.get("/delay/0.2", &[]).expect(200);
    assert!(began.elapsed() >= std::time::Duration::from_millis(200));
    let price = demo.get("/api/v1/stock-price?ticker=acme", &[]).expect(200).json();
    assert_eq!(price["ticker"], "ACME");
    assert_eq!(demo.get("/api/v1/stock-price?ticker=ACME", &[]).json()["price"], price["price"]);
    demo.get("/api/v1/stock-price", &[]).expect(400);
}
