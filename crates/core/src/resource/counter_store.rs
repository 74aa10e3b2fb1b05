//! Where nodes count together: the URL of a Redis or Valkey, of a cluster of them, or of the sentinels that know which
//! one is the master.
//!
//! ```text
//! redis://user:password@host:6379/0              rediss://…          over TLS
//! redis+unix:///run/redis.sock?db=0
//! redis+cluster://host-1:6379,host-2:6379        rediss+cluster://…
//! redis+sentinel://host-1:26379,host-2:26379/master-name/0    rediss+sentinel://…
//! ```

use std::fmt;
use std::path::PathBuf;

use super::host::Host;
use super::url::{parse_host, parse_port, split_port};

const SERVER_PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;
/// More than servers have by default; what they have is theirs to say.
const MOST_DATABASES: u32 = 65_536;

/// A validated URL; its passwords show in no text that it is turned into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterStoreUrl {
    pub place: StorePlace,
    pub encryption: Encryption,
    pub credentials: Credentials,
    /// Zero of a cluster, which has no other.
    pub database: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    Server(StoreServer),
    /// A Unix socket's path.
    Socket(PathBuf),
    /// Some of its servers: the others are learnt from them.
    Cluster(Vec<StoreServer>),
    Sentinels {
        sentinels: Vec<StoreServer>,
        /// What they call the master.
        master: Box<str>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreServer {
    pub host: Host,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    None,
    /// Of every connection, to sentinels too.
    Tls,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub user: Option<Box<str>>,
    pub password: Option<Password>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Password {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// None of them repeats what was written: it may be a password, or next to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadStoreUrl {
    #[error("it has another scheme")]
    Scheme,
    #[error("a host in it is none")]
    Host,
    #[error("a port in it is not 1 to 65535")]
    Port,
    #[error("it has several hosts, which only a cluster or sentinels have")]
    SeveralHosts,
    #[error("the socket's path is not absolute")]
    SocketPath,
    #[error("the database is no number from 0 to 65535")]
    Database,
    #[error("a cluster has no database but 0")]
    ClusterDatabase,
    #[error("the master's name is missing: redis+sentinel://host:port/name")]
    Master,
    #[error("the user or password is not percent-encoded text")]
    Credentials,
    #[error("it has a parameter behind the question mark that is not known there")]
    Parameter,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Server,
    Socket,
    Cluster,
    Sentinels,
}

impl CounterStoreUrl {
    pub fn parse(text: &str) -> Result<Self, BadStoreUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadStoreUrl::Scheme)?;
        let (kind, encryption) = parse_scheme(&scheme.to_ascii_lowercase()).ok_or(BadStoreUrl::Scheme)?;
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        // A slash in a password has to be encoded; of an `@` that is not, the last one ends it.
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (parse_credentials(credentials)?, hosts),
            None => (Credentials::default(), authority),
        };
        let in_path = path.strip_prefix('/').unwrap_or(path);
        let (place, database) = match kind {
            Kind::Server => (StorePlace::Server(one_server(hosts)?), in_path),
            Kind::Socket => (socket(hosts, path)?, query.map_or(Ok(""), database_parameter)?),
            Kind::Cluster => (StorePlace::Cluster(servers(hosts, SERVER_PORT)?), in_path),
            Kind::Sentinels => {
                let (master, database) = in_path.split_once('/').unwrap_or((in_path, ""));
                let master = decode(master).filter(|name| !name.is_empty()).ok_or(BadStoreUrl::Master)?;
                let sentinels = servers(hosts, SENTINEL_PORT)?;
                (StorePlace::Sentinels { sentinels, master }, database)
            }
        };
        if query.is_some() && !matches!(kind, Kind::Socket) {
            return Err(BadStoreUrl::Parameter);
        }
        let database = parse_database(database)?;
        if database != 0 && matches!(place, StorePlace::Cluster(_)) {
            return Err(BadStoreUrl::ClusterDatabase);
        }
        Ok(Self { place, encryption, credentials, database })
    }
}

