//! Which of several addresses is connected to: the first that can be reached.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

use super::DialError;
use crate::names::LookupError;

/// How long an address is alone: what RFC 8305 section 8 recommends.
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// How long an address is alone, so that all of so many have their turn in time.
pub(super) fn head_start(addresses: usize, within: Duration) -> Duration {
    let count = u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    HEAD_START.min(within / count)
}

/// The first connection that comes about. An address has a while for itself before the next is tried beside
/// it, so that one that is dead does not take the time of those behind it (RFC 8305 section 5).
pub(super) async fn first_of<T, Attempt: Future<Output = Result<T, DialError>>>(
    addresses: Vec<IpAddr>,
    head_start: Duration,
    connect: impl Fn(IpAddr) -> Attempt,
) -> Result<T, DialError> {
    let mut addresses = addresses.into_iter();
    let mut attempts: Vec<Pin<Box<Attempt>>> = Vec::new();
    let mut next_start = pin!(sleep(Duration::ZERO));
    let mut failure = Some(DialError::Name(LookupError::nothing()));
    poll_fn(|cx| {
        loop {
            let mut is_due = next_start.as_mut().poll(cx).is_ready();
            let mut index = 0;
            while let Some(attempt) = attempts.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        failure = Some(error);
                        drop(attempts.swap_remove(index));
                        is_due = true;
                    }
                    Poll::Pending => index += 1,
                }
            }
            match (is_due || attempts.is_empty()).then(|| addresses.next()) {
                Some(Some(address)) => {
                    attempts.push(Box::pin(connect(address)));
                    next_start.as_mut().reset(tokio::time::Instant::now() + head_start);
                }
                Some(None) | None => match failure.take_if(|_| attempts.is_empty()) {
                    Some(failure) => return Poll::Ready(Err(failure)),
                    None => return Poll::Pending,
                },
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const DEAD: u8 = 1;
    const REFUSING: u8 = 2;
    const ALIVE: u8 = 3;

    /// Connects to addresses that end like this.
    async fn dialled(last_octets: &[u8]) -> Result<u8, DialError> {
        let addresses = last_octets.iter().map(|&octet| IpAddr::from([192, 0, 2, octet])).collect();
        let connect = async |address: IpAddr| match address {
            IpAddr::V4(address) if address.octets()[3] == ALIVE => Ok(ALIVE),
            IpAddr::V4(address) if address.octets()[3] == REFUSING => {
                Err(DialError::Refused(io::ErrorKind::ConnectionRefused.into()))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => std::future::pending().await,
        };
        tokio::time::timeout(Duration::from_secs(20), first_of(addresses, HEAD_START, connect)).await.unwrap()
    }

    #[tokio::test]
    async fn a_dead_address_does_not_keep_the_others_from_being_tried() {
        for addresses in [&[ALIVE][..], &[DEAD, ALIVE], &[DEAD, REFUSING, DEAD, ALIVE], &[REFUSING, ALIVE]] {
            assert_eq!(dialled(addresses).await.unwrap(), ALIVE);
        }
    }

    #[test]
    fn every_address_has_its_turn_in_time() {
        assert_eq!(head_start(2, Duration::from_secs(5)), HEAD_START);
        assert_eq!(head_start(50, Duration::from_secs(5)), Duration::from_millis(100));
    }

    #[tokio::test]
    async fn where_every_address_fails_the_last_failure_is_told() {
        assert!(matches!(dialled(&[REFUSING, REFUSING]).await, Err(DialError::Refused(_))));
        assert!(matches!(dialled(&[]).await, Err(DialError::Name(_))));
    }
}
