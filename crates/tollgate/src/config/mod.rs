//! Configuration: layers as they were written (file, environment, flags), compiled into one valid [`Config`],
//! or every problem at once.

mod compile;
mod environment;
mod file;
mod layers;
mod problem;
mod setting;
mod sources;
mod value;
mod written;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use tollgate_core::address::{AllowList, Network};
use tollgate_core::feed::NodeName;
use tollgate_core::resource::{BaseUrl, CounterStoreUrl};
use tollgate_core::token::Issuing;
use tracing::level_filters::LevelFilter;

pub use environment::{
    ADMIN_CA_FILE, ADMIN_CERT, ADMIN_KEY, ADMIN_TOKEN, ADMIN_URL, CONFIG, JWT_SECRET, NODE_TOKEN,
};
pub use setting::{
    ADMIN_LISTEN, ADMIN_TLS_CERT, ADMIN_TLS_CLIENT_AUTH, ADMIN_TLS_CLIENT_CA, ADMIN_TLS_KEY, CONTROL_CA_FILE,
    CONTROL_CERT, CONTROL_KEY, CONTROL_URL, DATA_DIR, DEMO_LISTEN, LOG_LEVEL, METRICS_LISTEN,
    PROXY_LIMITS_MAX_CONNECTIONS, PROXY_LIMITS_MAX_REQUESTS, PROXY_LISTEN, PROXY_UPSTREAM_CA_FILE,
    PROXY_WORKERS, SHUTDOWN_GRACE, Setting,
};
pub use sources::Sources;
use written::Written;

/// What a server runs with; valid by type.
#[derive(Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    /// The `SQLite` file, where it is not the one in the data directory.
    pub database_file: Option<PathBuf>,
    /// Where nodes count together; each counts alone where `None`.
    pub redis: Option<RedisConfig>,
    pub log_level: LevelFilter,
    /// `None` where nobody said: what is best differs between commands.
    pub access_log: Option<AccessLog>,
    pub proxy: ProxyConfig,
    pub admin: AdminConfig,
    pub control: ControlConfig,
    /// Of a proxy node, which has no admin API.
    pub metrics_listen: Option<SocketAddr>,
    pub demo_listen: SocketAddr,
    pub shutdown_grace: Duration,
    /// Private networks in which tenants' own users may have upstreams.
    pub upstreams_allowed: AllowList,
    /// Asked for upstreams' names instead of the system's servers, where there are any.
    pub dns_servers: Vec<SocketAddr>,
    /// Of one client address; no limit where `None`.
    pub failures_per_minute: Option<NonZeroU32>,
    pub tokens: TokensConfig,
    pub admin_token: Option<AdminToken>,
    written: Written,
}

#[derive(Debug)]
pub struct RedisConfig {
    pub url: CounterStoreUrl,
    /// Of an encrypted connection; the system's roots where `None`.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    File(PathBuf),
}

#[derive(Debug)]
pub struct ProxyConfig {
    pub listen: SocketAddr,
    /// One for each processor where `None`.
    pub workers: Option<NonZeroUsize>,
    pub trusted_proxies: Vec<Network>,
    /// The system's roots where `None`.
    pub upstream_ca_file: Option<PathBuf>,
    /// Idle connections that are kept for each target and worker.
    pub upstream_idle_connections: usize,
    pub timeouts: TimeoutsConfig,
    pub limits: LimitsConfig,
}

/// How a proxy node reaches its control plane.
#[derive(Debug)]
pub struct ControlConfig {
    pub url: Option<BaseUrl>,
    /// The machine's name where `None`.
    pub node_name: Option<NodeName>,
    /// The system's roots where `None`.
    pub ca_file: Option<SettingFile>,
    /// What the node shows of itself, where the control plane wants to see it.
    pub identity: Option<IdentityFiles>,
}

#[derive(Debug)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Plain HTTP where `None`.
    pub tls: Option<TlsConfig>,
}

/// TLS on a listener.
#[derive(Debug)]
pub struct TlsConfig {
    pub identity: IdentityFiles,
    /// Nobody is asked for a certificate where `None`.
    pub clients: Option<ClientCertificates>,
}

/// The certificates of clients.
#[derive(Debug)]
pub struct ClientCertificates {
    /// With the authorities that they are verified against.
    pub authorities: SettingFile,
    pub demanded_of: DemandedOf,
}

/// Who has to show a certificate. What anybody shows has to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandedOf {
    /// Whoever asks for the feed of nodes.
    Nodes,
    /// Everybody.
    All,
}

/// PEM files of a certificate with its chain, and of its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    pub certificate: SettingFile,
    pub key: SettingFile,
}

/// A file, and the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFile {
    pub setting: &'static Setting,
    pub path: PathBuf,
}

#[derive(Debug)]
pub struct TimeoutsConfig {
    pub head: Duration,
    pub keep_alive: Duration,
    pub body_idle: Duration,
    pub connect: Duration,
    pub first_byte: Duration,
    pub upstream_idle: Duration,
    pub tunnel_idle: Duration,
    pub total: Option<Duration>,
}

#[derive(Debug)]
pub struct LimitsConfig {
    pub request_line_bytes: usize,
    pub head_bytes: usize,
    pub head_fields: usize,
    pub max_body_bytes: Option<u64>,
    pub max_connections: Option<usize>,
    pub max_requests: Option<usize>,
}

#[derive(Debug)]
pub struct TokensConfig {
    pub issuing: Issuing,
    /// How long a signing key signs.
    pub rotate_every: Duration,
}

/// The platform administrator's token, as the operator gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(String);

impl AdminToken {
    /// The token has to fit into a header field as it is.
    fn parse(text: &str) -> Option<Self> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

#[cfg(test)]
mod tests;
