//! A consumer: whom a tenant's keys speak for, named by `X-Client-ID`.

use serde::{Deserialize, Serialize};

use super::instant::parse_subscription;
use super::{ClientId, ConsumerId, DisplayName, PlanId, PlanSlug, TenantId};
use crate::problem::Problems;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    pub id: ConsumerId,
    pub tenant: TenantId,
    pub client_id: ClientId,
    pub name: DisplayName,
    pub plan: Option<PlanId>,
    /// Seconds since the epoch from which the periods of anchored limits are counted.
    pub subscribed_at_secs: u64,
}

/// A consumer as it is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({ "client_id": "mobile-app", "name": "The mobile app" })))
)]
#[serde(deny_unknown_fields)]
pub struct ConsumerDraft {
    /// What clients send as `X-Client-ID`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$"))]
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// Slug of the consumer's plan; the key's own plan counts where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub plan: Option<String>,
    /// When the subscription began, in RFC 3339: limits of the consumer's plan that are anchored to it count their
    /// days and months from then. Left out, it stays as it is; a new consumer's is when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub subscribed_at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    pub client_id: ClientId,
    pub name: DisplayName,
    pub plan: Option<PlanSlug>,
    pub subscribed_at_secs: Option<u64>,
}

impl ConsumerDraft {
    pub fn parse(&self) -> Result<ConsumerSpec, Problems> {
        let mut problems = Problems::default();
        let client_id = problems.check("client_id", ClientId::parse(&self.client_id));
        let fallback = client_id.as_ref().map(ClientId::as_str);
        let name = DisplayName::given_or(&mut problems, self.name.as_deref(), fallback);
        let plan = self.plan.as_deref().and_then(|plan| problems.check("plan", PlanSlug::parse(plan)));
        let subscribed_at_secs = self
            .subscribed_at
            .as_deref()
            .and_then(|text| problems.check("subscribed_at", parse_subscription(text)));
        let spec = client_id.zip(name).map(|(client_id, name)| ConsumerSpec {
            client_id,
            name,
            plan,
            subscribed_at_secs,
        });
        problems.finish(spec)
    }
}
