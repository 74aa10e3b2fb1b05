//! The admin listener over TLS, and the command line's way to it.

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use harness::{Builder, Certificate, Gateway, PATIENCE, Ran, RawClient, curl, eventually};

const NAMES: [&str; 2] = ["DNS:localhost", "IP:127.0.0.1"];

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn serving(certificate: &Certificate) -> Builder {
    Gateway::builder()
        .env("TOLLGATE_ADMIN__TLS__CERT", &text(certificate.certificate_file()))
        .env("TOLLGATE_ADMIN__TLS__KEY", &text(certificate.key_file()))
}

/// A command of the command line that asks the server something.
fn list_tenants(gateway: &Gateway, more: &[&str]) -> Ran {
    gateway.command(&[&["tenants", "list"], more].concat())
}

/// What the server says of its health to a client that believes this authority alone.
fn health(gateway: &Gateway, authority: &Certificate, more: &[&str]) -> Ran {
    let url = format!("https://{}/health", gateway.admin_address());
    curl(&[&["--cacert", &text(authority.certificate_file()), &url], more].concat())
}

#[test]
fn the_admin_api_speaks_https_and_so_does_the_command_line() {
    let certificate = Certificate::new(&NAMES);
    let gateway = serving(&certificate).start();
    let address = gateway.admin_address();
    assert!(
        gateway.stdout().contains(&format!("admin listening on https://{address}")),
        "{:?}",
        gateway.stdout()
    );
    for version in ["1.2", "1.3"] {
        health(&gateway, &certificate, &[&format!("--tlsv{version}"), "--tls-max", version]).success();
    }
    assert_ne!(health(&gateway, &certificate, &["--tlsv1.0", "--tls-max", "1.1"]).code, Some(0));
    let ca_file = text(certificate.certificate_file());
    gateway.tenant("acme");
    let listed = list_tenants(&gateway, &["--admin-ca-file", &ca_file]).success();
    assert!(listed.text().contains("acme"), "{}", listed.text());
    let refused = list_tenants(&gateway, &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("certificate"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--admin-ca-file"), "{}", refused.stderr);
    // A server that is not believed is one all the same: nothing is written past it.
    let elsewhere = gateway.directory().join("elsewhere");
    let seeded = gateway.command(&["seed", "--data-dir", &text(&elsewhere)]);
    assert!(seeded.code == Some(1) && !elsewhere.exists(), "{}", seeded.stderr);
    let bad = list_tenants(&gateway, &["--admin-ca-file", "/nowhere/ca.pem"]);
    assert!(
        bad.stderr.contains("--admin-ca-file") && bad.stderr.contains("/nowhere/ca.pem"),
        "{}",
        bad.stderr
    );
}

#[test]
fn a_request_without_tls_is_told_so() {
    let certificate = Certificate::new(&NAMES);
    let gateway = serving(&certificate).start();
    let answer = RawClient::connect(gateway.admin_address()).get("/api/tenants", &[]).expect(400);
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    assert!(answer.text().contains("this port speaks https"), "{}", answer.text());
    let url = format!("http://{}", gateway.admin_address());
    let told = list_tenants(&gateway, &["--admin-url", &url]);
    assert!(told.stderr.contains("this port speaks https"), "{}", told.stderr);
}

#[test]
fn handshakes_that_dawdle_hold_up_nobody_and_are_ended() {
    let certificate = Certificate::new(&NAMES);
    let gateway = serving(&certificate).start();
    // More than are under way at once: the oldest give way.
    let mut dawdling: Vec<TcpStream> = (0..1_100)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.admin_address()).expect("a connection");
            stream.write_all(&[22, 3, 1]).expect("a beginning");
            stream
        })
        .collect();
    health(&gateway, &certificate, &[]).success();
    for stream in dawdling.iter_mut().rev().take(10) {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(
            ended.as_ref().map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true),
            "{ended:?}"
        );
    }
}

