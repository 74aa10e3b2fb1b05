//! Signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::resource::parsed;

/// There is no `none`, and no way to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    EdDsa,
    Es256,
    Es384,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    /// With Tollgate's own secret alone: an issuer's public keys never verify it.
    Hs256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one of EdDSA, ES256, ES384, RS256, RS384, RS512, PS256, PS384, PS512")]
pub struct NotAsymmetric;

impl Algorithm {
    /// Those that an external issuer may sign with.
    pub const ASYMMETRIC: [Self; 9] = [
        Self::EdDsa,
        Self::Es256,
        Self::Es384,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// By its name, whose case matters.
    pub fn of(name: &str) -> Option<Self> {
        Self::ASYMMETRIC.into_iter().chain([Self::Hs256]).find(|algorithm| algorithm.as_str() == name)
    }

    /// One that an external issuer may sign with.
    pub fn parse_asymmetric(name: &str) -> Result<Self, NotAsymmetric> {
        Self::ASYMMETRIC.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(NotAsymmetric)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Hs256 => "HS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What travels is what an external issuer may sign with.
impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse_asymmetric)
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
