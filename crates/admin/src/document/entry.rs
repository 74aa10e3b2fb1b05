//! Entries of a document: a resource's draft with a few fields beside it, on one level of the file.
//!
//! Serde's own `flatten` cannot refuse unknown fields and loses the path of a wrong one, so entries take their
//! own fields out of the map and leave the rest to the draft, which refuses what it does not know.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tollgate_core::resource::KeyDraft;
use utoipa::ToSchema;

/// A draft and its tenant.
pub type InTenant<D> = Entry<TenantName, D>;
/// A key's draft, its tenant, and its value.
pub type KeyEntry = Entry<KeyMaterial, KeyDraft>;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Entry<B, D> {
    #[serde(flatten)]
    pub beside: B,
    #[serde(flatten)]
    pub draft: D,
}

#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct TenantName {
    /// Slug of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// Exactly one of `key` and `key_hash` is given.
#[derive(Clone, Default, Serialize, ToSchema)]
pub struct KeyMaterial {
    /// Slug of the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The key itself: 16 to 256 visible characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// SHA-256 of the key, as 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_hash: Option<String>,
    /// What is shown of a key that is given by its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The fields of an entry that are not its draft's.
pub trait Beside: Default {
    /// The field of this name, unless it is the draft's.
    fn field(&mut self, name: &str) -> Option<&mut Option<String>>;
}

impl Beside for TenantName {
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "tenant" => Some(&mut self.tenant),
            _ => None,
        }
    }
}

impl Beside for KeyMaterial {
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "tenant" => Some(&mut self.tenant),
            "key" => Some(&mut self.key),
            "key_hash" => Some(&mut self.key_hash),
            "prefix" => Some(&mut self.prefix),
            _ => None,
        }
    }
}

impl<'de, B: Beside, D: DeserializeOwned> Deserialize<'de> for Entry<B, D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        deserializer.deserialize_map(EntryVisitor(PhantomData))
    }
}

struct EntryVisitor<B, D>(PhantomData<(B, D)>);

impl<'de, B: Beside, D: DeserializeOwned> Visitor<'de> for EntryVisitor<B, D> {
    type Value = Entry<B, D>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        let mut beside = B::default();
        let rest = Rest { map, beside: &mut beside };
        let draft = D::deserialize(MapAccessDeserializer::new(rest))?;
        Ok(Entry { beside, draft })
    }
}

/// A map without the fields that are not the draft's.
struct Rest<'b, M, B> {
    map: M,
    beside: &'b mut B,
}

impl<'de, M: MapAccess<'de>, B: Beside> MapAccess<'de> for Rest<'_, M, B> {
    type Error = M::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, M::Error> {
        while let Some(name) = self.map.next_key::<String>()? {
            let Some(field) = self.beside.field(&name) else {
                return seed.deserialize(name.into_deserializer()).map(Some);
            };
            if field.is_some() {
                return Err(M::Error::custom(format_args!("duplicate field `{name}`")));
            }
            *field = self.map.next_value()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, M::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::resource::PlanDraft;

    use super::*;

    fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
        let deserializer = &mut serde_json::Deserializer::from_str(json);
        serde_path_to_error::deserialize(deserializer).map_err(|error| error.to_string())
    }

    #[test]
    fn the_fields_of_entry_and_draft_stand_on_one_level() {
        let entry: InTenant<PlanDraft> = parse(r#"{"slug":"basic","tenant":"acme","limits":[]}"#).unwrap();
        assert_eq!(entry.beside.tenant.as_deref(), Some("acme"));
        assert_eq!(entry.draft.slug, "basic");
        assert_eq!(serde_json::to_string(&entry).unwrap(), r#"{"tenant":"acme","slug":"basic","limits":[]}"#);
    }

    #[test]
    fn unknown_and_wrong_fields_are_refused_with_their_path() {
        let error =
            parse::<Vec<InTenant<PlanDraft>>>(r#"[{"slug":"a"},{"slug":"b","colour":1}]"#).unwrap_err();
        assert!(error.starts_with("[1]") && error.contains("unknown field `colour`"), "{error}");
        let error = parse::<Vec<InTenant<PlanDraft>>>(r#"[{"slug":"a","limits":[{"requests":"x"}]}]"#);
        assert!(error.clone().unwrap_err().starts_with("[0].limits[0].requests"), "{error:?}");
        let error = parse::<Vec<InTenant<PlanDraft>>>(r#"[{"slug":"a","tenant":7}]"#).unwrap_err();
        assert!(error.starts_with("[0].tenant"), "{error}");
    }

    #[test]
    fn debug_shows_no_key() {
        let entry: KeyEntry = parse(r#"{"name":"n","key":"secret_key_12345"}"#).unwrap();
        assert!(!format!("{entry:?}").contains("secret_key"));
    }
}
