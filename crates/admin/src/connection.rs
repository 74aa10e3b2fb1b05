//! What the listener knows of a connection.

use std::net::SocketAddr;

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
