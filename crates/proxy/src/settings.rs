//! What an operator decides about the data plane, already validated.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tollgate_core::address::{AllowList, Network};
use tollgate_core::token::Issuing;
use tollgate_http1::HeadLimits;

#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Threads, each with a listener of its own; at least 1.
    pub workers: usize,
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub access_log: AccessLog,
    /// Networks that tenants' own users may name as upstreams.
    pub allow_list: AllowList,
    /// PEM certificates to verify `https` upstreams against, in place of the system's.
    pub upstream_ca_file: Option<PathBuf>,
    /// Asked for the addresses of upstreams' names instead of the system's servers, where there are any.
    pub dns_servers: Vec<SocketAddr>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Idle connections kept for each target by each worker.
    pub upstream_idle_connections: usize,
    /// Failed credentials of a client address in a minute, and at once; no limit where `None`.
    pub failures_per_minute: Option<NonZeroU32>,
    /// How tokens are issued and checked.
    pub issuing: Issuing,
    /// Where the keys of other issuers are kept over a restart; only in memory where `None`.
    pub key_sets_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Between two requests of a client's connection.
    pub keep_alive: Duration,
    /// Between two pieces of a body, in either direction.
    pub body_idle: Duration,
    /// To open a connection to a target.
    pub connect: Duration,
    /// From the request sent to the end of the final response's head. Also for a target to say whether it wants
    /// a body that the client holds back (`Expect: 100-continue`).
    pub first_byte: Duration,
    /// How long an idle upstream connection is kept.
    pub upstream_idle: Duration,
    /// Between two pieces of data in a tunnel, such as a WebSocket's.
    pub tunnel_idle: Duration,
    /// From a request's head read to its response's end.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_mins(1),
            connect: Duration::from_secs(5),
            first_byte: Duration::from_mins(1),
            upstream_idle: Duration::from_mins(1),
            tunnel_idle: Duration::from_hours(1),
            total: None,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Of requests; responses may have heads as large.
    pub head: HeadLimits,
    /// Largest request body of services that set none of their own; unlimited where `None`.
    pub max_body_bytes: Option<u64>,
    /// Clients' connections; unlimited where `None`.
    pub max_connections: Option<usize>,
    /// Requests at once, tunnels among them; unlimited where `None`.
    pub max_requests: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    File(PathBuf),
}
