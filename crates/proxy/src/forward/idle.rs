//! Idle connections of one endpoint in one worker.
//!
//! Where the endpoint's host is a name with several addresses, requests take turns at them: each address has connections
//! of its own. Everything else has one stack, whose connections are taken without a look at where they lead to.
//!
//! Invariants:
//! - A connection of a name that is known leads to one of its addresses.
//! - There are connections by address, or one stack, never both.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_core::balance::{Addresses, Turn};
use tollgate_core::uptime::Uptime;

use super::dial::Upstream;
use crate::wire::Stream;

/// The connection used last is at the end: it is the least likely to have been closed.
type Stack = Vec<Idle>;

struct Idle {
    upstream: Upstream,
    since: Instant,
}

#[derive(Default)]
pub(super) struct Entry {
    stack: Stack,
    /// What the endpoint's name leads to, where its host is one that is known.
    led: Option<Led>,
    /// Whether a connection came back since this was last looked at.
    pub is_used: bool,
}

struct Led {
    addresses: Arc<Addresses>,
    /// Whose turn it is.
    cursor: usize,
    /// For each address, where there are several.
    stacks: Box<[Stack]>,
}

impl Entry {
    pub fn new(addresses: Option<Arc<Addresses>>) -> Self {
        Self { led: addresses.map(|addresses| Led::to(addresses, fastrand::usize(..))), ..Self::default() }
    }

    /// The connection that was used last, where nobody takes turns.
    pub fn take(&mut self) -> Option<Upstream> {
        take_open(&mut self.stack)
    }

    /// Whose turn it is, where there are turns.
    pub fn take_turn(&mut self, now: impl FnOnce() -> Uptime) -> Option<Turn> {
        let led = self.led.as_mut()?;
        if led.stacks.is_empty() { None } else { led.addresses.take_turn(&mut led.cursor, now()) }
    }

    pub fn take_to(&mut self, ip: IpAddr) -> Option<Upstream> {
        take_open(self.led.as_mut()?.stack(ip)?)
    }

    /// One that can go to another worker.
    pub fn take_movable(&mut self) -> Option<Upstream> {
        take_movable(&mut self.stack)
    }

    pub fn take_movable_to(&mut self, ip: IpAddr) -> Option<Upstream> {
        take_movable(self.led.as_mut()?.stack(ip)?)
    }

    /// Closes a connection for which there is no room among `most` with the same stack.
    pub fn put(&mut self, upstream: Upstream, since: Instant, most: usize) {
        self.is_used = true;
        if let Some(stack) = self.stack_of(upstream.ip)
            && stack.len() < most
        {
            stack.push(Idle { upstream, since });
        }
    }

    /// The name leads there from now on; `None` where it is not known any more.
    pub fn lead_to(&mut self, addresses: Option<Arc<Addresses>>) {
        let before = self.led.as_ref().map(|led| &led.addresses);
        if before.map(Arc::as_ptr) == addresses.as_ref().map(Arc::as_ptr) {
            return;
        }
        let before = std::mem::replace(self, Self { is_used: self.is_used, ..Self::new(addresses) });
        let stacks = before.led.into_iter().flat_map(|led| led.stacks);
        for idle in stacks.flatten().chain(before.stack) {
            if let Some(stack) = self.stack_of(idle.upstream.ip) {
                stack.push(idle);
            }
        }
    }

    /// Closes what has been idle for `most`, and what the other side has closed.
    pub fn retain_open(&mut self, now: Instant, most: Duration) {
        for stack in self.stacks() {
            stack.retain(|Idle { upstream, since }| {
                now.saturating_duration_since(*since) < most && upstream.stream.is_idle_and_open()
            });
        }
    }

    pub fn is_empty(&mut self) -> bool {
        self.stacks().all(|stack| stack.is_empty())
    }

    /// Where a connection that leads there belongs; `None` where the name does not lead there.
    fn stack_of(&mut self, ip: IpAddr) -> Option<&mut Stack> {
        match &mut self.led {
            None => Some(&mut self.stack),
            Some(led) => {
                let place = led.addresses.place(ip)?;
                Some(led.stacks.get_mut(place).unwrap_or(&mut self.stack))
            }
        }
    }

    fn stacks(&mut self) -> impl Iterator<Item = &mut Stack> {
        let by_address = self.led.iter_mut().flat_map(|led| &mut led.stacks);
        by_address.chain([&mut self.stack])
    }
}

impl Led {
    fn to(addresses: Arc<Addresses>, cursor: usize) -> Self {
        let count = addresses.iter().len();
        let stacks = (0..if count > 1 { count } else { 0 }).map(|_| Stack::new()).collect();
        Self { addresses, cursor, stacks }
    }

    fn stack(&mut self, ip: IpAddr) -> Option<&mut Stack> {
        let place = self.addresses.place(ip)?;
        self.stacks.get_mut(place)
    }
}

fn take_open(stack: &mut Stack) -> Option<Upstream> {
    while let Some(Idle { upstream, .. }) = stack.pop() {
        if upstream.stream.is_idle_and_open() {
            return Some(upstream);
        }
    }
    None
}

/// A TLS session cannot change the reactor that it is registered with.
fn take_movable(stack: &mut Stack) -> Option<Upstream> {
    let is_plain = |idle: &Idle| matches!(idle.upstream.stream, Stream::Plain(_));
    let position = stack.iter().rposition(is_plain)?;
    Some(stack.swap_remove(position).upstream)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn addresses(last_octets: &[u8]) -> Arc<Addresses> {
        Arc::new(Addresses::new(last_octets.iter().copied().map(ip), None))
    }

    #[tokio::test]
    async fn connections_stay_as_long_as_the_name_leads_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut entry = Entry::new(Some(addresses(&[1])));
        let put = async |entry: &mut Entry, last| {
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            entry.put(Upstream { stream: Stream::Plain(tcp), ip: ip(last) }, Instant::now(), 2);
        };
        put(&mut entry, 1).await;
        put(&mut entry, 2).await;
        assert!(entry.take_turn(Uptime::default).is_none(), "there is one address");
        assert_eq!(entry.take().unwrap().ip, ip(1));
        assert!(entry.is_empty(), "the other leads to somewhere else");

        put(&mut entry, 1).await;
        entry.lead_to(Some(addresses(&[1, 2, 3])));
        for last in [2, 2, 2, 3] {
            put(&mut entry, last).await;
        }
        assert!(entry.take().is_none(), "they are taken by address");
        assert!(entry.take_turn(Uptime::default).is_some());
        entry.lead_to(Some(addresses(&[1, 2])));
        assert!(entry.take_to(ip(3)).is_none(), "it has gone");
        assert!(entry.take_to(ip(2)).is_some());
        entry.lead_to(Some(addresses(&[2])));
        assert_eq!(entry.take().unwrap().ip, ip(2), "as many as there is room for, each");
        assert!(entry.take().is_none());

        put(&mut entry, 2).await;
        entry.lead_to(Some(addresses(&[])));
        assert!(entry.is_empty());
    }
}
