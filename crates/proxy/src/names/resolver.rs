//! Who is asked for the addresses of a name: `/etc/hosts` first, then the servers that were configured, or those of
//! `/etc/resolv.conf`. Both files are read again when they have changed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tollgate_core::balance::Addresses;

use super::LookupError;

const FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
/// For how long an answer of the system's is good, which does not say it.
const SYSTEM_TIME_TO_LIVE: Duration = Duration::from_secs(5);
/// For how long a server is waited for at most, before it is asked once more or another is.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);
/// Look-ups at once; more wait.
const MOST_AT_ONCE: usize = 64;

pub(super) struct Resolver {
    /// Instead of the system's, where there are any.
    servers: Box<[SocketAddr]>,
    current: Mutex<Option<(Versions, TokioResolver)>>,
    permits: Semaphore,
}

/// When the files were last written.
type Versions = [Option<SystemTime>; FILES.len()];

impl Resolver {
    pub fn new(servers: Box<[SocketAddr]>) -> Self {
        Self { servers, current: Mutex::default(), permits: Semaphore::new(MOST_AT_ONCE) }
    }

    /// The name's addresses, at least one, and for how long they are good.
    pub async fn look_up(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), LookupError> {
        // It is never closed.
        let _permit = self.permits.acquire().await;
        let resolver = self.current().map_err(error_of)?;
        let (ips, time_to_live) = match resolver.lookup_ip(name).await {
            Ok(answer) => {
                let time_to_live = answer.valid_until().saturating_duration_since(Instant::now());
                (answer.iter().collect::<Vec<_>>(), time_to_live)
            }
            // Some names only the system knows (nsswitch.conf(5)): those of containers, or of mDNS.
            Err(error) if self.servers.is_empty() => match tokio::net::lookup_host((name, 0)).await {
                Ok(addresses) => (addresses.map(|address| address.ip()).collect(), SYSTEM_TIME_TO_LIVE),
                Err(_) => return Err(error_of(error)),
            },
            Err(error) => return Err(error_of(error)),
        };
        if ips.is_empty() {
            return Err(LookupError::nothing());
        }
        if ips.len() > Addresses::MOST {
            tracing::warn!(
                name,
                addresses = ips.len(),
                most = Addresses::MOST,
                "a name has too many addresses"
            );
        }
        Ok((ips, time_to_live))
    }

    fn current(&self) -> Result<TokioResolver, NetError> {
        let versions = FILES.map(|file| std::fs::metadata(file).and_then(|file| file.modified()).ok());
        let mut current = self.current.lock();
        if let Some((read, resolver)) = &*current
            && *read == versions
        {
            return Ok(resolver.clone());
        }
        let resolver = self.build()?;
        *current = Some((versions, resolver.clone()));
        Ok(resolver)
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        // Without the file, a server is expected on this machine (resolv.conf(5)).
        let (system, mut options) = read_system_conf().unwrap_or_else(|error| {
            tracing::warn!(%error, "/etc/resolv.conf cannot be used");
            let on_this_machine = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            (ResolverConfig::from_name_servers(vec![on_this_machine]), ResolverOpts::default())
        });
        let (domain, search, servers) = system.into_parts();
        let servers =
            if self.servers.is_empty() { servers } else { self.servers.iter().map(server_at).collect() };
        options.timeout = options.timeout.min(LONGEST_WAIT);
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // What is known is kept by name, not here.
        options.cache_size = 0;
        let config = ResolverConfig::from_parts(domain, search, servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        builder.build()
    }
}

fn server_at(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn error_of(error: impl std::fmt::Display) -> LookupError {
    LookupError(Arc::from(error.to_string()))
}
