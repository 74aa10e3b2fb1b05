//! An API key as it is kept: hashes and metadata, never the key.

use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use super::forms;
use super::instant::{parse_instant, parse_subscription};
use super::limit::{Subscribed, parse_limits};
use super::{
    ClientId, ConsumerId, DisplayName, KeyId, KeyRouteDraft, KeyScope, Limit, LimitDraft, PlanId, PlanSlug,
    ServiceId, ServiceSlug, TenantId,
};
use crate::credential::{Environment, KeyHash};
use crate::problem::Problems;

/// Each is looked up where a key is written, and gone through where the key is used.
pub(super) const MOST_SERVICES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: KeyId,
    pub tenant: TenantId,
    pub name: DisplayName,
    pub hash: KeyHash,
    /// The first characters of the key, for people to tell keys apart.
    pub prefix: Box<str>,
    pub plan: Option<PlanId>,
    /// A key bound to a consumer speaks for that one alone.
    pub consumer: Option<ConsumerId>,
    /// The only services that the key opens; all of the tenant's where `None`.
    pub services: Option<Box<[ServiceId]>>,
    /// What else the key may be used for; anything, from anywhere, where `None`.
    pub scope: Option<Box<KeyScope>>,
    /// Counted for this key alone, besides its plan.
    pub limits: Vec<Limit>,
    /// Seconds since the epoch from which on the key is refused.
    pub expires_at_secs: Option<u64>,
    /// Seconds since the epoch from which the periods of anchored limits are counted.
    pub subscribed_at_secs: u64,
    /// What the key was before rotations whose grace has not run out.
    pub retired: Vec<RetiredHash>,
}

/// A former value of a rotated key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredHash {
    pub hash: KeyHash,
    /// Seconds since the epoch from which on it is refused.
    pub valid_until_secs: u64,
}

/// A key as it is written: the key itself is made by Tollgate, or imported beside this.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({ "name": "ci", "environment": "live", "limits": [{ "requests": 5, "per": "second" }] })))
)]
#[serde(deny_unknown_fields)]
pub struct KeyDraft {
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub name: String,
    /// Slug of the plan whose limits apply; the consumer's plan goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub plan: Option<String>,
    /// Client id of the one consumer that the key speaks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$"))]
    pub consumer: Option<String>,
    /// RFC 3339, such as `2027-01-31T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub expires_at: Option<String>,
    /// When the subscription began, in RFC 3339: limits anchored to it count their days and months from then, unless
    /// the plan is the consumer's. Left out, it stays as it is; a new key's is when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    pub subscribed_at: Option<String>,
    /// Slugs of the only services that the key opens, at most 256; all where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 256))]
    pub services: Option<Vec<String>>,
    /// The only paths and methods that the key may be used for, of at most 16384 bytes together; all where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<KeyRouteDraft>>,
    /// Networks in CIDR notation from which alone the key may be used; anywhere where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_ips: Option<Vec<String>>,
    /// `live` or `test`: begins the key with `tg_live_` or `tg_test_`. It stays as long as the key does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::EnvironmentWord>, inline))]
    pub environment: Option<String>,
    /// Limits of this key alone, besides its plan's; those hold for all keys of a consumer together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub limits: Vec<LimitDraft>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    pub name: DisplayName,
    pub plan: Option<PlanSlug>,
    pub consumer: Option<ClientId>,
    pub services: Option<Vec<ServiceSlug>>,
    pub limits: Vec<Limit>,
    pub expires_at_secs: Option<u64>,
    pub subscribed_at_secs: Option<u64>,
    pub scope: Option<Box<KeyScope>>,
    /// What the key has to be of, where it is said.
    pub environment: Option<Environment>,
}

impl KeyDraft {
    pub fn parse(&self) -> Result<KeySpec, Problems> {
        let mut problems = Problems::default();
        let name = problems.check("name", DisplayName::parse(&self.name));
        let plan = self.plan.as_deref().and_then(|plan| problems.check("plan", PlanSlug::parse(plan)));
        let consumer = self
            .consumer
            .as_deref()
            .and_then(|consumer| problems.check("consumer", ClientId::parse(consumer)));
        let expires_at_secs =
            self.expires_at.as_deref().and_then(|text| problems.check("expires_at", parse_instant(text)));
        let subscribed_at_secs = self
            .subscribed_at
            .as_deref()
            .and_then(|text| problems.check("subscribed_at", parse_subscription(text)));
        let services = self.services.as_ref().map(|services| {
            if services.is_empty() {
                problems.add("services", "must name at least one service, or be left out for all");
            }
            let services = problems.check_length("services", services, 0..=MOST_SERVICES);
            let parsed = services.iter().enumerate().filter_map(|(index, slug)| {
                problems.check(&format!("services[{index}]"), ServiceSlug::parse(slug))
            });
            parsed.collect()
        });
        let scope = KeyScope::parse(self.routes.as_deref(), self.allow_ips.as_deref(), &mut problems);
        if let Some(scope) = &scope {
            scope.check_size(&mut problems);
        }
        let environment = self
            .environment
            .as_deref()
            .and_then(|text| problems.check("environment", Environment::parse(text)));
        let limits = parse_limits("limits", &self.limits, Subscribed::Yes, &mut problems);
        let spec = name.map(|name| KeySpec {
            name,
            plan,
            consumer,
            services,
            limits,
            expires_at_secs,
            subscribed_at_secs,
            scope,
            environment,
        });
        problems.finish(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_of_a_key_are_named() {
        let draft = KeyDraft {
            name: " ".into(),
            plan: Some("No Plan".into()),
            consumer: Some("a b".into()),
            expires_at: Some("tomorrow".into()),
            subscribed_at: Some("2107-01-01T00:00:00Z".into()),
            services: Some(vec!["ok".into(), "Not Ok".into()]),
            routes: Some(vec![KeyRouteDraft { paths: None, methods: None }]),
            allow_ips: Some(vec!["here".into()]),
            environment: Some("production".into()),
            limits: vec![LimitDraft { per: "minute".into(), ..LimitDraft::default() }],
        };
        let problems = draft.parse().unwrap_err();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "name",
                "plan",
                "consumer",
                "expires_at",
                "subscribed_at",
                "services[1]",
                "routes[0]",
                "allow_ips[0]",
                "environment",
                "limits[0].requests"
            ]
        );
    }

    fn of_services(services: Vec<String>) -> KeyDraft {
        KeyDraft {
            name: "n".into(),
            plan: None,
            consumer: None,
            expires_at: None,
            subscribed_at: None,
            services: Some(services),
            routes: None,
            allow_ips: None,
            environment: None,
            limits: Vec::new(),
        }
    }

    #[test]
    fn an_empty_service_list_is_not_taken_for_all() {
        assert_eq!(of_services(Vec::new()).parse().unwrap_err().iter().next().unwrap().field, "services");
    }

    #[test]
    fn a_key_names_so_many_services_and_no_more() {
        assert!(of_services(vec!["a".into(); MOST_SERVICES]).parse().is_ok());
        let draft = of_services(vec!["a".into(); MOST_SERVICES + 1]);
        assert_eq!(draft.parse().unwrap_err().to_string(), "services: must have at most 256 entries");
        let looked_up = crate::resource::Referring::references(&draft).count();
        assert_eq!(looked_up, MOST_SERVICES);
    }
}
