//! What the listener knows of a connection.

use std::io;
use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};

#[derive(Debug, Clone, Copy)]
pub struct Connection {
    pub peer: SocketAddr,
    pub certificate: ClientCertificate,
}

/// Whether the peer has shown a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Nobody is asked for one here.
    NotAskedFor,
    /// It was asked for one, and has shown none. Nodes are not fed without.
    Missing,
    /// One of an authority that this listener knows.
    Verified,
}

impl From<SocketAddr> for Connection {
    /// Of a listener without TLS.
    fn from(peer: SocketAddr) -> Self {
        Self { peer, certificate: ClientCertificate::NotAskedFor }
    }
}

/// A listener whose connections are known to the API. A type of its own, because axum speaks for those of others.
pub struct Served<L>(pub L);

impl<L> Listener for Served<L>
where
    L: Listener,
    L::Addr: Into<Connection>,
{
    type Io = L::Io;
    type Addr = Connection;

    async fn accept(&mut self) -> (L::Io, Connection) {
        let (stream, address) = self.0.accept().await;
        (stream, address.into())
    }

    fn local_addr(&self) -> io::Result<Connection> {
        self.0.local_addr().map(Into::into)
    }
}

impl<L> Connected<IncomingStream<'_, Served<L>>> for Connection
where
    L: Listener,
    L::Addr: Into<Self>,
{
    fn connect_info(stream: IncomingStream<'_, Served<L>>) -> Self {
        *stream.remote_addr()
    }
}
