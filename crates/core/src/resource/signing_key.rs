//! A key that signs tokens, as it is kept and as it travels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The private half of an Ed25519 key, and when it signs. Whoever signs last verifies for as long as the longest
/// token lives.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// What tokens call it (`kid`): letters, digits and hyphens.
    pub key_id: Box<str>,
    pub seed: [u8; 32],
    /// Seconds since the epoch from which on it signs; it is published before.
    pub signs_from_secs: u64,
}

/// Shows no secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
