//! A route as it is written.

mod parse;
mod written;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DurationText, TextOrBool};

/// That share a route's requests.
pub(super) const MOST_SERVICES: usize = 16;

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({
        "name": "shop",
        "service": "orders",
        "hosts": ["shop.example"],
        "paths": ["/orders", "/orders/*"],
    })))
)]
#[serde(deny_unknown_fields)]
pub struct RouteDraft {
    /// Unique in the tenant; the access log tells it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
    /// Slug of the one service that requests go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub service: Option<String>,
    /// Several services that share the requests; in place of `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 16))]
    pub services: Option<Vec<ShareDraft>>,
    /// What requests have in common that are to go to one of several services: `key`, `client_ip`, `header:NAME` or
    /// `cookie:NAME`. Each goes by itself where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^(key|client_ip|(header|cookie):.+)$"))]
    pub sticky: Option<String>,
    /// Hosts such as `api.example.com`, or `*.example.com` for all below it. Where left out, the paths are within the
    /// tenant: `/orders` is `/{tenant}/orders`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub hosts: Vec<String>,
    /// `/orders`, `/orders/*` for everything below it, `/users/{id}`, `/files/{*rest}`; any path where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub paths: Vec<String>,
    /// Methods such as `GET`; any where left out. `HEAD` is a method of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub methods: Vec<String>,
    /// Header fields that a request must have: a value, or `true` for any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, TextOrBool>,
    /// Query parameters that a request must have: a value, or `true` for any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, TextOrBool>,
    /// Of several routes that match, the one with the highest is taken; 0 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = -1_000_000, maximum = 1_000_000))]
    pub priority: Option<i32>,
    /// `true` takes what comes before `*` or `{*rest}` off the path, and all of a path without; a text, this beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<TextOrBool>,
    /// What the upstream gets for a path: `/internal/{id}/{rest}`, with what the route's path has captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite_path: Option<String>,
    /// The `Host` that the upstream gets; its target's own where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite_host: Option<String>,
    /// Whether the upstream gets the client's `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserve_host: Option<bool>,
    /// For a whole request, such as `"5s"`; the service's where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub timeout: Option<DurationText>,
    /// Most attempts of a request besides the first, 0 to 10, with the service's other rules for retries, else the usual
    /// ones; the service's where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 10))]
    pub retries: Option<u8>,
    /// Largest request body, in bytes; the service's limit where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// `false`: nothing is routed by it; it keeps its hosts. `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ShareDraft {
    /// Slug of a service.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub service: String,
    /// Its share of the requests relative to the others: 1 to 65535; 1 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 65_535))]
    pub weight: Option<u32>,
}

#[cfg(test)]
mod tests;
