//! What a token says (RFC 7519 section 4), read after its signature.

use serde_json::{Map, Value};

use super::{TokenError, json};

#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// What a token has to say to be good here and now.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    pub issuer: &'e str,
    pub audience: &'e str,
    /// For how long an expired token is still good.
    pub leeway_secs: u64,
    /// How far a token may come from the future.
    pub ahead_secs: u64,
    pub now_secs: u64,
}

impl Claims {
    pub fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        json::object(payload).map(Self).map_err(TokenError::Claims)
    }

    /// Whether they are valid; the second since the epoch at which they cease to be, leeway included.
    pub fn check(&self, expected: &Expected<'_>) -> Result<u64, TokenError> {
        let &Expected { issuer, audience, leeway_secs, ahead_secs, now_secs } = expected;
        let expires_at_secs = self.instant("exp")?.ok_or(TokenError::Claims("have no `exp`"))?;
        let ends_at_secs = expires_at_secs.saturating_add(leeway_secs);
        if now_secs >= ends_at_secs {
            return Err(TokenError::Expired);
        }
        for begin in ["nbf", "iat"] {
            if self.instant(begin)?.is_some_and(|begins| begins > now_secs.saturating_add(ahead_secs)) {
                return Err(TokenError::NotYet);
            }
        }
        if self.text("iss") != Some(issuer) {
            return Err(TokenError::Issuer);
        }
        if !self.is_for(audience) {
            return Err(TokenError::Audience);
        }
        Ok(ends_at_secs)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// One audience, or a list of them (RFC 7519 section 4.1.3).
    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(only)) => only == audience,
            Some(Value::Array(list)) => {
                list.iter().all(Value::is_string) && list.iter().any(|entry| entry == audience)
            }
            Some(_) | None => false,
        }
    }

    /// Seconds since the epoch, whose fraction is dropped. An instant that is none is not passed over.
    fn instant(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let whole = value.as_u64().or_else(|| value.as_f64().and_then(whole_seconds));
        whole.map(Some).ok_or(TokenError::Claims("have an instant that is none"))
    }
}

fn whole_seconds(number: f64) -> Option<u64> {
    /// Far beyond any calendar, and exact in a float.
    const LATEST: f64 = 9_007_199_254_740_992.0;
    if !(0.0..LATEST).contains(&number) {
        return None;
    }
    // Formatting is the conversion that cannot wrap.
    format!("{:.0}", number.trunc()).parse().ok()
}
