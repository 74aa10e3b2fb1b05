//! Tokens that stand for keys: how they are got, what they open, when they end, and what is no token.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "clippy's leave for tests covers test functions alone"
)]

mod harness;

use harness::{
    Admin, EchoUpstream, Gateway, Response, eventually, exactly, python, started, started_limited,
};
use serde_json::{Value, json};

const SECRET: &str = "a secret of thirty-two bytes at least";

/// What the key is exchanged for.
#[track_caller]
fn token_for(gateway: &Gateway, key: &str) -> String {
    token_with(gateway, &[("X-API-Key", key)])
}

#[track_caller]
fn token_with(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    let answer = gateway.client().request("POST", "/-/token", headers, b"").expect(200);
    answer.json()["token"].as_str().expect("a token").to_owned()
}

fn get(gateway: &Gateway, token: &str) -> Response {
    gateway.client().get("/acme/api/hello", &[("Authorization", &format!("Bearer {token}"))])
}

#[track_caller]
fn assert_refused(gateway: &Gateway, token: &str) {
    let answer = get(gateway, token).expect(403).json();
    assert_eq!(answer["error"]["message"], "The token is not valid", "{token}");
}

/// Decodes the part by another implementation.
fn part(token: &str, index: usize) -> Value {
    let program = "import base64, sys\n\
        part = sys.argv[1].split('.')[int(sys.argv[2])]\n\
        sys.stdout.buffer.write(base64.urlsafe_b64decode(part + '=' * (-len(part) % 4)))";
    let decoded = python(program, &[token, &index.to_string()]).success();
    serde_json::from_slice(&decoded.stdout).expect("JSON")
}

/// A token of this header and these claims, signed with HMAC-SHA-256 by Python.
fn signed_with_secret(header: &str, claims: &str, secret: &str) -> String {
    let program = "import base64, hashlib, hmac, sys\n\
        encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=')\n\
        header, claims, secret = (argument.encode() for argument in sys.argv[1:4])\n\
        signed = encode(header) + b'.' + encode(claims)\n\
        tag = hmac.new(secret, signed, hashlib.sha256).digest()\n\
        print((signed + b'.' + encode(tag)).decode(), end='')";
    python(program, &[header, claims, secret]).success().text()
}

#[test]
fn a_token_says_that_it_ends_with_its_key() {
    let gateway = Gateway::start();
    let ends = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(100);
    let key = json!({ "name": "short", "expires_at": ends.to_string() });
    let key = gateway.tenant("acme").key_with(&key)["key"].as_str().expect("a key").to_owned();
    let answer = gateway.client().request("POST", "/-/token", &[("X-API-Key", &key)], b"").expect(200).json();
    assert!((1..=100).contains(&answer["expires_in"].as_u64().expect("seconds")), "{answer}");
    let claims = part(answer["token"].as_str().expect("a token"), 1);
    assert_eq!(claims["exp"].as_i64(), Some(ends.as_second()));
}

