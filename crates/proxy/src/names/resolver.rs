//! Who is asked for the addresses of a name: `/etc/hosts` first, then the servers that were configured, or those of
//! `/etc/resolv.conf`, and what these do not know the system's own resolver. Files are read again when they have changed.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::LookupError;

const FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
/// Look-ups at once; more wait.
const MOST_AT_ONCE: usize = 64;
/// How long what is known without a time to live is good.
const UNSTATED: Duration = Duration::from_secs(5);
/// How long a server is waited for at most, before it is asked once more or another is.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);
/// How long one family of addresses is waited for once the other is there.
const OTHER_FAMILY: Duration = Duration::from_secs(1);

pub(super) struct Resolver {
    /// Instead of the system's, where there are any.
    servers: Box<[SocketAddr]>,
    current: Mutex<Option<(Versions, Arc<Sources>)>>,
    permits: Semaphore,
}

/// Addresses, at least one, and for how long they are good.
#[derive(Debug)]
pub(super) struct Answer {
    pub ips: Vec<IpAddr>,
    pub time_to_live: Duration,
}

/// When the files were last written.
type Versions = [Option<SystemTime>; FILES.len()];

struct Sources {
    hosts: Hosts,
    /// `None` where the system's configuration cannot be used.
    servers: Option<TokioResolver>,
}

/// What servers say of one family.
enum Family {
    Addresses(Vec<IpAddr>, Duration),
    /// The name has none.
    Empty(LookupError),
    /// They do not say.
    Unknown(LookupError),
}

impl Resolver {
    pub fn new(servers: Box<[SocketAddr]>) -> Self {
        Self { servers, current: Mutex::default(), permits: Semaphore::new(MOST_AT_ONCE) }
    }

    /// The name's addresses, and for how long they are good. Where one family's do not come, those `before` stand in.
    pub async fn look_up(&self, name: &str, before: &[IpAddr]) -> Result<Answer, LookupError> {
        // It is never closed.
        let _permit = self.permits.acquire().await;
        let sources = self.sources()?;
        if let Some(ips) = local(&sources.hosts, name) {
            return Ok(Answer { ips, time_to_live: UNSTATED });
        }
        let (v4, v6) = match &sources.servers {
            Some(servers) => ask(servers, name).await,
            None => return ask_system(name).await,
        };
        match (v4, v6) {
            (Family::Empty(error), Family::Empty(_)) => {
                if self.servers.is_empty() {
                    ask_system(name).await
                } else {
                    Err(error)
                }
            }
            (Family::Unknown(error), Family::Unknown(_) | Family::Empty(_))
            | (Family::Empty(_), Family::Unknown(error)) => Err(error),
            (v4, v6) => Ok(joined(v4, v6, before)),
        }
    }

    fn sources(&self) -> Result<Arc<Sources>, LookupError> {
        let versions = FILES.map(|file| std::fs::metadata(file).and_then(|file| file.modified()).ok());
        let mut current = self.current.lock();
        if let Some((read, sources)) = &*current
            && *read == versions
        {
            return Ok(Arc::clone(sources));
        }
        let sources = Arc::new(self.read()?);
        *current = Some((versions, Arc::clone(&sources)));
        drop(current);
        Ok(sources)
    }

    fn read(&self) -> Result<Sources, LookupError> {
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::warn!(%error, "/etc/hosts cannot be used");
            Hosts::default()
        });
        let configured = if self.servers.is_empty() {
            read_system_conf()
                .inspect_err(|error| tracing::warn!(%error, "/etc/resolv.conf cannot be used"))
                .ok()
        } else {
            let servers = self.servers.iter().map(server_at).collect();
            Some((ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default()))
        };
        let servers =
            configured.map(|(config, options)| built(config, options)).transpose().map_err(error_of)?;
        Ok(Sources { hosts, servers })
    }
}

fn built(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    options.timeout = options.timeout.min(LONGEST_WAIT);
    // What is known is kept by name, not here; and the file has been asked before.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // Theirs are times to live as well.
    options.preserve_intermediates = true;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build()
}

