//! How private keys, webhooks' secrets, and changes that may hold some, are kept: sealed with a secret that is never in
//! the database, so that a copy of the database signs nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;

use crate::token::{NoRandomness, random_bits};

/// 256 random bits of the operator's, kept in a file beside the database. It has no `Debug`.
#[derive(Clone)]
pub struct SealingSecret([u8; 32]);

/// What is sealed: each has a key of its own, so that none passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    SigningKey,
    FeedStep,
    WebhookSecret,
}

impl Sealed {
    const fn purpose(self) -> &'static [u8] {
        match self {
            Self::SigningKey => b"tollgate: signing keys",
            Self::FeedStep => b"tollgate: feed log",
            Self::WebhookSecret => b"tollgate: webhook secrets",
        }
    }
}

/// What was sealed with another secret, for another name, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed with this secret")]
pub struct NotOpened;

impl SealingSecret {
    pub const BYTES: usize = 32;

    pub fn generate() -> Result<Self, NoRandomness> {
        random_bits().map(Self)
    }

    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// AES-256-GCM under a random nonce, which comes first; `name` is bound to it.
    pub(crate) fn seal(&self, what: Sealed, name: &str, secret: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .key(what)
            .and_then(|key| key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok())
            .ok_or(NoRandomness)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    pub(crate) fn open(&self, what: Sealed, name: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOpened> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(NotOpened)?;
        let mut sealed = sealed.to_vec();
        let key = self.key(what).ok_or(NotOpened)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, Aad::from(name), &mut sealed).map_err(|_| NotOpened)?.len();
        sealed.truncate(opened);
        Ok(sealed)
    }

    /// A key for this one purpose.
    fn key(&self, what: Sealed) -> Option<RandomizedNonceKey> {
        let base = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let derived = hmac::sign(&base, what.purpose());
        RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_under_the_name_with_the_secret_opens() {
        let secret = SealingSecret::from_bytes([1; 32]);
        let seal = || secret.seal(Sealed::SigningKey, "one", &[7; 32]).unwrap();
        let open =
            |secret: &SealingSecret, name: &str, sealed: &[u8]| secret.open(Sealed::SigningKey, name, sealed);
        let sealed = seal();
        assert_eq!(open(&secret, "one", &sealed), Ok(vec![7; 32]));
        assert_ne!(seal(), sealed);
        assert!(!sealed.windows(8).any(|bytes| bytes == [7; 8]));
        assert_eq!(open(&secret, "two", &sealed), Err(NotOpened));
        for other in [Sealed::FeedStep, Sealed::WebhookSecret] {
            assert_eq!(secret.open(other, "one", &sealed), Err(NotOpened));
        }
        assert_eq!(open(&SealingSecret::from_bytes([2; 32]), "one", &sealed), Err(NotOpened));
        for at in [0, 12, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&secret, "one", &changed), Err(NotOpened));
        }
        assert_eq!(open(&secret, "one", &sealed[..11]), Err(NotOpened));
    }
}