#[test]
fn a_key_is_exchanged_for_a_token_that_opens_the_same() {
    let (gateway, upstream, key) = started();
    let answer = gateway.client().request("POST", "/-/token", &[("X-API-Key", &key)], b"ignored").expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert!(body["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    let token = body["token"].as_str().expect("a token");
    get(&gateway, token).expect(200);
    gateway.client().get("/acme/api", &[("X-API-Key", token)]).expect(200);
    let usage =
        gateway.client().get("/-/usage", &[("Authorization", &format!("Bearer {token}"))]).expect(200);
    assert_eq!(usage.json()["tenant"], "acme");
    let logged = gateway.await_logged(|line| line["path"] == "/acme/api/hello");
    let claims = part(token, 1);
    assert_eq!(logged["key_id"], claims["key_id"]);
    for (name, value) in [("iss", "tollgate"), ("aud", "acme"), ("tenant", "acme")] {
        assert_eq!(claims[name], value);
    }
    assert_eq!(claims["sub"], claims["key_id"]);
    for request in upstream.requests() {
        let seen = format!("{request:?}");
        assert!(!seen.contains(token), "the upstream is not sent the token");
    }
    assert!(gateway.files_with(token).is_empty() && gateway.files_with(&key).is_empty());
}

#[test]
fn a_token_beside_a_key_does_not_reach_the_upstream_either() {
    let (gateway, upstream, key) = started();
    let token = token_for(&gateway, &key);
    let bearer = format!("Bearer {token}");
    gateway.client().get("/acme/api", &[("X-API-Key", &key), ("Authorization", &bearer)]).expect(200);
    gateway
        .client()
        .get("/acme/api", &[("X-API-Key", &key), ("Authorization", "Bearer a.foreign.one")])
        .expect(200);
    let seen: Vec<String> = upstream.requests().iter().map(|request| format!("{request:?}")).collect();
    assert!(!seen[0].contains(&token) && seen[1].contains("a.foreign.one"), "{seen:?}");
}

#[test]
fn only_a_good_key_gets_a_token_and_only_by_post() {
    let (gateway, _upstream, key) = started();
    let token = token_for(&gateway, &key);
    let post = |headers: &[(&str, &str)]| gateway.client().request("POST", "/-/token", headers, b"");
    post(&[]).expect(401);
    post(&[("X-API-Key", "no-such-key-at-all")]).expect(403);
    post(&[("Authorization", &format!("Bearer {token}"))]).expect(403);
    let refused = gateway.client().get("/-/token", &[("X-API-Key", &key)]).expect(405);
    assert_eq!(refused.header("Allow"), Some("POST"));
    gateway.client().request("POST", "/.well-known/jwks.json", &[], b"").expect(405);
}

#[test]
fn a_token_counts_for_its_key_s_limits() {
    let (gateway, _upstream, _tenant, key) = started_limited(&json!([exactly(3)]));
    let token = token_for(&gateway, &key);
    get(&gateway, &token).expect(200);
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    get(&gateway, &token).expect(200);
    get(&gateway, &token).expect(429);
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(429);
}

#[test]
fn a_token_speaks_for_the_consumer_that_it_was_asked_for() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).plan("gold", &[(1_000, "month")]);
    tenant.consumer("ann@example.com", "gold").consumer("bob", "gold");
    let key = tenant.unlimited_key();
    let token = token_with(&gateway, &[("X-API-Key", &key), ("X-Client-ID", "ann@example.com")]);
    let claims = part(&token, 1);
    assert_eq!((&claims["sub"], &claims["plan"]), (&json!("ann@example.com"), &json!("gold")));
    get(&gateway, &token).expect(200);
    let logged = gateway.await_logged(|line| line["path"] == "/acme/api/hello");
    assert_eq!(logged["consumer"], "ann@example.com");
    let bearer = format!("Bearer {token}");
    let as_bob = [("Authorization", bearer.as_str()), ("X-Client-ID", "bob")];
    gateway.client().get("/acme/api", &as_bob).expect(403);
    // Somebody else's, and one of nobody's: the key alone may name them.
    let free = format!("Bearer {}", token_for(&gateway, &key));
    gateway.client().get("/acme/api", &[("Authorization", &free), ("X-Client-ID", "bob")]).expect(200);
    gateway.admin().delete("/api/consumers/ann@example.com?tenant=acme").expect(204);
    assert_refused(&gateway, &token);
}

#[test]
fn a_token_ends_with_its_key() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).service("other", &upstream.url());
    let made = |name: &str| {
        let made = tenant.key_with(&json!({ "name": name, "services": ["api"] }));
        let key = made["key"].as_str().expect("a key").to_owned();
        (format!("/api/keys/{}", made["id"].as_str().expect("an id")), token_for(&gateway, &key))
    };
    let admin: Admin = gateway.admin();
    let (path, token) = made("revoked");
    get(&gateway, &token).expect(200);
    gateway.client().get("/acme/other", &[("Authorization", &format!("Bearer {token}"))]).expect(403);
    admin.delete(&format!("{path}?tenant=acme")).expect(204);
    assert_refused(&gateway, &token);

    let (path, token) = made("rotated with grace");
    get(&gateway, &token).expect(200);
    admin.post(&format!("{path}/rotate?tenant=acme"), &json!({ "grace": "1h" })).expect(200);
    get(&gateway, &token).expect(200);
    let (path, token) = made("rotated at once");
    admin.post(&format!("{path}/rotate?tenant=acme"), &json!({ "grace": "0s" })).expect(200);
    assert_refused(&gateway, &token);

    let (path, token) = made("expired");
    get(&gateway, &token).expect(200);
    let past = json!({ "name": "expired", "expires_at": "2020-01-01T00:00:00Z" });
    admin.put(&format!("{path}?tenant=acme"), &past).expect(200);
    assert_refused(&gateway, &token);

    // Of another tenant it opens nothing, though the service has the same name.
    let (_, token) = made("elsewhere");
    gateway.tenant("globex").service("api", &upstream.url());
    let elsewhere = gateway.client().get("/globex/api", &[("Authorization", &format!("Bearer {token}"))]);
    assert_eq!(elsewhere.expect(403).json()["error"]["message"], "The token is not valid");
}

