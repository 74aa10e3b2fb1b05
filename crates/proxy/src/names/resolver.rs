//! Who is asked for the addresses of a name: `/etc/hosts` first, then the servers that were configured, or those of
//! `/etc/resolv.conf`, and what these do not know the system's own resolver. Files are read again when they have changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use parking_lot::Mutex;

use super::LookupError;
use super::askers::Askers;
use super::families::addresses_of;
use super::places::Places;
use super::servers::Servers;
use super::system;

const FILES: [&str; 2] = ["/etc/hosts", "/etc/resolv.conf"];
/// How long what is known without a time to live is good.
const UNSTATED: Duration = Duration::from_secs(5);

pub(super) struct Resolver {
    /// Instead of the system's, where there are any.
    servers: Box<[SocketAddr]>,
    current: Mutex<Option<(Versions, Arc<Sources>)>>,
    places: Places,
}

/// Addresses, at least one, and for how long they are good.
#[derive(Debug)]
pub(super) struct Found {
    pub ips: Vec<IpAddr>,
    pub time_to_live: Duration,
    /// The whole name that servers know them by; `None` where it was not they who said so.
    pub whole_name: Option<String>,
}

#[derive(Debug)]
pub(super) enum Failure {
    /// The name has no address, and for how long.
    Denied { error: LookupError, time_to_live: Duration },
    /// Nobody says.
    Unknown(LookupError),
}

impl Failure {
    /// Of two whole names that one may stand for.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denied { error, time_to_live: first }, Self::Denied { time_to_live: second, .. }) => {
                Self::Denied { error, time_to_live: first.min(second) }
            }
            (Self::Unknown(error), Self::Denied { .. } | Self::Unknown(_))
            | (Self::Denied { .. }, Self::Unknown(error)) => Self::Unknown(error),
        }
    }
}

/// When the files were last written.
type Versions = [Option<SystemTime>; FILES.len()];

struct Sources {
    hosts: Hosts,
    /// `None` where the system's configuration cannot be used.
    servers: Option<Servers>,
}

impl Resolver {
    pub fn new(servers: Box<[SocketAddr]>) -> Self {
        Self { servers, current: Mutex::default(), places: Places::default() }
    }

    /// The name's addresses, and for how long they are good. Where one family's do not come, those `before` stand in.
    pub async fn look_up(
        &self,
        name: &str,
        before: Option<&Found>,
        askers: &Askers,
    ) -> Result<Found, Failure> {
        let _place = askers.place(&self.places).await;
        let sources = self.sources().map_err(Failure::Unknown)?;
        if let Some(ips) = local(&sources.hosts, name) {
            return Ok(Found { ips, time_to_live: UNSTATED, whole_name: None });
        }
        let Some(servers) = &sources.servers else {
            return ask_system(name).await.map_err(Failure::Unknown);
        };
        match servers.look_up(name, before).await {
            // The system may know of more than DNS. Where it does not, it stays at what the servers say.
            Err(Failure::Denied { time_to_live, .. }) if self.servers.is_empty() => {
                ask_system(name).await.map_err(|error| Failure::Denied { error, time_to_live })
            }
            outcome => outcome,
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
        let servers =
            if self.servers.is_empty() { system::servers() } else { Some(Servers::at(&self.servers)) };
        Ok(Sources { hosts, servers: servers.transpose().map_err(LookupError::of)? })
    }
}

/// What no server is asked for: names of the file, and those of this machine (RFC 6761 section 6.3).
fn local(hosts: &Hosts, text: &str) -> Option<Vec<IpAddr>> {
    let name: Name = text.parse().ok()?;
    let of = |family| hosts.lookup_static_host(&Query::query(name.clone(), family));
    let lookups = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of);
    let ips: Vec<IpAddr> = lookups.flat_map(|lookup| addresses_of(&lookup)).collect();
    let plain = text.strip_suffix('.').unwrap_or(text);
    let is_this_machine = plain == "localhost" || plain.ends_with(".localhost");
    match (ips.is_empty(), is_this_machine) {
        (false, _) => Some(ips),
        (true, true) => Some(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        (true, false) => None,
    }
}

/// The system's own resolver; it states no time to live.
async fn ask_system(name: &str) -> Result<Found, LookupError> {
    let found = tokio::net::lookup_host((name, 0)).await.map_err(LookupError::of)?;
    let ips: Vec<_> = found.map(|address| address.ip()).collect();
    if ips.is_empty() {
        return Err(LookupError::nothing());
    }
    Ok(Found { ips, time_to_live: UNSTATED, whole_name: None })
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
        assert_eq!(local(&hosts, "api."), Some(vec![ip("192.0.2.7")]));
        for text in ["web.localhost", "localhost."] {
            assert_eq!(local(&hosts, text), Some(vec![ip("127.0.0.1"), ip("::1")]), "{text}");
        }
        assert_eq!(local(&hosts, "other.test"), None);
    }
}
