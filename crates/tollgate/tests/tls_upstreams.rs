//! Upstreams over TLS: always verified.

mod harness;

use std::net::TcpListener;

use harness::{BodyEnd, Certificate, Gateway, Nginx, TlsUpstream};
use serde_json::json;

/// A gateway that trusts this certificate alone.
fn trusting(certificate: &Certificate) -> Gateway {
    let file = certificate.certificate_file();
    let config = format!("[proxy]\nworkers = 1\nupstream_ca_file = \"{}\"\n", file.display());
    Gateway::builder().config(&config).start()
}

/// By name: only then is there a server name to indicate.
fn by_name(nginx: &Nginx) -> String {
    format!("https://localhost:{}", nginx.address().port())
}

#[test]
fn an_upstream_with_a_trusted_certificate_is_served_over_tls() {
    let certificate = Certificate::new(&["DNS:localhost", "IP:127.0.0.1"]);
    let server = "location / { return 200 \"$https $ssl_server_name $http_host $connection\"; }";
    let nginx = Nginx::start_tls(&certificate, server);
    let gateway = trusting(&certificate);
    let tenant = gateway.tenant("acme");
    tenant.service("named", &by_name(&nginx)).service("addressed", &nginx.url());
    let key = tenant.unlimited_key();
    let get = |service: &str| {
        gateway.client().get(&format!("/acme/{service}"), &[("X-API-Key", &key)]).expect(200).text()
    };
    let first = get("named");
    let authority = format!("localhost:{}", nginx.address().port());
    assert!(first.starts_with(&format!("on localhost {authority} ")), "{first}");
    assert_eq!(get("named"), first, "the connection is reused");
    // An address is verified as well, and there is no name to indicate.
    let second = get("addressed");
    assert!(second.starts_with(&format!("on  {} ", nginx.address())), "{second}");
}

#[test]
fn a_certificate_is_for_a_name_with_a_dot_at_its_end_as_without() {
    let certificate = Certificate::new(&["DNS:localhost"]);
    let nginx = Nginx::start_tls(&certificate, "location / { return 200 \"$ssl_server_name $http_host\"; }");
    let port = nginx.address().port();
    let gateway = trusting(&certificate);
    let key = gateway.expose(&format!("https://localhost.:{port}"));
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    assert_eq!(response.text(), format!("localhost localhost:{port}"));
}

#[test]
fn bodies_go_both_ways_over_tls() {
    let certificate = Certificate::new(&["DNS:localhost"]);
    let nginx = Nginx::start_tls(
        &certificate,
        "client_max_body_size 0; dav_methods PUT; client_body_buffer_size 16k; location / {}",
    );
    let gateway = trusting(&certificate);
    let key = gateway.expose(&by_name(&nginx));
    let body: Vec<u8> = (0..=250).cycle().take(8 * 1024 * 1024).collect();
    let mut client = gateway.client();
    let put = client.request("PUT", "/acme/api/file.bin", &[("X-API-Key", &key)], &body);
    assert_eq!(put.status, 201, "{}", put.text());
    assert!(std::fs::read(nginx.directory().join("file.bin")).expect("the file") == body);
    let got = client.get("/acme/api/file.bin", &[("X-API-Key", &key)]);
    assert!(got.body == body && got.end == BodyEnd::Complete, "{} bytes arrived", got.body.len());
}

