//! Callers that come with a token in place of a key: one of Tollgate's own, or one of an issuer that the service
//! takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use tollgate_core::credential::KeyHash;
use tollgate_core::snapshot::{ForeignToken, Snapshot, TokenIssuer};
use tollgate_core::token::{Compact, OwnToken, TokenError};
use tollgate_http1::Fields;

use crate::authenticate::Token;
use crate::caller::{Caller, Speaker, identify};
use crate::forward::longest;
use crate::key_sets;
use crate::rejection::Rejection;
use crate::route::Selected;
use crate::worker::Worker;

/// Tokens that a worker need not verify again; more are forgotten.
const MOST_REMEMBERED: usize = 4_096;
/// An issuer that withdraws a key is heeded after so long, once its keys were fetched anew.
const FOREIGN_REMEMBERED: Duration = Duration::from_mins(1);
/// How long a request waits for an issuer's keys that are not there, where it has so long.
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// Tokens whose signatures were found good, by their hashes, each until it expires. What they lead to is asked
/// of the snapshot every time.
#[derive(Default)]
pub(crate) struct VerifiedTokens(HashMap<KeyHash, Verified, RandomState>);

enum Verified {
    Own(OwnToken),
    Foreign {
        /// As it was compiled when it verified the token: another edition verifies anew.
        issuer: Arc<TokenIssuer>,
        token: ForeignToken,
        /// Not by the wall clock: one that is set back must not keep what the issuer has withdrawn.
        verified: Instant,
    },
}

impl Verified {
    fn holds(&self, now_secs: u64, now: Instant) -> bool {
        match self {
            Self::Own(token) => token.expires_at_secs > now_secs,
            Self::Foreign { token, verified, .. } => {
                token.ends_at_secs > now_secs && now.saturating_duration_since(*verified) < FOREIGN_REMEMBERED
            }
        }
    }
}

impl VerifiedTokens {
    fn find(&self, hash: &KeyHash, now_secs: u64, now: Instant) -> Option<&Verified> {
        self.0.get(hash).filter(|token| token.holds(now_secs, now))
    }

    fn remember(&mut self, hash: KeyHash, token: Verified, now_secs: u64, now: Instant) {
        if self.0.len() >= MOST_REMEMBERED {
            self.0.retain(|_, token| token.holds(now_secs, now));
        }
        if self.0.len() >= MOST_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(hash, token);
    }
}

/// A token, and the request that shows it.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'r> {
    pub token: &'r Token<'r>,
    pub fields: &'r Fields,
    pub received: Instant,
    /// By the clock of now: what was in force when the request came may be over since.
    pub now_secs: u64,
}

/// The caller of a service.
pub(crate) async fn caller<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    selected: &Selected<'s, '_>,
    shown: Shown<'_>,
) -> Result<Caller<'s>, Rejection> {
    let Shown { token, fields, now_secs, .. } = shown;
    if let Some(issuers) = selected.service.issuers() {
        let compact = Compact::parse(token.text).map_err(Rejection::TokenNotValid)?;
        let claimed = compact.claimed_issuer().map_err(Rejection::TokenNotValid)?;
        if let Some(issuer) = issuers.of(&claimed) {
            return foreign_caller(worker, selected, shown, &compact, issuer).await;
        }
    }
    let caller = caller_of_gateway(worker, snapshot, fields, token, now_secs)?;
    if caller.tenant.id != selected.tenant.id {
        return Err(Rejection::TokenNotValid(TokenError::Audience));
    }
    Ok(caller)
}

/// The caller of a resource of the gateway itself. Only Tollgate's own tokens say of which tenant they are.
pub(crate) fn caller_of_gateway<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    fields: &Fields,
    token: &Token<'_>,
    now_secs: u64,
) -> Result<Caller<'s>, Rejection> {
    let issuing = &worker.gateway.settings.issuing;
    let (mut verified, now) = (worker.verified_tokens.borrow_mut(), worker.clock.last());
    let in_force = match verified.find(&token.hash, now_secs, now) {
        Some(Verified::Own(own)) => own.in_force(issuing, snapshot, now_secs),
        Some(Verified::Foreign { .. }) | None => {
            issuing.verify(snapshot, token.text, now_secs).and_then(|(own, _)| {
                let in_force = own.in_force(issuing, snapshot, now_secs);
                verified.remember(token.hash, Verified::Own(own), now_secs, now);
                in_force
            })
        }
    };
    let in_force = in_force.map_err(Rejection::TokenNotValid)?;
    identify(in_force.tenant, Speaker::Key(in_force.key, in_force.consumer), fields)
}

