use uuid::Uuid;

use super::*;
use crate::address::Reach;
use crate::balance::Duty;
use crate::problem::Problems;
use crate::resource::{self, BaseUrl, KeyId, PlanSlug, RetiredHash, ServiceSlug, TargetId, Timeouts};

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

fn name() -> DisplayName {
    DisplayName::parse("name").unwrap()
}

fn tenant(slug: &str) -> Change {
    Change::PutTenant(resource::Tenant {
        id: TENANT,
        slug: TenantSlug::parse(slug).unwrap(),
        name: name(),
        time_zone: TimeZone::UTC,
        limits: Vec::new(),
    })
}

fn service(number: u128, slug: &str) -> Change {
    let url = BaseUrl::parse("http://host:8080/base").unwrap();
    Change::PutService(resource::Service {
        id: ServiceId(id(number)),
        tenant: TENANT,
        slug: ServiceSlug::parse(slug).unwrap(),
        name: name(),
        auth_header: resource::HeaderName::parse("X-API-Key").unwrap(),
        targets: vec![resource::Target {
            id: TargetId(id(9)),
            url,
            weight: 1,
            duty: Duty::Serving,
            reach: Reach::Public,
        }],
        timeouts: Timeouts::default(),
        max_body_bytes: None,
        jwt: Vec::new(),
        limits: resource::ServiceLimits::default(),
        traffic: Box::default(),
    })
}

fn plan(number: u128) -> Change {
    Change::PutPlan(resource::Plan {
        id: PlanId(id(number)),
        tenant: TENANT,
        slug: PlanSlug::parse("basic").unwrap(),
        name: name(),
        limits: Vec::new(),
        concurrency: None,
        counting: resource::Counting::default(),
        on_unavailable: resource::OnUnavailable::default(),
    })
}

fn key(number: u128, secret: &[u8]) -> resource::Key {
    resource::Key {
        id: KeyId(id(number)),
        tenant: TENANT,
        name: name(),
        hash: KeyHash::of(secret),
        prefix: "se".into(),
        plan: None,
        consumer: None,
        services: None,
        scope: None,
        limits: Vec::new(),
        expires_at_secs: None,
        subscribed_at_secs: 0,
        retired: Vec::new(),
    }
}

fn put(key: resource::Key) -> Change {
    Change::PutKey { key, before: None }
}

fn fields(outcome: Result<Snapshot, Problems>) -> Vec<String> {
    outcome.err().unwrap().into_vec().into_iter().map(|problem| problem.field).collect()
}

#[test]
fn what_is_put_is_found() {
    let changes = [tenant("acme"), plan(2), service(3, "api"), put(key(4, b"secret"))];
    let snapshot = Snapshot::default().with(&changes, 7).unwrap();
    assert_eq!(snapshot.revision(), 7);
    let service = snapshot.tenant("acme").unwrap().service("api").unwrap();
    assert_eq!(&*service.targets[0].authority, "host:8080");
    assert_eq!(service.targets[0].path_prefix(), "/base");
    assert_eq!(snapshot.key(&KeyHash::of(b"secret")).unwrap().id, KeyId(id(4)));
    assert!(snapshot.key(&KeyHash::of(b"other")).is_none());
}

#[test]
fn a_refused_change_leaves_the_snapshot_as_it_was_and_names_all_problems() {
    let before = Snapshot::default().with(&[tenant("acme"), service(3, "api")], 1).unwrap();
    let dangling = resource::Key {
        plan: Some(PlanId(id(50))),
        consumer: Some(ConsumerId(id(51))),
        services: Some(Box::new([ServiceId(id(3)), ServiceId(id(52))])),
        ..key(4, b"secret")
    };
    let outcome = before.with(&[put(dangling), service(5, "api")], 2);
    assert_eq!(fields(outcome), ["plan", "consumer", "services[1]", "slug"]);
    assert!(before.key(&KeyHash::of(b"secret")).is_none());
    assert_eq!(before.revision(), 1);
}

/// Of a path of its own, and of one that all have.
fn route(number: u128) -> Route {
    let draft: resource::RouteDraft = serde_json::from_str(&format!(
        r#"{{"name":"{number}","service":"api","hosts":["h.example"],"paths":["/own/{number}","/all"],"query":{{"v":"{number}"}}}}"#
    ))
    .unwrap();
    let spec = draft.parse().unwrap();
    Route {
        id: RouteId(id(number)),
        tenant: TENANT,
        name: spec.name,
        split: crate::routing::Split { shares: vec![(ServiceId(id(3)), 1)], sticky: None },
        rules: spec.rules,
    }
}

const TOO_MANY: &str = "is the path of 64 other routes already, and a look-up would have to try them all";

#[test]
fn a_path_that_too_many_routes_have_is_named() {
    let before = Snapshot::default().with(&[tenant("acme"), service(3, "api")], 1).unwrap();
    let routes: Vec<_> = (0..66).map(route).collect();
    let said: Vec<_> =
        before.misfits(&routes).into_iter().map(|(index, problems)| (index, problems.to_string())).collect();
    let message = format!("paths[1]: {TOO_MANY}");
    assert_eq!(said, [(64, message.clone()), (65, message)]);
}

