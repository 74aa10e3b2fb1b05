use tollgate_core::Problems;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::*;
use tollgate_core::snapshot::{Change, Snapshot};
use tollgate_core::usage::KeyUsage;
use tollgate_store::{Dependent, Page, Store, StoreError, Unique};
use uuid::Uuid;

use super::*;

/// A tenant with one of everything, the key referring to all of it.
async fn furnished(store: &Store) -> (Tenant, Plan, Vec<Service>, Consumer, Key) {
    let tenant = add_tenant(store, "acme").await;
    let plan = plan(&tenant, "basic");
    let services = vec![service(&tenant, "zebra"), service(&tenant, "aardvark")];
    let consumer = consumer(&tenant, "ann@example.com", Some(&plan));
    let mut services_of_key = [services[1].id, services[0].id];
    services_of_key.sort_unstable();
    let key = Key {
        plan: Some(plan.id),
        consumer: Some(consumer.id),
        services: Some(services_of_key.into()),
        scope: Some(Box::new(scope())),
        expires_at_secs: Some(NOW + 9),
        limits: limits(&[(2, "second"), (6, "month")]),
        retired: vec![
            RetiredHash { hash: KeyHash::of(b"older"), valid_until_secs: NOW + 5 },
            RetiredHash { hash: KeyHash::of(b"old"), valid_until_secs: NOW + 7 },
        ],
        ..key(&tenant, "secret")
    };
    let mut write = writing(store).await;
    write.insert_plan(&plan).await.unwrap();
    for service in &services {
        write.insert_service(service).await.unwrap();
    }
    write.insert_consumer(&consumer).await.unwrap();
    write.insert_keys(std::slice::from_ref(&key)).await.unwrap();
    write.commit().await.unwrap();
    (tenant, plan, services, consumer, key)
}

pub async fn what_is_written_is_read_back(store: &Store) {
    let (tenant, plan, services, consumer, key) = furnished(store).await;
    let mut read = store.read().await.unwrap();
    let stored = read.tenant(&tenant.slug).await.unwrap().unwrap();
    assert_eq!((stored.value, stored.version), (tenant.clone(), 1));
    assert_eq!((stored.created_at_secs, stored.updated_at_secs), (NOW, NOW));
    assert_eq!(read.plan(tenant.id, &plan.slug).await.unwrap().unwrap().value, plan);
    for service in &services {
        assert_eq!(read.service(tenant.id, service.id).await.unwrap().unwrap().value, *service);
        let by_slug = read.service_by_slug(tenant.id, &service.slug).await.unwrap().unwrap();
        assert_eq!(by_slug.value, *service);
    }
    let stored = read.consumer(tenant.id, &consumer.client_id).await.unwrap().unwrap();
    assert_eq!((&stored.value.consumer, &stored.value.plan), (&consumer, &Some(plan.slug.clone())));
    let stored = read.key(tenant.id, key.id).await.unwrap().unwrap().value;
    assert_eq!(stored.key, key);
    assert_eq!(stored.plan, Some(plan.slug));
    assert_eq!(stored.consumer, Some(consumer.client_id));
    let slugs: Vec<_> = stored.services.unwrap().iter().map(|slug| slug.as_str().to_owned()).collect();
    assert_eq!(slugs, ["aardvark", "zebra"]);
    assert_eq!(read.keys_named(tenant.id, &["other", "secret"]).await.unwrap()[0].value.key, key);
    let stranger = TenantId(Uuid::now_v7());
    assert!(read.service(stranger, services[0].id).await.unwrap().is_none());
    assert!(read.key(stranger, key.id).await.unwrap().is_none());
}

pub async fn what_is_not_committed_never_was(store: &Store) {
    let tenant = tenant("acme");
    let mut write = writing(store).await;
    write.insert_tenant(&tenant).await.unwrap();
    write.set_revision(99).await.unwrap();
    assert!(write.tenant(&tenant.slug).await.unwrap().is_some());
    drop(write);
    let mut read = store.read().await.unwrap();
    assert!(read.tenant(&tenant.slug).await.unwrap().is_none());
    assert_eq!(read.revision().await.unwrap(), 1);
    // The writer is free again.
    writing(store).await.insert_tenant(&tenant).await.unwrap();
}