#[test]
fn files_that_cannot_be_used_stop_the_start_and_are_named() {
    let (certificate, other) = (Certificate::new(&NAMES), Certificate::new(&NAMES));
    let (good, key) = (text(certificate.certificate_file()), text(certificate.key_file()));
    let refusal = |cert: &str, key: &str, client_ca: &str| {
        let builder = Gateway::builder().env("TOLLGATE_ADMIN__TLS__CERT", cert);
        let builder =
            builder.env("TOLLGATE_ADMIN__TLS__KEY", key).env("TOLLGATE_ADMIN__TLS__CLIENT_CA", client_ca);
        let refused = builder.try_start().err().expect("a refusal to start");
        assert!(!refused.status.success());
        refused.stderr
    };
    for (stderr, named) in [
        (refusal("/nowhere/c.pem", &key, ""), "admin.tls.cert: /nowhere/c.pem cannot be read".to_owned()),
        (refusal(&good, "/nowhere/k.pem", ""), "admin.tls.key: /nowhere/k.pem cannot be read".to_owned()),
        (refusal(&key, &key, ""), format!("admin.tls.cert: {key} holds no PEM certificate")),
        (refusal(&good, &good, ""), format!("admin.tls.key: {good} holds no PEM private key")),
        (
            refusal(&good, &text(other.key_file()), ""),
            format!("admin.tls.key: {} is not the private key of {good}", text(other.key_file())),
        ),
        (
            refusal(&good, &key, "/etc/hosts"),
            "admin.tls.client_ca: /etc/hosts holds no PEM certificate".to_owned(),
        ),
        (refusal(&good, "", ""), "TOLLGATE_ADMIN__TLS__CERT needs admin.tls.key beside it".to_owned()),
    ] {
        assert!(stderr.contains(&named), "{stderr} does not say {named}");
    }
}

#[test]
fn a_hangup_brings_a_new_certificate_and_a_bad_one_changes_nothing() {
    let (certificate, next) = (Certificate::new(&NAMES), Certificate::new(&NAMES));
    let first = Certificate::new(&NAMES);
    first.become_like(&certificate);
    let gateway = serving(&certificate).start();
    health(&gateway, &first, &[]).success();
    // A connection from before goes on.
    let mut kept = gateway.admin_connection();
    kept.get("/health", &[]).expect(200);
    certificate.become_like(&next);
    gateway.renew();
    health(&gateway, &next, &[]).success();
    assert_ne!(health(&gateway, &first, &[]).code, Some(0));
    kept.get("/health", &[]).expect(200);

    fs::write(certificate.key_file(), "no key any more").expect("writing");
    gateway.renew();
    let log = gateway.stderr().join("\n");
    assert!(log.contains("admin.tls.key") && log.contains("holds no PEM private key"), "{log}");
    health(&gateway, &next, &[]).success();
}

#[test]
fn a_hangup_reads_the_configuration_again_and_says_what_takes_a_restart() {
    let gateway = Gateway::builder().config("log_level = \"warn\"\nshutdown.grace = \"30s\"\n").start();
    let file = gateway.directory().join("tollgate.toml");
    let before = fs::read_to_string(&file).expect("a file");
    let log = || gateway.stderr().join("\n");
    fs::write(
        &file,
        before.replace("warn", "info").replace("30s", "5s") + "[auth]\nfailures_per_minute = 7\n",
    )
    .expect("writing");
    gateway.renew();
    assert!(log().contains("a setting has changed that takes a restart"), "{}", log());
    assert!(log().contains("auth.failures_per_minute") && !log().contains("shutdown.grace"), "{}", log());
    fs::write(&file, before.replace("30s", "soon")).expect("writing");
    gateway.signal("HUP");
    eventually("the mistake is told", || log().contains("shutdown.grace must be a duration"));
    assert!(log().contains("the configuration stays as it was"), "{}", log());
    // The level is still the one that was read last: this is said at `info`.
    gateway.renew();
    gateway.client().get("/health", &[]).expect(200);
}

#[test]
fn where_everybody_has_to_show_a_certificate_nobody_gets_in_without() {
    let (server, authority) = (Certificate::new(&NAMES), Certificate::authority());
    let [mine, clis] = [(); 2].map(|()| Certificate::issued_by(&authority, &["DNS:client"]));
    let stranger = Certificate::new(&["DNS:client"]);
    let gateway = serving(&server)
        .env("TOLLGATE_ADMIN__TLS__CLIENT_CA", &text(authority.certificate_file()))
        .env("TOLLGATE_ADMIN__TLS__CLIENT_AUTH", "all")
        .showing(mine)
        .start();
    gateway.tenant("acme");
    let ca_file = text(server.certificate_file());
    let with = |certificate: &Certificate| {
        let (cert, key) = (text(certificate.certificate_file()), text(certificate.key_file()));
        list_tenants(&gateway, &["--admin-ca-file", &ca_file, "--admin-cert", &cert, "--admin-key", &key])
    };
    assert!(with(&clis).success().text().contains("acme"));
    for refused in [list_tenants(&gateway, &["--admin-ca-file", &ca_file]), with(&stranger)] {
        assert!(refused.code == Some(1) && !refused.text().contains("acme"), "{refused:?}");
    }
    let (cert, key) = (text(clis.certificate_file()), text(stranger.key_file()));
    let mixed =
        list_tenants(&gateway, &["--admin-ca-file", &ca_file, "--admin-cert", &cert, "--admin-key", &key]);
    assert!(
        mixed.stderr.contains("--admin-key") && mixed.stderr.contains("does not go with"),
        "{}",
        mixed.stderr
    );
}
