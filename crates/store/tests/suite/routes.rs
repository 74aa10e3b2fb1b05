use tollgate_core::Problems;
use tollgate_core::resource::*;
use tollgate_core::routing::{Split, Sticky};
use tollgate_store::{Dependent, Page, Store, StoreError, Unique};
use uuid::Uuid;

use super::*;

/// With everything that a route may have.
fn route(tenant: &Tenant, name: &str, services: &[&Service]) -> Route {
    let json = r#"{"name":"","hosts":["api.example.com"],"paths":["/users/{id}","/u/{id}/*"],"methods":["GET"],
        "headers":{"x-env":"canary","x-trace":true},"query":{"v":"2"},"priority":-7,"rewrite_path":"/{id}",
        "preserve_host":true,"timeout":"5s","retries":2,"max_body_bytes":9,"enabled":false}"#;
    let mut problems = Problems::default();
    let rules = serde_json::from_str::<RouteDraft>(json).unwrap().parse_rules(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    Route {
        id: RouteId(Uuid::now_v7()),
        tenant: tenant.id,
        name: DisplayName::parse(name).unwrap(),
        split: Split {
            shares: (1..).zip(services).map(|(weight, service)| (service.id, weight)).collect(),
            sticky: Some(Sticky::parse("cookie:session").unwrap()),
        },
        rules,
    }
}

async fn with_services(store: &Store) -> (Tenant, [Service; 2]) {
    let tenant = add_tenant(store, "acme").await;
    let services = [service(&tenant, "zebra"), service(&tenant, "aardvark")];
    let mut write = writing(store).await;
    for service in &services {
        write.insert_service(service).await.unwrap();
    }
    write.commit().await.unwrap();
    (tenant, services)
}

pub async fn routes_are_read_back_and_edited(store: &Store) {
    let (tenant, [zebra, aardvark]) = with_services(store).await;
    let first = route(&tenant, "First route", &[&zebra, &aardvark]);
    let mut write = writing(store).await;
    write.insert_route(&first).await.unwrap();
    let found = write.route(tenant.id, first.id).await.unwrap().unwrap();
    assert_eq!((&found.value.route, found.version), (&first, 1));
    let slugs: Vec<_> = found.value.services.iter().map(ServiceSlug::as_str).collect();
    assert_eq!(slugs, ["zebra", "aardvark"]);
    assert!(write.route(TenantId(Uuid::now_v7()), first.id).await.unwrap().is_none());

    let edited = Route {
        name: DisplayName::parse("Renamed").unwrap(),
        split: Split { shares: vec![(aardvark.id, 5)], sticky: None },
        ..first.clone()
    };
    write.update_route(&edited).await.unwrap();
    let found = write.route_by_name(tenant.id, &edited.name).await.unwrap().unwrap();
    assert_eq!((found.value.route, found.version), (edited, 2));
    assert!(write.route_by_name(tenant.id, &first.name).await.unwrap().is_none());

    write.insert_route(&route(&tenant, "Second", &[&zebra])).await.unwrap();
    let twice = write.insert_route(&route(&tenant, "Second", &[&zebra])).await;
    assert!(matches!(twice, Err(StoreError::Taken(Unique::RouteName))), "{twice:?}");
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = write.routes(tenant.id, Page { after, limit: 1 }).await.unwrap();
        names.extend(page.items.into_iter().map(|stored| stored.value.route.name.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["Renamed", "Second"]);
    write.delete_route(first.id).await.unwrap();
    assert!(write.route(tenant.id, first.id).await.unwrap().is_none());
}

pub async fn a_service_of_a_route_stays_unless_its_tenant_goes(store: &Store) {
    let (tenant, [zebra, aardvark]) = with_services(store).await;
    let mut write = writing(store).await;
    write.insert_route(&route(&tenant, "a", &[&zebra])).await.unwrap();
    let outcome = write.delete_service(zebra.id).await;
    assert!(matches!(outcome, Err(StoreError::InUse(Dependent::Routes))), "{outcome:?}");
    write.delete_service(aardvark.id).await.unwrap();
    write.delete_tenant(tenant.id).await.unwrap();
    assert!(write.routes(tenant.id, FIRST).await.unwrap().items.is_empty());
}
