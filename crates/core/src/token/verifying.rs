//! Keys that verify signatures; each knows the algorithms that it is for.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};

use super::{Algorithm, Claims, Compact, Expected, TokenError};

pub struct VerifyingKey {
    pub key_id: Option<Box<str>>,
    material: Material,
    /// The one algorithm that the key says it is for, where it does (RFC 7517 section 4.4).
    only: Option<Algorithm>,
}

pub(super) enum Material {
    Ed25519(ParsedPublicKey),
    P256(ParsedPublicKey),
    P384(ParsedPublicKey),
    Rsa(RsaPublicKeyComponents<Box<[u8]>>),
    Secret(Box<hmac::Key>),
}

impl Material {
    pub fn ed25519(public: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(&ED25519, public).ok().map(Self::Ed25519)
    }

    pub fn p256(point: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok().map(Self::P256)
    }

    pub fn p384(point: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).ok().map(Self::P384)
    }

    /// Numbers without the zeros that some issuers put before them.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        /// 2048 to 8192 bits; an exponent of 33 bits at most is what the library takes as well.
        const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
        let stripped = |number: &[u8]| -> Box<[u8]> {
            let zeros = number.iter().take_while(|&&byte| byte == 0).count();
            number[zeros..].into()
        };
        let (n, e) = (stripped(modulus), stripped(exponent));
        let is_usable = MODULUS_BYTES.contains(&n.len()) && (1..=5).contains(&e.len());
        is_usable.then_some(Self::Rsa(RsaPublicKeyComponents { n, e }))
    }

    fn suits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Rsa(_) => rsa_parameters(algorithm).is_some(),
            Self::Secret(_) => algorithm == Algorithm::Hs256,
        }
    }

    /// By an algorithm that it suits.
    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let is_good = match self {
            Self::Ed25519(key) | Self::P256(key) | Self::P384(key) => {
                key.verify_sig(message, signature).is_ok()
            }
            Self::Rsa(key) => {
                let parameters = rsa_parameters(algorithm).ok_or(TokenError::Algorithm)?;
                key.verify(parameters, message, signature).is_ok()
            }
            Self::Secret(secret) => hmac::verify(secret, message, signature).is_ok(),
        };
        if is_good { Ok(()) } else { Err(TokenError::Signature) }
    }
}

/// Of keys of at least 2048 bits.
const fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::EdDsa | Algorithm::Es256 | Algorithm::Es384 | Algorithm::Hs256 => None,
    }
}

impl VerifyingKey {
    pub(super) const fn new(key_id: Option<Box<str>>, material: Material, only: Option<Algorithm>) -> Self {
        Self { key_id, material, only }
    }

    /// Whether its material suits the algorithm, and it says nothing else itself.
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        self.only.is_none_or(|only| only == algorithm) && self.material.suits(algorithm)
    }

    /// The claims of a token that this key's owner signed, and that are valid; and until when they are.
    pub fn verify(&self, token: &Compact<'_>, expected: &Expected<'_>) -> Result<(Claims, u64), TokenError> {
        let claims = self.verify_signature(token)?;
        let ends_at_secs = claims.check(expected)?;
        Ok((claims, ends_at_secs))
    }

    /// The claims of a token that this key's owner signed.
    pub(super) fn verify_signature(&self, token: &Compact<'_>) -> Result<Claims, TokenError> {
        if !self.is_for(token.algorithm) {
            return Err(TokenError::Algorithm);
        }
        self.material.verify(token.algorithm, token.signed, &token.signature)?;
        Claims::parse(&token.payload)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