#[test]
fn a_token_expires() {
    let upstream = EchoUpstream::start();
    let gateway =
        Gateway::builder().config("tokens.ttl = \"2s\"\ntokens.issuer = \"https://gate.example\"\n").start();
    let key = gateway.expose(&upstream.url());
    let token = token_for(&gateway, &key);
    let claims = part(&token, 1);
    assert_eq!(claims["iss"], "https://gate.example");
    assert_eq!(claims["exp"].as_u64(), claims["iat"].as_u64().map(|at| at + 2));
    eventually("the token has expired", || get(&gateway, &token).status == 403);
    assert_refused(&gateway, &token);
}

#[test]
fn tokens_outlive_a_restart_and_private_keys_are_sealed() {
    let (gateway, _upstream, key) = started();
    let token = token_for(&gateway, &key);
    let gateway = gateway.restart_after("KILL");
    get(&gateway, &token).expect(200);
    let secret = gateway.directory().join("data/tollgate.secret");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&secret).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Without the secret, the signing keys are lost, and nothing else is.
    std::fs::remove_file(&secret).unwrap();
    let gateway = gateway.restart_after("TERM");
    assert_refused(&gateway, &token);
    gateway.client().get("/acme/api", &[("X-API-Key", &key)]).expect(200);
    get(&gateway, &token_for(&gateway, &key)).expect(200);
}

#[test]
fn the_admin_api_issues_and_validates_tokens() {
    let (gateway, _upstream, key) = started();
    let admin = gateway.admin();
    let issued = admin.post("/api/auth/token", &json!({ "api_key": key })).expect(200);
    let token = issued["token"].as_str().expect("a token");
    assert_eq!((&issued["token_type"], &issued["expires_in"]), (&json!("Bearer"), &json!(3600)));
    get(&gateway, token).expect(200);
    let nobody = gateway.admin_with("nobody's token");
    let valid = nobody.post("/api/auth/validate", &json!({ "token": token })).expect(200);
    assert_eq!((&valid["valid"], &valid["claims"]["tenant"]), (&json!(true), &json!("acme")));
    for bad in ["", "a.b.c", &format!("{token}x"), &key] {
        let answer = nobody.post("/api/auth/validate", &json!({ "token": bad })).expect(200);
        assert_eq!(answer, json!({ "valid": false, "claims": null }));
    }
    let keys = admin.get("/api/keys?tenant=acme").expect(200);
    let id = keys["items"][0]["id"].as_str().expect("an id");
    admin.delete(&format!("/api/keys/{id}?tenant=acme")).expect(204);
    let answer = admin.post("/api/auth/validate", &json!({ "token": token })).expect(200);
    assert_eq!(answer["valid"], false);
    for failure in 0..11 {
        let refused = admin.post("/api/auth/token", &json!({ "api_key": key }));
        assert_eq!(refused.status(), if failure < 10 { 403 } else { 429 });
    }
    admin.post("/api/auth/token", &json!({ "key": key })).expect(422);
}

/// What the gateway publishes to verify its tokens with.
fn published(gateway: &Gateway) -> Vec<Value> {
    let key_set = gateway.client().get("/.well-known/jwks.json", &[]).expect(200).json();
    key_set["keys"].as_array().expect("keys").clone()
}

