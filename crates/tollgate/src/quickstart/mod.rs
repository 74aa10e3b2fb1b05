//! `tollgate quickstart`: a server with a demo upstream and demo data, and what to try on it.

mod banner;
mod seed;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

pub use seed::run as seed;

use crate::config::{self, AccessLog, Config};
use crate::demo;
use crate::output::{self, Stream};
use crate::serve::{self, AdminUrl, Control, LogFormat, Ports, Renewals, Running, Signals};
use banner::Places;

const ACCESS_LOG_FILE: &str = "access.log";

pub fn run(config: &Config, format: LogFormat) -> Result<()> {
    let log = serve::start_logging(config, format);
    serve::block_on(async {
        let signals = Signals::listen().context("signals cannot be listened for")?;
        let ports = Ports::take(config).await?;
        let demo_listener = serve::bind(&config::DEMO_LISTEN, config.demo_listen).await?;
        let demo_address = demo_listener.local_addr().context("the demo upstream's address is not known")?;
        let control = Control::open(config, Stream::Output).await?;
        seed::apply(&control.plane, &seed::demo_upstream(demo_address)).await?;
        let (stop_demo, demo_stopped) = oneshot::channel::<()>();
        let demo = tokio::spawn(demo::serve(demo_listener, async { drop(demo_stopped.await) }));
        output::announce(&format!("demo upstream listening on http://{demo_address}"));
        // A terminal full of log lines would bury what there is to try.
        let access_log = config
            .access_log
            .clone()
            .unwrap_or_else(|| AccessLog::File(control.data_dir.path().join(ACCESS_LOG_FILE)));
        let data_dir = control.data_dir.path().to_owned();
        let renewals = Renewals::new(config, log.level());
        let running = Running::start(renewals, control, ports, access_log.clone()).await?;
        let admin = running.admin_url();
        output::announce(&banner::text(&Places {
            proxy: reachable(running.proxy_address()),
            admin: AdminUrl { address: reachable(admin.address), ..admin },
            demo: reachable(demo_address),
            data_dir: &data_dir,
            access_log: &access_log,
        }));
        let ended = running.until_ended(signals).await;
        // The last request is answered, so nobody waits for the demo upstream.
        drop(stop_demo);
        demo.abort();
        ended
    })
}

/// Where a client on this machine finds what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
