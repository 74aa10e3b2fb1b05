//! `tollgate proxy`: a proxy node, fed by a control plane elsewhere.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tollgate_core::feed::NodeName;
use tollgate_core::snapshot::Snapshot;
use tollgate_counters::LocalCounters;
use tollgate_node::{Facts, Link, Node, NodeToken, Settings};
use tollgate_proxy::{Proxy, Shared};

use super::data_dir::DataDir;
use super::logging::LogFormat;
use super::part::Part;
use super::running::{drain, drained, start_proxy, stop};
use super::signals::{Asked, Signals};
use super::{block_on, listener, start_logging};
use crate::config::{self, AccessLog, Config, ControlConfig, IdentityFiles, NODE_TOKEN};

pub fn run(config: &Config, token: Option<&str>, format: LogFormat) -> Result<()> {
    start_logging(config, format);
    let link = link(&config.control, token)?;
    block_on(async {
        let mut signals = Signals::listen().context("signals cannot be listened for")?;
        listener::check_free(&config::PROXY_LISTEN, config.proxy.listen)?;
        // Held to the end.
        let data_dir = DataDir::open(config)?;
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
        let counters = Arc::new(LocalCounters::new());
        let settings = Settings {
            link,
            name: config.control.node_name.clone().map_or_else(machine_name, Ok)?,
            version: env!("CARGO_PKG_VERSION"),
            directory: data_dir.path().to_owned(),
        };
        let node = Node::open(settings, Arc::clone(&snapshot), Arc::clone(&counters))?;
        let access_log = config.access_log.clone().unwrap_or(AccessLog::Stdout);
        let proxy = start_proxy(config, Shared { snapshot, counters }, access_log)?;
        let (used, crossed) = (Arc::downgrade(&proxy), Arc::downgrade(&proxy));
        let facts = Facts {
            key_usage: Box::new(move || {
                used.upgrade().map(|proxy| proxy.take_key_usage()).unwrap_or_default()
            }),
            crossings: Box::new(move || {
                crossed.upgrade().map(|proxy| proxy.take_crossings()).unwrap_or_default()
            }),
        };
        let node = Part::start(|stopped| node.run(facts, stopped));

        while signals.next().await == Asked::Reopen {
            proxy.reopen_access_log();
        }
        signals.end_at_once();
        end(config, proxy, node).await;
        Ok(())
    })
}

async fn end(config: &Config, proxy: Arc<Proxy>, node: Part) {
    drain(&proxy);
    if timeout(config.shutdown_grace, drained(&proxy)).await.is_err() {
        tracing::warn!(in_flight = proxy.in_flight(), "the grace is over: what is left is cut off");
    }
    // Its last act is to keep what was counted.
    node.end().await;
    stop(proxy);
    tracing::info!("ended");
}

fn link(config: &ControlConfig, token: Option<&str>) -> Result<Link> {
    let Some(url) = config.url.clone() else {
        bail!(
            "a proxy node needs its control plane's URL: --control-url, {} or control.url",
            config::CONTROL_URL.variable()
        );
    };
    let Some(token) = token else {
        bail!("a proxy node needs a node token: {NODE_TOKEN}; `tollgate node-tokens create` makes one");
    };
    let token = NodeToken::parse(token).with_context(|| {
        format!("{NODE_TOKEN} must be visible ASCII characters without spaces, at least one")
    })?;
    Ok(Link::new(url, token, connector(config)?))
}

fn connector(config: &ControlConfig) -> Result<TlsConnector> {
    let roots = tollgate_proxy::roots(config.ca_file.as_deref())?;
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut tls = match &config.identity {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let (chain, key) = identity(files)?;
            let with_identity = builder.with_client_auth_cert(chain, key);
            with_identity.context("control.cert and control.key do not belong together")?
        }
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(tls)))
}

fn identity(files: &IdentityFiles) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let unusable = |path: &std::path::Path| format!("{} is no usable PEM file", path.display());
    let chain =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.with_context(|| unusable(&files.certificate))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", files.certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).with_context(|| unusable(&files.key))?;
    Ok((chain, key))
}

/// As the kernel tells it, without what a node's name cannot have.
fn machine_name() -> Result<NodeName> {
    let text = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' }
    };
    let name: String = text.trim().chars().map(plain).collect();
    NodeName::parse(&name).context("this machine has no name: give the node one, as control.node_name")
}
