//! The data plane as the binary sees it: start, drain, stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Handle;
use tollgate_core::breaker::{Breaker, Reading};
use tollgate_core::channel;
use tollgate_core::event::LimitCrossed;
use tollgate_core::health::{NoTurn, TargetHealth};
use tollgate_core::resource::{Counting, KeyId, ServiceId, TargetId, TenantId};
use tollgate_core::sighting::Sighting;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::usage::KeyUsage;
use tollgate_counters::Counters;

use crate::access_log::AccessLogger;
use crate::decisions::DecisionCounts;
use crate::forward::{RootsError, client_config};
use crate::gateway::Gateway;
use crate::health;
use crate::live::{self, ChangeCounts, ServiceLive};
use crate::room::RoomReading;
use crate::settings::{AccessLog, Settings};
use crate::vital::Vital;
use crate::workers::{NotStarted, Workers};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;
/// How long the last lines of the access log may take to be written.
const LOG_END: Duration = Duration::from_secs(5);

/// What the data plane shares with the control plane.
pub struct Shared {
    /// What to run; replaced whole at every change.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<Counters>,
}

/// The running workers.
pub struct Proxy {
    gateway: Arc<Gateway>,
    local_addr: SocketAddr,
    workers: Workers,
    log_thread: Option<JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{address} is already in use")]
    AddressInUse { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot open the access log {path}: {source}")]
    AccessLog { path: String, source: io::Error },
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error(transparent)]
    Workers(#[from] NotStarted),
}

impl Proxy {
    /// Listens, and serves from then on. What is done in the background is done on the runtime that this is
    /// called in.
    pub fn start(settings: Settings, shared: Shared) -> Result<Self, StartError> {
        let listeners = listen(settings.listen, settings.workers)?;
        let first = listeners.first().ok_or_else(|| StartError::Thread(io::Error::other("no worker")))?;
        let local_addr =
            first.local_addr().map_err(|source| StartError::Listen { address: settings.listen, source })?;
        let tls = client_config(settings.upstream_ca_file.as_deref())?;
        let (access_log, log_thread) = AccessLogger::start(&settings.access_log)
            .map_err(|source| StartError::AccessLog { path: log_path(&settings.access_log), source })?;
        let Shared { snapshot, counters } = shared;
        let background =
            Handle::try_current().map_err(|error| StartError::Thread(io::Error::other(error)))?;
        let gateway =
            Gateway::new(settings, snapshot, counters, tls, access_log, local_addr.port(), background);
        let gateway = Arc::new(gateway);
        let vital = Vital(Arc::clone(&gateway.failed));
        gateway.background.spawn(health::run(Arc::downgrade(&gateway), vital));
        let workers = Workers::start(&gateway, listeners)?;
        Ok(Self { gateway, local_addr, workers, log_thread })
    }

    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Until something has panicked that the proxy cannot do without, as a worker or the active checks: it is to be ended then.
    pub async fn failed(&self) {
        self.gateway.failed.notified().await;
    }

    /// Accepts no more connections; connections close after the request at hand.
    pub fn drain(&self) {
        self.gateway.start_draining();
        self.workers.drain();
    }

    /// Requests that have begun and not ended. While draining, zero is final: none begins any more.
    pub fn in_flight(&self) -> usize {
        self.gateway.in_flight()
    }

    /// Opens the access log anew after it was moved away.
    pub fn reopen_access_log(&self) {
        self.gateway.access_log.reopen();
    }

    /// From here on, new connections to `https` targets are verified against the authorities of this file, or the
    /// system's. Where it cannot be used, everything stays as it is.
    pub fn trust(&self, ca_file: Option<&Path>) -> Result<(), RootsError> {
        self.gateway.tls.store(Arc::new(client_config(ca_file)?));
        Ok(())
    }

    /// How keys were used since the last call.
    pub fn take_key_usage(&self) -> Vec<(KeyId, KeyUsage)> {
        self.gateway.take_key_usage()
    }

    /// Thresholds of limits that were reached since the last call.
    pub fn take_crossings(&self) -> Vec<LimitCrossed> {
        self.gateway.crossings.take()
    }

    /// A service's circuit; as it is at first where no request has come for it.
    pub fn circuit(&self, service: ServiceId) -> Reading {
        let live = &self.gateway.live;
        let now = live.uptime(Instant::now());
        live.known(service).map_or_else(|| Breaker::default().read(now), |live| live.breaker.read(now))
    }

    /// The same of one of its targets, where those have circuits of their own.
    pub fn target_circuit(&self, service: ServiceId, target: TargetId) -> Reading {
        let live = &self.gateway.live;
        let now = live.uptime(Instant::now());
        live.known(service)
            .map_or_else(|| Breaker::default().read(now), |live| live.target(target).breaker.read(now))
    }

