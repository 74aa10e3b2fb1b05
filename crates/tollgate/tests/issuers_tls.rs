//! Issuers over https, as they are in the wild: verified, rotating their keys, away, and hostile.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "clippy's leave for tests covers test functions alone"
)]

mod harness;

use std::fs;

use harness::{
    AUDIENCE, Certificate, EchoUpstream, Gateway, ISSUER, Issuer, Nginx, Response, eventually, python,
};
use serde_json::{Value, json};

const NAMES: [&str; 2] = ["DNS:localhost", "IP:127.0.0.1"];

/// Makes keys and tokens; an nginx serves the keys.
struct World {
    issuer: Issuer,
    nginx: Nginx,
    gateway: Gateway,
    _upstream: EchoUpstream,
}

impl World {
    /// The gateway believes `authority`; nginx shows `shown` and serves what `server` says; the keys are at `path`.
    fn start(authority: &Certificate, shown: &Certificate, server: &str, path: &str) -> Self {
        let issuer = Issuer::start();
        let nginx = Nginx::start_tls(shown, &format!("access_log fetches.log; {server}"));
        let config = format!(
            "[proxy]\nworkers = 1\nupstream_ca_file = \"{}\"\n",
            authority.certificate_file().display()
        );
        let (gateway, upstream) = (Gateway::builder().config(&config).start(), EchoUpstream::start());
        let tenant = gateway.tenant("acme");
        tenant.plan("basic", &[(1_000, "month")]).consumer("ann@example.com", "basic");
        let jwks_url = format!("https://localhost:{}{path}", nginx.address().port());
        let entry = json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": jwks_url });
        // What is there is not looked at when it is written.
        nginx.while_silent(|| {
            tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "jwt": [entry] }));
        });
        Self { issuer, nginx, gateway, _upstream: upstream }
    }

    fn publish(&self, keys: &[Value]) {
        self.publish_text(&json!({ "keys": keys }).to_string());
    }

    fn publish_text(&self, text: &str) {
        fs::write(self.nginx.directory().join("keys.new"), text).expect("a file");
        fs::rename(self.nginx.directory().join("keys.new"), self.nginx.directory().join("keys.json"))
            .expect("renaming");
    }

    /// A token that was not seen before.
    fn token(&self, kid: &str, algorithm: &str, jti: u32) -> String {
        self.issuer.token(kid, algorithm, &Issuer::claims(&json!({ "jti": jti })))
    }

    fn get(&self, token: &str) -> Response {
        self.gateway.client().get("/acme/api/hello", &[("Authorization", &format!("Bearer {token}"))])
    }

    #[track_caller]
    fn assert_refused(&self, token: &str) {
        let answer = self.get(token).expect(403).json();
        assert_eq!(answer["error"]["message"], "The token is not valid", "{token}");
    }

    /// How often anybody has asked for keys.
    fn fetches(&self) -> usize {
        fs::read_to_string(self.nginx.directory().join("fetches.log")).unwrap_or_default().lines().count()
    }

    fn log(&self) -> String {
        self.gateway.stderr().join("\n")
    }
}

#[test]
fn an_issuer_rotates_its_keys_and_may_be_away() {
    let certificate = Certificate::new(&NAMES);
    let world = World::start(&certificate, &certificate, "location / {}", "/keys.json");
    let [one, two] = ["one", "two"].map(|kid| world.issuer.key(kid, "EC"));
    world.publish(std::slice::from_ref(&one));
    for jti in 0..3 {
        world.get(&world.token("one", "ES256", jti)).expect(200);
    }
    assert_eq!(world.fetches(), 1);
    // The next key is known as soon as a token names it, while the old one is still published.
    world.publish(&[one.clone(), two.clone()]);
    world.get(&world.token("two", "ES256", 10)).expect(200);
    world.get(&world.token("one", "ES256", 11)).expect(200);
    assert_eq!(world.fetches(), 2);
    // Names that are made up cause nothing for a while.
    world.issuer.key("three", "EC");
    for jti in 20..25 {
        world.assert_refused(&world.token("three", "ES256", jti));
    }
    assert_eq!(world.fetches(), 2);
    let World { issuer, nginx, gateway, _upstream } = world;
    nginx.stop();
    for (kid, jti) in [("one", 30), ("two", 31)] {
        let token = issuer.token(kid, "ES256", &Issuer::claims(&json!({ "jti": jti })));
        let bearer = format!("Bearer {token}");
        gateway.client().get("/acme/api", &[("Authorization", &bearer)]).expect(200);
    }
}

