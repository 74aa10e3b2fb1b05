//! A server at work: started part by part, and ended so that no request is lost.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;
use tollgate_admin::{ControlPlane, Lost};
use tollgate_core::resource::Scheme;
use tollgate_proxy::{Proxy, Shared, StartError};

use super::admin_listener::AdminListener;
use super::control::Control;
use super::counting::Counting;
use super::listener::ListenError;
use super::open_files::AdminListening;
use super::part::{Failed, Part};
use super::renewal::{Renewal, Renewals};
use super::signals::{Asked, Signals};
use super::{AdminPort, Ports, entropy, wiring};
use crate::config::{self, AccessLog, Config};
use crate::output;

/// How often a draining server looks whether requests are left.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// How long the database may take to close; what was committed is safe in any case.
const CLOSE: Duration = Duration::from_secs(5);

/// How long the proxy may be looked at once everything else has ended.
const RELEASE: Duration = Duration::from_secs(5);

/// Control plane and proxy.
pub struct Running<'c> {
    proxy: Arc<Proxy>,
    counting: Counting,
    control: RunningControl,
    renewals: Renewals<'c>,
}

/// The control plane's part.
pub struct RunningControl {
    admin: Part,
    jobs: Part<Result<(), Lost>>,
    control: Control,
    /// With the scheme.
    url: AdminUrl,
}

/// Where the admin API is.
#[derive(Debug, Clone, Copy)]
pub struct AdminUrl {
    pub scheme: Scheme,
    pub address: SocketAddr,
}

impl<'c> Running<'c> {
    /// Starts everything, and says on standard output where each part listens.
    pub async fn start(
        mut renewals: Renewals<'c>,
        control: Control,
        ports: Ports,
        access_log: AccessLog,
    ) -> Result<Self> {
        let counting = Counting::start(renewals.config(), control.local_counters()).await?;
        let shared = control.shared(Arc::clone(&counting.counters));
        let admin = AdminListening::of(&renewals.config().admin);
        let proxy = start_proxy(renewals.config(), shared, access_log, admin)?;
        renewals.add(Renewal::of_proxy(&proxy));
        control.attach(&proxy);
        let control = RunningControl::start(control, ports.admin, &mut renewals)?;
        Ok(Self { proxy, counting, control, renewals })
    }

    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy.local_addr()
    }

    pub const fn admin_url(&self) -> AdminUrl {
        self.control.url
    }

    /// Until a signal asks for the end, or a part has failed: requests of that moment go on for as long as the grace lasts. An error
    /// then too where not all that was counted could be kept.
    pub async fn until_ended(mut self, signals: Signals) -> Result<()> {
        let Self { proxy, counting, control, renewals } = &mut self;
        let failed = async {
            tokio::select! {
                failed = control.failed() => failed,
                failed = counting.failed() => failed,
                failed = proxy_failed(proxy) => failed,
            }
        };
        let outcome = until_to_end(signals, renewals, failed).await;
        let kept = self.end().await;
        outcome?;
        kept
    }

    async fn end(self) -> Result<()> {
        let Self { proxy, counting, control, renewals } = self;
        drain(&proxy);
        let kept = control.end(renewals.config().shutdown_grace, drained(&proxy), counting.end()).await;
        stop(proxy).await;
        tracing::info!("ended");
        kept
    }
}

impl RunningControl {
    /// Serves the admin API, and says so on standard output.
    pub(super) fn start(control: Control, port: AdminPort, renewals: &mut Renewals<'_>) -> Result<Self> {
        let AdminPort { listener, tls } = port;
        let address = listener.local_addr().context("the admin API's address is not known")?;
        let url = AdminUrl { scheme: if tls.is_some() { Scheme::Https } else { Scheme::Http }, address };
        renewals.add(Renewal::of_admin(tls.clone()));
        let admin = serve_admin(AdminListener::new(listener, tls), &control.plane);
        output::announce(&format!("admin listening on {url}"));
        entropy::gather();
        let jobs = run_jobs(control.plane.clone());
        Ok(Self { admin, jobs, control, url })
    }

    /// Until a signal asks for the end, or a part has failed. An error then too where not all that was counted could be
    /// kept.
    pub async fn until_ended(mut self, signals: Signals, mut renewals: Renewals<'_>) -> Result<()> {
        let outcome = until_to_end(signals, &mut renewals, self.failed()).await;
        tracing::info!("ending: no new requests are taken");
        let kept =
            self.end(renewals.config().shutdown_grace, std::future::ready(()), std::future::ready(())).await;
        tracing::info!("ended");
        outcome?;
        kept
    }

