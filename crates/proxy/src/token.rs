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
const FOREIGN_REMEMBERED_SECS: u64 = 60;
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
        /// Seconds since the epoch.
        until_secs: u64,
    },
}

impl Verified {
    const fn until_secs(&self) -> u64 {
        match self {
            Self::Own(token) => token.expires_at_secs,
            Self::Foreign { until_secs, .. } => *until_secs,
        }
    }
}

impl VerifiedTokens {
    fn find(&self, hash: &KeyHash, now_secs: u64) -> Option<&Verified> {
        self.0.get(hash).filter(|token| token.until_secs() > now_secs)
    }

    fn remember(&mut self, hash: KeyHash, token: Verified, now_secs: u64) {
        if self.0.len() >= MOST_REMEMBERED {
            self.0.retain(|_, token| token.until_secs() > now_secs);
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
    let mut verified = worker.verified_tokens.borrow_mut();
    let in_force = match verified.find(&token.hash, now_secs) {
        Some(Verified::Own(own)) => own.in_force(issuing, snapshot, now_secs),
        Some(Verified::Foreign { .. }) | None => {
            issuing.verify(snapshot, token.text, now_secs).and_then(|(own, _)| {
                let in_force = own.in_force(issuing, snapshot, now_secs);
                verified.remember(token.hash, Verified::Own(own), now_secs);
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
        worker.verified_tokens.borrow().find(&token.hash, now_secs)
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
    let until_secs = foreign.ends_at_secs.min(now_secs + FOREIGN_REMEMBERED_SECS);
    let verified = Verified::Foreign { issuer: Arc::clone(issuer), token: foreign, until_secs };
    worker.verified_tokens.borrow_mut().remember(token.hash, verified, now_secs);
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