/// Whether OpenSSL finds a token to be signed with this key.
fn is_signed_with(token: &str, jwk: &Value) -> bool {
    // An Ed25519 key as OpenSSL reads it: RFC 8410 section 4.
    let program = "import base64, pathlib, subprocess, sys, tempfile\n\
        decode = lambda text: base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))\n\
        signed, signature = sys.argv[1].rsplit('.', 1)\n\
        folder = pathlib.Path(tempfile.mkdtemp())\n\
        (folder / 'key').write_bytes(bytes.fromhex('302a300506032b6570032100') + decode(sys.argv[2]))\n\
        (folder / 'signed').write_bytes(signed.encode())\n\
        (folder / 'signature').write_bytes(decode(signature))\n\
        sys.exit(subprocess.run(['openssl', 'pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-inkey', 'key',\n\
            '-rawin', '-in', 'signed', '-sigfile', 'signature'], cwd=folder).returncode)";
    python(program, &[token, jwk["x"].as_str().expect("x")]).code == Some(0)
}

#[test]
fn another_implementation_verifies_what_is_signed() {
    let (gateway, _upstream, key) = started();
    let token = token_for(&gateway, &key);
    let header = part(&token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("JWT")));
    let published = published(&gateway);
    let jwk = published.iter().find(|key| key["kid"] == header["kid"]).expect("the key is published");
    assert!(jwk.get("d").is_none());
    assert!(is_signed_with(&token, jwk));
    let other = format!("{}x.{}", &token[..token.len() - 90], &token[token.len() - 86..]);
    assert!(!is_signed_with(&other, jwk));
}

/// Makes the signing keys of a gateway older, and starts it again.
fn aged(gateway: Gateway, secs: u64) -> Gateway {
    let program = "import sqlite3, sys\n\
        database = sqlite3.connect(sys.argv[1])\n\
        database.execute('UPDATE signing_keys SET signs_from = signs_from - ?', [int(sys.argv[2])])\n\
        database.commit()";
    let database = gateway.directory().join("data/tollgate.db");
    python(program, &[database.to_str().expect("a path"), &secs.to_string()]).success();
    gateway.restart_after("TERM")
}

#[test]
fn both_keys_of_a_rotation_are_published_and_verify_what_they_have_signed() {
    const HOUR: u64 = 3_600;
    let (gateway, _upstream, key) = started();
    let older = token_for(&gateway, &key);
    // The next key is published an hour before it signs.
    let gateway = aged(gateway, 30 * 24 * HOUR);
    eventually("the next key is published", || published(&gateway).len() == 2);
    assert_eq!(part(&token_for(&gateway, &key), 0), part(&older, 0));
    let gateway = aged(gateway, 2 * HOUR);
    let newer = token_for(&gateway, &key);
    let key_of = |token: &str| {
        let kid = part(token, 0)["kid"].clone();
        published(&gateway).into_iter().find(|key| key["kid"] == kid)
    };
    let [by_older, by_newer] = [&older, &newer].map(|token| key_of(token).expect("it is published"));
    assert_ne!(by_older["kid"], by_newer["kid"]);
    for (token, own, other) in [(&older, &by_older, &by_newer), (&newer, &by_newer, &by_older)] {
        get(&gateway, token).expect(200);
        assert!(is_signed_with(token, own) && !is_signed_with(token, other));
    }
    // No token that the older key has signed can be good any more.
    let gateway = aged(gateway, 26 * HOUR);
    eventually("the older key goes", || published(&gateway).iter().all(|key| key["kid"] != by_older["kid"]));
    assert_refused(&gateway, &older);
    get(&gateway, &newer).expect(200);
}

