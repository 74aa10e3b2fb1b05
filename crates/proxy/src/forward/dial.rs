//! A new connection to an endpoint. The address policy is applied to what the name resolved to, so that DNS
//! cannot lead around it.

mod race;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tollgate_core::address::{self, AddressRefused};
use tollgate_core::balance::{Addresses, Turn};
use tollgate_core::resource::{Host, Scheme, TenantId};
use tollgate_core::snapshot::Endpoint;

use self::race::{HEAD_START, first_of, head_start};
use super::tls;
use crate::gateway::Gateway;
use crate::names::LookupError;
use crate::wire::Stream;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("its name does not resolve: {0}")]
    Name(LookupError),
    /// The policy lets this target have none of its addresses.
    #[error("its address is not allowed: {0}")]
    Prohibited(AddressRefused),
    #[error("it refuses connections")]
    Refused(io::Error),
    #[error("{0}")]
    Unreachable(io::Error),
    #[error("the gateway has no file or local port left for one more connection: {0}")]
    Exhausted(io::Error),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("its certificate is not trusted: {0}")]
    Certificate(io::Error),
}

/// A connection to an endpoint.
pub(crate) struct Upstream {
    pub stream: Stream,
    /// Where it was dialled: to ask the socket would be a system call.
    pub ip: IpAddr,
}

/// Connects to the address that can be reached first, within a time that is the caller's to keep to. `first` is the
/// address whose turn it is among a name's, where that is decided.
pub(crate) async fn dial(
    gateway: &Gateway,
    endpoint: &Endpoint,
    first: Option<IpAddr>,
    within: Duration,
    tenant: TenantId,
) -> Result<Upstream, DialError> {
    let (tcp, ip) = connect(gateway, endpoint, first, within, tenant).await?;
    // Small writes must not wait for acknowledgements; where it fails the next write will tell.
    drop(tcp.set_nodelay(true));
    let stream = match endpoint.scheme {
        Scheme::Http => Stream::Plain(tcp),
        Scheme::Https => tls::handshake(gateway.tls.load_full(), &endpoint.host, tcp).await?,
    };
    Ok(Upstream { stream, ip })
}

async fn connect(
    gateway: &Gateway,
    endpoint: &Endpoint,
    first: Option<IpAddr>,
    within: Duration,
    tenant: TenantId,
) -> Result<(TcpStream, IpAddr), DialError> {
    match &endpoint.host {
        Host::Address(ip) => {
            let tcp = connect_one(gateway, endpoint, SocketAddr::new(*ip, endpoint.port)).await?;
            Ok((tcp, *ip))
        }
        Host::Name(name) => {
            let addresses =
                gateway.names.addresses(name.to_look_up(), tenant).await.map_err(DialError::Name)?;
            let now = gateway.live.uptime(Instant::now());
            // The address may have gone meanwhile. Where no turn is decided all are equally likely.
            let first = first.filter(|&ip| addresses.contains(ip));
            let any = || addresses.take_turn(&mut fastrand::usize(..), now).map(Turn::ip);
            let order = first.or_else(any).map(|first| addresses.beginning_with(first, now));
            let order = order.unwrap_or_default();
            let (head_start, winner_took) = (head_start(order.len(), within), OnceLock::new());
            first_of(order, head_start, |ip| {
                Trial::begin(gateway, &addresses, ip, within, &winner_took).connect(endpoint)
            })
            .await
        }
    }
}

/// A connection that is tried to one of a name's addresses: what comes of it is noted there.
struct Trial<'t> {
    gateway: &'t Gateway,
    addresses: &'t Addresses,
    ip: IpAddr,
    within: Duration,
    /// Of the address that was reached.
    winner_took: &'t OnceLock<Duration>,
    began: Instant,
    is_over: bool,
}

impl<'t> Trial<'t> {
    fn begin(
        gateway: &'t Gateway,
        addresses: &'t Addresses,
        ip: IpAddr,
        within: Duration,
        winner_took: &'t OnceLock<Duration>,
    ) -> Self {
        Self { gateway, addresses, ip, within, winner_took, began: Instant::now(), is_over: false }
    }

