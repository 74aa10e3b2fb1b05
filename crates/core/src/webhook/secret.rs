//! What a webhook's deliveries are signed with.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

const PREFIX: &str = "whsec_";
/// Standard Webhooks asks for so many bytes.
const SHORTEST: usize = 24;
const LONGEST: usize = 64;

/// 24 to 64 random bytes that the receiver has too. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Box<[u8]>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {PREFIX} and the base64 of {SHORTEST} to {LONGEST} bytes")]
pub struct BadWebhookSecret;

impl WebhookSecret {
    pub fn parse(text: &str) -> Result<Self, BadWebhookSecret> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).ok_or(BadWebhookSecret)?);
        Self::from_bytes(&bytes.map_err(|_| BadWebhookSecret)?)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadWebhookSecret> {
        if (SHORTEST..=LONGEST).contains(&bytes.len()) {
            Ok(Self(bytes.into()))
        } else {
            Err(BadWebhookSecret)
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As its receiver is told it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, message: Uuid, timestamp_secs: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(format!("{message}.{timestamp_secs}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_what_standard_webhooks_takes_for_one() {
        let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(WebhookSecret::parse(text).unwrap().reveal(), text);
        for bad in
            ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_AAAA", "whsec_!", "tg_0123456789"]
        {
            assert_eq!(WebhookSecret::parse(bad), Err(BadWebhookSecret), "{bad}");
        }
        assert!(WebhookSecret::from_bytes(&[0; 65]).is_err());
        let shown = format!("{:?}", WebhookSecret::parse(text).unwrap());
        assert!(!shown.contains("MfKQ"), "{shown}");
    }

    /// By Python's `hmac`.
    #[test]
    fn signatures_are_those_of_others() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(Uuid::from_u128(7), 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,DpjDiUQtqY4KpU+ttsaMN4ufTzLZ/I1uCUwqulcoqnM=");
    }
}