    async fn failed(&mut self) -> Failed {
        tokio::select! {
            failed = self.admin.failed() => failed,
            failed = self.jobs.failed() => failed,
        }
    }

    /// `others` have the same grace; `behind` comes once it is over, and before what was counted is kept.
    async fn end(
        self,
        grace: Duration,
        others: impl Future<Output = ()>,
        behind: impl Future<Output = ()>,
    ) -> Result<()> {
        let Self { admin, jobs, control, .. } = self;
        control.plane.start_draining();
        let drained = async {
            others.await;
            admin.end().await
        };
        if timeout(grace, drained).await.is_err() {
            tracing::warn!("the grace is over: what is left is cut off");
        }
        behind.await;
        // The jobs' last act is to keep what was counted.
        let kept = jobs.end().await;
        if timeout(CLOSE, control.close()).await.is_err() {
            tracing::warn!("the database is still in use: it is left to recover at the next start");
        }
        Ok(kept.context("what was counted last may not have been kept")??)
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.address)
    }
}

/// Until a signal asks for the end, or something has failed that the server cannot do without. A second signal ends it at once.
pub async fn until_to_end(
    mut signals: Signals,
    renewals: &mut Renewals<'_>,
    failed: impl Future<Output = Failed>,
) -> Result<(), Failed> {
    let mut failed = pin!(failed);
    let outcome = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Renew => renewals.renew(),
                Asked::End { .. } => break Ok(()),
            },
            failed = &mut failed => {
                tracing::error!("{} has failed: the server ends", failed.0);
                break Err(failed);
            }
        }
    };
    signals.end_at_once();
    outcome
}

pub async fn proxy_failed(proxy: &Proxy) -> Failed {
    proxy.failed().await;
    Failed("the proxy")
}

/// Starts the proxy, and says so on standard output.
pub fn start_proxy(
    config: &Config,
    shared: Shared,
    access_log: AccessLog,
    admin: AdminListening,
) -> Result<Arc<Proxy>> {
    let settings = wiring::proxy_settings(config, access_log, admin);
    let proxy = Proxy::start(settings, shared).map_err(|error| explain(error, config.proxy.listen))?;
    output::announce(&format!("proxy listening on http://{}", proxy.local_addr()));
    Ok(Arc::new(proxy))
}

/// No new requests are taken from here on.
pub fn drain(proxy: &Proxy) {
    tracing::info!(in_flight = proxy.in_flight(), "ending: no new requests are taken");
    proxy.drain();
}

/// Until the requests at hand are over.
pub async fn drained(proxy: &Proxy) {
    while proxy.in_flight() > 0 {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Ends the proxy, and with it its access log, once whoever else looks at it has: a scrape holds it for a moment.
pub async fn stop(proxy: Arc<Proxy>) {
    if let Ok(proxy) = timeout(RELEASE, alone(proxy)).await {
        tokio::task::block_in_place(|| proxy.stop());
    } else {
        tracing::warn!("the proxy is still in use: the end of its access log may be missing");
    }
}

/// What is shared, once nobody else holds it.
async fn alone<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(own) => return own,
            Err(still_shared) => shared = still_shared,
        }
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

fn serve_admin(listener: AdminListener, plane: &ControlPlane) -> Part {
    let plane = plane.clone();
    Part::start("the admin API", |stopped| async move { plane.serve(listener, stopped).await })
}

fn run_jobs(plane: ControlPlane) -> Part<Result<(), Lost>> {
    Part::start("the control plane", |stopped| async move { plane.run_jobs(stopped).await })
}

fn explain(error: StartError, address: SocketAddr) -> anyhow::Error {
    match error {
        StartError::AddressInUse { .. } => {
            ListenError::new(&config::PROXY_LISTEN, address, &std::io::ErrorKind::AddrInUse.into()).into()
        }
        StartError::Listen { source, .. } => ListenError::new(&config::PROXY_LISTEN, address, &source).into(),
        error @ (StartError::AccessLog { .. }
        | StartError::Roots(_)
        | StartError::Thread(_)
        | StartError::Workers(_)) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_looked_at_for_a_moment_is_waited_for() {
        let shared = Arc::new("the proxy");
        let held = Arc::clone(&shared);
        let (looking, looked) = tokio::sync::oneshot::channel::<()>();
        let looker = tokio::spawn(async move {
            drop(looked.await);
            drop(held);
        });
        let mut alone = std::pin::pin!(alone(shared));
        assert!(timeout(Duration::ZERO, &mut alone).await.is_err());
        drop(looking);
        assert_eq!(alone.await, "the proxy");
        looker.await.unwrap();
    }
}