#[test]
fn with_a_secret_tokens_are_those_of_any_other_implementation() {
    let upstream = EchoUpstream::start();
    let gateway = Gateway::builder().env("JWT_SECRET", SECRET).start();
    let key = gateway.expose(&upstream.url());
    let token = token_for(&gateway, &key);
    get(&gateway, &token).expect(200);
    let key_set = gateway.client().get("/.well-known/jwks.json", &[]).expect(200).json();
    assert_eq!(key_set, json!({ "keys": [] }));
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!(header["alg"], "HS256");
    // Python makes of the same claims a token that is as good, and one that is not.
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims.to_string()
    };
    let header = header.to_string();
    get(&gateway, &signed_with_secret(&header, &claims.to_string(), SECRET)).expect(200);
    let later = with("exp", json!(claims["exp"].as_u64().expect("exp") + 60));
    get(&gateway, &signed_with_secret(&header, &later, SECRET)).expect(200);
    for bad in [
        signed_with_secret(&header, &claims.to_string(), "another secret of thirty-two bytes or so"),
        signed_with_secret(&header, &with("exp", json!(1)), SECRET),
        signed_with_secret(&header, &with("nbf", json!(u32::MAX)), SECRET),
        signed_with_secret(&header, &with("iss", json!("else")), SECRET),
        signed_with_secret(&header, &with("aud", json!("globex")), SECRET),
        signed_with_secret(&header, &with("tenant", json!("globex")), SECRET),
        signed_with_secret(&header, &with("key_ref", json!("AAAA")), SECRET),
        signed_with_secret(&header, &with("jti", json!("00000000-0000-0000-0000-000000000000")), SECRET),
        signed_with_secret(&header, &with("key_id", json!("00000000-0000-0000-0000-000000000000")), SECRET),
        signed_with_secret(&header, &with("consumer", json!("nobody")), SECRET),
        signed_with_secret(&header, &with("consumer", json!(7)), SECRET),
        signed_with_secret(&header, &claims.to_string().replacen('{', r#"{"aud":"acme","#, 1), SECRET),
        signed_with_secret(&header, &with("deep", json!([[[[[[[[[[]]]]]]]]]])), SECRET),
        signed_with_secret(&header.replace("HS256", "none"), &claims.to_string(), SECRET),
    ] {
        assert_refused(&gateway, &bad);
    }
    // It is the environment's, so nothing of it is lost with a restart.
    let gateway = gateway.restart_after("TERM");
    get(&gateway, &token).expect(200);
}

#[test]
fn a_secret_that_is_too_short_stops_the_start() {
    let refused = Gateway::builder().env("JWT_SECRET", "too short").try_start().err().expect("no start");
    assert!(refused.stderr.contains("JWT_SECRET must have at least 32 bytes"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("too short"));
}

#[test]
fn hostile_tokens_are_refused_alike() {
    let (gateway, upstream, key) = started();
    let token = token_for(&gateway, &key);
    let (header, claims) = (part(&token, 0), part(&token, 1).to_string());
    let kid = header["kid"].as_str().expect("kid");
    let key_set = gateway.client().get("/.well-known/jwks.json", &[]).expect(200).json();
    let x = key_set["keys"][0]["x"].as_str().expect("x");
    let parts: Vec<&str> = token.split('.').collect();
    let named = |rest: &str| format!(r#"{{"kid":"{kid}",{rest}}}"#);
    let mut tokens = vec![
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{}.", parts[0], parts[1]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}.{}=", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
        format!("{}.{}.{}", parts[0], "A".repeat(9_000), parts[2]),
    ];
    // HMAC with the public key, in the forms in which a careless verifier would hold it.
    for secret in [x, r#"{"keys":[]}"#, ""] {
        tokens.push(signed_with_secret(&named(r#""alg":"HS256""#), &claims, secret));
    }
    for alg in [
        r#""none""#,
        r#""NONE""#,
        r#""nOnE""#,
        r#""""#,
        "null",
        "0",
        r#"["EdDSA"]"#,
        r#""RS256""#,
        r#""ES256""#,
    ] {
        tokens.push(signed_with_secret(&named(&format!(r#""alg":{alg}"#)), &claims, SECRET));
    }
    for rest in [
        r#""alg":"EdDSA","typ":"JWE""#,
        r#""alg":"EdDSA","crit":["exp"],"exp":1"#,
        r#""alg":"EdDSA","alg":"none""#,
        r#""alg":"EdDSA","jku":"http://127.0.0.1:1/keys""#,
        r#""alg":"EdDSA","kid":"../../etc/passwd""#,
        r#""alg":"EdDSA","x":{"a":[[[[[[[[[[[[1]]]]]]]]]]]]}"#,
    ] {
        tokens.push(signed_with_secret(&named(rest), &claims, SECRET));
    }
    for token in &tokens {
        assert_refused(&gateway, token);
    }
    assert_eq!(upstream.requests().len(), 0);
    get(&gateway, &token).expect(200);
    // The log tells the operator why, and never what.
    eventually("the log says why", || {
        gateway.stderr().iter().any(|line| line.contains("a token was refused"))
    });
    assert!(!gateway.stderr().iter().any(|line| line.contains(&claims[..40]) || line.contains(parts[2])));
}
