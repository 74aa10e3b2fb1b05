//! `tollgate serve`: control plane and proxy in one process, from taking the ports to the last request. Each runs alone
//! as well: `tollgate control`, `tollgate proxy`.

mod control;
mod counting;
mod data_dir;
mod listener;
mod logging;
mod metrics;
mod node;
mod part;
mod running;
mod signals;
mod wiring;

use std::future::Future;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime;

pub use control::Control;
pub use data_dir::{DataDir, DataDirError, DatabaseFile};
pub use listener::{ListenError, bind};
pub use logging::LogFormat;
pub use node::run as run_node;
pub use running::Running;
use running::RunningControl;
pub use signals::Signals;

use crate::config::{self, AccessLog, Config};
use crate::output;

/// Threads of the control plane; traffic has threads of its own.
const CONTROL_THREADS: usize = 2;

pub fn run(config: &Config, format: LogFormat) -> Result<()> {
    start_logging(config, format);
    block_on(async {
        let signals = Signals::listen().context("signals cannot be listened for")?;
        let ports = Ports::take(config).await?;
        let control = Control::open(config, output::line).await?;
        let access_log = config.access_log.clone().unwrap_or(AccessLog::Stdout);
        Running::start(config, control, ports, access_log).await?.until_ended(signals).await;
        Ok(())
    })
}

/// `tollgate control`
pub fn run_control(config: &Config, format: LogFormat) -> Result<()> {
    start_logging(config, format);
    block_on(async {
        let signals = Signals::listen().context("signals cannot be listened for")?;
        let listener = bind(&config::ADMIN_LISTEN, config.admin_listen).await?;
        let control = Control::open(config, output::line).await?;
        let running = RunningControl::start(control, listener)?;
        running.until_ended(signals, config.shutdown_grace).await;
        Ok(())
    })
}

pub fn start_logging(config: &Config, format: LogFormat) {
    logging::start(config.log_level, format);
}

/// Runs a command that needs the control plane's runtime.
pub fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
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
    admin: TcpListener,
}

impl Ports {
    pub async fn take(config: &Config) -> Result<Self, ListenError> {
        let admin = bind(&config::ADMIN_LISTEN, config.admin_listen).await?;
        // For the proxy to take: each of its workers has a listener of its own.
        listener::check_free(&config::PROXY_LISTEN, config.proxy.listen)?;
        Ok(Self { admin })
    }
}