pub async fn an_edit_counts_the_version_and_a_use_does_not(store: &Store) {
    let (tenant, plan, services, consumer, key) = furnished(store).await;
    let renamed = DisplayName::parse("Another").unwrap();
    let mut write = store.write(NOW + 60).await.unwrap();
    let edited_plan = Plan { name: renamed.clone(), limits: Vec::new(), ..plan };
    write.update_plan(&edited_plan).await.unwrap();
    let mut edited_service = Service { name: renamed.clone(), ..services[0].clone() };
    edited_service.targets.swap(0, 1);
    write.update_service(&edited_service).await.unwrap();
    let edited_consumer = Consumer { plan: None, subscribed_at_secs: NOW, ..consumer };
    write.update_consumer(&edited_consumer).await.unwrap();
    let edited_key =
        Key { services: None, retired: Vec::new(), plan: None, subscribed_at_secs: NOW, ..key.clone() };
    write.update_key(&key, &edited_key).await.unwrap();
    let usage = |last_used_secs| KeyUsage { last_used_secs, requests: 2, rejections: 1 };
    write.note_key_uses(&[(key.id, usage(NOW + 3)), (KeyId(Uuid::now_v7()), usage(NOW))]).await.unwrap();
    write.note_key_uses(&[(key.id, usage(NOW + 2))]).await.unwrap();
    write.commit().await.unwrap();

    let mut read = store.read().await.unwrap();
    let plan = read.plan(tenant.id, &edited_plan.slug).await.unwrap().unwrap();
    assert_eq!((plan.value, plan.version, plan.updated_at_secs), (edited_plan, 2, NOW + 60));
    let service = read.service(tenant.id, edited_service.id).await.unwrap().unwrap();
    assert_eq!((service.value, service.version, service.created_at_secs), (edited_service, 2, NOW));
    let consumer = read.consumer(tenant.id, &edited_consumer.client_id).await.unwrap().unwrap();
    assert_eq!((consumer.value.consumer, consumer.version), (edited_consumer, 2));
    let found = read.key(tenant.id, key.id).await.unwrap().unwrap();
    assert_eq!((found.value.key, found.version), (edited_key, 2));
    let used = KeyUsage { last_used_secs: NOW + 3, requests: 4, rejections: 2 };
    assert_eq!(found.value.usage, Some(used));
}

pub async fn slugs_are_unique_in_their_tenant_alone(store: &Store) {
    let acme = add_tenant(store, "acme").await;
    let other = add_tenant(store, "other").await;
    let mut write = writing(store).await;
    for tenant in [&acme, &other] {
        write.insert_plan(&plan(tenant, "same")).await.unwrap();
        write.insert_service(&service(tenant, "same")).await.unwrap();
        write.insert_consumer(&consumer(tenant, "same", None)).await.unwrap();
    }
    let taken = |outcome| match outcome {
        Err(StoreError::Taken(unique)) => unique,
        other => panic!("{other:?}"),
    };
    assert_eq!(taken(write.insert_plan(&plan(&acme, "same")).await), Unique::PlanSlug);
    assert_eq!(taken(write.insert_service(&service(&acme, "same")).await), Unique::ServiceSlug);
    assert_eq!(taken(write.insert_consumer(&consumer(&acme, "same", None)).await), Unique::ClientId);
    let moved = Tenant { time_zone: TimeZone::UTC, ..acme.clone() };
    write.update_tenant(&moved).await.unwrap();
    assert_eq!(write.tenant(&acme.slug).await.unwrap().unwrap().value, moved);
    let renamed = Tenant { slug: other.slug, ..acme };
    assert_eq!(taken(write.update_tenant(&renamed).await), Unique::TenantSlug);
}

