//! A new connection to an endpoint. The address policy is applied to what the name resolved to, so that DNS
//! cannot lead around it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tollgate_core::address::{self, AddressRefused};
use tollgate_core::resource::{Host, Scheme};
use tollgate_core::snapshot::Endpoint;

use super::tls;
use crate::gateway::Gateway;
use crate::wire::Stream;

#[derive(Debug)]
pub(crate) enum DialError {
    /// The name does not resolve.
    Name(io::Error),
    /// The policy lets this target have none of its addresses.
    Prohibited(AddressRefused),
    Refused(io::Error),
    Unreachable(io::Error),
    Tls(io::Error),
    Certificate(io::Error),
}

/// Connects to the first address that can be reached; time is the caller's to limit.
pub(crate) async fn dial(gateway: &Gateway, endpoint: &Endpoint) -> Result<Stream, DialError> {
    let tcp = connect(gateway, endpoint).await?;
    // Small writes must not wait for acknowledgements; where it fails the next write will tell.
    drop(tcp.set_nodelay(true));
    match endpoint.scheme {
        Scheme::Http => Ok(Stream::Plain(tcp)),
        Scheme::Https => tls::handshake(&gateway.tls, &endpoint.host, tcp).await,
    }
}

async fn connect(gateway: &Gateway, endpoint: &Endpoint) -> Result<TcpStream, DialError> {
    match &endpoint.host {
        Host::Address(ip) => connect_one(gateway, endpoint, SocketAddr::new(*ip, endpoint.port)).await,
        Host::Name(name) => {
            let addresses =
                tokio::net::lookup_host((name.as_ref(), endpoint.port)).await.map_err(DialError::Name)?;
            let mut failure = DialError::Name(io::ErrorKind::NotFound.into());
            for address in addresses {
                match connect_one(gateway, endpoint, address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        }
    }
}

async fn connect_one(gateway: &Gateway, endpoint: &Endpoint, at: SocketAddr) -> Result<TcpStream, DialError> {
    permit(gateway, endpoint, at.ip()).map_err(DialError::Prohibited)?;
    TcpStream::connect(at).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused(error),
        _ => DialError::Unreachable(error),
    })
}

fn permit(gateway: &Gateway, endpoint: &Endpoint, ip: IpAddr) -> Result<(), AddressRefused> {
    address::permit(ip, endpoint.reach, &gateway.settings.allow_list)
}
