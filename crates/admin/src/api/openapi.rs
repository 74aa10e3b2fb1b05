//! What the `OpenAPI` document says beside the operations.

use std::collections::BTreeMap;

use utoipa::OpenApi;
use utoipa::openapi::schema::{AdditionalProperties, Object, Schema};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi as OpenApiDocument, RefOr};

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
    fn modify(&self, openapi: &mut OpenApiDocument) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

pub fn frame() -> OpenApiDocument {
    Frame::openapi()
}

/// Makes one object of what is all of several: drafts allow no fields beside their own, so that nothing would be valid as a
/// draft and as what stands beside it in a document's entry.
pub fn merge_closed_objects(document: &mut OpenApiDocument) {
    let Some(components) = &mut document.components else { return };
    let merged: Vec<_> = components
        .schemas
        .iter()
        .filter_map(|(name, schema)| Some((name.clone(), merged(schema, &components.schemas)?)))
        .collect();
    components.schemas.extend(merged.into_iter().map(|(name, object)| (name, object.into())));
}

/// `None` where it is not all of several objects, or none of them is closed.
fn merged(schema: &RefOr<Schema>, schemas: &BTreeMap<String, RefOr<Schema>>) -> Option<Object> {
    let RefOr::T(Schema::AllOf(all)) = schema else { return None };
    let objects = all.items.iter().map(|item| object(item, schemas)).collect::<Option<Vec<_>>>()?;
    let closed = objects.iter().find(|object| is_closed(object))?;
    let mut whole = (*closed).clone();
    // They are whole without what stands beside.
    whole.examples.clear();
    whole.properties = objects.iter().flat_map(|object| object.properties.clone()).collect();
    whole.required = objects.iter().flat_map(|object| object.required.clone()).collect();
    Some(whole)
}

fn is_closed(object: &Object) -> bool {
    matches!(object.additional_properties.as_deref(), Some(AdditionalProperties::FreeForm(false)))
}

fn object<'s>(schema: &'s RefOr<Schema>, schemas: &'s BTreeMap<String, RefOr<Schema>>) -> Option<&'s Object> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        RefOr::T(_) => None,
        RefOr::Ref(reference) => {
            object(schemas.get(reference.ref_location.strip_prefix("#/components/schemas/")?)?, schemas)
        }
    }
}
