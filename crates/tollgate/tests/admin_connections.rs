//! Connections of the admin listener that ask nothing, or not wholly.

mod harness;

use std::time::{Duration, Instant};

use harness::{Gateway, RawClient};

const HALF_A_HEAD: &str = "GET /health HTTP/1.1\r\nHost: a\r\n";
const HALF_A_BODY: &str =
    "POST /api/tenants HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{";

#[test]
fn half_a_request_does_not_hold_up_the_end() {
    let mut gateway = Gateway::builder().config("[shutdown]\ngrace = \"60s\"\n").start();
    let mut open = Vec::new();
    for sent in ["", HALF_A_HEAD, HALF_A_BODY] {
        let mut client = RawClient::connect(gateway.admin_address());
        client.send(sent);
        open.push(client);
    }
    let mut kept = RawClient::connect(gateway.admin_address());
    kept.get("/health", &[]).expect(200);
    let begun = Instant::now();
    gateway.signal("TERM");
    assert!(gateway.await_end().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for mut client in open {
        assert!(client.is_closed());
    }
}
