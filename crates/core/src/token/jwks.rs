//! An issuer's public keys: a JSON Web Key Set (RFC 7517 section 5).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::verifying::{Material, VerifyingKey};
use super::{Algorithm, json};

/// More keys than any issuer publishes at a time.
const MOST_KEYS: usize = 64;

/// Keys of kinds that are not known, not public or not for signatures are passed over (section 5: they should
/// be ignored), and so there may be none.
#[derive(Debug, Default)]
pub struct KeySet(Vec<VerifyingKey>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    #[error("it is not JSON, but looks like a page of HTML")]
    Html,
    #[error("it is not a strict JSON object")]
    NotJson,
    #[error("it has no list `keys`")]
    NoKeys,
    #[error("it has more than {MOST_KEYS} keys")]
    TooMany,
}

impl KeySet {
    pub fn parse(text: &[u8]) -> Result<Self, BadKeySet> {
        let set = json::object(text).map_err(|_| {
            if text.trim_ascii_start().starts_with(b"<") { BadKeySet::Html } else { BadKeySet::NotJson }
        })?;
        let Some(Value::Array(keys)) = set.get("keys") else { return Err(BadKeySet::NoKeys) };
        if keys.len() > MOST_KEYS {
            return Err(BadKeySet::TooMany);
        }
        Ok(Self(keys.iter().filter_map(Value::as_object).filter_map(verifying_key).collect()))
    }

    /// Whether there is no key that can verify a signature: an issuer that says so has withdrawn those it had.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token names. A token that names none means the only one there is. Of keys that share an id, as those of
    /// different kinds may (RFC 7517 section 4.5), it is one that is for the token's algorithm; the first, where none is.
    pub fn key(&self, key_id: Option<&str>, algorithm: Algorithm) -> Option<&VerifyingKey> {
        let mut named = self.named(key_id);
        named.clone().find(|key| key.is_for(algorithm)).or_else(|| named.next())
    }

    /// Whether there is a key for a token that names this one, or none.
    pub fn has(&self, key_id: Option<&str>) -> bool {
        self.named(key_id).next().is_some()
    }

    fn named<'s>(&'s self, key_id: Option<&str>) -> impl Iterator<Item = &'s VerifyingKey> + Clone {
        let is_only = self.0.len() == 1;
        self.0.iter().filter(move |key| match key_id {
            Some(wanted) => key.key_id.as_deref() == Some(wanted),
            None => is_only,
        })
    }
}

fn verifying_key(jwk: &Map<String, Value>) -> Option<VerifyingKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    if let Some(Value::Array(operations)) = jwk.get("key_ops")
        && !operations.iter().any(|operation| operation.as_str() == Some("verify"))
    {
        return None;
    }
    let material = match (text("kty")?, text("crv")) {
        ("OKP", Some("Ed25519")) => Material::ed25519(&bytes("x")?)?,
        ("EC", Some("P-256")) => Material::p256(&point(&bytes("x")?, &bytes("y")?, 32)?)?,
        ("EC", Some("P-384")) => Material::p384(&point(&bytes("x")?, &bytes("y")?, 48)?)?,
        ("RSA", _) => Material::rsa(&bytes("n")?, &bytes("e")?)?,
        // `oct` among them: what everybody can read is no secret.
        _ => return None,
    };
    let only = match jwk.get("alg") {
        Some(named) => Some(Algorithm::parse_asymmetric(named.as_str()?).ok()?),
        None => None,
    };
    Some(VerifyingKey::new(text("kid").map(Into::into), material, only))
}

/// Uncompressed (SEC 1 section 2.3.3), from coordinates of the curve's own length (RFC 7518 section 6.2.1).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}