    /// Closes a service's circuit, and those of its targets.
    pub fn reset_circuit(&self, service: ServiceId) {
        let Some(live) = self.gateway.live.known(service) else { return };
        let snapshot = self.gateway.snapshot.load();
        let Some(service) = live::find(&snapshot, live.tenant, service) else { return };
        let changes = &self.gateway.live.changes;
        if live.breaker.reset().is_some() {
            changes.circuit_reset(service);
        }
        for target in &*service.targets {
            if live.target(target.id).breaker.reset().is_some() {
                changes.target_circuit_reset(service, target);
            }
        }
        live.targets_changed();
    }

    /// What is known of a service's targets, in the order in which the service has them.
    pub fn health(&self, tenant: TenantId, service: ServiceId) -> Vec<TargetHealth> {
        let snapshot = self.gateway.snapshot.load();
        let found = snapshot.tenant_by_id(tenant).and_then(|tenant| tenant.service_by_id(service));
        let targets = found.map_or(&[][..], |service| &*service.targets);
        let live = self.gateway.live.service(tenant, service);
        let now = self.gateway.live.uptime(Instant::now());
        targets.iter().map(|target| live.target(target.id).read(target.id, now)).collect()
    }

    /// What there is to say of all services: circuits that are not closed or have failed, targets that are left out, and
    /// what checks found.
    pub fn sighting(&self) -> Sighting {
        let live = &self.gateway.live;
        live.sighting(live.uptime(Instant::now()))
    }

    /// How many requests a service has and how many wait; `None` where it has as many as come.
    pub fn channel(&self, tenant: TenantId, service: ServiceId) -> Option<channel::Reading> {
        let snapshot = self.gateway.snapshot.load();
        let rules = snapshot.tenant_by_id(tenant)?.service_by_id(service)?.channel()?;
        Some(self.gateway.live.service(tenant, service).queue.read(rules))
    }

    /// The same of every service that has had requests and a bound of them.
    pub fn channels(&self) -> Vec<(ServiceId, channel::Reading)> {
        let snapshot = self.gateway.snapshot.load();
        let read = |(id, live): (ServiceId, Arc<ServiceLive>)| {
            let rules = snapshot.tenant_by_id(live.tenant)?.service_by_id(id)?.channel()?;
            Some((id, live.queue.read(rules)))
        };
        self.gateway.live.each().into_iter().filter_map(read).collect()
    }

    /// Second copies that went out for late requests, and those that answered first, of every service that had any.
    pub fn hedges(&self) -> Vec<(ServiceId, (u64, u64))> {
        let counts = self.gateway.live.each().into_iter().map(|(id, live)| (id, live.hedges.read()));
        counts.filter(|(_, (sent, _))| *sent > 0).collect()
    }

    /// How often circuits, ejections and what checks find have changed, over all services.
    pub fn changes(&self) -> ChangeCounts {
        self.gateway.live.changes.read()
    }

    /// What limits have decided on requests of callers whose own are counted so.
    pub fn decisions(&self, counting: Counting) -> DecisionCounts {
        self.gateway.decisions.read(counting)
    }

    /// How much of its room the node uses.
    pub fn room(&self) -> RoomReading {
        self.gateway.room.read()
    }

    /// Has all of a service's targets asked whether they are well, from the call on. What comes of it is in
    /// [`Proxy::health`] then.
    pub fn check(
        &self,
        tenant: TenantId,
        service: ServiceId,
    ) -> impl Future<Output = Result<(), NoTurn>> + Send + use<> {
        health::check_service(&self.gateway, tenant, service)
    }

    /// Ends the workers, whatever they are doing, and writes the access log out.
    pub fn stop(self) {
        self.workers.stop();
        // Behind the lines of the last requests, which went with their workers.
        if let Some(thread) = self.log_thread
            && self.gateway.access_log.stop(thread, LOG_END).is_err()
        {
            tracing::warn!("the end of the access log is lost: it is not read, or its disk does not answer");
        }
    }
}

/// One listener a worker, all on one port; the kernel spreads connections over them.
fn listen(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address },
        _ => StartError::Listen { address, source },
    };
    // Another process of the same user could join the group of listeners unnoticed. One socket outside the
    // group finds out whether the port is free.
    let probe = TcpListener::bind(address).map_err(failed)?;
    let address = probe.local_addr().map_err(failed)?;
    drop(probe);
    (0..workers).map(|_| listen_one(address).map_err(failed)).collect()
}

fn listen_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn log_path(log: &AccessLog) -> String {
    match log {
        AccessLog::Off => "off".to_owned(),
        AccessLog::Stdout => "stdout".to_owned(),
        AccessLog::File(path) => path.display().to_string(),
    }
}
