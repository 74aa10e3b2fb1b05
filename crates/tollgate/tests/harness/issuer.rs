//! An identity provider that is not Tollgate: OpenSSL's keys and signatures, Python's JSON and HTTP.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::programs::{PythonServer, python};
use super::scenes::overlaid;

/// Where it says that it is.
pub const ISSUER: &str = "https://id.example";
pub const AUDIENCE: &str = "orders";

const PROGRAM: &str = r"
import base64, json, pathlib, subprocess, sys, tempfile
encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=').decode()
command, key = sys.argv[1], sys.argv[2]
run = lambda *arguments: subprocess.run(['openssl', *arguments], check=True, capture_output=True).stdout

def make(kid, kind):
    options = {'RSA': ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'], 'ED25519': ['ED25519'],
               'EC': ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256']}[kind]
    run('genpkey', '-algorithm', *options, '-out', key)
    public = run('pkey', '-in', key, '-pubout', '-outform', 'DER')
    if kind == 'RSA':
        modulus = run('rsa', '-in', key, '-noout', '-modulus').decode().strip().split('=')[1]
        return {'kty': 'RSA', 'kid': kid, 'n': encode(bytes.fromhex(modulus)), 'e': 'AQAB', 'use': 'sig'}
    if kind == 'EC':
        return {'kty': 'EC', 'crv': 'P-256', 'kid': kid, 'x': encode(public[-64:-32]), 'y': encode(public[-32:])}
    return {'kty': 'OKP', 'crv': 'Ed25519', 'kid': kid, 'alg': 'EdDSA', 'x': encode(public[-32:])}

def raw_ecdsa(der):
    numbers, at = [], 2
    while at < len(der):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], 'big'))
        at += 2 + length
    return b''.join(number.to_bytes(32, 'big') for number in numbers)

def sign(algorithm, header, claims):
    signed = encode(header.encode()) + '.' + encode(claims.encode())
    with tempfile.NamedTemporaryFile() as message:
        pathlib.Path(message.name).write_text(signed)
        if algorithm == 'EdDSA':
            signature = run('pkeyutl', '-sign', '-inkey', key, '-rawin', '-in', message.name)
        else:
            pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:-1'] if algorithm == 'PS256' else []
            signature = run('dgst', '-sha256', *pss, '-sign', key, message.name)
        if algorithm == 'ES256':
            signature = raw_ecdsa(signature)
    return signed + '.' + encode(signature)

print(json.dumps(make(*sys.argv[3:])) if command == 'make' else sign(*sys.argv[3:]), end='')
";

pub struct Issuer {
    server: PythonServer,
    private: TempDir,
}

impl Issuer {
    /// Serves no keys yet.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: PythonServer::start(&[]), private: tempfile::tempdir().expect("a directory") }
    }

    pub fn jwks_url(&self) -> String {
        format!("{}/keys.json", self.server.url())
    }

    /// Does this while the server accepts connections, and says nothing on them.
    pub fn while_silent<T>(&self, act: impl FnOnce() -> T) -> T {
        self.server.while_silent(act)
    }

    /// A new key of this kind (`RSA`, `EC`, `ED25519`): its public half as a JWK.
    #[track_caller]
    pub fn key(&self, kid: &str, kind: &str) -> Value {
        let made = python(PROGRAM, &["make", &self.file_of(kid), kid, kind]).success();
        serde_json::from_slice(&made.stdout).expect("a JWK")
    }

    #[track_caller]
    pub fn publish(&self, keys: &[Value]) {
        self.publish_text(&json!({ "keys": keys }).to_string());
    }

    /// Whatever it is.
    #[track_caller]
    pub fn publish_text(&self, text: &str) {
        // In one step: a reader sees the old file or the new one.
        let unfinished = self.private.path().join("unfinished");
        fs::write(&unfinished, text).expect("a file");
        fs::copy(&unfinished, self.directory().join("keys.new")).expect("a copy");
        fs::rename(self.directory().join("keys.new"), self.directory().join("keys.json")).expect("renaming");
    }

    /// From now on there is nothing to fetch.
    #[track_caller]
    pub fn withdraw(&self) {
        fs::remove_file(self.directory().join("keys.json")).expect("removing");
    }

    /// A token with these claims.
    #[track_caller]
    pub fn token(&self, kid: &str, algorithm: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "kid": kid, "typ": "at+jwt" });
        self.token_with(kid, algorithm, &header.to_string(), &claims.to_string())
    }

    /// A token with this header, whatever it says.
    #[track_caller]
    pub fn token_with(&self, kid: &str, algorithm: &str, header: &str, claims: &str) -> String {
        python(PROGRAM, &["sign", &self.file_of(kid), algorithm, header, claims]).success().text()
    }

    /// Claims that are good for an hour, with these put over them.
    pub fn claims(over: &Value) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": ISSUER, "aud": [AUDIENCE, "else"], "sub": "ann@example.com", "iat": now, "exp": now + 3_600,
        });
        overlaid(claims, over)
    }

    fn directory(&self) -> &Path {
        self.server.directory()
    }

    fn file_of(&self, kid: &str) -> String {
        self.private.path().join(format!("{kid}.pem")).display().to_string()
    }
}