fn server_at(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// What no server is asked for: names of the file, and those of this machine (RFC 6761 section 6.3).
fn local(hosts: &Hosts, text: &str) -> Option<Vec<IpAddr>> {
    let name: Name = text.parse().ok()?;
    let of = |family| hosts.lookup_static_host(&Query::query(name.clone(), family));
    let lookups = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of);
    let ips: Vec<IpAddr> = lookups.flat_map(|lookup| addresses_of(&lookup)).collect();
    let is_this_machine = text == "localhost" || text.ends_with(".localhost");
    match (ips.is_empty(), is_this_machine) {
        (false, _) => Some(ips),
        (true, true) => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        (true, false) => None,
    }
}

/// Both families at once, IPv4 first. One that is late once the other is there is done without.
async fn ask(servers: &TokioResolver, name: &str) -> (Family, Family) {
    let of = |family| async move {
        match servers.lookup(name, family).await {
            Ok(lookup) => family_of(&lookup),
            Err(error) if error.is_no_records_found() => Family::Empty(error_of(error)),
            Err(error) => Family::Unknown(error_of(error)),
        }
    };
    let (mut v4, mut v6) = (pin!(of(RecordType::A)), pin!(of(RecordType::AAAA)));
    tokio::select! {
        first = &mut v4 => {
            let second = beside(&first, v6).await;
            (first, second)
        }
        first = &mut v6 => {
            let second = beside(&first, v4).await;
            (second, first)
        }
    }
}

async fn beside(first: &Family, second: impl Future<Output = Family>) -> Family {
    match first {
        Family::Addresses(..) => timeout(OTHER_FAMILY, second)
            .await
            .unwrap_or_else(|_| Family::Unknown(LookupError("no answer in time".into()))),
        Family::Empty(_) | Family::Unknown(_) => second.await,
    }
}

fn family_of(lookup: &Lookup) -> Family {
    let ips = addresses_of(lookup);
    if ips.is_empty() {
        return Family::Empty(LookupError::nothing());
    }
    let secs = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Family::Addresses(ips, Duration::from_secs(secs.into()))
}

fn addresses_of(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn joined(v4: Family, v6: Family, before: &[IpAddr]) -> Answer {
    let mut answer = Answer { ips: Vec::new(), time_to_live: Duration::MAX };
    for (family, is_v4) in [(v4, true), (v6, false)] {
        match family {
            Family::Addresses(ips, time_to_live) => {
                answer.ips.extend(ips);
                answer.time_to_live = answer.time_to_live.min(time_to_live);
            }
            Family::Empty(_) => {}
            Family::Unknown(_) => {
                answer.ips.extend(before.iter().copied().filter(|ip| ip.is_ipv4() == is_v4));
            }
        }
    }
    answer
}

/// The system's own resolver, which may know of more than DNS; it states no time to live.
async fn ask_system(name: &str) -> Result<Answer, LookupError> {
    let found = tokio::net::lookup_host((name, 0)).await.map_err(error_of)?;
    let ips: Vec<_> = found.map(|address| address.ip()).collect();
    if ips.is_empty() {
        return Err(LookupError::nothing());
    }
    Ok(Answer { ips, time_to_live: UNSTATED })
}

fn error_of(error: impl std::fmt::Display) -> LookupError {
    LookupError(Arc::from(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn names_of_the_file_and_of_this_machine_are_known_without_servers() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"192.0.2.7 api.test api\n2001:db8::7 api.test\n"[..]).unwrap();
        assert_eq!(local(&hosts, "api.test"), Some(vec![ip("192.0.2.7"), ip("2001:db8::7")]));
        assert_eq!(local(&hosts, "api"), Some(vec![ip("192.0.2.7")]));
        assert_eq!(local(&hosts, "web.localhost"), Some(vec![ip("127.0.0.1"), ip("::1")]));
        assert_eq!(local(&hosts, "other.test"), None);
    }

    #[test]
    fn a_family_that_servers_do_not_tell_of_stays_as_it_was() {
        let before = [ip("192.0.2.1"), ip("2001:db8::1")];
        let v6 = || Family::Addresses(vec![ip("2001:db8::2")], Duration::from_secs(9));
        let error = || LookupError("no answer".into());
        let kept = joined(Family::Unknown(error()), v6(), &before);
        assert_eq!(kept.ips, [ip("192.0.2.1"), ip("2001:db8::2")]);
        assert_eq!(kept.time_to_live, Duration::from_secs(9));
        assert_eq!(joined(Family::Empty(error()), v6(), &before).ips, [ip("2001:db8::2")]);
    }
}