pub async fn a_value_is_one_key(store: &Store) {
    let (tenant, _, _, _, first) = furnished(store).await;
    let mut write = writing(store).await;
    let copy = Key { id: KeyId(Uuid::now_v7()), ..first };
    let outcome = write.insert_keys(&[copy, key(&tenant, "fresh")]).await;
    assert!(matches!(outcome, Err(StoreError::Taken(Unique::KeyHash))), "{outcome:?}");
}

pub async fn what_is_in_use_stays(store: &Store) {
    let (tenant, plan, services, consumer, key) = furnished(store).await;
    let mut write = writing(store).await;
    let in_use = |outcome| match outcome {
        Err(StoreError::InUse(by)) => by,
        other => panic!("{other:?}"),
    };
    assert_eq!(in_use(write.delete_plan(plan.id).await), Dependent::Consumers);
    assert_eq!(in_use(write.delete_service(services[0].id).await), Dependent::Keys);
    assert_eq!(in_use(write.delete_consumer(consumer.id).await), Dependent::Keys);
    let free = Key { consumer: None, services: None, ..key.clone() };
    write.update_key(&key, &free).await.unwrap();
    write.delete_service(services[0].id).await.unwrap();
    write.delete_consumer(consumer.id).await.unwrap();
    assert_eq!(in_use(write.delete_plan(plan.id).await), Dependent::Keys);
    write.delete_key(key.id).await.unwrap();
    write.delete_plan(plan.id).await.unwrap();
    assert!(write.plan(tenant.id, &plan.slug).await.unwrap().is_none());
}

pub async fn a_deleted_tenant_takes_everything_along(store: &Store) {
    let (tenant, _, services, _, key) = furnished(store).await;
    let other = add_tenant(store, "other").await;
    let mut write = writing(store).await;
    write.delete_tenant(tenant.id).await.unwrap();
    write.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert!(read.tenant(&tenant.slug).await.unwrap().is_none());
    assert!(read.service(tenant.id, services[0].id).await.unwrap().is_none());
    assert!(read.key(tenant.id, key.id).await.unwrap().is_none());
    assert!(read.tenant(&other.slug).await.unwrap().is_some());
}

