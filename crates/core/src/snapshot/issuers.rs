//! The issuers whose tokens a service takes, ready to use.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use super::Endpoint;
use crate::resource::{self, PlanSlug};
use crate::token::{Algorithm, Claims, Compact, Expected, KeySet, TokenError};

/// Few services have any.
#[derive(Debug)]
pub struct TokenIssuers(Box<[Arc<TokenIssuer>]>);

#[derive(Debug)]
pub struct TokenIssuer {
    spec: resource::JwtIssuerSpec,
    /// Where its public keys are fetched.
    pub keys: KeySource,
}

/// A place of public keys; issuers of different services may share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySource {
    pub endpoint: Endpoint,
    /// Value of the `Host` field.
    pub authority: SmolStr,
    /// Path and query; starts with a slash.
    pub target: SmolStr,
}

impl fmt::Display for KeySource {
    /// For the log: a query may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, authority, target } = self;
        let (path, rest) = target.split_once('?').map_or((&**target, ""), |(path, _)| (path, "?…"));
        write!(f, "{}://{authority}{path}{rest}", endpoint.scheme.as_str())
    }
}

/// What a token of another issuer says here, once it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignToken {
    /// Client id; the consumer is still to be looked up.
    pub consumer: Box<str>,
    /// In place of the consumer's own.
    pub plan: Option<PlanSlug>,
    /// Seconds since the epoch, leeway included.
    pub ends_at_secs: u64,
}

impl TokenIssuers {
    pub(super) fn compile(issuers: &[resource::JwtIssuer]) -> Option<Arc<Self>> {
        let compiled = issuers.iter().map(|issuer| Arc::new(TokenIssuer::from(issuer)));
        (!issuers.is_empty()).then(|| Arc::new(Self(compiled.collect())))
    }

    /// The one that a token says it is from.
    pub fn of(&self, issuer: &str) -> Option<&Arc<TokenIssuer>> {
        self.0.iter().find(|held| *held.spec.issuer == *issuer)
    }

    /// Whether some `plan_map` leads to the plan.
    pub fn map_to(&self, plan: &PlanSlug) -> bool {
        let maps = self.0.iter().filter_map(|issuer| issuer.spec.plan_map.as_ref());
        maps.flat_map(|map| map.values()).any(|named| named == plan)
    }
}

impl TokenIssuer {
    /// Checks the token with the issuer's keys.
    pub fn verify(
        &self,
        token: &Compact<'_>,
        keys: &KeySet,
        now_secs: u64,
    ) -> Result<ForeignToken, TokenError> {
        let spec = &self.spec;
        if token.algorithm == Algorithm::Hs256
            || spec.algorithms.as_ref().is_some_and(|allowed| !allowed.contains(&token.algorithm))
        {
            return Err(TokenError::Algorithm);
        }
        let key = keys.key(token.key_id.as_deref(), token.algorithm).ok_or(TokenError::UnknownKey)?;
        let expected = Expected {
            issuer: &spec.issuer,
            audience: &spec.audience,
            leeway_secs: spec.leeway.as_secs(),
            ahead_secs: spec.leeway.as_secs(),
            now_secs,
        };
        let (claims, ends_at_secs) = key.verify(token, &expected)?;
        let consumer = claims.text(&spec.consumer_claim).ok_or(TokenError::Consumer)?;
        Ok(ForeignToken { consumer: consumer.into(), plan: self.plan(&claims)?, ends_at_secs })
    }

    /// A value that names no plan is refused: it must not read as no limits.
    fn plan(&self, claims: &Claims) -> Result<Option<PlanSlug>, TokenError> {
        let Some(claim) = self.spec.plan_claim.as_deref().filter(|claim| claims.contains(claim)) else {
            return Ok(None);
        };
        let value = claims.text(claim).ok_or(TokenError::Plan)?;
        let plan = match &self.spec.plan_map {
            Some(map) => map.get(value).cloned(),
            None => PlanSlug::parse(value).ok(),
        };
        plan.map(Some).ok_or(TokenError::Plan)
    }
}

impl From<&resource::JwtIssuer> for TokenIssuer {
    fn from(issuer: &resource::JwtIssuer) -> Self {
        let url = issuer.spec.jwks_url.place();
        let keys = KeySource {
            endpoint: Endpoint {
                scheme: url.scheme(),
                host: url.host().clone(),
                port: url.port(),
                reach: issuer.reach,
            },
            authority: url.authority().into(),
            target: issuer.spec.jwks_url.target().into(),
        };
        Self { spec: issuer.spec.clone(), keys }
    }
}
