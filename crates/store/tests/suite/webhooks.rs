use tollgate_core::event::EventKind;
use tollgate_store::{Attempt, DeliveryState, EventRecord, Kept, Store, WebhookRecord};
use uuid::Uuid;

use super::*;

fn webhook(tenant: &Tenant, url: &str, events: Vec<EventKind>) -> WebhookRecord {
    let (id, url) = (WebhookId(Uuid::now_v7()), WebhookUrl::parse(url).unwrap());
    let webhook = Webhook { id, tenant: tenant.id, url, reach: Reach::Private, events };
    WebhookRecord { webhook, sealed_secret: vec![7; 60] }
}

fn event(tenant: &Tenant, identity: &str) -> EventRecord {
    EventRecord {
        id: Uuid::now_v7(),
        tenant: tenant.id,
        kind: EventKind::LimitThreshold,
        occurred_at_secs: NOW,
        data: "{}".into(),
        identity: identity.into(),
    }
}

pub async fn webhooks_are_their_tenants(store: &Store) {
    let (acme, other) = (add_tenant(store, "acme").await, add_tenant(store, "other").await);
    let record = webhook(&acme, "https://hooks.example/a?b=c", vec![EventKind::LimitThreshold]);
    let id = record.webhook.id;
    let mut write = writing(store).await;
    write.insert_webhook(&record).await.unwrap();
    assert_eq!(write.webhook(id).await.unwrap().unwrap().value, record);
    let changed = WebhookRecord { sealed_secret: vec![8], ..webhook(&acme, "http://b.example", Vec::new()) };
    let changed = WebhookRecord { webhook: Webhook { id, ..changed.webhook }, ..changed };
    write.update_webhook(&changed).await.unwrap();
    let stored = write.webhook(id).await.unwrap().unwrap();
    assert_eq!((stored.value, stored.version), (changed, 2));
    assert_eq!(write.webhooks(acme.id, FIRST).await.unwrap().items.len(), 1);
    assert_eq!(write.webhooks(other.id, FIRST).await.unwrap().items.len(), 0);
    assert_eq!(write.count_webhooks(acme.id).await.unwrap(), 1);
    write.keep_event(&event(&acme, "one")).await.unwrap();
    write.delete_webhook(id).await.unwrap();
    assert!(write.webhook(id).await.unwrap().is_none());
    assert!(write.webhooks_pending().await.unwrap().is_empty(), "and what was to be sent is gone");
    write.insert_webhook(&record).await.unwrap();
    write.delete_tenant(acme.id).await.unwrap();
    assert!(write.webhook(id).await.unwrap().is_none());
    assert!(write.events(acme.id, None, FIRST).await.unwrap().items.is_empty());
}

pub async fn an_event_is_kept_once_with_what_is_to_be_sent_of_it(store: &Store) {
    let (acme, other) = (add_tenant(store, "acme").await, add_tenant(store, "other").await);
    let all = webhook(&acme, "https://a.example", Vec::new());
    let wanting = webhook(&acme, "https://b.example", vec![EventKind::LimitThreshold]);
    let tests = webhook(&acme, "https://c.example", vec![EventKind::WebhookTest]);
    let stranger = webhook(&other, "https://d.example", Vec::new());
    let mut write = writing(store).await;
    for record in [&all, &wanting, &tests, &stranger] {
        write.insert_webhook(record).await.unwrap();
    }
    let (first, again) = (event(&acme, "one"), event(&acme, "one"));
    let kept = write.keep_event(&first).await.unwrap();
    assert_eq!(kept, Kept::New(vec![all.webhook.id, wanting.webhook.id]));
    assert_eq!(write.keep_event(&again).await.unwrap(), Kept::Known);
    assert_eq!(write.keep_event(&event(&other, "one")).await.unwrap(), Kept::New(vec![stranger.webhook.id]));
    let test = EventRecord { kind: EventKind::WebhookTest, ..event(&acme, "two") };
    assert!(write.insert_event(&test).await.unwrap());
    assert_eq!(write.event(first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(write.event(again.id).await.unwrap(), None);
    assert_eq!(write.events(acme.id, None, FIRST).await.unwrap().items, [first.clone(), test.clone()]);
    assert_eq!(write.events(acme.id, Some(EventKind::WebhookTest), FIRST).await.unwrap().items, [test]);
    assert_eq!(write.deliveries(all.webhook.id, FIRST).await.unwrap().items.len(), 1);
    for kind in [EventKind::LimitThreshold, EventKind::WebhookTest] {
        assert_eq!(write.count_events(acme.id, kind, 0).await.unwrap(), 1);
        let far = 100_000_000_000;
        assert_eq!(write.count_events(acme.id, kind, far).await.unwrap(), 0);
    }
    write.delete_events_before(NOW).await.unwrap();
    assert_eq!(write.events(acme.id, None, FIRST).await.unwrap().items.len(), 2);
    write.delete_events_before(NOW + 1).await.unwrap();
    assert!(write.events(acme.id, None, FIRST).await.unwrap().items.is_empty());
    assert!(write.deliveries(all.webhook.id, FIRST).await.unwrap().items.is_empty());
}

pub async fn a_delivery_waits_until_it_was_delivered_or_tried_enough(store: &Store) {
    let acme = add_tenant(store, "acme").await;
    let record = webhook(&acme, "https://a.example", Vec::new());
    let id = record.webhook.id;
    let mut write = writing(store).await;
    write.insert_webhook(&record).await.unwrap();
    for identity in ["one", "two"] {
        write.keep_event(&event(&acme, identity)).await.unwrap();
    }
    let first = write.next_delivery(id).await.unwrap().unwrap();
    assert_eq!((first.state, first.attempts), (DeliveryState::Pending { next_attempt_secs: NOW }, 0));
    let failed = Attempt { at_secs: NOW + 1, status: Some(500), error: Some("status 500".into()) };
    let later = DeliveryState::Pending { next_attempt_secs: NOW + 9 };
    write.note_attempt(first.id, &failed, later).await.unwrap();
    let second = write.next_delivery(id).await.unwrap().unwrap();
    assert_ne!(second.id, first.id, "what is due sooner goes before");
    let taken = Attempt { at_secs: NOW + 2, status: Some(204), error: None };
    write.note_attempt(second.id, &taken, DeliveryState::Delivered).await.unwrap();
    let waiting = write.next_delivery(id).await.unwrap().unwrap();
    assert_eq!((waiting.id, waiting.state, waiting.attempts), (first.id, later, 1));
    assert_eq!(waiting.last, Some(failed.clone()));
    assert_eq!(write.webhooks_pending().await.unwrap(), [id]);
    write.make_deliveries_due(id).await.unwrap();
    let due = write.next_delivery(id).await.unwrap().unwrap();
    assert_eq!(due.state, DeliveryState::Pending { next_attempt_secs: NOW });
    write.note_attempt(first.id, &failed, DeliveryState::Failed).await.unwrap();
    assert_eq!(write.next_delivery(id).await.unwrap(), None);
    assert!(write.webhooks_pending().await.unwrap().is_empty());
    let states: Vec<_> =
        write.deliveries(id, FIRST).await.unwrap().items.iter().map(|delivery| delivery.state).collect();
    assert_eq!(states, [DeliveryState::Failed, DeliveryState::Delivered]);
}
