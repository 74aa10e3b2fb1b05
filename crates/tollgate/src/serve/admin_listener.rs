//! The admin listener: plain, or over TLS. Handshakes go on beside each other, so that one that dawdles holds up
//! nobody.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tollgate_admin::{ClientCertificate, Connection};

use super::open_files::admin_handshakes;
use crate::config::TlsConfig;
use crate::tls::ServerTls;

/// From the connection to the last byte of the handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// What is sent may stay unacknowledged for so long; longer than a peer that is there may leave it unread.
const UNANSWERED_FOR: Duration = Duration::from_secs(40);
/// First byte of a record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
const SPEAKS_HTTPS: &str = concat!(
    r#"{"type":"about:blank","title":"Bad Request","status":400,"#,
    r#""detail":"this port speaks https: the request came without TLS","errors":[]}"#
);

pub struct AdminListener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

/// How TLS begins here.
#[derive(Clone)]
pub struct AdminTls {
    pub server: Arc<ServerTls>,
    asks_for_certificates: AsksForCertificates,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsksForCertificates {
    Yes,
    No,
}

struct Tls {
    begin: AdminTls,
    /// Where there are more, the oldest goes: it had its chance.
    most_handshakes: usize,
    handshakes: JoinSet<io::Result<Met>>,
    /// The oldest first; some have ended.
    begun: VecDeque<AbortHandle>,
}

type Met = (TlsStream<TcpStream>, Connection);

impl AdminTls {
    pub fn open(config: &TlsConfig) -> anyhow::Result<Self> {
        let asks_for_certificates =
            if config.clients.is_some() { AsksForCertificates::Yes } else { AsksForCertificates::No };
        Ok(Self { server: Arc::new(ServerTls::open(config)?), asks_for_certificates })
    }

    /// Reads the files again. Whether certificates are asked for stays as it was.
    pub fn renew(&self, config: &TlsConfig) -> anyhow::Result<()> {
        let asks = self.asks_for_certificates == AsksForCertificates::Yes;
        if config.clients.is_some() != asks {
            anyhow::bail!("whether clients are asked for certificates changes with a restart alone");
        }
        self.server.renew(config)
    }
}

impl AdminListener {
    pub fn new(tcp: TcpListener, tls: Option<AdminTls>) -> Self {
        let tls = tls.map(|begin| Tls {
            begin,
            most_handshakes: admin_handshakes(),
            handshakes: JoinSet::new(),
            begun: VecDeque::new(),
        });
        Self { tcp, tls }
    }
}

impl Listener for AdminListener {
    type Io = Either<TcpStream, TlsStream<TcpStream>>;
    type Addr = Connection;

    async fn accept(&mut self) -> (Self::Io, Connection) {
        let Some(tls) = &mut self.tls else {
            let (stream, peer) = accept(&mut self.tcp).await;
            return (Either::Left(stream), peer.into());
        };
        loop {
            tokio::select! {
                (stream, peer) = accept(&mut self.tcp) => tls.begin(stream, peer),
                Some(ended) = tls.handshakes.join_next() => {
                    // What failed has said so; what was given up for a newer one says nothing.
                    if let Ok(Ok((stream, connection))) = ended {
                        return (Either::Right(stream), connection);
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Connection> {
        self.tcp.local_addr().map(Connection::from)
    }
}

async fn accept(tcp: &mut TcpListener) -> (TcpStream, SocketAddr) {
    // Axum's own: it waits and goes on where there are no files left.
    let (stream, peer) = Listener::accept(tcp).await;
    // A change that is sent to a node should not wait for another to fill the packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection may be slow");
    }
    if let Err(error) = bound_unanswered(&stream) {
        tracing::debug!(%error, "it may take long until a connection that has broken is known to have");
    }
    (stream, peer)
}

/// A node whose machine or network is gone says no farewell: its feed, which has something to say every few seconds, ends once
/// nothing of that has arrived for so long (RFC 5482; other systems have bounds of their own).
fn bound_unanswered(stream: &TcpStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(UNANSWERED_FOR))?;
    Ok(())
}

impl Tls {
    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.handshakes.len() >= self.most_handshakes {
            self.begun.retain(|handshake| !handshake.is_finished());
            if let Some(oldest) = self.begun.pop_front() {
                oldest.abort();
            }
        }
        let (acceptor, asks) = (self.begin.server.acceptor(), self.begin.asks_for_certificates);
        let handshake = self.handshakes.spawn(async move {
            let met = match timeout(HANDSHAKE_WITHIN, meet(stream, peer, &acceptor, asks)).await {
                Ok(met) => met,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            if let Err(error) = &met {
                say(peer, error);
            }
            met
        });
        if self.begun.len() >= 2 * self.most_handshakes {
            self.begun.retain(|handshake| !handshake.is_finished());
        }
        self.begun.push_back(handshake);
    }
}

async fn meet(
    mut stream: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
    asks: AsksForCertificates,
) -> io::Result<Met> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if first.first() != Some(&HANDSHAKE_RECORD) {
        refuse_plain(&mut stream).await?;
        return Err(io::Error::other("it does not begin with a TLS handshake"));
    }
    let stream = acceptor.accept(stream).await?;
    let has_shown = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
    let certificate = match asks {
        AsksForCertificates::No => ClientCertificate::NotAskedFor,
        AsksForCertificates::Yes if has_shown => ClientCertificate::Verified,
        AsksForCertificates::Yes => ClientCertificate::Missing,
    };
    Ok((stream, Connection { peer, certificate }))
}

/// Says that this is the wrong way to ask, and hears the request out: what is closed over unread bytes is reset,
/// and the answer may be lost with it.
async fn refuse_plain(stream: &mut TcpStream) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        SPEAKS_HTTPS.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(SPEAKS_HTTPS.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1_024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// A bad certificate is the operator's business; whatever else comes along a port is not.
fn say(peer: SocketAddr, error: &io::Error) {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) = tls {
        tracing::warn!(%peer, %error, "a client's certificate was refused");
    } else {
        tracing::debug!(%peer, %error, "a connection did not come about");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_is_gone_without_a_word_is_not_waited_for() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listener = AdminListener::new(tcp, None);
        let address = listener.tcp.local_addr().unwrap();
        let (_client, (stream, _)) = tokio::join!(TcpStream::connect(address), listener.accept());
        let Either::Left(stream) = stream else { panic!("it should be plain") };
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(UNANSWERED_FOR));
    }
}
