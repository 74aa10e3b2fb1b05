//! One attempt to deliver an event, and what becomes of the delivery.

use std::time::Duration;

use axum::http::StatusCode;
use tollgate_core::resource::Webhook;
use tollgate_core::webhook::{WebhookSecret, delay_after};
use tollgate_store::{Attempt, DeliveryRecord, DeliveryState, EventRecord, StoreError, WebhookRecord};
use uuid::Uuid;

use super::keep::is_room_for_a_test;
use super::message;
use super::post::post;
use crate::clock;
use crate::control_plane::{ControlPlane, Inner};
use crate::sealing::Sealed;
use crate::token::random_bits;

/// What a receiver has made of a message.
enum Answer {
    Taken(StatusCode),
    /// It wants none any more (RFC 9110 section 15.5.11).
    Gone,
    NotTaken(Option<StatusCode>, String),
}

impl ControlPlane {
    /// Tries a delivery that is due. What is gone meanwhile, with its webhook or its event, is not sent.
    pub(super) async fn attempt(&self, delivery: &DeliveryRecord) -> Result<(), StoreError> {
        let plane = &self.0;
        let mut read = plane.store.read().await?;
        let webhook = read.webhook(delivery.webhook).await?;
        let event = read.event(delivery.event).await?;
        drop(read);
        let (Some(webhook), Some(event)) = (webhook, event) else { return Ok(()) };
        let answer = send(plane, &webhook.value, &event).await;
        let (attempt, state) = verdict(&answer, delivery.attempts + 1, clock::now_secs());
        if let Some(error) = &attempt.error {
            let attempts = delivery.attempts + 1;
            tracing::info!(webhook = %delivery.webhook, event = %event.id, attempts, error, "a delivery failed");
        }
        let _turn = plane.turn.lock().await;
        let mut write = plane.store.write(clock::now_secs()).await?;
        let stands = write.webhook(delivery.webhook).await?.map(|stored| stored.version);
        let state = if stands == Some(webhook.version) { state } else { anew(state, clock::now_secs()) };
        write.note_attempt(delivery.id, &attempt, state).await?;
        write.commit().await
    }

    /// Sends a message to try the webhook: once, whatever comes of it. It is listed as others are, while there is room.
    pub(crate) async fn test_webhook(
        &self,
        record: &WebhookRecord,
        tenant: &str,
    ) -> Result<DeliveryRecord, StoreError> {
        let plane = &self.0;
        let event = message::webhook_test(&record.webhook, tenant, clock::now_secs());
        let answer = send(plane, record, &event).await;
        let (attempt, _) = verdict(&answer, 1, clock::now_secs());
        let state = if attempt.error.is_none() { DeliveryState::Delivered } else { DeliveryState::Failed };
        let (id, now_secs) = (Uuid::now_v7(), clock::now_secs());
        let _turn = plane.turn.lock().await;
        let mut write = plane.store.write(now_secs).await?;
        // It may have been deleted while it was tried.
        let is_there = write.webhook(record.webhook.id).await?.is_some();
        if is_there && is_room_for_a_test(&mut write, event.tenant).await? {
            write.insert_event(&event).await?;
            write.insert_delivery(id, record.webhook.id, event.id).await?;
            write.note_attempt(id, &attempt, state).await?;
            write.commit().await?;
        }
        Ok(DeliveryRecord {
            id,
            webhook: record.webhook.id,
            event: event.id,
            kind: event.kind,
            state,
            attempts: 1,
            last: Some(attempt),
            created_at_secs: now_secs,
        })
    }
}