    async fn connect(mut self, endpoint: &Endpoint) -> Result<(TcpStream, IpAddr), DialError> {
        let outcome = connect_one(self.gateway, endpoint, SocketAddr::new(self.ip, endpoint.port)).await;
        self.is_over = true;
        match &outcome {
            Ok(_) => {
                self.winner_took.get_or_init(|| self.began.elapsed());
                self.addresses.note_reached(self.ip);
            }
            Err(DialError::Refused(_) | DialError::Unreachable(_)) => self.avoid(),
            Err(_) => {}
        }
        outcome.map(|tcp| (tcp, self.ip))
    }

    fn avoid(&self) {
        self.addresses.avoid(self.ip, self.gateway.live.uptime(Instant::now()));
    }
}

impl Drop for Trial<'_> {
    /// Another address was reached meanwhile, or the time was over; or nobody waits for the connection any more.
    fn drop(&mut self) {
        let is_dead = || is_dead(self.began.elapsed(), self.within, self.winner_took.get().copied());
        if !self.is_over && is_dead() {
            self.avoid();
        }
    }
}

/// Whether an address that has said nothing for so long is taken for dead, of all the time `within` which one is to be reached.
/// A head start may be shorter than the way to an address that is well; one that was reached tells how long that is. Where none
/// was, it has had most of the time, of which the name's look-up takes some: a client that leaves says nothing of an address.
fn is_dead(silent: Duration, within: Duration, winner_took: Option<Duration>) -> bool {
    match winner_took {
        Some(took) => silent >= HEAD_START.min(within / 2) && silent >= took,
        None => silent >= within / 4 * 3,
    }
}

async fn connect_one(gateway: &Gateway, endpoint: &Endpoint, at: SocketAddr) -> Result<TcpStream, DialError> {
    permit(gateway, endpoint, at.ip()).map_err(DialError::Prohibited)?;
    TcpStream::connect(at).await.map_err(failure_of)
}

fn failure_of(error: io::Error) -> DialError {
    // Of Linux and the BSDs alike; the standard library has no names for them.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    match (error.raw_os_error(), error.kind()) {
        (Some(ENFILE | EMFILE), _) | (_, io::ErrorKind::AddrNotAvailable) => DialError::Exhausted(error),
        (_, io::ErrorKind::ConnectionRefused) => DialError::Refused(error),
        _ => DialError::Unreachable(error),
    }
}

fn permit(gateway: &Gateway, endpoint: &Endpoint, ip: IpAddr) -> Result<(), AddressRefused> {
    address::permit(ip, endpoint.reach, &gateway.settings.allow_list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_lacks_is_not_the_upstream_s_fault() {
        for number in [23, 24] {
            assert!(matches!(failure_of(io::Error::from_raw_os_error(number)), DialError::Exhausted(_)));
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(failure_of(refused), DialError::Refused(_)));
        let unreachable = io::Error::from(io::ErrorKind::HostUnreachable);
        assert!(matches!(failure_of(unreachable), DialError::Unreachable(_)));
    }

    #[test]
    fn an_address_that_had_too_little_time_is_not_taken_for_dead() {
        let millis = Duration::from_millis;
        for (silent, within, winner_took, dead) in [
            (250, 5_000, Some(1), true),
            (5_000, 5_000, None, true),
            (100, 200, Some(1), true),
            // One of fifty, none of which is further away than 40 ms.
            (30, 500, Some(40), false),
            (45, 500, Some(40), false),
            // All of them are far away.
            (300, 5_000, Some(400), false),
            (30, 5_000, None, false),
            // Its client has left, or another copy has won.
            (300, 5_000, None, false),
            (2_500, 5_000, None, false),
            // The look-up had taken a while.
            (4_900, 5_000, None, true),
        ] {
            let is_dead = is_dead(millis(silent), millis(within), winner_took.map(millis));
            assert_eq!(is_dead, dead, "{silent} ms of {within}, {winner_took:?}");
        }
    }
}
