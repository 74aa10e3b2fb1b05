//! Orders from the control plane: each is carried out in a task of its own, so that the feed goes on, and answered with the
//! next report, which comes at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tollgate_core::feed::{Order, Ordered};

use crate::node::Facts;

/// Orders that were carried out and are not answered yet.
const MOST_UNANSWERED: usize = 64;
/// Orders of checks that are waited for.
const MOST_CHECKS: usize = 256;
/// The control plane waits for an answer for less than that. Checks go on without anybody who waits for them.
const WORTH_WAITING: Duration = Duration::from_secs(5);

pub struct Orders {
    facts: Arc<Facts>,
    done: mpsc::Sender<Order>,
    checks: Arc<Semaphore>,
}

/// Where orders go, and where they come out when they are done, or were waited for in vain.
pub fn channel(facts: Arc<Facts>) -> (Orders, mpsc::Receiver<Order>) {
    let (done, carried_out) = mpsc::channel(MOST_UNANSWERED);
    (Orders { facts, done, checks: Arc::new(Semaphore::new(MOST_CHECKS)) }, carried_out)
}

impl Orders {
    pub fn take(&self, order: Order) {
        let place = match order.what {
            // Done at once.
            Ordered::ResetCircuits(_) => None,
            Ordered::Check(_) => {
                let Ok(place) = Arc::clone(&self.checks).try_acquire_owned() else {
                    tracing::warn!(most = MOST_CHECKS, "too many checks are ordered: this one is not made");
                    return;
                };
                Some(place)
            }
        };
        tracing::info!(what = ?order.what, "the control plane wants something done");
        let (carried_out, done) = ((self.facts.carry_out)(order.what.clone()), self.done.clone());
        tokio::spawn(async move {
            // Nobody hears of an answer that is late, but what the checks find is to be told then.
            drop(timeout(WORTH_WAITING, carried_out).await);
            // With the reporter gone, there is nobody to tell it.
            drop(done.send(order).await);
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tollgate_core::feed::OrderId;
    use tollgate_core::resource::ServiceId;
    use tollgate_core::sighting::Sighting;
    use tollgate_core::uptime::Uptime;
    use uuid::Uuid;

    use super::*;

    /// Checks end where the semaphore lets them.
    fn orders(checks: &Arc<Semaphore>, begun: &Arc<AtomicUsize>) -> (Orders, mpsc::Receiver<Order>) {
        let (checks, begun) = (Arc::clone(checks), Arc::clone(begun));
        channel(Arc::new(Facts {
            key_usage: Box::new(Vec::new),
            crossings: Box::new(Vec::new),
            traffic: Box::new(|| Sighting { now: Uptime::default(), services: Vec::new() }),
            carry_out: Box::new(move |what| match what {
                Ordered::ResetCircuits(_) => Box::pin(ready(())),
                Ordered::Check(_) => {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let checks = Arc::clone(&checks);
                    Box::pin(async move { checks.acquire().await.unwrap().forget() })
                }
            }),
        }))
    }

    fn order(what: Ordered) -> Order {
        Order { id: OrderId(Uuid::from_u128(1)), what }
    }

    #[tokio::test]
    async fn checks_that_do_not_end_are_bounded_and_keep_no_reset_from_being_done() {
        let (checks, begun) = (Arc::new(Semaphore::new(0)), Arc::default());
        let (orders, mut done) = orders(&checks, &begun);
        for _ in 0..MOST_CHECKS + 9 {
            orders.take(order(Ordered::Check(Vec::new())));
        }
        assert_eq!(begun.load(Ordering::Relaxed), MOST_CHECKS);
        let reset = order(Ordered::ResetCircuits(ServiceId(Uuid::from_u128(2))));
        orders.take(reset.clone());
        assert_eq!(done.recv().await, Some(reset));
        checks.add_permits(1);
        done.recv().await.unwrap();
        while orders.checks.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        orders.take(order(Ordered::Check(Vec::new())));
        assert_eq!(begun.load(Ordering::Relaxed), MOST_CHECKS + 1);
    }
}
