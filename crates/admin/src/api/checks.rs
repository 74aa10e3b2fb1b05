//! Checks on demand: `/api/services/{id}/health-check` and `/api/health/check-all`.

use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::time::Duration;

use axum::extract::State;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use tokio::time::timeout;
use tollgate_core::feed::Ordered;
use tollgate_core::health::NoTurn;
use tollgate_core::resource::{Service, ServiceId, TenantId};
use tollgate_store::Page;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::NodeToldView;
use super::page::Listing;
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Guarded, Listed};
use super::scope::{Scope, TenantQuery};
use super::service_health::ServiceHealthView;
use super::services;
use crate::control_plane::ControlPlane;

/// Services whose targets are asked at the same time.
const CHECKED_AT_ONCE: usize = 16;
/// For all services together: targets may take a minute each, and nobody waits for hundreds of those.
const ALL_WITHIN: Duration = Duration::from_secs(30);

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(check)).routes(routes!(check_all))
}

/// A service whose targets were asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct CheckedView {
    #[serde(flatten)]
    health: ServiceHealthView,
    /// What became of it on the nodes.
    told: Vec<NodeToldView>,
}

/// Services whose targets were asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllCheckedView {
    #[serde(flatten)]
    services: Listing<ServiceHealthView>,
    /// Slugs of those whose targets had not all answered in time: how they are is what was known of them by then.
    unfinished: Vec<String>,
    /// What became of it on the nodes.
    told: Vec<NodeToldView>,
}

/// Check a service's targets
///
/// Asks all of them now, here and on every node that listens, as the service's `health_check` says, or with a GET of `/`. Where the service has no
/// `health_check`, the result decides nothing. Targets that are being asked already are not asked twice. 503 where too much
/// is under way that was asked for like this.
#[utoipa::path(
    post, path = "/api/services/{id}/health-check", tag = "traffic", operation_id = "check_service",
    params(("id" = String, Path, description = "Id or slug"), TenantQuery),
    responses((status = 200, description = "How they are", body = CheckedView), Listed, Addressed, Guarded),
)]
async fn check(
    State(plane): State<ControlPlane>,
    scope: Scope,
    Named(name): Named,
) -> Result<axum::Json<CheckedView>, Refusal> {
    let service = services::find(&mut plane.0.store.read().await?, &scope, &name).await?.value;
    let demand = plane.0.on_demand.begin(scope.tenant)?;
    let checking = async move {
        let order = Ordered::Check(vec![(service.tenant, service.id)]);
        let (here, told) =
            tokio::join!(check_here(&plane, service.tenant, service.id), NodeToldView::give(&plane, order));
        here?;
        let health = ServiceHealthView::of(&plane, &service, &plane.0.nodes.sighted());
        Ok(axum::Json(CheckedView { health, told }))
    };
    demand.carry(checking).await
}

/// Check the targets of all services
///
/// Of the tenant's services, the first 500; here and on every node that listens. Answered after 30 seconds at the latest, with what
/// is known by then. 503 where too much is under way that was asked for like this.
#[utoipa::path(
    post, path = "/api/health/check-all", tag = "traffic", operation_id = "check_all_services",
    params(TenantQuery),
    responses((status = 200, description = "How they are", body = AllCheckedView), Listed, Guarded),
)]
async fn check_all(
    State(plane): State<ControlPlane>,
    scope: Scope,
) -> Result<axum::Json<AllCheckedView>, Refusal> {
    let all = Page { after: None, limit: 500 };
    let services = plane.0.store.read().await?.services(scope.tenant, all).await?;
    let next_cursor = services.next.map(|id| id.simple().to_string());
    let services: Vec<Service> = services.items.into_iter().map(|stored| stored.value).collect();
    let demand = plane.0.on_demand.begin(scope.tenant)?;
    let checking = async move {
        let ids: Vec<_> = services.iter().map(|service| (service.tenant, service.id)).collect();
        let order = Ordered::Check(ids.clone());
        let checks = ids.into_iter().map(|(tenant, service)| check_here(&plane, tenant, service));
        let (here, told) = tokio::join!(checked(checks, ALL_WITHIN), NodeToldView::give(&plane, order));
        let checked = here?;
        let nodes = plane.0.nodes.sighted();
        let items = services.iter().map(|service| ServiceHealthView::of(&plane, service, &nodes)).collect();
        let unfinished = services.iter().filter(|service| !checked.contains(&service.id));
        let unfinished = unfinished.map(|service| service.slug.to_string()).collect();
        Ok(axum::Json(AllCheckedView { services: Listing { items, next_cursor }, unfinished, told }))
    };
    demand.carry(checking).await
}

/// Those whose check has ended in time. What has begun besides goes on, and nobody waits for it.
async fn checked<C>(checks: impl Iterator<Item = C>, within: Duration) -> Result<BTreeSet<ServiceId>, NoTurn>
where
    C: Future<Output = Result<ServiceId, NoTurn>>,
{
    let mut checked = BTreeSet::new();
    let checking = stream::iter(checks).buffer_unordered(CHECKED_AT_ONCE).try_for_each(|service| {
        checked.insert(service);
        ready(Ok(()))
    });
    match timeout(within, checking).await {
        Ok(Err(no_turn)) => return Err(no_turn),
        Ok(Ok(())) => {}
        Err(_) => tracing::info!("not all targets that were to be checked have answered in time"),
    }
    Ok(checked)
}

async fn check_here(plane: &ControlPlane, tenant: TenantId, service: ServiceId) -> Result<ServiceId, NoTurn> {
    if let Some(traffic) = &plane.0.traffic {
        traffic.check(tenant, service).await?;
    }
    Ok(service)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_holds_up_no_answer_for_good() {
        let id = |number: u128| ServiceId(Uuid::from_u128(number));
        let check = |number: u128| async move { if number == 2 { pending().await } else { Ok(id(number)) } };
        assert_eq!(checked((0..4).map(check), Duration::ZERO).await, Ok([0, 1, 3].map(id).into()));
        let refused = checked([ready(Err(NoTurn))].into_iter(), Duration::ZERO);
        assert_eq!(refused.await, Err(NoTurn));
    }
}