#[test]
fn what_a_tls_upstream_sends_beyond_its_response_answers_no_other_request() {
    // As much as the gateway reads at once: what follows is decrypted with it, and waits within TLS.
    const WHOLE_RESPONSE_BYTES: usize = 8_192;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: ";
    let length = WHOLE_RESPONSE_BYTES - head.len() - "8140\r\n\r\n".len();
    let one = format!("{head}{length}\r\n\r\n{}", "1".repeat(length)).into_bytes();
    assert_eq!(one.len(), WHOLE_RESPONSE_BYTES);
    let evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec();
    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo".to_vec();
    let certificate = Certificate::new(&["IP:127.0.0.1"]);
    let upstream = TlsUpstream::start(&certificate, vec![vec![one, evil], vec![two]]);
    let gateway = trusting(&certificate);
    let key = gateway.expose(&upstream.url());
    let mut client = gateway.client();
    assert_eq!(client.get("/acme/api", &[("X-API-Key", &key)]).body.len(), length);
    assert_eq!(client.get("/acme/api", &[("X-API-Key", &key)]).text(), "two");
    assert_eq!(upstream.connections(), 2, "one that says more than it was asked is not trusted again");
}

#[test]
fn a_certificate_that_cannot_be_trusted_is_502() {
    let (certificate, other) = (Certificate::new(&["DNS:localhost"]), Certificate::new(&["DNS:localhost"]));
    let misnamed = Certificate::new(&["DNS:elsewhere.test"]);
    let nginx = Nginx::start_tls(&certificate, "location / { return 200; }");
    let misnamed_nginx = Nginx::start_tls(&misnamed, "location / { return 200; }");
    for (gateway, url) in [
        (trusting(&other), by_name(&nginx)),
        (Gateway::start(), by_name(&nginx)),
        (trusting(&certificate), nginx.url()),
        (trusting(&misnamed), by_name(&misnamed_nginx)),
    ] {
        let key = gateway.expose(&url);
        let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(502);
        assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=tls_certificate_error"));
    }
}

#[test]
fn without_a_ca_file_the_system_s_roots_decide() {
    let (authority, other) = (Certificate::authority(), Certificate::authority());
    let certificate = Certificate::issued_by(&authority, &["DNS:localhost"]);
    let nginx = Nginx::start_tls(&certificate, "location / { return 200 trusted; }");
    // SSL_CERT_FILE is where a system, or whoever starts a program, says where its roots are.
    let answer_with = |roots: &Certificate, config: &str| {
        let roots = roots.certificate_file().display().to_string();
        let gateway = Gateway::builder().config(config).env("SSL_CERT_FILE", &roots).start();
        let key = gateway.expose(&by_name(&nginx));
        gateway.client().get("/acme/api", &[("X-API-Key", &key)])
    };
    assert_eq!(answer_with(&authority, "").expect(200).text(), "trusted");
    // A CA file stands in place of the system's roots, not beside them.
    let ca_file = format!("[proxy]\nupstream_ca_file = \"{}\"\n", other.certificate_file().display());
    for (roots, config) in [(&other, ""), (&authority, &ca_file)] {
        let refused = answer_with(roots, config).expect(502);
        assert_eq!(refused.header("Proxy-Status"), Some("tollgate; error=tls_certificate_error"));
    }
}

#[test]
fn an_upstream_that_speaks_no_tls_is_502() {
    let nginx = Nginx::start("location / { return 200; }");
    let gateway = Gateway::start();
    let key = gateway.expose(&nginx.url().replace("http:", "https:"));
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(502);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=tls_protocol_error"));
}

#[test]
fn an_upstream_that_never_finishes_its_handshake_is_504() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tenant.service_with(&json!({ "slug": "api", "url": url, "timeouts": { "connect": "300ms" } }));
    let key = tenant.unlimited_key();
    let response = gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(504);
    assert_eq!(response.header("Proxy-Status"), Some("tollgate; error=connection_timeout"));
}

#[test]
fn a_ca_file_that_cannot_be_used_stops_the_start() {
    let builder = Gateway::builder();
    for (path, named) in [("/nowhere/ca.pem", "/nowhere/ca.pem"), ("/etc/hosts", "no valid PEM certificate")]
    {
        let config = format!("[proxy]\nupstream_ca_file = \"{path}\"\n");
        let refused = builder.clone().config(&config).try_start().err().expect("a refusal to start");
        assert!(!refused.status.success() && refused.stderr.contains(named), "{refused:?}");
    }
}
