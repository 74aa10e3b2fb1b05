//! The connection to the store, whatever it is made of.

use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode, Value,
};

use tollgate_core::resource::{Credentials, Encryption, Host, StorePlace, StoreServer};

use super::settings::StoreSettings;

/// To connect, and to find out where to.
const CONNECT: Duration = Duration::from_secs(1);
/// For a server of a cluster to answer; whoever asks waits less long.
const ANSWER: Duration = Duration::from_secs(10);
/// Of single requests within a cluster, which may be sent to the wrong server first.
const CLUSTER_RETRIES: u32 = 2;

#[derive(Clone)]
pub enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A connection, and which loss of the store it would be to lose it.
pub struct Link {
    pub connection: Connection,
    pub losses_before: u64,
}

impl Connection {
    pub async fn open(settings: &StoreSettings) -> RedisResult<Self> {
        match &settings.url.place {
            StorePlace::Server(server) => {
                Self::open_one(settings, info(settings, address(settings, server))?).await
            }
            StorePlace::Socket(path) => {
                Self::open_one(settings, info(settings, ConnectionAddr::Unix(path.clone()))?).await
            }
            StorePlace::Cluster(servers) => {
                let servers = servers
                    .iter()
                    .map(|server| info(settings, address(settings, server)))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut builder = ClusterClientBuilder::new(servers)
                    .connection_timeout(CONNECT)
                    .response_timeout(ANSWER)
                    .retries(CLUSTER_RETRIES)
                    .min_retry_wait(1)
                    .max_retry_wait(10);
                if let Some(certificates) = certificates(settings) {
                    builder = builder.certs(certificates);
                }
                Ok(Self::Cluster(builder.build()?.get_async_connection().await?))
            }
            StorePlace::Sentinels { sentinels, master } => {
                // Sentinels have a password seldom, and then mostly the servers'.
                let without = sentinel(settings, sentinels, master, SentinelPassword::None)?
                    .get_async_connection_with_config(&config())
                    .await;
                if without.is_ok() || settings.url.credentials.password.is_none() {
                    return without.map(Self::Server);
                }
                let mut with = sentinel(settings, sentinels, master, SentinelPassword::OfServers)?;
                with.get_async_connection_with_config(&config()).await.map(Self::Server)
            }
        }
    }

    async fn open_one(settings: &StoreSettings, info: ConnectionInfo) -> RedisResult<Self> {
        let client = match certificates(settings) {
            Some(certificates) => Client::build_with_tls(info, certificates)?,
            None => Client::open(info)?,
        };
        client.get_multiplexed_async_connection_with_config(&config()).await.map(Self::Server)
    }

    /// One answer or error for each command.
    pub async fn call(&self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        match self.clone() {
            Self::Server(mut connection) => {
                let values = connection.send_packed_commands(commands, 0, commands.len()).await?;
                Ok(values.into_iter().map(Value::extract_error).collect())
            }
            // Each goes to the server that has its subject.
            Self::Cluster(connection) => {
                let calls = commands.cmd_iter().map(|cmd| {
                    let mut connection = connection.clone();
                    async move { connection.req_packed_command(cmd).await.and_then(Value::extract_error) }
                });
                Ok(join_all(calls).await)
            }
        }
    }

    pub async fn call_one(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self.clone() {
            Self::Server(mut connection) => connection.req_packed_command(cmd).await,
            Self::Cluster(mut connection) => connection.req_packed_command(cmd).await,
        }?
        .extract_error()
    }

    /// The same of every server that takes writes.
    pub async fn call_all(&self, cmd: Cmd) -> RedisResult<Value> {
        match self.clone() {
            Self::Server(mut connection) => connection.req_packed_command(&cmd).await,
            Self::Cluster(mut connection) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.route_command(cmd, all).await
            }
        }?
        .extract_error()
    }
}

#[derive(Clone, Copy)]
enum SentinelPassword {
    None,
    OfServers,
}

fn sentinel(
    settings: &StoreSettings,
    sentinels: &[StoreServer],
    master: &str,
    password: SentinelPassword,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels.iter().map(|server| address(settings, server));
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_db(settings.url.database.into());
    let Credentials { user, password: of_servers } = &settings.url.credentials;
    if let Some(user) = user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(of_servers) = of_servers {
        builder = builder.set_client_to_redis_password(of_servers.reveal());
    }
    if let SentinelPassword::OfServers = password {
        if let Some(user) = user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(of_servers) = of_servers {
            builder = builder.set_client_to_sentinel_password(of_servers.reveal());
        }
    }
    if settings.url.encryption == Encryption::Tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(settings) {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}

fn config() -> AsyncConnectionConfig {
    // Whoever asks waits less long.
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None)
}

fn info(settings: &StoreSettings, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
    let mut redis = RedisConnectionInfo::default().set_db(settings.url.database.into());
    let Credentials { user, password } = &settings.url.credentials;
    if let Some(user) = user {
        redis = redis.set_username(user);
    }
    if let Some(password) = password {
        redis = redis.set_password(password.reveal());
    }
    Ok(address.into_connection_info()?.set_redis_settings(redis))
}

fn address(settings: &StoreSettings, server: &StoreServer) -> ConnectionAddr {
    let (host, port) = (host_text(&server.host), server.port);
    match settings.url.encryption {
        Encryption::None => ConnectionAddr::Tcp(host, port),
        Encryption::Tls => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    }
}

/// Without the brackets of a URL.
fn host_text(host: &Host) -> String {
    match host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.to_look_up().to_owned(),
    }
}

/// The system's authorities where `None`.
fn certificates(settings: &StoreSettings) -> Option<TlsCertificates> {
    let root_cert = settings.authorities.clone()?;
    (settings.url.encryption == Encryption::Tls)
        .then_some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
}