async fn foreign_caller<'s>(
    worker: &Worker,
    selected: &Selected<'s, '_>,
    shown: Shown<'_>,
    compact: &Compact<'_>,
    issuer: &Arc<TokenIssuer>,
) -> Result<Caller<'s>, Rejection> {
    let Shown { token, fields, received, now_secs } = shown;
    if let Some(Verified::Foreign { issuer: verifier, token: foreign, .. }) =
        worker.verified_tokens.borrow().find(&token.hash, now_secs, worker.clock.last())
        && Arc::ptr_eq(verifier, issuer)
    {
        return speaker(selected, foreign, fields);
    }
    // From when the request came, however often it has waited since.
    let until =
        received + longest(worker, selected).map_or(LONGEST_WAIT, |longest| longest.min(LONGEST_WAIT));
    let (key_id, tenant) = (compact.key_id.as_deref(), selected.tenant.id);
    let keys = key_sets::key_set(&worker.gateway, &issuer.keys, key_id, until, tenant).await;
    let keys = keys.map_err(|key_sets::Unavailable| Rejection::IssuerUnavailable)?;
    let now_secs = worker.clock.now().wall.secs();
    let foreign = issuer.verify(compact, &keys, now_secs).map_err(Rejection::TokenNotValid)?;
    let caller = speaker(selected, &foreign, fields);
    let now = worker.clock.last();
    let verified = Verified::Foreign { issuer: Arc::clone(issuer), token: foreign, verified: now };
    worker.verified_tokens.borrow_mut().remember(token.hash, verified, now_secs, now);
    caller
}

fn speaker<'s>(
    selected: &Selected<'s, '_>,
    token: &ForeignToken,
    fields: &Fields,
) -> Result<Caller<'s>, Rejection> {
    let tenant = selected.tenant;
    let consumer = tenant.consumer_by_client_id(&token.consumer);
    let consumer = consumer.ok_or(Rejection::TokenNotValid(TokenError::Consumer))?;
    let plan = match &token.plan {
        Some(slug) => {
            Some(tenant.plan_by_slug(slug.as_str()).ok_or(Rejection::TokenNotValid(TokenError::Plan))?)
        }
        None => None,
    };
    identify(tenant, Speaker::Consumer(consumer, plan), fields)
}

#[cfg(test)]
mod tests {
    use tollgate_core::address::Reach;
    use tollgate_core::resource::{JwtIssuer, JwtIssuerSpec, KeySetUrl};

    use super::*;

    fn foreign(ends_at_secs: u64, verified: Instant) -> Verified {
        let spec = JwtIssuerSpec {
            issuer: "https://id.example".into(),
            audience: "orders".into(),
            jwks_url: KeySetUrl::parse("https://id.example/jwks").unwrap(),
            algorithms: None,
            leeway: Duration::ZERO,
            consumer_claim: "sub".into(),
            plan_claim: None,
            plan_map: None,
        };
        let issuer = Arc::new(TokenIssuer::from(&JwtIssuer { spec, reach: Reach::Public }));
        let token = ForeignToken { consumer: "c1".into(), plan: None, ends_at_secs };
        Verified::Foreign { issuer, token, verified }
    }

    #[test]
    fn a_foreign_token_is_verified_anew_after_a_minute_whatever_the_wall_clock_says() {
        let (start, secs) = (Instant::now(), 1_800_000_000);
        let (mut tokens, hash) = (VerifiedTokens::default(), KeyHash::of(b"a token"));
        tokens.remember(hash, foreign(secs + 3_600, start), secs, start);
        let is_held = |after_secs: u64, wall_secs: u64| {
            tokens.find(&hash, wall_secs, start + Duration::from_secs(after_secs)).is_some()
        };
        assert!(is_held(59, secs + 59));
        assert!(!is_held(60, secs + 60));
        assert!(!is_held(60, secs - 3_600), "the clock was set back");
        assert!(!is_held(59, secs + 3_600), "it is over");
    }
}
