//! A route: which requests it is for, where they go, and what becomes of them on the way.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{DisplayName, RouteId, ServiceSlug, TenantId};
use crate::routing::{
    HeaderCondition, HostPattern, Methods, PathChange, PathTemplate, QueryCondition, Split, Sticky,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub id: RouteId,
    pub tenant: TenantId,
    /// Unique in its tenant.
    pub name: DisplayName,
    pub split: Split,
    pub rules: RouteRules,
}

/// What a route says by itself, whichever services it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRules {
    pub state: RouteState,
    /// Under the tenant's own name where empty.
    pub hosts: Vec<HostPattern>,
    /// Any path where empty.
    pub paths: Vec<PathTemplate>,
    pub methods: Methods,
    pub headers: Vec<HeaderCondition>,
    pub query: Vec<QueryCondition>,
    pub priority: i32,
    pub path_change: PathChange,
    pub upstream_host: UpstreamHost,
    /// For a whole request; the service's where `None`.
    pub timeout: Option<Duration>,
    /// Most attempts of a request besides the first; the service's where `None`.
    pub retries: Option<u8>,
    /// Largest request body that is passed on; the service's limit where `None`.
    pub max_body_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteState {
    Enabled,
    /// Nothing is routed by it; it keeps its hosts.
    Disabled,
}

/// The `Host` that an upstream is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UpstreamHost {
    /// The target's own.
    #[default]
    Target,
    /// As the client sent it.
    Preserved,
    /// This one.
    Rewritten(SmolStr),
}

/// A route as its draft says it, its services by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    pub name: DisplayName,
    /// At least one, each with its weight.
    pub services: Vec<(ServiceSlug, u32)>,
    /// How the draft gave them.
    pub given: GivenServices,
    pub sticky: Option<Sticky>,
    pub rules: RouteRules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenServices {
    One,
    Several,
}

impl RouteSpec {
    /// Names the service of this place in problems.
    pub fn field_of_service(&self, index: usize) -> String {
        match self.given {
            GivenServices::One => "service".to_owned(),
            GivenServices::Several => format!("services[{index}].service"),
        }
    }
}

impl Route {
    /// Its paths as they are looked up, each with its index.
    pub fn templates(&self) -> impl Iterator<Item = (u8, PathTemplate)> + '_ {
        let any = self.rules.paths.is_empty().then(PathTemplate::any);
        let paths = self.rules.paths.iter().cloned().chain(any);
        (0..=u8::MAX).zip(paths)
    }
}
