//! Tokens that Tollgate issues for its own keys.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use uuid::Uuid;

use super::{Claims, Compact, Expected, SigningKey, TokenError};
use crate::credential::KeyHash;
use crate::resource::KeyId;
use crate::snapshot::{Consumer, Key, Snapshot, Tenant};

/// The longest that a token may be made to live.
pub const LONGEST_LIFETIME: Duration = Duration::from_hours(24);

/// How far the clock of the node that issued a token may be ahead.
const CLOCKS_APART_SECS: u64 = 60;

/// How this node issues and checks tokens.
#[derive(Clone)]
pub struct Issuing {
    /// Claim `iss`.
    pub issuer: Box<str>,
    /// At most [`LONGEST_LIFETIME`].
    pub lifetime: Duration,
    /// Signs and verifies in place of the snapshot's keys.
    pub secret: Option<Arc<SigningKey>>,
}

impl Default for Issuing {
    fn default() -> Self {
        Self { issuer: "tollgate".into(), lifetime: Duration::from_hours(1), secret: None }
    }
}

/// Whom a token is for.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'g> {
    /// Slug: claims `tenant` and `aud`.
    pub tenant: &'g str,
    /// Client id; the token speaks for this one alone.
    pub consumer: Option<&'g str>,
    /// Slug, for whoever reads the token: limits are always those in force.
    pub plan: Option<&'g str>,
    pub key_id: KeyId,
    /// Of the value that was presented: with it, the token ends.
    pub key_hash: KeyHash,
    /// Claim `jti`: never twice for a key.
    pub token_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub token: String,
    pub expires_at_secs: u64,
    pub expires_in_secs: u64,
}

/// A token of Tollgate's own that is signed and not expired. The key is still to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnToken {
    tenant: Box<str>,
    consumer: Option<Box<str>>,
    pub key_hash: KeyHash,
    pub expires_at_secs: u64,
    /// `kid`
    signed_by: Box<str>,
}

/// Whom a token speaks for, as things stand.
#[derive(Clone, Copy)]
pub struct InForce<'s> {
    pub tenant: &'s Tenant,
    pub key: &'s Key,
    pub consumer: Option<&'s Consumer>,
}

#[derive(Serialize)]
struct ClaimsOut<'c> {
    iss: &'c str,
    sub: &'c str,
    aud: &'c str,
    iat: u64,
    exp: u64,
    jti: Uuid,
    tenant: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'c str>,
    key_id: KeyId,
    key_ref: String,
}

impl Issuing {
    /// A token; `None` where there is no key to sign it yet.
    pub fn issue(&self, snapshot: &Snapshot, grant: &Grant<'_>, now_secs: u64) -> Option<Issued> {
        let signing = self.signs_now(snapshot, now_secs)?;
        let longest = now_secs.saturating_add(self.lifetime.min(LONGEST_LIFETIME).as_secs());
        // It is good for nothing once its key has ended.
        let key_ends = snapshot.key(&grant.key_hash).and_then(Key::ends_at_secs);
        let expires_at_secs = key_ends.map_or(longest, |end| end.min(longest));
        let expires_in_secs = expires_at_secs.saturating_sub(now_secs);
        let key_id = grant.key_id.to_string();
        let claims = ClaimsOut {
            iss: &self.issuer,
            sub: grant.consumer.unwrap_or(&key_id),
            aud: grant.tenant,
            iat: now_secs,
            exp: expires_at_secs,
            jti: grant.token_id,
            tenant: grant.tenant,
            consumer: grant.consumer,
            plan: grant.plan,
            key_id: grant.key_id,
            key_ref: URL_SAFE_NO_PAD.encode(veil(
                signing,
                grant.token_id,
                grant.key_id,
                *grant.key_hash.as_bytes(),
            )),
        };
        let claims = serde_json::to_string(&claims).ok()?;
        Some(Issued { token: signing.sign(&claims), expires_at_secs, expires_in_secs })
    }

    /// Checks everything but whether the key is still in force.
    pub fn verify(
        &self,
        snapshot: &Snapshot,
        token: &[u8],
        now_secs: u64,
    ) -> Result<(OwnToken, Claims), TokenError> {
        let compact = Compact::parse(token)?;
        let signing = self.key_of(snapshot, &compact).ok_or(TokenError::UnknownKey)?;
        let claims = signing.verifying.verify_signature(&compact)?;
        let tenant = claims.text("tenant").ok_or(TokenError::Claims("have no `tenant`"))?;
        let expected = Expected {
            issuer: &self.issuer,
            audience: tenant,
            leeway_secs: 0,
            ahead_secs: CLOCKS_APART_SECS,
            now_secs,
        };
        let expires_at_secs = claims.check(&expected)?;
        let reference = || {
            let token_id = Uuid::try_parse(claims.text("jti")?).ok()?;
            let key_id = KeyId(Uuid::try_parse(claims.text("key_id")?).ok()?);
            let veiled = URL_SAFE_NO_PAD.decode(claims.text("key_ref")?).ok()?;
            Some(KeyHash::from_bytes(veil(signing, token_id, key_id, veiled.try_into().ok()?)))
        };
        let key_hash = reference().ok_or(TokenError::Claims("do not say which key they are for"))?;
        let consumer = claims.text("consumer").map(Into::into);
        if consumer.is_none() && claims.contains("consumer") {
            return Err(TokenError::Claims("have a `consumer` that is no text"));
        }
        let (tenant, signed_by) = (tenant.into(), signing.key_id.clone());
        Ok((OwnToken { tenant, consumer, key_hash, expires_at_secs, signed_by }, claims))
    }

