use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::gateway::Gateway;

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Answers everything with the same bytes, and closes.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer.to_owned())),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let read = stream.read(&mut [0; 4_096]).unwrap();
                assert!(read > 0);
                asked.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.lock().unwrap().as_bytes()).unwrap();
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn service(urls: &[&str]) -> Value {
    let issuer = |(index, url): (usize, &&str)| json!({ "issuer": format!("i{index}"), "audience": "a", "jwks_url": url });
    let jwt: Vec<_> = urls.iter().enumerate().map(issuer).collect();
    json!({ "slug": "api", "url": "https://upstream.example", "jwt": jwt })
}

/// Where nobody listens any more.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/keys", listener.local_addr().unwrap())
}

#[test]
fn what_is_no_key_set_is_refused_at_its_field_with_what_came() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let moved = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned();
    for (answer, said) in [
        (http("200 OK", "<!DOCTYPE html><html>Sign in</html>"), "HTML"),
        (http("200 OK", "{}"), "keys"),
        (http("200 OK", "[]"), "JSON"),
        (http("404 Not Found", KEYS), "404"),
        (moved, "302"),
        (http("200 OK", &" ".repeat(300 << 10)), "262144 bytes"),
        ("SSH-2.0-OpenSSH_9.6\r\n".to_owned(), "not HTTP"),
    ] {
        let server = Server::start(&answer);
        let refused = admin.post("/api/services", &service(&[&server.url()]));
        assert_eq!(refused.refused(422), ["jwt[0].jwks_url"], "{said}");
        assert!(refused.text.contains(said), "{}", refused.text);
    }
}

#[test]
fn an_issuer_may_be_away_or_without_keys_when_it_is_written() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let empty = Server::start(&http("200 OK", r#"{"keys":[]}"#));
    let urls = [nowhere(), "https://id.invalid/keys".to_owned(), empty.url()];
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    admin.post("/api/services", &service(&urls)).expect(201);
    assert_eq!(empty.asked(), 1);
}

#[test]
fn only_what_is_new_is_asked() {
    let gateway = Gateway::start();
    let admin = gateway.admin_in("acme");
    let server = Server::start(&http("200 OK", KEYS));
    admin.post("/api/services", &service(&[&server.url()])).expect(201);
    assert_eq!(server.asked(), 1);
    *server.answer.lock().unwrap() = http("200 OK", "<html>");
    admin.put("/api/services/api", &service(&[&server.url()])).expect(200);
    let document = |service: Value| json!({ "tenants": [{ "slug": "acme" }], "services": [service] });
    gateway.admin().post("/api/config", &document(service(&[&server.url()]))).expect(200);
    assert_eq!(server.asked(), 1);
    let page = Server::start(&http("200 OK", "<html>"));
    let changed = service(&[&server.url(), &page.url()]);
    assert_eq!(admin.put("/api/services/api", &changed).refused(422), ["jwt[1].jwks_url"]);
    for path in ["/api/config", "/api/config?dry_run=true"] {
        let refused = gateway.admin().post(path, &document(changed.clone()));
        assert_eq!(refused.refused(422), ["services[0].jwt[1].jwks_url"]);
    }
    assert_eq!((server.asked(), page.asked()), (1, 3));
}