pub async fn lists_come_in_pages_in_the_order_of_creation(store: &Store) {
    let tenant = add_tenant(store, "acme").await;
    let neighbour = add_tenant(store, "neighbour").await;
    let mut write = writing(store).await;
    let slugs = ["delta", "alpha", "charlie", "bravo", "echo"];
    for slug in slugs {
        write.insert_service(&service(&tenant, slug)).await.unwrap();
        write.insert_service(&service(&neighbour, slug)).await.unwrap();
    }
    write.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = read.services(tenant.id, Page { after, limit: 2 }).await.unwrap();
        assert!(page.items.iter().all(|stored| stored.value.tenant == tenant.id));
        seen.extend(page.items.into_iter().map(|stored| stored.value.slug.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, slugs);
    let whole = read.services(tenant.id, Page { after: None, limit: 5 }).await.unwrap();
    assert_eq!((whole.items.len(), whole.next), (5, None));
}

pub async fn everything_loads_in_an_order_that_compiles(store: &Store) {
    let (tenant, plan, services, consumer, first) = furnished(store).await;
    let mut write = writing(store).await;
    let more: Vec<Key> = (0..4_500).map(|number| key(&tenant, &format!("secret-{number}"))).collect();
    write.insert_keys(&more).await.unwrap();
    write.set_revision(12).await.unwrap();
    write.commit().await.unwrap();

    let mut changes = Vec::new();
    let (batches, mut arriving) = tokio::sync::mpsc::channel(1);
    let (position, ()) = tokio::join!(store.load(batches), async {
        while let Some(batch) = arriving.recv().await {
            changes.extend(batch);
        }
    });
    let revision = position.unwrap().revision;
    assert_eq!(revision, 12);
    let snapshot = Snapshot::default().with(&changes, revision).unwrap();
    let loaded = snapshot.tenant("acme").unwrap();
    assert_eq!(loaded.time_zone, tenant.time_zone);
    assert_eq!(loaded.service("zebra").unwrap().id, services[0].id);
    assert_eq!(loaded.plan(plan.id).unwrap().limits.rules.len(), 3);
    assert_eq!(loaded.consumer_by_client_id("ann@example.com").unwrap().id, consumer.id);
    assert_eq!(snapshot.key_hashes(), 4_500 + 3);
    let found = snapshot.key(&KeyHash::of(b"old")).unwrap();
    assert_eq!((found.id, found.is_expired(NOW + 6), found.is_expired(NOW + 7)), (first.id, false, true));
    let particulars = found.particulars().unwrap();
    assert!(particulars.permits_service(services[0].id));
    assert!(!particulars.permits_service(ServiceId(Uuid::nil())));
    assert!(particulars.permits_route(b"GET", "/orders/7") && !particulars.permits_route(b"GET", "/"));
    let plain = snapshot.key(&more[4_499].hash).unwrap();
    assert_eq!(found.limits().map(|own| own.limits.rules.len()), Some(2));
    assert!(plain.particulars().is_none() && plain.plan().is_none());
}

/// As they may be of a build that let scopes be of any size.
pub async fn keys_of_long_scopes_load_few_at_a_time(store: &Store) {
    let tenant = add_tenant(store, "acme").await;
    let paths: Vec<String> = (0..64).map(|number| format!("/{number}/{}", "a".repeat(500))).collect();
    let route = KeyRouteDraft { paths: Some(paths), methods: None };
    let scope = KeyScope::parse(Some(&vec![route; 16]), None, &mut Problems::default());
    let mut keys: Vec<Key> = (0..40).map(|number| key(&tenant, &format!("secret-{number}"))).collect();
    for key in &mut keys {
        key.scope.clone_from(&scope);
    }
    let mut write = writing(store).await;
    for key in &keys {
        write.insert_keys(std::slice::from_ref(key)).await.unwrap();
    }
    write.commit().await.unwrap();
    let (mut loaded, mut longest) = (Vec::new(), 0);
    let (batches, mut arriving) = tokio::sync::mpsc::channel(1);
    let (position, ()) = tokio::join!(store.load(batches), async {
        while let Some(batch) = arriving.recv().await {
            let of_keys = batch.into_iter().filter_map(|change| match change {
                Change::PutKey { key, before: _ } => Some(key),
                _ => None,
            });
            let before = loaded.len();
            loaded.extend(of_keys);
            longest = longest.max(loaded.len() - before);
        }
    });
    position.unwrap();
    assert!(loaded == keys, "{} of {}", loaded.len(), keys.len());
    assert!(longest < 33, "{longest} keys of half a MiB at once");
}

pub async fn lapsed_values_are_found_and_forgotten(store: &Store) {
    let (.., key) = furnished(store).await;
    let mut read = store.read().await.unwrap();
    assert!(read.keys_with_lapsed_values(NOW + 4).await.unwrap().is_empty());
    let lapsed = read.keys_with_lapsed_values(NOW + 5).await.unwrap();
    assert_eq!(lapsed[0].value.key, key);
    drop(read);
    let mut write = writing(store).await;
    write.forget_lapsed_values(key.id, NOW + 5).await.unwrap();
    let left = write.key(key.tenant, key.id).await.unwrap().unwrap();
    assert_eq!(left.value.key.retired, key.retired[1..]);
    assert_eq!(left.version, 1);
}

pub async fn a_reading_sees_one_state(store: &Store) {
    let mut read = store.read().await.unwrap();
    assert!(read.tenants(FIRST).await.unwrap().items.is_empty());
    add_tenant(store, "acme").await;
    assert!(read.tenants(FIRST).await.unwrap().items.is_empty());
    assert_eq!(store.read().await.unwrap().tenants(FIRST).await.unwrap().items.len(), 1);
}
