//! The compact form (RFC 7515 section 3.1): header, payload and signature, each in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Algorithm, Claims, TokenError, json};

/// In bytes. Nothing longer is looked at.
pub const LONGEST_TOKEN: usize = 8 * 1_024;
const LONGEST_KEY_ID: usize = 256;

/// Whether a credential is to be read as a token: three parts between two dots.
pub fn is_token_shaped(credential: &[u8]) -> bool {
    memchr::memchr_iter(b'.', credential).count() == 2
}

/// A token whose header means something here. Nothing in it is believed yet.
#[derive(Debug)]
pub struct Compact<'t> {
    pub algorithm: Algorithm,
    pub key_id: Option<Box<str>>,
    /// What was signed: header, dot, payload.
    pub(super) signed: &'t [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'t> Compact<'t> {
    pub fn parse(token: &'t [u8]) -> Result<Self, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        let mut parts = token.split(|&byte| byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Shape);
        };
        let (algorithm, key_id) = parse_header(&decode(header)?)?;
        Ok(Self {
            algorithm,
            key_id,
            signed: &token[..header.len() + 1 + payload.len()],
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }
}

impl Compact<'_> {
    /// Whom the token says it is from: to choose whose keys it is verified with, and for nothing else.
    pub fn claimed_issuer(&self) -> Result<Box<str>, TokenError> {
        let claims = Claims::parse(&self.payload)?;
        claims.text("iss").map(Into::into).ok_or(TokenError::Issuer)
    }
}

/// Without padding and with no other text for the same bytes.
fn decode(part: &[u8]) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Shape)
}

/// What else is in a header (`jwk`, `jku`, `x5c` …) would let a token bring its own key: it is not read.
fn parse_header(text: &[u8]) -> Result<(Algorithm, Option<Box<str>>), TokenError> {
    let header = json::object(text).map_err(|_| TokenError::Header("is not strict JSON"))?;
    if header.contains_key("crit") {
        // RFC 7515 section 4.1.11: it names what has to be understood, and nothing is.
        return Err(TokenError::Header("has a `crit`"));
    }
    match header.get("typ").map(|typ| typ.as_str()) {
        None => {}
        Some(Some(typ)) if is_access_token(typ) => {}
        Some(_) => return Err(TokenError::Header("has a `typ` other than JWT and at+jwt")),
    }
    let algorithm = header.get("alg").and_then(|alg| alg.as_str()).and_then(Algorithm::of);
    let algorithm = algorithm.ok_or(TokenError::Header("has no `alg` that is allowed"))?;
    let key_id = match header.get("kid") {
        None => None,
        Some(kid) => match kid.as_str() {
            Some(kid) if (1..=LONGEST_KEY_ID).contains(&kid.len()) => Some(kid.into()),
            Some(_) | None => return Err(TokenError::Header("has a `kid` that is no short text")),
        },
    };
    Ok((algorithm, key_id))
}

/// A media type, whose `application/` may be left out (RFC 7515 section 4.1.9, RFC 9068 section 2.1).
fn is_access_token(typ: &str) -> bool {
    let bare = match typ.split_at_checked(12) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        Some(_) | None => typ,
    };
    bare.eq_ignore_ascii_case("JWT") || bare.eq_ignore_ascii_case("at+jwt")
}
