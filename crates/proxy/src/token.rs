//! Callers that come with a token in place of a key.

use std::collections::HashMap;

use ahash::RandomState;
use tollgate_core::credential::KeyHash;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::token::{OwnToken, TokenError};
use tollgate_http1::Fields;

use crate::authenticate::{Caller, Token, identify, require_service};
use crate::rejection::Rejection;
use crate::route::Selected;
use crate::worker::Worker;

/// Tokens that a worker need not verify again; more are forgotten.
const MOST_REMEMBERED: usize = 4_096;

/// Tokens whose signatures were found good, by their hashes, each until it expires. Whether the key behind one is
/// in force is asked of the snapshot every time.
#[derive(Default)]
pub(crate) struct VerifiedTokens(HashMap<KeyHash, OwnToken, RandomState>);

impl VerifiedTokens {
    fn remember(&mut self, hash: KeyHash, token: OwnToken, now_secs: u64) {
        if self.0.len() >= MOST_REMEMBERED {
            self.0.retain(|_, token| token.expires_at_secs > now_secs);
        }
        if self.0.len() >= MOST_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(hash, token);
    }
}

/// The caller of a service.
pub(crate) fn caller<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    selected: &Selected<'s, '_>,
    fields: &Fields,
    token: &Token<'_>,
    now_secs: u64,
) -> Result<Caller<'s>, Rejection> {
    let caller = caller_of_gateway(worker, snapshot, fields, token, now_secs)?;
    if caller.tenant.id != selected.tenant.id {
        return Err(Rejection::TokenNotValid(TokenError::Audience));
    }
    require_service(caller.key, selected.service)?;
    Ok(caller)
}

/// The caller of a resource of the gateway itself.
pub(crate) fn caller_of_gateway<'s>(
    worker: &Worker,
    snapshot: &'s Snapshot,
    fields: &Fields,
    token: &Token<'_>,
    now_secs: u64,
) -> Result<Caller<'s>, Rejection> {
    let mut verified = worker.verified_tokens.borrow_mut();
    let remembered = verified.0.get(&token.hash).filter(|token| token.expires_at_secs > now_secs);
    let in_force = match remembered {
        Some(own) => own.in_force(snapshot, now_secs),
        None => {
            worker.gateway.settings.issuing.verify(snapshot, token.text, now_secs).and_then(|(own, _)| {
                let in_force = own.in_force(snapshot, now_secs);
                verified.remember(token.hash, own, now_secs);
                in_force
            })
        }
    };
    let in_force = in_force.map_err(Rejection::TokenNotValid)?;
    identify(in_force.tenant, in_force.key, in_force.consumer, fields)
}