#[test]
fn routes_that_an_earlier_build_accepted_stay_in_force_and_are_named_where_they_crowd_others() {
    struct OfVersion(String);
    impl crate::routing::Asked for OfVersion {
        fn method(&self) -> &[u8] {
            b"GET"
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            None
        }
        fn query(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    let found = |snapshot: &Snapshot, number: u128| {
        let asked = OfVersion(format!("?v={number}"));
        match snapshot.hosts()?.select(&mut b"h.example".to_vec(), "/all", &asked) {
            crate::routing::Selection::Route(matched) => Some(matched.route.id),
            _ => None,
        }
    };
    // As many as are more than a look-up may visit, too.
    let mut changes = vec![tenant("acme"), service(3, "api")];
    changes.extend((0..300).map(|number| Change::PutRoute(route(number))));
    let (snapshot, crowding) = Snapshot::default().restored(&changes, 1).unwrap();
    // Once for each of its paths.
    let mut named: Vec<_> = crowding.iter().map(|crowding| crowding.id).collect();
    named.dedup();
    assert_eq!(named, (64..300).map(|number| RouteId(id(number))).collect::<Vec<_>>());
    let first = &crowding[0];
    let said = (first.tenant.as_str(), first.name.as_str(), &*first.problem.field, &*first.problem.message);
    assert_eq!(said, ("acme", "64", "paths[1]", TOO_MANY));
    for number in 0..300 {
        assert_eq!(found(&snapshot, number), Some(RouteId(id(number))), "{number}");
    }

    // Nobody adds to them, and whoever takes some away makes room again.
    let more = [Change::PutRoute(route(300))];
    assert_eq!(fields(snapshot.with(&more, 2)), ["paths[1]"]);
    // Who changes one of them need not make them fewer.
    let put = |numbers: std::ops::Range<u128>| -> Vec<Change> {
        let edited = |number| Route { name: name(), ..route(number) };
        numbers.map(|number| Change::PutRoute(edited(number))).collect()
    };
    assert!(snapshot.with(&put(70..71), 2).is_ok());
    assert!(snapshot.with(&put(0..300), 2).is_ok());
    let edited: Vec<Route> = (0..300).map(route).collect();
    assert_eq!(snapshot.misfits(&edited), []);
    assert_eq!(fields(snapshot.with(&put(0..301), 2)), ["paths[1]"]);
    let gone: Vec<_> = (10..300).map(|number| Change::DeleteRoute(TENANT, RouteId(id(number)))).collect();
    let smaller = snapshot.with(&gone, 2).unwrap().with(&more, 3).unwrap();
    assert_eq!(found(&smaller, 300), Some(RouteId(id(300))));
    assert_eq!(found(&smaller, 10), None);
}

/// There may be a million of them, in the table that every request asks.
#[test]
fn a_key_is_small() {
    assert_eq!(size_of::<Key>(), 32);
}

#[test]
fn a_renamed_tenant_keeps_what_it_has() {
    let before = Snapshot::default().with(&[tenant("acme"), service(3, "api")], 1).unwrap();
    let after = before.with(&[tenant("apex")], 2).unwrap();
    assert!(after.tenant("acme").is_none());
    assert!(after.tenant("apex").unwrap().service("api").is_some());
    assert!(before.tenant("acme").is_some());
}

#[test]
fn a_rotated_key_answers_to_both_values_until_the_grace_ends() {
    let old = key(4, b"old");
    let before = Snapshot::default().with(&[tenant("acme"), put(old.clone())], 1).unwrap();
    let retired = RetiredHash { hash: old.hash, valid_until_secs: 100 };
    let rotated = resource::Key { hash: KeyHash::of(b"new"), retired: vec![retired], ..old.clone() };
    let change = Change::PutKey { key: rotated.clone(), before: Some(Box::new(old.clone())) };
    let after = before.with(&[change], 2).unwrap();
    let former = after.key(&old.hash).unwrap();
    assert!(!former.is_expired(99) && former.is_expired(100));
    assert!(!after.key(&rotated.hash).unwrap().is_expired(100));
    // A grace does not outlive the key.
    let expiring = resource::Key { expires_at_secs: Some(50), ..rotated.clone() };
    let expiring = after.with(&[put(expiring)], 3).unwrap();
    for hash in [old.hash, rotated.hash] {
        let value = expiring.key(&hash).unwrap();
        assert!(!value.is_expired(49) && value.is_expired(50));
    }
    let revoked = after.with(&[Change::DeleteKey(Box::new(rotated.clone()))], 3).unwrap();
    assert!(revoked.key(&old.hash).is_none() && revoked.key(&rotated.hash).is_none());
}

#[test]
fn a_deleted_tenant_takes_its_keys_along() {
    let before = Snapshot::default().with(&[tenant("acme"), put(key(4, b"secret"))], 1).unwrap();
    let after = before.with(&[Change::DeleteTenant(TENANT)], 2).unwrap();
    assert!(after.tenant("acme").is_none());
    assert_eq!(after.key_hashes(), 0);
}

#[test]
fn one_value_is_one_key() {
    let before = Snapshot::default().with(&[tenant("acme"), put(key(4, b"secret"))], 1).unwrap();
    assert_eq!(fields(before.with(&[put(key(5, b"secret"))], 2)), ["key"]);
}

#[test]
fn without_its_tenant_nothing_can_be() {
    for change in [service(3, "api"), plan(2), put(key(4, b"secret"))] {
        assert_eq!(fields(Snapshot::default().with(&[change], 1)), ["tenant"]);
    }
}

/// Every request reads one of each, of as many as there are.
#[test]
fn what_a_request_reads_stays_small() {
    const COUNTS_OF_AN_ARC: usize = 2 * size_of::<usize>();
    assert!(size_of::<(KeyHash, Key)>() <= 128, "two cache lines");
    // With its target in it.
    assert!(size_of::<Service>() + COUNTS_OF_AN_ARC <= 256, "four cache lines: {}", size_of::<Service>());
}
