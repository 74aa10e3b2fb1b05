//! The control plane of this process, on its data directory; with or without a proxy beside it.

use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;
use tollgate_admin::{Checking, ControlPlane, FirstStart, LiveTraffic, Settings};
use tollgate_core::breaker::Reading;
use tollgate_core::channel;
use tollgate_core::health::TargetHealth;
use tollgate_core::resource::{ServiceId, TargetId, TenantId};
use tollgate_core::snapshot::Snapshot;
use tollgate_counters::{Counters, LocalCounters};
use tollgate_proxy::{Proxy, Shared};
use tollgate_store::Store;

use super::data_dir::{DataDir, DatabaseFile};
use super::metrics;
use super::open_files::admin_limits;
use crate::config::{ADMIN_TOKEN, Config};
use crate::output::Stream;

pub struct Control {
    pub plane: ControlPlane,
    pub data_dir: DataDir,
    _database: DatabaseFile,
    store: Store,
    snapshot: Arc<ArcSwap<Snapshot>>,
    counters: Arc<LocalCounters>,
    /// Where the proxy has its limits counted, once that is known: monitoring asks how it is.
    counting: Arc<OnceLock<Arc<Counters>>>,
    proxy: ProxyCell,
}

/// The proxy, once it runs: the control plane asks it which keys were used, and which thresholds were reached.
type ProxyCell = Arc<OnceLock<Weak<Proxy>>>;

impl Control {
    /// Locks the data directory, opens the database, and compiles what it holds. An admin token that it makes is shown
    /// on `told`.
    pub async fn open(config: &Config, told: Stream) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(config)?;
        let database = DatabaseFile::open(&data_dir, config)?;
        data_dir.warn_of_lost_database(&database);
        let store = Store::open(database.path()).await?;
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let counters = Arc::new(LocalCounters::new());
        let proxy = ProxyCell::default();
        let [used, crossed, carried, traffic] = [(); 4].map(|()| OfProxy(Arc::clone(&proxy)));
        let counting = Arc::new(OnceLock::new());
        let measured: Arc<OnceLock<Arc<Counters>>> = Arc::clone(&counting);
        let settings = Settings {
            sealing: data_dir.sealing_secret()?,
            issuing: config.tokens.issuing.clone(),
            rotate_signing_keys_every: config.tokens.rotate_every,
            allow_list: config.upstreams_allowed.clone(),
            admin_token: config.admin_token.as_ref().map(|token| token.as_str().to_owned()),
            last_used: Some(Box::new(move || used.noted(Proxy::take_key_usage))),
            crossings: Some(Box::new(move || crossed.noted(Proxy::take_crossings))),
            webhook_tls: tls(None)?,
            key_set_tls: tls(config.proxy.upstream_ca_file.as_deref())?,
            metrics: Some(Box::new(move || {
                metrics::text(measured.get().map(|counters| &**counters), carried.proxy().as_deref())
            })),
            traffic: Some(Box::new(traffic)),
            connections: admin_limits(),
        };
        let (plane, first_start) =
            ControlPlane::open(store.clone(), Arc::clone(&snapshot), Arc::clone(&counters), settings).await?;
        if let FirstStart::GeneratedToken(token) = first_start {
            show(&token, told)?;
            plane.keep_admin_token().await?;
        }
        Ok(Self { plane, data_dir, _database: database, store, snapshot, counters, counting, proxy })
    }

    /// What the proxy of this process runs on, with where it has its limits counted.
    pub fn shared(&self, counters: Arc<Counters>) -> Shared {
        // A process counts in one place, so the cell is empty.
        drop(self.counting.set(Arc::clone(&counters)));
        Shared { snapshot: Arc::clone(&self.snapshot), counters }
    }

    /// What is counted in this process: kept over restarts.
    pub fn local_counters(&self) -> Arc<LocalCounters> {
        Arc::clone(&self.counters)
    }

    /// From here on, the proxy is asked what it has noted.
    pub fn attach(&self, proxy: &Arc<Proxy>) {
        // A process starts one proxy, so the cell is empty.
        drop(self.proxy.set(Arc::downgrade(proxy)));
    }

    /// Closes the database, and gives the data directory back.
    pub async fn close(self) {
        self.store.close().await;
    }
}

fn show(token: &str, told: Stream) -> anyhow::Result<()> {
    let text = format!(
        "admin token: {token}\n  It is shown this once and stored as a hash. For the command line, put it into {ADMIN_TOKEN}.\n"
    );
    told.show(&text).with_context(|| {
        format!("the admin token that was made cannot be shown, so it was not kept: start again, or set {ADMIN_TOKEN}")
    })
}

/// What the proxy knows, once it runs.
struct OfProxy(ProxyCell);

impl OfProxy {
    fn proxy(&self) -> Option<Arc<Proxy>> {
        self.0.get().and_then(Weak::upgrade)
    }

    /// What it has noted since the last call.
    fn noted<T>(&self, take: fn(&Proxy) -> Vec<T>) -> Vec<T> {
        self.proxy().map(|proxy| take(&proxy)).unwrap_or_default()
    }
}

impl LiveTraffic for OfProxy {
    fn circuit(&self, service: ServiceId) -> Option<Reading> {
        Some(self.proxy()?.circuit(service))
    }

    fn target_circuit(&self, service: ServiceId, target: TargetId) -> Option<Reading> {
        Some(self.proxy()?.target_circuit(service, target))
    }

    fn reset_circuit(&self, service: ServiceId) {
        if let Some(proxy) = self.proxy() {
            proxy.reset_circuit(service);
        }
    }

    fn health(&self, tenant: TenantId, service: ServiceId) -> Option<Vec<TargetHealth>> {
        Some(self.proxy()?.health(tenant, service))
    }

    fn channel(&self, tenant: TenantId, service: ServiceId) -> Option<channel::Reading> {
        self.proxy()?.channel(tenant, service)
    }

    fn check(&self, tenant: TenantId, service: ServiceId) -> Checking {
        match self.proxy() {
            // The check holds no proxy: one that ends meanwhile is not kept from it.
            Some(proxy) => Box::pin(proxy.check(tenant, service)),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }
}

/// Receivers of webhooks are anybody's: they are verified against the system's authorities, `None`.
fn tls(ca_file: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let roots = tollgate_proxy::roots(ca_file).context("the authorities' certificates cannot be read")?;
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(tls)))
}
