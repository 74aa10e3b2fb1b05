//! `tollgate proxy`: a proxy node, fed by a control plane elsewhere.

use std::fs;
use std::future::pending;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tollgate_core::feed::NodeName;
use tollgate_core::snapshot::Snapshot;
use tollgate_counters::LocalCounters;
use tollgate_node::{Facts, Link, Lost, Node, NodeToken, Settings};
use tollgate_proxy::{Proxy, Shared};

use super::counting::Counting;
use super::data_dir::DataDir;
use super::logging::LogFormat;
use super::open_files::{AdminListening, admin_limits};
use super::orders::carry_out;
use super::part::{Failed, Part};
use super::renewal::{Renewal, Renewals};
use super::running::{drain, drained, proxy_failed, start_proxy, stop, until_to_end};
use super::signals::Signals;
use super::{block_on, entropy, listener, metrics, start_logging};
use crate::config::{self, AccessLog, Config, ControlConfig, NODE_TOKEN};
use crate::output;
use crate::tls::ClientTls;

pub fn run(config: &Config, token: Option<&str>, format: LogFormat) -> Result<()> {
    let log = start_logging(config, format);
    let tls = ClientTls::open(&config.control)?;
    let link = link(&config.control, token, &tls)?;
    block_on(async {
        let signals = Signals::listen().context("signals cannot be listened for")?;
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
        let monitoring = match config.metrics_listen {
            Some(address) => Some(listener::bind(&config::METRICS_LISTEN, address).await?),
            None => None,
        };
        let mut counting = Counting::start(config, counters).await?;
        let counters = Arc::clone(&counting.counters);
        let listening = AdminListening::of_node(config.metrics_listen);
        let proxy = start_proxy(config, Shared { snapshot, counters }, access_log, listening)?;
        let mut monitoring = monitoring.map(|listener| monitor(listener, &counting, &proxy)).transpose()?;
        let [used, crossed, seen, ordered] = [(); 4].map(|()| Arc::downgrade(&proxy));
        let facts = Facts {
            key_usage: Box::new(move || {
                used.upgrade().map(|proxy| proxy.take_key_usage()).unwrap_or_default()
            }),
            crossings: Box::new(move || {
                crossed.upgrade().map(|proxy| proxy.take_crossings()).unwrap_or_default()
            }),
            traffic: Box::new(move || seen.upgrade().map(|proxy| proxy.sighting()).unwrap_or_default()),
            carry_out: Box::new(move |what| carry_out(&ordered, what)),
        };
        let mut node = Part::start_telling("the link to the control plane", |stopped, working| {
            node.run(facts, || drop(working), stopped)
        });
        entropy::gather();

        let mut renewals = Renewals::new(config, log.level());
        renewals.add(Renewal::of_proxy(&proxy));
        renewals.add(Renewal::of_link(tls));
        let failed = async {
            tokio::select! {
                failed = node.failed() => failed,
                failed = counting.failed() => failed,
                failed = proxy_failed(&proxy) => failed,
                failed = failed_of(&mut monitoring) => failed,
            }
        };
        let outcome = until_to_end(signals, &mut renewals, failed).await;
        let kept = end(renewals.config(), proxy, counting, node, monitoring).await;
        outcome?;
        kept
    })
}

/// Serves what monitoring reads, and says so on standard output.
fn monitor(listener: TcpListener, counting: &Counting, proxy: &Arc<Proxy>) -> Result<Part> {
    let address = listener.local_addr().context("the address of the metrics is not known")?;
    let (counters, proxy) = (Arc::clone(&counting.counters), Arc::downgrade(proxy));
    let source = Box::new(move || metrics::text(Some(&counters), proxy.upgrade().as_deref()));
    output::announce(&format!("metrics listening on http://{address}/metrics"));
    let serve = |stopped| tollgate_admin::serve_metrics(source, listener, admin_limits(), stopped);
    Ok(Part::start("the metrics' listener", serve))
}

/// Of a part that there may not be.
async fn failed_of(part: &mut Option<Part>) -> Failed {
    match part {
        Some(part) => part.failed().await,
        None => pending().await,
    }
}

async fn end(
    config: &Config,
    proxy: Arc<Proxy>,
    counting: Counting,
    node: Part<Result<(), Lost>>,
    monitoring: Option<Part>,
) -> Result<()> {
    drain(&proxy);
    if timeout(config.shutdown_grace, drained(&proxy)).await.is_err() {
        tracing::warn!(in_flight = proxy.in_flight(), "the grace is over: what is left is cut off");
    }
    counting.end().await;
    // Its last act is to keep what was counted.
    let kept = node.end().await;
    if let Some(monitoring) = monitoring {
        // That it failed is no reason to end otherwise.
        drop(monitoring.end().await);
    }
    stop(proxy).await;
    tracing::info!("ended");
    Ok(kept.context("what was counted last may not have been kept")??)
}

fn link(config: &ControlConfig, token: Option<&str>, tls: &ClientTls) -> Result<Link> {
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
    Ok(Link::new(url, token, tls.shared()))
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
