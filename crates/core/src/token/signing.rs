//! Keys that sign Tollgate's own tokens.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Algorithm;
use super::verifying::{Material, VerifyingKey};
use crate::resource;

/// RFC 7518 section 3.2: a key at least as long as the hash.
pub const SHORTEST_SECRET: usize = 32;
/// What tokens call the secret of the environment.
const SECRET_KEY_ID: &str = "secret";

pub struct SigningKey {
    pub key_id: Box<str>,
    /// Seconds since the epoch from which on it signs.
    pub signs_from_secs: u64,
    signer: Signer,
    pub(super) verifying: VerifyingKey,
    /// Hides which key a token was issued for.
    pub(super) reference: hmac::Key,
}

enum Signer {
    EdDsa(Ed25519KeyPair),
    Hs256(Box<hmac::Key>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    #[error("must have at least {SHORTEST_SECRET} bytes")]
    TooShort,
    #[error("is no signing key")]
    Unusable,
}

impl SigningKey {
    /// An Ed25519 key (RFC 8032).
    pub fn from_seed(key: &resource::SigningKey) -> Result<Self, BadSecret> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&key.seed).map_err(|_| BadSecret::Unusable)?;
        let material = Material::ed25519(pair.public_key().as_ref()).ok_or(BadSecret::Unusable)?;
        Ok(Self {
            key_id: key.key_id.clone(),
            signs_from_secs: key.signs_from_secs,
            verifying: VerifyingKey::new(Some(key.key_id.clone()), material, Some(Algorithm::EdDsa)),
            signer: Signer::EdDsa(pair),
            reference: derived(&key.seed),
        })
    }

    /// HMAC with a secret that every node is given.
    pub fn from_secret(secret: &[u8]) -> Result<Self, BadSecret> {
        if secret.len() < SHORTEST_SECRET {
            return Err(BadSecret::TooShort);
        }
        let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        let material = Material::Secret(key.clone());
        Ok(Self {
            key_id: SECRET_KEY_ID.into(),
            signs_from_secs: 0,
            verifying: VerifyingKey::new(Some(SECRET_KEY_ID.into()), material, Some(Algorithm::Hs256)),
            signer: Signer::Hs256(key),
            reference: derived(secret),
        })
    }

    pub const fn algorithm(&self) -> Algorithm {
        match self.signer {
            Signer::EdDsa(_) => Algorithm::EdDsa,
            Signer::Hs256(_) => Algorithm::Hs256,
        }
    }

    /// The compact form of these claims, a JSON object.
    pub(super) fn sign(&self, claims: &str) -> String {
        let header = format!(r#"{{"alg":"{}","typ":"JWT","kid":"{}"}}"#, self.algorithm(), self.key_id);
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = match &self.signer {
            Signer::EdDsa(pair) => URL_SAFE_NO_PAD.encode(pair.sign(token.as_bytes())),
            Signer::Hs256(key) => URL_SAFE_NO_PAD.encode(hmac::sign(key, token.as_bytes())),
        };
        token.push('.');
        token.push_str(&signature);
        token
    }

    /// The public half as a JWK (RFC 8037 section 2); a secret has none.
    pub(super) fn public_jwk(&self) -> Option<String> {
        let Signer::EdDsa(pair) = &self.signer else { return None };
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let kid = &self.key_id;
        Some(format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"{kid}","x":"{x}"}}"#))
    }
}

/// A second key from the first, so that neither tells of the other.
fn derived(secret: &[u8]) -> hmac::Key {
    let base = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&base, b"tollgate: which key a token is for");
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}

/// Shows no secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