fn verdict(answer: &Answer, attempts: u32, now_secs: u64) -> (Attempt, DeliveryState) {
    let attempt = |status: Option<StatusCode>, error: Option<String>| Attempt {
        at_secs: now_secs,
        status: status.map(|status| status.as_u16()),
        error,
    };
    match answer {
        Answer::Taken(status) => (attempt(Some(*status), None), DeliveryState::Delivered),
        Answer::Gone => {
            let error = "the receiver wants no more of them (410)".to_owned();
            (attempt(Some(StatusCode::GONE), Some(error)), DeliveryState::Failed)
        }
        Answer::NotTaken(status, error) => {
            let state = match delay_after(attempts, random()) {
                Some(delay) => DeliveryState::Pending { next_attempt_secs: now_secs + whole_secs(delay) },
                None => DeliveryState::Failed,
            };
            (attempt(*status, Some(error.clone())), state)
        }
    }
}

/// Where the webhook was replaced while it was tried: what the receiver of before has not taken is the new one's, at once.
const fn anew(state: DeliveryState, now_secs: u64) -> DeliveryState {
    match state {
        DeliveryState::Delivered => state,
        DeliveryState::Pending { .. } | DeliveryState::Failed => {
            DeliveryState::Pending { next_attempt_secs: now_secs }
        }
    }
}

async fn send(plane: &Inner, record: &WebhookRecord, event: &EventRecord) -> Answer {
    let Some(secret) = secret(plane, record) else {
        return Answer::NotTaken(None, "its secret is lost: give the webhook a new one".to_owned());
    };
    let body = message::whole(event).to_string();
    let timestamp_secs = clock::now_secs();
    let signature = secret.sign(event.id, timestamp_secs, body.as_bytes());
    let headers = [
        ("webhook-id", event.id.to_string()),
        ("webhook-timestamp", timestamp_secs.to_string()),
        ("webhook-signature", signature),
    ];
    match post(&plane.webhook_tls, &plane.allow_list, &record.webhook, &headers, body).await {
        Ok(status) if status.is_success() => Answer::Taken(status),
        Ok(StatusCode::GONE) => Answer::Gone,
        Ok(status) if status.is_redirection() => {
            Answer::NotTaken(Some(status), format!("status {}: redirects are not followed", status.as_u16()))
        }
        Ok(status) => Answer::NotTaken(Some(status), format!("status {}", status.as_u16())),
        Err(error) => Answer::NotTaken(None, error.to_string()),
    }
}

/// `None` where it was sealed with another secret.
fn secret(plane: &Inner, record: &WebhookRecord) -> Option<WebhookSecret> {
    let Webhook { id, .. } = record.webhook;
    let opened = plane.sealing.open(Sealed::WebhookSecret, &id.to_string(), &record.sealed_secret).ok()?;
    WebhookSecret::from_bytes(&opened).ok()
}

/// 0 to 1. Without randomness, waits are all the same: no reason not to deliver.
fn random() -> f64 {
    match random_bits() {
        Ok([low, high, ..]) => f64::from(u16::from_le_bytes([low, high])) / f64::from(u16::MAX),
        Err(_) => 0.5,
    }
}

/// At least 1.
fn whole_secs(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_millis() >= 500)).max(1)
}

#[cfg(test)]
mod tests {
    use tollgate_core::webhook::MOST_ATTEMPTS;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn what_was_not_taken_is_tried_again_until_it_was_tried_enough() {
        let broken = Answer::NotTaken(Some(StatusCode::BAD_GATEWAY), "status 502".into());
        let (attempt, state) = verdict(&broken, 1, NOW);
        assert_eq!((attempt.status, attempt.error.as_deref()), (Some(502), Some("status 502")));
        let DeliveryState::Pending { next_attempt_secs } = state else { panic!("{state:?}") };
        assert!((NOW + 1..=NOW + 3).contains(&next_attempt_secs));
        assert_eq!(verdict(&broken, MOST_ATTEMPTS, NOW).1, DeliveryState::Failed);
    }

    #[test]
    fn what_was_taken_or_is_not_wanted_is_not_tried_again() {
        let taken = verdict(&Answer::Taken(StatusCode::NO_CONTENT), 3, NOW);
        assert_eq!((taken.0.status, taken.0.error, taken.1), (Some(204), None, DeliveryState::Delivered));
        assert_eq!(verdict(&Answer::Gone, 1, NOW).1, DeliveryState::Failed);
    }
}
