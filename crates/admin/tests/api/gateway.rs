//! A control plane on a free port, and clients of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_rustls::{TlsConnector, rustls};
use tollgate_admin::{ControlPlane, FirstStart, SealingSecret, Settings};
use tollgate_core::credential::KeyHash;
use tollgate_core::snapshot::{Key, Snapshot};
use tollgate_counters::LocalCounters;
use tollgate_store::Store;

use crate::contract;

pub const ADMIN_TOKEN: &str = "a-configured-admin-token";

pub struct Gateway {
    pub plane: ControlPlane,
    pub counters: Arc<LocalCounters>,
    pub runtime: Runtime,
    snapshot: Arc<ArcSwap<Snapshot>>,
    address: SocketAddr,
    store: Store,
    folder: TempDir,
}

/// One caller: a token, and the tenant that it adds to every path.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
    tenant: Option<String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

/// As where the operator says nothing.
pub fn unconfigured() -> Settings {
    Settings::new(SealingSecret::from_bytes([1; 32]), trusting_nobody())
}

fn trusting_nobody() -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

pub fn settings() -> Settings {
    Settings { admin_token: Some(ADMIN_TOKEN.to_owned()), ..unconfigured() }
}

impl Gateway {
    pub fn start() -> Self {
        Self::start_with(settings())
    }

    pub fn start_with(settings: Settings) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings).0
    }

    pub fn start_in(folder: TempDir, settings: Settings) -> (Self, FirstStart) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let counters = Arc::new(LocalCounters::new());
        let started = runtime.block_on(async {
            let store = Store::open(&folder.path().join("tollgate.db")).await.unwrap();
            let (plane, first_start) =
                ControlPlane::open(store.clone(), Arc::clone(&snapshot), Arc::clone(&counters), settings)
                    .await
                    .unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let serving = plane.clone();
            tokio::spawn(async move { serving.serve(listener, std::future::pending()).await });
            (store, plane, first_start, address)
        });
        let (store, plane, first_start, address) = started;
        (Self { plane, counters, runtime, snapshot, address, store, folder }, first_start)
    }

    /// Stops without a word, as a crash would, but for the file being closed.
    pub fn stop(self) -> TempDir {
        self.runtime.block_on(self.store.close());
        self.runtime.shutdown_background();
        self.folder
    }

    /// From here on the database fails.
    pub fn close_store(&self) {
        self.runtime.block_on(self.store.close());
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database as another process would open it.
    pub async fn open_store_again(&self) -> Store {
        Store::open(self.store.path()).await.unwrap()
    }

    /// All bytes that the database has on disk.
    pub fn bytes_on_disk(&self) -> Vec<u8> {
        let file = |name: &str| -> PathBuf { self.folder.path().join(name) };
        let mut bytes = std::fs::read(file("tollgate.db")).unwrap();
        bytes.extend(std::fs::read(file("tollgate.db-wal")).unwrap_or_default());
        bytes
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub fn revision(&self) -> u64 {
        self.snapshot().revision()
    }

    /// What the proxy would find for this credential.
    pub fn key_in_force(&self, secret: &str) -> Option<Key> {
        self.snapshot().key(&KeyHash::of(secret.as_bytes())).cloned()
    }

    pub fn anyone(&self) -> Client {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Client {
            agent: config.build().into(),
            base: format!("http://{}", self.address),
            token: None,
            tenant: None,
        }
    }

    pub fn admin(&self) -> Client {
        self.anyone().with_token(ADMIN_TOKEN)
    }

    /// The administrator in a tenant that is made for it.
    pub fn admin_in(&self, tenant: &str) -> Client {
        self.admin().post("/api/tenants", &json!({ "slug": tenant })).expect(201);
        self.admin().in_tenant(tenant)
    }

    /// A user of a tenant that is there already, signed in.
    pub fn user_of(&self, tenant: &str, username: &str) -> Client {
        let user = json!({ "username": username, "password": "correct horse", "tenant": tenant });
        self.admin().post("/api/users", &user).expect(201);
        self.signed_in(username, "correct horse")
    }

    pub fn signed_in(&self, username: &str, password: &str) -> Client {
        let login = json!({ "username": username, "password": password });
        let session = self.anyone().post("/api/auth/login", &login).expect(200);
        self.anyone().with_token(session["token"].as_str().unwrap())
    }
}

impl Client {
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub fn in_tenant(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], Some(body.to_string()))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("Content-Type", "application/json")], Some(body.to_string()))
    }

    pub fn put_if_match(&self, path: &str, tag: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json"), ("If-Match", tag)];
        self.send("PUT", path, &headers, Some(body.to_string()))
    }

    #[track_caller]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let tenant = self.tenant.as_ref().map_or(String::new(), |slug| format!("{separator}tenant={slug}"));
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}{tenant}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => self.agent.run(request.body(body).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let (parts, mut body) = response.unwrap().into_parts();
        let text = body.with_config().limit(64 << 20).read_to_string().unwrap();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, text };
        contract::check(|| self.document(), method, path, &answer);
        answer
    }

    fn document(&self) -> Value {
        let mut response = self.agent.get(format!("{}/api/openapi.json", self.base)).call().unwrap();
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }
}

impl Answer {
    /// The JSON body of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text).unwrap() }
    }

    /// A refusal of this status, in its proper form; the fields that are wrong.
    #[track_caller]
    pub fn refused(&self, status: u16) -> Vec<String> {
        let problem = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"].is_string());
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.iter().all(|error| error["message"].is_string()));
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}