#[test]
fn an_issuer_whose_certificate_is_not_believed_has_no_keys() {
    let (authority, other) = (Certificate::authority(), Certificate::authority());
    let believed = Certificate::authority();
    believed.become_like(&other);
    let shown = Certificate::issued_by(&authority, &NAMES);
    let world = World::start(&believed, &shown, "location / {}", "/keys.json");
    world.publish(&[world.issuer.key("one", "EC")]);
    let token = world.token("one", "ES256", 1);
    assert_eq!(world.get(&token).expect(503).header("Retry-After"), Some("5"));
    eventually("the log says why", || world.log().contains("its certificate is not trusted"));
    assert_eq!(world.fetches(), 0);
    // The operator puts the right authority there: a hangup is enough.
    believed.become_like(&authority);
    world.gateway.renew();
    eventually("the keys are fetched", || world.get(&token).status == 200);
}

#[test]
fn an_expired_certificate_and_one_of_another_name_are_not_believed() {
    let authority = Certificate::authority();
    for shown in [
        Certificate::expired(&authority, &NAMES),
        Certificate::issued_by(&authority, &["DNS:id.example", "IP:127.0.0.2"]),
    ] {
        let world = World::start(&authority, &shown, "location / {}", "/keys.json");
        world.publish(&[world.issuer.key("one", "EC")]);
        world.get(&world.token("one", "ES256", 1)).expect(503);
        assert_eq!(world.fetches(), 0);
    }
}

#[test]
fn keys_may_be_at_an_address_with_a_query() {
    let certificate = Certificate::new(&NAMES);
    let server = "location = /discovery/ { if ($args != \"p=b2c_1_signin&v=2\") { return 404; } rewrite ^ /keys.json break; }";
    let world = World::start(&certificate, &certificate, server, "/discovery/?p=b2c_1_signin&v=2");
    let token = world.token_of_new_key();
    world.get(&token).expect(503);
    eventually("the log says why", || world.log().contains("has status 404"));
    // A query may hold what is nobody's business.
    assert!(
        world.log().contains("/discovery/?…") && !world.log().contains("b2c_1_signin"),
        "{}",
        world.log()
    );
    world.publish_new_key();
    eventually("the keys are fetched", || world.get(&token).status == 200);
    let shown = world.gateway.admin().get("/api/services/api?tenant=acme").expect(200);
    assert!(
        shown["jwt"][0]["jwks_url"].as_str().unwrap().ends_with("/discovery/?p=b2c_1_signin&v=2"),
        "{shown}"
    );
}

#[test]
fn a_redirect_and_an_endless_answer_are_no_keys() {
    let certificate = Certificate::new(&NAMES);
    let server = "location = /moved { return 302 /keys.json; } location / {}";
    let world = World::start(&certificate, &certificate, server, "/moved");
    let key = world.issuer.key("one", "EC");
    world.publish(std::slice::from_ref(&key));
    world.get(&world.token("one", "ES256", 1)).expect(503);
    eventually("the log says why", || world.log().contains("redirects are not followed"));

    let world = World::start(&certificate, &certificate, "location / {}", "/keys.json");
    world.issuer.key("one", "EC");
    let padding = "x".repeat(300_000);
    world.publish_text(&json!({ "padding": padding, "keys": [key] }).to_string());
    world.get(&world.token("one", "ES256", 1)).expect(503);
    eventually("the log says why", || world.log().contains("larger than"));
}

