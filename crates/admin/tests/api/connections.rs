use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use tollgate_admin::{ConnectionLimits, Settings};

use crate::gateway::{Gateway, settings};

const PATIENCE: Duration = Duration::from_secs(10);
/// Partial, without a credential.
const HEAD: &str = "GET /health HTTP/1.1\r\nHost: a\r\n";
const BODY: &str =
    "POST /api/tenants HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{";

fn limited(limits: ConnectionLimits) -> Gateway {
    Gateway::start_with(Settings { connections: limits, ..settings() })
}

fn opened(gateway: &Gateway, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

/// What comes until the server closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn status(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[9..]).into_owned()
}

#[test]
fn who_sends_nothing_or_half_a_head_is_let_go() {
    let soon = Duration::from_millis(200);
    let gateway = limited(ConnectionLimits { head_within: soon, ..ConnectionLimits::default() });
    for sent in ["", HEAD] {
        assert_eq!(rest(&mut opened(&gateway, sent)), "", "{sent:?}");
    }
}

#[test]
fn a_connection_that_is_kept_has_its_own_time() {
    let limits = ConnectionLimits {
        head_within: Duration::from_millis(200),
        idle_at_most: Duration::from_secs(1),
        ..ConnectionLimits::default()
    };
    let gateway = limited(limits);
    let mut stream = opened(&gateway, &format!("{HEAD}\r\n"));
    assert_eq!(status(&mut stream), "200");
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    stream.write_all(format!("{HEAD}\r\n").as_bytes()).unwrap();
    let answers = rest(&mut stream);
    assert!(answers.contains("HTTP/1.1 200"), "{answers}");
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn half_a_body_is_answered_in_time() {
    let soon = Duration::from_millis(200);
    let gateway = limited(ConnectionLimits { body_within: soon, ..ConnectionLimits::default() });
    let answer = rest(&mut opened(&gateway, BODY));
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("application/problem+json"), "{answer}");
}

#[test]
fn a_crowd_of_connections_gives_way_to_whoever_asks() {
    let gateway = limited(ConnectionLimits { most: 4, ..ConnectionLimits::default() });
    let crowd: Vec<TcpStream> =
        ["", HEAD, BODY].iter().cycle().take(24).map(|sent| opened(&gateway, sent)).collect();
    assert_eq!(status(&mut opened(&gateway, &format!("{HEAD}\r\n"))), "200");
    for mut given_up in crowd.into_iter().take(20) {
        // Closed, or reset over what it had sent.
        assert!(matches!(given_up.read(&mut [0]), Ok(0) | Err(_)));
    }
}

#[test]
fn what_a_tenant_has_others_wait_for_leaves_connections_for_everybody_else() {
    let gateway = limited(ConnectionLimits { most: 20, ..ConnectionLimits::default() });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let tenants = ["acme", "other"].map(|slug| gateway.admin_in(slug)).map(|tenant| {
        let service = json!({ "slug": "api", "url": "https://upstream.example" });
        tenant.post("/api/services", &service).expect(201);
        tenant
    });
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let webhook = tenants[0].post("/api/webhooks", &json!({ "url": url })).expect(201);
    let (ann, ben) = (gateway.user_of("acme", "ann"), gateway.user_of("other", "ben"));
    let test = format!(
        "POST /api/webhooks/{}/test HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        webhook["id"].as_str().unwrap(),
        ann.token()
    );
    let under_way: Vec<_> = (0..16).map(|_| (opened(&gateway, &test), silent.accept().unwrap())).collect();

    let issuer = json!({ "issuer": "i", "audience": "a", "jwks_url": "https://id.invalid/keys" });
    let service = json!({ "slug": "new", "url": "https://upstream.example", "jwt": [issuer] });
    for (path, body) in [
        ("/api/circuit-breakers/api/reset", json!({})),
        ("/api/services", service.clone()),
        ("/api/config", json!({ "services": [service] })),
    ] {
        let refused = ann.post(path, &body);
        assert_eq!((refused.refused(503), refused.header("retry-after")), (vec![], "1"), "{path}");
    }
    ben.post("/api/circuit-breakers/api/reset", &json!({})).expect(200);
    let mut refused: Vec<_> = Vec::new();
    for _ in 0..8 {
        refused.push(opened(&gateway, &test));
        assert_eq!(refused.last_mut().map(status).unwrap(), "503");
    }
    assert_eq!(status(&mut opened(&gateway, &format!("{HEAD}\r\n"))), "200");
    drop((under_way, refused));
}

#[test]
fn a_request_without_one_host_is_refused() {
    let gateway = Gateway::start();
    let end = "Connection: close\r\n\r\n";
    for (hosts, wanted) in [("", "400"), ("Host: a\r\nHost: b\r\n", "400"), ("Host: a\r\n", "200")] {
        let answer = rest(&mut opened(&gateway, &format!("GET /health HTTP/1.1\r\n{hosts}{end}")));
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted} ")), "{hosts:?}: {answer}");
    }
    let answer = rest(&mut opened(&gateway, "GET /health HTTP/1.0\r\n\r\n"));
    assert!(answer.contains(" 200 OK"), "{answer}");
}
