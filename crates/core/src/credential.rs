//! API keys: their text, their hash, their display prefix.
//!
//! A key made by Tollgate is `tg_`, `tg_live_` or `tg_test_`, 256 random bits as 43 base-62 digits, and 6 digits of a CRC-32 over what
//! stands before, so that secret scanners can tell a key from noise and a mistyped one is noticed offline.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

const PREFIX: &str = "tg_";
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
const DIGITS: usize = SECRET_DIGITS + CHECKSUM_DIGITS;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Imported keys shorter than this could be guessed.
const SHORTEST_IMPORTED: usize = 16;
const LONGEST: usize = 256;
const SHOWN_DIGITS: usize = 6;

/// What a key is for, told by its first characters: for people, and for scanners that find one where it should
/// not be. It changes nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Live,
    Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be live or test")]
pub struct NoEnvironment;

impl Environment {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Result<Self, NoEnvironment> {
        [Self::Live, Self::Test]
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or(NoEnvironment)
    }

    /// That of a key by its first characters.
    pub fn of(key: &str) -> Option<Self> {
        [Self::Live, Self::Test].into_iter().find(|environment| key.starts_with(prefix(Some(*environment))))
    }
}

const fn prefix(environment: Option<Environment>) -> &'static str {
    match environment {
        None => PREFIX,
        Some(Environment::Live) => "tg_live_",
        Some(Environment::Test) => "tg_test_",
    }
}

/// A key in clear. It has no `Display`, and its `Debug` shows the prefix alone: a key never reaches a log.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("must have {SHORTEST_IMPORTED} to {LONGEST} characters")]
    Length,
    #[error("must be visible ASCII characters without spaces")]
    Characters,
    #[error("starts like a Tollgate key but its checksum is wrong: is it complete?")]
    Checksum,
}

impl ApiKey {
    /// A new key from 256 bits of a cryptographic random source.
    pub fn from_random(bits: [u8; 32], environment: Option<Environment>) -> Self {
        let prefix = prefix(environment);
        let mut text = String::with_capacity(prefix.len() + DIGITS);
        text.push_str(prefix);
        push_base62(&mut text, bits);
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text)
    }

    /// A key that was made elsewhere.
    pub fn import(text: &str) -> Result<Self, BadKey> {
        if !(SHORTEST_IMPORTED..=LONGEST).contains(&text.len()) {
            return Err(BadKey::Length);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadKey::Characters);
        }
        if text.starts_with(PREFIX) && !has_valid_checksum(text) {
            return Err(BadKey::Checksum);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.as_bytes())
    }

    /// What may be shown of the key: never more than a quarter of an imported one.
    pub fn prefix(&self) -> &str {
        let shown = if self.0.starts_with(PREFIX) {
            prefix(Environment::of(&self.0)).len() + SHOWN_DIGITS
        } else {
            (self.0.len() / 4).min(8)
        };
        &self.0[..shown]
    }

    /// The key itself, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", self.prefix())
    }
}

/// Whether a credential was made as a key here, whatever became of it since.
pub fn is_key_shaped(credential: &[u8]) -> bool {
    let text = std::str::from_utf8(credential);
    text.is_ok_and(|text| text.starts_with(PREFIX) && has_valid_checksum(text))
}

fn has_valid_checksum(text: &str) -> bool {
    text.len() == prefix(Environment::of(text)).len() + DIGITS && text.is_ascii() && {
        let (body, given) = text.split_at(text.len() - CHECKSUM_DIGITS);
        checksum(body) == given
    }
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

/// Long division of the 256-bit number by 62, least significant digit first, written in fixed width.
fn push_base62(text: &mut String, bits: [u8; 32]) {
    let mut number = bits;
    let mut digits = [0u8; SECRET_DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u16;
        for byte in &mut number {
            let value = (remainder << 8) | u16::from(*byte);
            *byte = (value / 62).to_le_bytes()[0];
            remainder = value % 62;
        }
        *digit = ALPHABET[usize::from(remainder)];
    }
    text.extend(digits.iter().map(|&digit| char::from(digit)));
}

/// SHA-256 of a key or token: what is stored and looked up. A key has 256 random bits, so a plain hash
/// cannot be reversed by guessing, and comparing hashes leaks nothing of the key by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits")]
pub struct NotAHash;

impl KeyHash {
    pub fn of(credential: &[u8]) -> Self {
        Self(Sha256::digest(credential).into())
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn from_hex(text: &str) -> Result<Self, NotAHash> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(NotAHash);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble =
                |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = nibble(pair[0]).ok_or(NotAHash)? << 4 | nibble(pair[1]).ok_or(NotAHash)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl de::Visitor<'_> for Bytes {
            type Value = KeyHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<KeyHash, E> {
                bytes.try_into().map(KeyHash).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, ..] = self.0;
        write!(f, "KeyHash({a:02x}{b:02x}{c:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_environment() -> impl Strategy<Value = Option<Environment>> {
        prop_oneof![Just(None), Just(Some(Environment::Live)), Just(Some(Environment::Test))]
    }

    proptest! {
        #[test]
        fn a_generated_key_has_its_shape_and_can_be_imported(bits: [u8; 32], environment in any_environment()) {
            let key = ApiKey::from_random(bits, environment);
            let digits = key.reveal().strip_prefix(prefix(environment)).unwrap();
            prop_assert_eq!(digits.len(), DIGITS);
            prop_assert!(digits.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            prop_assert_eq!(Environment::of(key.prefix()), environment);
            prop_assert_eq!(ApiKey::import(key.reveal()).unwrap(), key);
        }

        #[test]
        fn one_wrong_character_is_noticed(
            bits: [u8; 32], environment in any_environment(), at in 0..DIGITS,
        ) {
            let key = ApiKey::from_random(bits, environment);
            let mut text = key.reveal().to_owned().into_bytes();
            let at = prefix(environment).len() + at;
            text[at] = if text[at] == b'x' { b'y' } else { b'x' };
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(ApiKey::import(&text), Err(BadKey::Checksum));
        }

        #[test]
        fn a_key_of_one_environment_is_none_of_another(bits: [u8; 32]) {
            let live = ApiKey::from_random(bits, Some(Environment::Live));
            let passed_off = live.reveal().replace("live", "test");
            prop_assert_eq!(ApiKey::import(&passed_off), Err(BadKey::Checksum));
        }

        #[test]
        fn different_bits_make_different_keys(a: [u8; 32], b: [u8; 32]) {
            prop_assume!(a != b);
            prop_assert_ne!(ApiKey::from_random(a, None), ApiKey::from_random(b, None));
        }
    }

    #[test]
    fn imported_keys_are_checked() {
        assert!(ApiKey::import("secret_key_12345").is_ok());
        assert_eq!(ApiKey::import("short"), Err(BadKey::Length));
        assert_eq!(ApiKey::import("has a space in it"), Err(BadKey::Characters));
    }

    #[test]
    fn debug_shows_no_more_than_the_prefix() {
        let key = ApiKey::import("secret_key_12345").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(secr…)");
        assert_eq!(format!("{:?}", key.hash()).len(), "KeyHash(123456…)".len());
    }

    #[test]
    fn the_hash_is_sha_256() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of(b"abc"), KeyHash::from_hex(hex).unwrap());
        assert_eq!(KeyHash::from_hex("zz"), Err(NotAHash));
    }
}
