//! Sending the outbox: a lane for each webhook that something is to be sent to, one delivery after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tollgate_core::resource::WebhookId;
use tollgate_store::{DeliveryState, StoreError};

use crate::clock;
use crate::control_plane::ControlPlane;

/// Attempts at once, over all webhooks: what files and memory they may take. A tenant has 20 webhooks at most, so that it takes
/// less than a twelfth.
const MOST_AT_ONCE: usize = 256;
/// How long the database is left alone when it has failed.
const AFTER_A_FAILURE: Duration = Duration::from_secs(10);
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

/// Until there is nothing left to send to the webhook.
async fn run(plane: ControlPlane, webhook: WebhookId, wake: Arc<Notify>, places: Arc<Semaphore>) {
    loop {
        match step(&plane, webhook, &wake, &places).await {
            Ok(Step::More) => {}
            Ok(Step::Done) => return,
            Err(error) => {
                tracing::error!(%error, %webhook, "the outbox of a webhook cannot be read or written");
                sleep(AFTER_A_FAILURE).await;
            }
        }
    }
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
        let wait_secs = next_attempt_secs.saturating_sub(clock::now_secs());
        if wait_secs > 0 {
            tokio::select! {
                () = sleep(Duration::from_secs(wait_secs)) => {}
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
