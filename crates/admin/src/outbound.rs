//! One request to somebody else's server, with the care that upstreams are reached with: the address policy applies to
//! what the name resolves to, and no redirect leads elsewhere. Time is the caller's to limit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{HOST, USER_AGENT};
use axum::http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tollgate_core::address::{self, AllowList, Reach};
use tollgate_core::resource::{BaseUrl, Host, Scheme};

/// For each of a name's addresses.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// It is shown to whoever wrote the URL: no word of what a name resolves to in the operator's network.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the name does not resolve")]
    Name,
    #[error("the address is not one that it may have")]
    Prohibited,
    #[error("it cannot be reached: {0}")]
    Connect(io::ErrorKind),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("the certificate cannot be for such a name")]
    ServerName,
    #[error("the connection failed before there was an answer")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] axum::http::Error),
}

/// Where a request goes, and how.
#[derive(Clone, Copy)]
pub struct Outbound<'o> {
    pub tls: &'o TlsConnector,
    pub allowed: &'o AllowList,
    pub place: &'o BaseUrl,
    /// How far whoever wrote the URL may reach.
    pub reach: Reach,
}

/// An answer whose body is still coming.
pub struct Answer {
    pub status: StatusCode,
    pub rest: Incoming,
    /// Carries the connection, and ends it when it is dropped.
    pub driver: JoinSet<()>,
}

impl Outbound<'_> {
    /// `Host` and `User-Agent` are put to the request.
    pub async fn send(self, request: Request<Full<Bytes>>) -> Result<Answer, OutboundError> {
        let tcp = self.connect().await?;
        match self.place.scheme() {
            Scheme::Http => self.exchange(tcp, request).await,
            Scheme::Https => {
                let name = server_name(self.place.host())?;
                let stream = self.tls.connect(name, tcp).await.map_err(OutboundError::Tls)?;
                self.exchange(stream, request).await
            }
        }
    }

    /// To the first of its addresses that can be reached.
    async fn connect(self) -> Result<TcpStream, OutboundError> {
        let addresses: Vec<SocketAddr> = match self.place.host() {
            Host::Address(address) => vec![SocketAddr::new(*address, self.place.port())],
            Host::Name(name) => {
                let found = tokio::net::lookup_host((name.to_look_up(), self.place.port())).await;
                found.map_err(|_| OutboundError::Name)?.collect()
            }
        };
        let is_permitted = |address: IpAddr| address::permit(address, self.reach, self.allowed).is_ok();
        let mut failure = OutboundError::Name;
        for address in addresses {
            if !is_permitted(address.ip()) {
                failure = OutboundError::Prohibited;
                continue;
            }
            match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // The message is one write; where it fails the next one will tell.
                    drop(tcp.set_nodelay(true));
                    return Ok(tcp);
                }
                Ok(Err(error)) => failure = OutboundError::Connect(error.kind()),
                Err(_) => failure = OutboundError::Connect(io::ErrorKind::TimedOut),
            }
        }
        Err(failure)
    }

    async fn exchange<S>(self, stream: S, mut request: Request<Full<Bytes>>) -> Result<Answer, OutboundError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let authority = HeaderValue::try_from(self.place.authority()).map_err(axum::http::Error::from)?;
        let agent = HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().extend([(HOST, authority), (USER_AGENT, agent)]);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What ends it early is noticed by whoever waits for the answer.
            drop(connection.await);
        });
        let answer = sender.send_request(request).await?;
        Ok(Answer { status: answer.status(), rest: answer.into_body(), driver })
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, OutboundError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => {
            ServerName::try_from(name.without_dot().to_owned()).map_err(|_| OutboundError::ServerName)
        }
    }
}
