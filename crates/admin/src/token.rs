//! Bearer tokens of the control plane. They are stored as SHA-256: with 256 random bits there is nothing to guess.

use std::fmt::Write;

use tollgate_core::credential::KeyHash;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no random numbers are available")]
pub struct NoRandomness;

/// A token in clear, for the one time that it is shown. It has no `Debug` and no `Display`.
pub struct Token(String);

/// `tgn_` and four digits.
const SHOWN: usize = 8;

#[derive(Debug, Clone, Copy)]
pub enum TokenKind {
    /// The platform administrator's, which holds until it is replaced.
    Admin,
    /// A signed-in user's.
    Session,
    /// A proxy node's, which holds until it is revoked.
    Node,
}

impl Token {
    pub fn generate(kind: TokenKind) -> Result<Self, NoRandomness> {
        let prefix = match kind {
            TokenKind::Admin => "tga_",
            TokenKind::Session => "tgs_",
            TokenKind::Node => "tgn_",
        };
        let mut text = String::from(prefix);
        for byte in random_bits()? {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Ok(Self(text))
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.as_bytes())
    }

    /// What may be shown of it, for people to tell tokens apart.
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    pub fn reveal(self) -> String {
        self.0
    }
}

pub fn random_bits() -> Result<[u8; 32], NoRandomness> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|_| NoRandomness)?;
    Ok(bits)
}