    /// Whether this reads like a token of ours, good or not: it must not get to an upstream.
    pub fn is_own(&self, snapshot: &Snapshot, token: &[u8]) -> bool {
        Compact::parse(token).is_ok_and(|compact| self.key_of(snapshot, &compact).is_some())
    }

    /// The public keys (RFC 7517 section 5); none where a secret signs.
    pub fn key_set(&self, snapshot: &Snapshot) -> String {
        let keys: Vec<String> = self.keys(snapshot).iter().filter_map(|key| key.public_jwk()).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    fn keys<'s>(&'s self, snapshot: &'s Snapshot) -> &'s [Arc<SigningKey>] {
        match &self.secret {
            Some(secret) => std::slice::from_ref(secret),
            None => snapshot.signing_keys(),
        }
    }

    fn key_of<'s>(&'s self, snapshot: &'s Snapshot, token: &Compact<'_>) -> Option<&'s SigningKey> {
        let key_id = token.key_id.as_deref()?;
        self.keys(snapshot).iter().map(Arc::as_ref).find(|key| *key.key_id == *key_id)
    }

    /// The newest key whose time has come; the first there is, where the clock is behind all of them.
    fn signs_now<'s>(&'s self, snapshot: &'s Snapshot, now_secs: u64) -> Option<&'s SigningKey> {
        let keys = || self.keys(snapshot).iter().map(Arc::as_ref);
        let due = keys().filter(|key| key.signs_from_secs <= now_secs);
        due.max_by_key(|key| key.signs_from_secs).or_else(|| keys().min_by_key(|key| key.signs_from_secs))
    }
}

impl<'g> Grant<'g> {
    /// For a key by its value's hash, on behalf of whom it is bound to; `None` unless the key is in force.
    pub fn for_key(snapshot: &'g Snapshot, key_hash: KeyHash, token_id: Uuid, now_secs: u64) -> Option<Self> {
        let key = snapshot.key(&key_hash).filter(|key| !key.is_expired(now_secs))?;
        let tenant = snapshot.tenant_by_id(key.tenant())?;
        let consumer = match key.consumer() {
            Some(id) => Some(tenant.consumer(id)?),
            None => None,
        };
        let plan = consumer.and_then(|consumer| consumer.plan).or(key.plan());
        Some(Self {
            tenant: tenant.slug.as_str(),
            consumer: consumer.map(|consumer| consumer.client_id.as_str()),
            plan: plan.and_then(|plan| tenant.plan(plan)).map(|plan| plan.slug.as_str()),
            key_id: key.id,
            key_hash,
            token_id,
        })
    }
}

impl OwnToken {
    /// The key that the token was issued for, if the value that was presented for it is still good: a token
    /// outlives neither its key nor the one that signed it.
    pub fn in_force<'s>(
        &self,
        issuing: &Issuing,
        snapshot: &'s Snapshot,
        now_secs: u64,
    ) -> Result<InForce<'s>, TokenError> {
        if !issuing.keys(snapshot).iter().any(|key| key.key_id == self.signed_by) {
            return Err(TokenError::UnknownKey);
        }
        let key = snapshot.key(&self.key_hash).filter(|key| !key.is_expired(now_secs));
        let key = key.ok_or(TokenError::KeyNotInForce)?;
        let tenant = snapshot.tenant_by_id(key.tenant()).ok_or(TokenError::KeyNotInForce)?;
        if *tenant.slug.as_str() != *self.tenant {
            return Err(TokenError::Audience);
        }
        let named = match &self.consumer {
            Some(name) => Some(tenant.consumer_by_client_id(name).ok_or(TokenError::Consumer)?),
            None => None,
        };
        let consumer = match (key.consumer(), named) {
            (None, named) => named,
            // The key was bound since the token was issued.
            (Some(bound), None) => Some(tenant.consumer(bound).ok_or(TokenError::Consumer)?),
            (Some(bound), Some(named)) if bound == named.id => Some(named),
            (Some(_), Some(_)) => return Err(TokenError::Consumer),
        };
        Ok(InForce { tenant, key, consumer })
    }
}

impl fmt::Debug for Issuing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuing").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Hides a key's hash in a token, and finds it again. Of an imported key that can be guessed, the hash itself
/// would let whoever sees a token guess offline. The pad is a pseudo-random function of what no two tokens of
/// different values share; that the veiled hash is ours, the signature says.
fn veil(signing: &SigningKey, token_id: Uuid, key_id: KeyId, hash: [u8; 32]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&signing.reference);
    context.update(token_id.as_bytes());
    context.update(key_id.0.as_bytes());
    let pad = context.sign();
    let mut veiled = hash;
    for (byte, pad) in veiled.iter_mut().zip(pad.as_ref()) {
        *byte ^= pad;
    }
    veiled
}
