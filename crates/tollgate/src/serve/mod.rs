//! `tollgate serve`: control plane and proxy in one process, from taking the ports to the last request. Each runs alone
//! as well: `tollgate control`, `tollgate proxy`.

mod admin_listener;
mod control;
mod counting;
mod data_dir;
mod entropy;
mod listener;
mod load_metrics;
mod logging;
mod metrics;
mod node;
mod open_files;
mod orders;
mod part;
mod renewal;
mod running;
mod signals;
mod wiring;

use std::future::Future;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime;

pub use control::Control;
pub use data_dir::{DataDir, DataDirError, DatabaseFile};
pub use listener::bind;
pub use logging::{Log, LogFormat};
pub use node::run as run_node;
pub use renewal::Renewals;
use running::RunningControl;
pub use running::{AdminUrl, Running};
pub use signals::Signals;

use crate::config::{self, AccessLog, Config};
use crate::output::Stream;
use admin_listener::AdminTls;

/// Threads of the control plane; traffic has threads of its own.
const CONTROL_THREADS: usize = 2;

pub fn run(config: &Config, format: LogFormat) -> Result<()> {
    let log = start_logging(config, format);
    block_on(async {
        let signals = Signals::listen().context("signals cannot be listened for")?;
        let ports = Ports::take(config).await?;
        let control = Control::open(config, Stream::Output).await?;
        let access_log = config.access_log.clone().unwrap_or(AccessLog::Stdout);
        let renewals = Renewals::new(config, log.level());
        Running::start(renewals, control, ports, access_log).await?.until_ended(signals).await
    })
}

/// `tollgate control`
pub fn run_control(config: &Config, format: LogFormat) -> Result<()> {
    let log = start_logging(config, format);
    block_on(async {
        let signals = Signals::listen().context("signals cannot be listened for")?;
        let port = AdminPort::take(config).await?;
        let control = Control::open(config, Stream::Output).await?;
        let mut renewals = Renewals::new(config, log.level());
        let running = RunningControl::start(control, port, &mut renewals)?;
        running.until_ended(signals, renewals).await
    })
}

pub fn start_logging(config: &Config, format: LogFormat) -> Log {
    logging::start(config.log_level, format)
}

/// Runs a command that needs the control plane's runtime.
pub fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    open_files::raise();
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("the control plane's threads cannot be started")?;
    let outcome = runtime.block_on(command);
    // What still runs has been given its time.
    runtime.shutdown_background();
    outcome
}

/// The ports of a server, taken or known to be free before anything else is started.
pub struct Ports {
    admin: AdminPort,
}

/// The admin listener's, with the files that TLS on it takes.
struct AdminPort {
    listener: TcpListener,
    tls: Option<AdminTls>,
}

impl AdminPort {
    async fn take(config: &Config) -> Result<Self> {
        let tls = config.admin.tls.as_ref().map(AdminTls::open).transpose()?;
        let listener = bind(&config::ADMIN_LISTEN, config.admin.listen).await?;
        Ok(Self { listener, tls })
    }
}

impl Ports {
    pub async fn take(config: &Config) -> Result<Self> {
        let admin = AdminPort::take(config).await?;
        // For the proxy to take: each of its workers has a listener of its own.
        listener::check_free(&config::PROXY_LISTEN, config.proxy.listen)?;
        Ok(Self { admin })
    }
}
