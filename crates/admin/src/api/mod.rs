//! The REST API, one file a resource: its routes, its wire types and their documentation stand together.
//!
//! A route that is served is in the `OpenAPI` document and the other way round: both come from the same list.

mod auth;
mod authenticate;
mod body;
mod checks;
mod circuits;
mod config;
mod consumers;
mod deliveries;
mod drafts;
mod events;
mod feed_query;
mod headers;
mod health;
mod host;
mod keys;
mod kind_query;
mod metrics;
mod node;
mod node_health;
mod node_tokens;
mod nodes;
mod openapi;
mod orders;
mod page;
mod path;
mod plans;
mod query;
mod refusal;
mod responses;
mod routes;
mod said_by;
mod scope;
mod service_health;
mod services;
mod tenants;
mod tokens;
mod users;
mod version;
mod view;
mod webhooks;

use axum::Router;
use axum::http::{Method, Uri};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::control_plane::ControlPlane;
pub use consumers::ConsumerView;
pub use keys::KeyView;
pub use plans::PlanView;
use query::QueryParameters;
use refusal::Refusal;
pub use routes::RouteView;
pub use services::ServiceView;
pub use tenants::TenantView;
pub use users::UserView;

pub fn router(plane: ControlPlane) -> Router {
    let (routes, mut document) = routes().split_for_parts();
    let parameters = QueryParameters::of(&mut document);
    openapi::merge_closed_objects(&mut document);
    headers::document(&mut document);
    let docs = SwaggerUi::new("/docs")
        .url("/api/openapi.json", document)
        .config(Config::default().validator_url("none"));
    routes
        .merge(docs)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(axum::middleware::from_fn_with_state(parameters, query::refuse_unknown))
        .layer(axum::middleware::from_fn(version::leave_out_what_is_known))
        .layer(axum::middleware::from_fn(body::read_small_first))
        .layer(axum::middleware::from_fn(host::require))
        .with_state(plane)
}

fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::with_openapi(openapi::frame())
        .merge(tenants::routes())
        .merge(services::routes())
        .merge(routes::routes())
        .merge(circuits::routes())
        .merge(service_health::routes())
        .merge(checks::routes())
        .merge(plans::routes())
        .merge(consumers::routes())
        .merge(keys::routes())
        .merge(users::routes())
        .merge(auth::routes())
        .merge(tokens::routes())
        .merge(config::routes())
        .merge(events::routes())
        .merge(webhooks::routes())
        .merge(deliveries::routes())
        .merge(node_tokens::routes())
        .merge(nodes::routes())
        .merge(node::routes())
        .merge(health::routes())
        .merge(metrics::routes())
}

async fn no_such_path(uri: Uri) -> Refusal {
    Refusal::NoSuchPath(uri.path().to_owned())
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    Refusal::MethodNotAllowed { method, path: uri.path().to_owned() }
}
