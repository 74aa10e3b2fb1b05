//! A server at work: started part by part, and ended so that no request is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tollgate_admin::ControlPlane;
use tollgate_proxy::{Proxy, StartError};

use super::control::Control;
use super::listener::ListenError;
use super::signals::{Asked, Signals};
use super::{Ports, wiring};
use crate::config::{self, AccessLog, Config};
use crate::output;

/// How often a draining server looks whether requests are left.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// How long the database may take to close; what was committed is safe in any case.
const CLOSE: Duration = Duration::from_secs(5);

pub struct Running {
    proxy: Arc<Proxy>,
    admin: Part,
    jobs: Part,
    control: Control,
    admin_address: SocketAddr,
    grace: Duration,
}

/// A task, and the way to tell it to end.
struct Part {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Running {
    /// Starts everything, and says on standard output where each part listens.
    pub fn start(config: &Config, control: Control, ports: Ports, access_log: AccessLog) -> Result<Self> {
        let settings = wiring::proxy_settings(config, access_log);
        let proxy = Proxy::start(settings, control.shared()).map_err(|error| explain(error, ports.proxy))?;
        let proxy = Arc::new(proxy);
        control.attach(&proxy);
        output::line(&format!("proxy listening on http://{}", proxy.local_addr()));
        let admin_address = ports.admin.local_addr().context("the admin API's address is not known")?;
        let admin = serve_admin(ports.admin, &control.plane);
        output::line(&format!("admin listening on http://{admin_address}"));
        let jobs = run_jobs(control.plane.clone());
        Ok(Self { proxy, admin, jobs, control, admin_address, grace: config.shutdown_grace })
    }

    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy.local_addr()
    }

    pub const fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Until a signal asks for the end: requests of that moment go on for as long as the grace lasts.
    pub async fn until_ended(self, mut signals: Signals) {
        while signals.next().await == Asked::Reopen {
            self.proxy.reopen_access_log();
        }
        signals.end_at_once();
        self.end().await;
    }

    async fn end(self) {
        let Self { proxy, admin, jobs, control, grace, .. } = self;
        tracing::info!(in_flight = proxy.in_flight(), "ending: no new requests are taken");
        proxy.drain();
        let drained = async {
            while proxy.in_flight() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
            admin.end().await;
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!(in_flight = proxy.in_flight(), "the grace is over: what is left is cut off");
        }
        // The jobs' last act is to keep what was counted.
        jobs.end().await;
        if tokio::time::timeout(CLOSE, control.close()).await.is_err() {
            tracing::warn!("the database is still in use: it is left to recover at the next start");
        }
        // The jobs have ended, so nobody else holds the proxy.
        if let Some(proxy) = Arc::into_inner(proxy) {
            tokio::task::block_in_place(|| proxy.stop());
        }
        tracing::info!("ended");
    }
}

impl Part {
    async fn end(self) {
        // Nobody hears it where the task has ended by itself.
        let _unheard = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a part of the server failed");
        }
    }
}

fn serve_admin(listener: TcpListener, plane: &ControlPlane) -> Part {
    let (stop, stopped) = oneshot::channel::<()>();
    let service = plane.router().into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the admin API failed");
        }
    });
    Part { task, stop }
}

fn run_jobs(plane: ControlPlane) -> Part {
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move { plane.run_jobs(async { drop(stopped.await) }).await });
    Part { task, stop }
}

fn explain(error: StartError, address: SocketAddr) -> anyhow::Error {
    match error {
        StartError::AddressInUse { .. } => {
            ListenError::new(&config::PROXY_LISTEN, address, &std::io::ErrorKind::AddrInUse.into()).into()
        }
        StartError::Listen { source, .. } => ListenError::new(&config::PROXY_LISTEN, address, &source).into(),
        error @ (StartError::AccessLog { .. } | StartError::Roots(_) | StartError::Thread(_)) => error.into(),
    }
}
