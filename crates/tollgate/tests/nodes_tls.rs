//! Nodes and their control plane over TLS: who shows what to whom, and who is refused.

mod harness;

use std::path::Path;

use harness::{Certificate, Control, EchoUpstream, Node, eventually};

const NAMES: [&str; 1] = ["IP:127.0.0.1"];

type Variables = Vec<(&'static str, String)>;

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn serving(certificate: &Certificate) -> Variables {
    vec![
        ("TOLLGATE_ADMIN__TLS__CERT", text(certificate.certificate_file())),
        ("TOLLGATE_ADMIN__TLS__KEY", text(certificate.key_file())),
    ]
}

fn asking(certificate: &Certificate, clients: &Certificate) -> Variables {
    let mut variables = serving(certificate);
    variables.push(("TOLLGATE_ADMIN__TLS__CLIENT_CA", text(clients.certificate_file())));
    variables
}

fn believing(authority: &Certificate) -> Variables {
    vec![("TOLLGATE_CONTROL__CA_FILE", text(authority.certificate_file()))]
}

fn showing(authority: &Certificate, own: &Certificate) -> Variables {
    let mut variables = believing(authority);
    variables.push(("TOLLGATE_CONTROL__CERT", text(own.certificate_file())));
    variables.push(("TOLLGATE_CONTROL__KEY", text(own.key_file())));
    variables
}

/// Of clients, which have no name that anybody looks at.
fn clients_of(authority: &Certificate) -> Certificate {
    Certificate::issued_by(authority, &["DNS:node"])
}

fn start(control: &Control, name: &str, variables: &Variables) -> Node {
    let (_, token) = control.node_token(name);
    Node::start_with(&control.url(), name, &token, variables)
}

#[track_caller]
fn assert_unfed(control: &Control, node: &Node, name: &str) {
    assert!(control.listed(name).is_none(), "{:?}", control.listed(name));
    node.client().get("/health/ready", &[]).expect(503);
}

#[test]
fn a_node_with_a_good_certificate_is_fed_and_reports() {
    let (authority, upstream) = (Certificate::authority(), EchoUpstream::start());
    let control = Control::start_with(&asking(&Certificate::issued_by(&authority, &NAMES), &authority));
    assert!(control.url().starts_with("https://"));
    let tenant = control.tenant("acme");
    tenant.service("api", &upstream.url());
    let node = start(&control, "edge", &showing(&authority, &clients_of(&authority)));
    node.await_ready();
    let made = tenant.key_with(&serde_json::json!({ "name": "key" }));
    let key = made["key"].as_str().expect("a key");
    eventually("the key works", || node.get("/acme/api/", key) == 200);
    control.await_in_step("edge");
    let path = format!("/api/keys/{}?tenant=acme", made["id"].as_str().expect("an id"));
    eventually("the use is known", || control.admin().get(&path).expect(200)["last_used_at"].is_string());
}

#[test]
fn a_node_without_a_good_certificate_is_refused_whatever_its_token() {
    let (authority, other) = (Certificate::authority(), Certificate::authority());
    let control = Control::start_with(&asking(&Certificate::issued_by(&authority, &NAMES), &authority));
    let bare = start(&control, "bare", &believing(&authority));
    bare.await_logged("nodes have to show a client certificate here");
    assert_unfed(&control, &bare, "bare");
    let stranger = start(&control, "stranger", &showing(&authority, &clients_of(&other)));
    stranger.await_logged("received fatal alert");
    assert_unfed(&control, &stranger, "stranger");
    let expired = Certificate::expired(&authority, &["DNS:node"]);
    let late = start(&control, "late", &showing(&authority, &expired));
    late.await_logged("received fatal alert: CertificateExpired");
    assert_unfed(&control, &late, "late");
    let log = control.log().join("\n");
    assert!(log.contains("a client's certificate was refused"), "{log}");
}

#[test]
fn a_node_shows_its_token_to_nobody_but_the_server_it_was_told_of() {
    let (authority, other) = (Certificate::authority(), Certificate::authority());
    for (server, said) in [
        (Certificate::new(&NAMES), "UnknownIssuer"),
        (Certificate::issued_by(&other, &NAMES), "BadSignature"),
        (Certificate::expired(&authority, &NAMES), "certificate expired"),
        (Certificate::issued_by(&authority, &["DNS:control.example", "IP:127.0.0.2"]), "not valid for name"),
    ] {
        let control = Control::start_with(&serving(&server));
        let node = start(&control, "edge", &believing(&authority));
        node.await_logged(said);
        assert_unfed(&control, &node, "edge");
    }
}

#[test]
fn a_node_that_asks_without_tls_is_told_so() {
    let control = Control::start_with(&serving(&Certificate::new(&NAMES)));
    let (_, token) = control.node_token("edge");
    let node = Node::start_with(&control.url().replace("https", "http"), "edge", &token, &Variables::new());
    node.await_logged("this port speaks https");
}

#[test]
fn certificates_and_authorities_change_while_nodes_are_connected() {
    let (old, new) = (Certificate::authority(), Certificate::authority());
    let server = Certificate::issued_by(&old, &NAMES);
    let trusted_by_server = Certificate::authority();
    trusted_by_server.become_like(&old);
    let control = Control::start_with(&asking(&server, &trusted_by_server));
    let (trusted_by_node, own) = (Certificate::authority(), clients_of(&old));
    trusted_by_node.become_like(&old);
    let node = start(&control, "edge", &showing(&trusted_by_node, &own));
    node.await_ready();

    server.become_like(&Certificate::issued_by(&new, &NAMES));
    trusted_by_server.become_like(&new);
    control.renew();
    // The feed that is open goes on.
    control.tenant("acme");
    let listed = control.await_in_step("edge");
    assert_eq!((&listed["full_syncs"], &listed["changes"]), (&1.into(), &1.into()), "{listed}");
    // Whoever comes now needs what is in force now.
    let newcomer = start(&control, "newcomer", &showing(&new, &clients_of(&new)));
    newcomer.await_ready();
    let outdated = start(&control, "outdated", &showing(&new, &own));
    outdated.await_logged("received fatal alert");

    // The node as well, without a restart: it comes back when its connection has gone.
    trusted_by_node.become_like(&new);
    own.become_like(&clients_of(&new));
    node.renew();
    let control = control.restart();
    control.tenant("other");
    let listed = control.await_in_step("edge");
    assert_eq!(listed["full_syncs"], 1, "{listed}");
}

#[test]
fn a_node_whose_files_cannot_be_used_does_not_start_and_names_them() {
    let (own, other) = (Certificate::new(&NAMES), Certificate::new(&NAMES));
    let (cert, key) = (text(own.certificate_file()), text(other.key_file()));
    let run = |ca_file: &str| {
        let mut command = harness::tollgate();
        command.args(["proxy", "--control-url", "https://127.0.0.1:1", "--node-token", "tgn_1"]);
        command.env("TOLLGATE_CONTROL__CA_FILE", ca_file);
        let output = command.env("TOLLGATE_CONTROL__CERT", &cert).env("TOLLGATE_CONTROL__KEY", &key).output();
        String::from_utf8_lossy(&output.expect("tollgate").stderr).into_owned()
    };
    assert!(
        run(&cert).contains(&format!("control.key: {key} is not the private key of {cert}")),
        "{}",
        run(&cert)
    );
    assert!(run("/etc/hosts").contains("control.ca_file: /etc/hosts holds no PEM certificate"));
}