#[test]
fn a_key_set_opens_nothing_but_what_its_public_keys_signed() {
    let certificate = Certificate::new(&NAMES);
    let world = World::start(&certificate, &certificate, "location / {}", "/keys.json");
    let (rsa, ec, second) =
        (world.issuer.key("r", "RSA"), world.issuer.key("e", "EC"), world.issuer.key("s", "EC"));
    let mut twin = second;
    twin["kid"] = json!("e");
    let secret = "c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMtYXQtbGVhc3Q";
    let mut encrypting = world.issuer.key("enc", "RSA");
    encrypting["use"] = json!("enc");
    let mut other_algorithm = world.issuer.key("ps", "RSA");
    other_algorithm["alg"] = json!("PS256");
    world.publish(&[
        json!({ "kty": "oct", "kid": "h", "alg": "HS256", "k": secret }),
        json!({ "kty": "oct", "kid": "r", "k": secret }),
        json!({ "kty": "RSA", "kid": "tiny", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "EC", "kid": "off-curve", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43) }),
        json!({ "kty": "EC", "kid": 7 }),
        json!("no key"),
        rsa,
        ec,
        twin,
        encrypting,
        other_algorithm,
    ]);
    world.get(&world.token("r", "RS256", 1)).expect(200);
    world.get(&world.token("e", "ES256", 2)).expect(200);
    world.get(&world.token("ps", "PS256", 3)).expect(200);
    let claims = Issuer::claims(&json!({})).to_string();
    let hmac = "import base64, hashlib, hmac, sys\n\
        encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=')\n\
        signed = encode(sys.argv[1].encode()) + b'.' + encode(sys.argv[2].encode())\n\
        key = base64.urlsafe_b64decode(sys.argv[3] + '=')\n\
        print((signed + b'.' + encode(hmac.new(key, signed, hashlib.sha256).digest())).decode(), end='')";
    for header in [r#"{"alg":"HS256","kid":"h"}"#, r#"{"alg":"HS256","kid":"r"}"#, r#"{"alg":"HS256"}"#] {
        world.assert_refused(&python(hmac, &[header, &claims, secret]).success().text());
    }
    let signed =
        |key: &str, algorithm: &str, header: &str| world.issuer.token_with(key, algorithm, header, &claims);
    // The second key of a name; one that is for something else, or for another algorithm.
    world.assert_refused(&signed("s", "ES256", r#"{"alg":"ES256","kid":"e"}"#));
    world.assert_refused(&signed("enc", "RS256", r#"{"alg":"RS256","kid":"enc"}"#));
    world.assert_refused(&signed("ps", "RS256", r#"{"alg":"RS256","kid":"ps"}"#));
    for header in [
        r#"{"alg":"RS256","kid":7}"#,
        r#"{"alg":"RS256","kid":null}"#,
        r#"{"alg":"RS256","kid":["r"]}"#,
        r#"{"alg":"RS256","kid":""}"#,
        r#"{"alg":"RS256","kid":"R"}"#,
        r#"{"alg":"RS256","kid":"r","kid":"r"}"#,
        r#"{"alg":"RS256","kid":"r","typ":7}"#,
        r#"{"alg":"rs256","kid":"r"}"#,
        r#"{"alg":"RS256\u0000","kid":"r"}"#,
        r#"{"alg":"RS256","kid":"r"} "x""#,
        r#"[{"alg":"RS256","kid":"r"}]"#,
        &format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "r".repeat(5_000)),
    ] {
        world.assert_refused(&signed("r", "RS256", header));
    }
}

#[test]
fn what_is_within_a_token_is_claims_and_nothing_else() {
    let certificate = Certificate::new(&NAMES);
    let world = World::start(&certificate, &certificate, "location / {}", "/keys.json");
    world.publish(&[world.issuer.key("r", "RSA")]);
    let good = world.token("r", "RS256", 1);
    let header = r#"{"alg":"RS256","kid":"r","cty":"JWT"}"#;
    let claims = Issuer::claims(&json!({})).to_string();
    for payload in [
        // A token within a token, as a text and as it is.
        good.clone(),
        json!(good).to_string(),
        format!("[{claims}]"),
        format!("{claims}{claims}"),
        claims.replace("\"exp\":", "\"exp\":1e99,\"not\":"),
        claims.replace("\"exp\":", "\"exp\":-1,\"not\":"),
        claims.replace("\"exp\":", "\"exp\":99999999999999999999999,\"not\":"),
        claims.replace(ISSUER, "https://id.example\\u0000"),
        claims.replace("ann@example.com", "ann@example.com\\u0000"),
        claims.replace("\"sub\":\"ann@example.com\"", "\"sub\":{\"$ne\":null}"),
        "null".to_owned(),
        String::new(),
        "{".repeat(2_000),
        format!("{{\"a\":{}{}}}", "[".repeat(1_500), "]".repeat(1_500)),
    ] {
        world.assert_refused(&world.issuer.token_with("r", "RS256", header, &payload));
    }
    // The same bytes in another text, and with something behind them.
    for changed in
        [format!("{good}="), format!("{good}A"), good.replacen('.', "..", 1), format!("{good}.x.y")]
    {
        assert_eq!(world.get(&changed).status, 403, "{changed}");
    }
    for (field, value) in [("Authorization", format!("bearer {good}")), ("X-API-Key", good.clone())] {
        world.gateway.client().get("/acme/api", &[(field, &value)]).expect(200);
    }
    world.get(&good).expect(200);
}

impl World {
    fn token_of_new_key(&self) -> String {
        let key = self.issuer.key("new", "EC");
        fs::write(self.nginx.directory().join("new.json"), json!({ "keys": [key] }).to_string())
            .expect("a file");
        self.token("new", "ES256", 1)
    }

    fn publish_new_key(&self) {
        let new = self.nginx.directory().join("new.json");
        fs::rename(new, self.nginx.directory().join("keys.json")).expect("renaming");
    }
}
