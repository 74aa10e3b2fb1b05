//! What the `OpenAPI` document says beside the operations.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use crate::document::{KeyMaterial, TenantName};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate admin API",
        description = "Tenants, services, plans, consumers and keys of the gateway. A change is in force on \
                       this node before it is answered.\n\nA platform administrator names the tenant with \
                       `?tenant=<slug>`; a tenant's own user sees its tenant alone.",
    ),
    security(("token" = [])),
    modifiers(&Token),
    // Flattened into the entries of a document, where the macros do not find them.
    components(schemas(KeyMaterial, TenantName)),
    tags(
        (name = "tenants"), (name = "services"), (name = "traffic"), (name = "plans"), (name = "consumers"), (name = "keys"),
        (name = "users"), (name = "auth"), (name = "config"), (name = "events"), (name = "webhooks"), (name = "nodes"), (name = "health"),
    ),
)]
struct Frame;

struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

pub fn frame() -> utoipa::openapi::OpenApi {
    Frame::openapi()
}
