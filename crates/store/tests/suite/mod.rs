//! The behaviours, and what they are shown on.

mod limits;
mod nodes;
mod resources;
mod routes;
mod signing_in;
mod webhooks;

pub use limits::*;
pub use nodes::*;
pub use resources::*;
pub use routes::*;
pub use signing_in::*;
pub use webhooks::*;

use std::num::NonZeroU32;

use tollgate_core::address::Reach;
use tollgate_core::balance::Duty;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::*;
use tollgate_store::{Page, Store, Write};
use uuid::Uuid;

pub const NOW: u64 = 1_800_000_000;
pub const FIRST: Page = Page { after: None, limit: 50 };

pub async fn writing(store: &Store) -> Write {
    store.write(NOW).await.unwrap()
}

pub fn name() -> DisplayName {
    DisplayName::parse("A name").unwrap()
}

pub fn tenant(slug: &str) -> Tenant {
    Tenant {
        id: TenantId(Uuid::now_v7()),
        slug: TenantSlug::parse(slug).unwrap(),
        name: name(),
        time_zone: TimeZone::parse("America/Sao_Paulo").unwrap(),
        limits: limits(&[(9, "hour")]),
    }
}

pub async fn add_tenant(store: &Store, slug: &str) -> Tenant {
    let tenant = tenant(slug);
    let mut write = writing(store).await;
    write.insert_tenant(&tenant).await.unwrap();
    write.commit().await.unwrap();
    tenant
}

pub fn limits(limits: &[(u64, &str)]) -> Vec<Limit> {
    let limit = |&(requests, per): &(u64, &str)| {
        LimitDraft { requests, per: per.into(), ..LimitDraft::default() }.parse().unwrap()
    };
    limits.iter().map(limit).collect()
}

pub fn plan(tenant: &Tenant, slug: &str) -> Plan {
    Plan {
        id: PlanId(Uuid::now_v7()),
        tenant: tenant.id,
        slug: PlanSlug::parse(slug).unwrap(),
        name: name(),
        limits: limits(&[(5, "minute"), (100, "month"), (3, "10s")]),
        concurrency: NonZeroU32::new(7),
        counting: Counting::Exact,
        on_unavailable: OnUnavailable::Deny,
    }
}

pub fn service(tenant: &Tenant, slug: &str) -> Service {
    let target = |url: &str, weight, reach| Target {
        id: TargetId(Uuid::now_v7()),
        url: BaseUrl::parse(url).unwrap(),
        weight,
        duty: Duty::Draining,
        reach,
    };
    Service {
        id: ServiceId(Uuid::now_v7()),
        tenant: tenant.id,
        slug: ServiceSlug::parse(slug).unwrap(),
        name: name(),
        auth_header: HeaderName::parse("X-Key").unwrap(),
        targets: vec![
            target("http://b.example:81/base", 7, Reach::Public),
            target("https://[::1]", 1, Reach::Private),
        ],
        timeouts: Timeouts { connect: Some(std::time::Duration::from_millis(250)), ..Timeouts::default() },
        max_body_bytes: Some(1 << 20),
        jwt: vec![JwtIssuer { spec: issuer().parse().unwrap(), reach: Reach::Private }],
        limits: ServiceLimits {
            per_ip: limits(&[(4, "minute")]),
            anonymous: Some(Anonymous { limits: limits(&[(1, "day")]) }),
            failed: FailedRequests::Refunded,
            ..ServiceLimits::default()
        },
        traffic: Box::new(Traffic {
            balancer: Balancer { algorithm: BalancerAlgorithm::Latency, slow_start: None },
            breaker: Setting::Off,
            ..Traffic::default()
        }),
    }
}

pub fn scope() -> KeyScope {
    let json = r#"{"routes":[{"paths":["/orders/*"],"methods":["GET"]}],"allow_ips":["192.0.2.0/24"]}"#;
    let draft: KeyScopeDraft = serde_json::from_str(json).unwrap();
    let mut problems = tollgate_core::Problems::default();
    *KeyScope::parse(draft.routes.as_deref(), draft.allow_ips.as_deref(), &mut problems).unwrap()
}

fn issuer() -> JwtIssuerDraft {
    JwtIssuerDraft {
        issuer: "https://id.example".into(),
        audience: "api".into(),
        jwks_url: "http://id.example/keys".into(),
        algorithms: Some(vec!["ES256".into(), "EdDSA".into()]),
        leeway: Some(DurationText(std::time::Duration::from_secs(5))),
        consumer_claim: Some("client".into()),
        plan_claim: Some("tier".into()),
        plan_map: Some([("Gold".to_owned(), "gold".to_owned())].into()),
    }
}

pub fn consumer(tenant: &Tenant, client_id: &str, plan: Option<&Plan>) -> Consumer {
    Consumer {
        id: ConsumerId(Uuid::now_v7()),
        tenant: tenant.id,
        client_id: ClientId::parse(client_id).unwrap(),
        name: name(),
        plan: plan.map(|plan| plan.id),
        subscribed_at_secs: NOW - 7,
    }
}

pub fn key(tenant: &Tenant, secret: &str) -> Key {
    Key {
        id: KeyId(Uuid::now_v7()),
        tenant: tenant.id,
        name: DisplayName::parse(secret).unwrap(),
        hash: KeyHash::of(secret.as_bytes()),
        prefix: "sec".into(),
        plan: None,
        consumer: None,
        services: None,
        scope: None,
        limits: Vec::new(),
        expires_at_secs: None,
        subscribed_at_secs: NOW - 8,
        retired: Vec::new(),
    }
}
