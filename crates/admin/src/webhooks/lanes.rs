//! Sending the outbox: a lane for each webhook that something is to be sent to, one delivery after the other.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tollgate_core::resource::WebhookId;
use tollgate_core::webhook::delay_after;
use tollgate_store::{DeliveryState, StoreError};

use crate::clock;
use crate::control_plane::ControlPlane;

/// Attempts at once, over all webhooks: what files and memory they may take. A tenant has 20 webhooks at most, so that it takes
/// less than a twelfth.
const MOST_AT_ONCE: usize = 256;
/// How long the database is left alone when it has failed.
const AFTER_A_FAILURE: Duration = Duration::from_secs(10);
/// How long a webhook is left alone when sending to it has panicked, which it does again as long as the same is to be sent:
/// doubling.
const AFTER_A_PANIC: Duration = Duration::from_secs(10);
const LONGEST_AFTER_PANICS: Duration = Duration::from_mins(10);
/// In case nobody has said that there is something to send.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Where whoever has put something into the outbox says so.
#[derive(Default)]
pub struct Outbox(Notify);

struct Lane {
    wake: Arc<Notify>,
    task: AbortHandle,
}

impl Outbox {
    /// Something is to be sent, or sooner than was thought.
    pub fn changed(&self) {
        self.0.notify_one();
    }
}

/// Sends for good; dropped, it leaves in the outbox what was not answered.
pub async fn send(plane: &ControlPlane) {
    let mut tasks = JoinSet::new();
    let mut lanes: HashMap<WebhookId, Lane> = HashMap::new();
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    loop {
        lanes.retain(|_, lane| !lane.task.is_finished());
        match pending(plane).await {
            Ok(webhooks) => {
                for webhook in webhooks {
                    if let Some(lane) = lanes.get(&webhook) {
                        lane.wake.notify_one();
                        continue;
                    }
                    let wake = Arc::new(Notify::new());
                    let lane = run(plane.clone(), webhook, Arc::clone(&wake), Arc::clone(&places));
                    lanes.insert(webhook, Lane { wake, task: tasks.spawn(lane) });
                }
            }
            Err(error) => tracing::error!(%error, "the outbox of webhooks cannot be read"),
        }
        tokio::select! {
            () = plane.0.outbox.0.notified() => {}
            // A lane that found nothing more may have missed what has come since: it is looked up once more.
            Some(_ended) = tasks.join_next() => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

async fn pending(plane: &ControlPlane) -> Result<Vec<WebhookId>, StoreError> {
    plane.0.store.read().await?.webhooks_pending().await
}

async fn run(plane: ControlPlane, webhook: WebhookId, wake: Arc<Notify>, places: Arc<Semaphore>) {
    carry(webhook, || step(&plane, webhook, &wake, &places), sleep).await;
}

/// Until there is nothing left to send to the webhook. The lane stands while it pauses, or it would be begun anew at once.
async fn carry<S, P>(webhook: WebhookId, mut step: impl FnMut() -> S, pause: impl Fn(Duration) -> P)
where
    S: Future<Output = Result<Step, StoreError>>,
    P: Future<Output = ()>,
{
    let mut panics = 0;
    loop {
        // What it holds is given back by guards, and it is begun anew.
        match AssertUnwindSafe(step()).catch_unwind().await {
            Ok(Ok(Step::More)) => panics = 0,
            Ok(Ok(Step::Done)) => return,
            Ok(Err(error)) => {
                tracing::error!(%error, %webhook, "the outbox of a webhook cannot be read or written");
                pause(AFTER_A_FAILURE).await;
            }
            Err(_) => {
                // The panic itself went to the panic hook.
                panics += 1;
                let left_alone = after_panics(panics);
                tracing::error!(%webhook, seconds = left_alone.as_secs(), "sending to a webhook has panicked: it is left alone");
                pause(left_alone).await;
            }
        }
    }
}

/// After so many in a row.
fn after_panics(panics: u32) -> Duration {
    (1..panics.min(32)).fold(AFTER_A_PANIC, |pause, _| (pause * 2).min(LONGEST_AFTER_PANICS))
}

enum Step {
    More,
    Done,
}

async fn step(
    plane: &ControlPlane,
    webhook: WebhookId,
    wake: &Notify,
    places: &Semaphore,
) -> Result<Step, StoreError> {
    let next = plane.0.store.read().await?.next_delivery(webhook).await?;
    let Some(delivery) = next else { return Ok(Step::Done) };
    if let DeliveryState::Pending { next_attempt_secs } = delivery.state {
        let wait = wait(delivery.attempts, next_attempt_secs, clock::now_secs());
        if !wait.is_zero() {
            tokio::select! {
                () = sleep(wait) => {}
                () = wake.notified() => {}
            }
            return Ok(Step::More);
        }
    }
    // Never closed.
    let _place = places.acquire().await;
    plane.attempt(&delivery).await?;
    Ok(Step::More)
}

/// What is due later than so many attempts can have it was put off before the clock was set back: it is due now, and does
/// not wait for the clock to come there again.
fn wait(attempts: u32, next_attempt_secs: u64, now_secs: u64) -> Duration {
    let wait = Duration::from_secs(next_attempt_secs.saturating_sub(now_secs));
    // Waits are kept in whole seconds.
    let longest = delay_after(attempts, 1.0).unwrap_or_default() + Duration::from_secs(1);
    if wait > longest { Duration::ZERO } else { wait }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use tollgate_core::webhook::MOST_ATTEMPTS;
    use uuid::Uuid;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn what_failed_is_not_tried_before_its_time() {
        for attempts in 1..MOST_ATTEMPTS {
            let longest = delay_after(attempts, 1.0).unwrap().as_secs() + 1;
            assert_eq!(wait(attempts, NOW + longest, NOW), Duration::from_secs(longest), "{attempts}");
        }
        assert_eq!(wait(1, NOW, NOW + 5), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_lane_that_panics_pauses_for_longer_each_time_until_it_goes_on() {
        let mut steps = "ppp.pd".chars();
        let pauses = RefCell::new(Vec::new());
        let step = || {
            let next = steps.next();
            async move {
                match next {
                    Some('p') => panic!("it has to"),
                    Some('.') => Ok(Step::More),
                    Some(_) | None => Ok(Step::Done),
                }
            }
        };
        carry(WebhookId(Uuid::from_u128(1)), step, |pause| {
            pauses.borrow_mut().push(pause.as_secs());
            ready(())
        })
        .await;
        assert_eq!(*pauses.borrow(), [10, 20, 40, 10]);
        assert_eq!(after_panics(u32::MAX), LONGEST_AFTER_PANICS);
    }

    #[test]
    fn a_clock_that_is_set_back_by_an_hour_puts_no_attempt_off_by_an_hour() {
        for (attempts, delay) in [(0, 0), (1, 2), (4, 54), (MOST_ATTEMPTS, 0)] {
            assert_eq!(wait(attempts, NOW + delay, NOW - 3_600), Duration::ZERO, "{attempts}");
        }
    }
}
