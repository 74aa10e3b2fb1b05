//! What operators write. Each resource has a *draft*, the shape of the wire and of declarative files, whose
//! `parse` yields the valid thing or all problems at once; nothing behind it is stringly typed.

mod bounds;
mod consumer;
mod counter_store;
mod counting;
mod duration;
#[cfg(feature = "openapi")]
mod forms;
mod header_name;
mod host;
mod id;
mod instant;
mod jwt;
mod key;
mod key_scope;
mod key_set_url;
mod limit;
mod name;
mod plan;
mod referring;
mod route;
mod route_draft;
mod rule;
mod service;
mod service_draft;
mod service_limits;
mod signing_key;
mod slug;
mod soft_limit;
mod tenant;
mod text;
mod text_or_bool;
mod time_zone;
mod timeouts;
mod traffic;
mod url;
mod user;
mod webhook;

pub use consumer::{Consumer, ConsumerDraft, ConsumerSpec};
pub use counter_store::{
    BadStoreUrl, CounterStoreUrl, Credentials, Encryption, Password, StorePlace, StoreServer,
};
pub use counting::{Counting, OnUnavailable};
pub use duration::{BadDuration, DurationText, format_duration, parse_duration};
pub use header_name::HeaderName;
pub use host::{Host, HostName};
pub use id::{ConsumerId, KeyId, PlanId, RouteId, ServiceId, TargetId, TenantId, UserId, WebhookId};
pub use jwt::{JwtIssuer, JwtIssuerDraft, JwtIssuerSpec};
pub use key::{Key, KeyDraft, KeySpec, RetiredHash};
pub use key_scope::{KeyRoute, KeyRouteDraft, KeyScope, KeyScopeDraft, PermittedPath};
pub use key_set_url::{BadKeySetUrl, KeySetUrl};
pub use limit::{Algorithm, Anchor, Limit, LimitDraft};
pub use name::{BadName, DisplayName};
pub use plan::{Plan, PlanDraft, PlanSpec};
pub use referring::{Reference, Referring};
pub use route::{GivenServices, Route, RouteRules, RouteSpec, RouteState, UpstreamHost};
pub use route_draft::{RouteDraft, ShareDraft};
pub use rule::{BadPattern, PathPattern, Rule, RuleDraft};
pub use service::{Service, Target};
pub use service_draft::{MOST_TARGETS, ServiceDraft, ServiceSpec, TargetDraft, TargetSpec};
pub use service_limits::{Anonymous, AnonymousDraft, FailedRequests, ServiceLimits, ServiceLimitsDraft};
pub use signing_key::SigningKey;
pub use slug::{BadSlug, ClientId, PlanSlug, RuleName, ServiceSlug, TenantSlug};
pub use soft_limit::{Overage, Thresholds};
pub use tenant::{Tenant, TenantDraft, TenantSpec};
pub(crate) use text::parsed;
pub use text_or_bool::TextOrBool;
pub use time_zone::{TimeZone, UnknownTimeZone};
pub use timeouts::{Timeouts, TimeoutsDraft};
pub use traffic::{
    AdaptiveDraft, Algorithm as BalancerAlgorithm, BackoffDraft, Balancer, BalancerDraft, BreakerDraft,
    ChannelDraft, HashOn, HealthCheck, HealthCheckDraft, HedgingDraft, OutlierDraft, RetriesDraft, Setting,
    SlowStartDraft, Traffic, TrafficDraft,
};
pub use url::{BadUrl, BaseUrl, Scheme};
pub use user::{Role, UserDraft, UserSpec, Username};
pub use webhook::{BadWebhookUrl, Webhook, WebhookDraft, WebhookSpec, WebhookUrl};