/// Where it is, without credentials: for logs.
impl fmt::Display for CounterStoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.encryption {
            Encryption::None => "redis",
            Encryption::Tls => "rediss",
        };
        match &self.place {
            StorePlace::Server(server) => write!(f, "{scheme}://{server}/{}", self.database),
            StorePlace::Socket(path) => write!(f, "{scheme}+unix://{}?db={}", path.display(), self.database),
            StorePlace::Cluster(servers) => write!(f, "{scheme}+cluster://{}", Listed(servers)),
            StorePlace::Sentinels { sentinels, master } => {
                write!(f, "{scheme}+sentinel://{}/{master}/{}", Listed(sentinels), self.database)
            }
        }
    }
}

impl fmt::Display for StoreServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

struct Listed<'s>(&'s [StoreServer]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.0.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(f, "{separator}{server}")?;
        }
        Ok(())
    }
}

fn parse_scheme(scheme: &str) -> Option<(Kind, Encryption)> {
    match scheme {
        "redis" | "valkey" => Some((Kind::Server, Encryption::None)),
        "rediss" | "valkeys" => Some((Kind::Server, Encryption::Tls)),
        "redis+unix" | "valkey+unix" | "unix" => Some((Kind::Socket, Encryption::None)),
        "redis+cluster" | "valkey+cluster" => Some((Kind::Cluster, Encryption::None)),
        "rediss+cluster" | "valkeys+cluster" => Some((Kind::Cluster, Encryption::Tls)),
        "redis+sentinel" | "valkey+sentinel" => Some((Kind::Sentinels, Encryption::None)),
        "rediss+sentinel" | "valkeys+sentinel" => Some((Kind::Sentinels, Encryption::Tls)),
        _ => None,
    }
}

/// The only one that there is.
fn database_parameter(query: &str) -> Result<&str, BadStoreUrl> {
    query.strip_prefix("db=").ok_or(BadStoreUrl::Parameter)
}

fn parse_credentials(text: &str) -> Result<Credentials, BadStoreUrl> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, rest)| (user, Some(rest)));
    let decoded = |text: &str| decode(text).ok_or(BadStoreUrl::Credentials);
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    Ok(Credentials { user, password: password.map(decoded).transpose()?.map(Password) })
}

fn parse_database(text: &str) -> Result<u32, BadStoreUrl> {
    if text.is_empty() {
        return Ok(0);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_number && *number < MOST_DATABASES);
    number.ok_or(BadStoreUrl::Database)
}

fn socket(hosts: &str, path: &str) -> Result<StorePlace, BadStoreUrl> {
    if !hosts.is_empty() || path.len() < 2 {
        return Err(BadStoreUrl::SocketPath);
    }
    let path = decode(path).ok_or(BadStoreUrl::SocketPath)?;
    Ok(StorePlace::Socket(PathBuf::from(&*path)))
}

fn one_server(hosts: &str) -> Result<StoreServer, BadStoreUrl> {
    if hosts.contains(',') {
        return Err(BadStoreUrl::SeveralHosts);
    }
    server(hosts, SERVER_PORT)
}

fn servers(hosts: &str, default_port: u16) -> Result<Vec<StoreServer>, BadStoreUrl> {
    hosts.split(',').map(|host| server(host.trim(), default_port)).collect()
}

fn server(text: &str, default_port: u16) -> Result<StoreServer, BadStoreUrl> {
    let (host, port) = split_port(text).map_err(|_| BadStoreUrl::Host)?;
    let port = port.map_or(Ok(default_port), parse_port).map_err(|_| BadStoreUrl::Port)?;
    let host = parse_host(host).map_err(|_| BadStoreUrl::Host)?;
    Ok(StoreServer { host, port })
}

/// Percent-encoded text (RFC 3986 section 2.1).
fn decode(text: &str) -> Option<Box<str>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            rest = tail;
            let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
            u8::from_str_radix(digits, 16).ok()?
        } else {
            *first
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests;
