//! The keys of a document: there may be a million, so they are looked up and written in batches.

use std::collections::{HashMap, HashSet};

use tollgate_core::Problems;
use tollgate_core::credential::{ApiKey, KeyHash};
use tollgate_core::resource::{Key, KeyId, KeySpec, TenantId};
use tollgate_store::{KeyRecord, Stored};

use super::apply::Applying;
use super::{KeyEntry, KeyMaterial};
use crate::api::KeyView;
use crate::clock;
use crate::edit::{EditError, KeyValue};
use crate::throttle;

const BATCH: usize = 500;
const LONGEST_PREFIX: usize = 16;

/// A key's value as a document gives it.
pub(super) struct GivenValue {
    pub(super) hash: KeyHash,
    /// That it was given in.
    pub(super) field: &'static str,
    /// `None` where the key is given by its hash alone.
    prefix: Option<Box<str>>,
}

/// An entry that parses, its tenant known.
struct Parsed {
    index: usize,
    tenant: TenantId,
    spec: KeySpec,
    value: GivenValue,
}

/// Keys of the names of one batch, as they are.
type Held = HashMap<(TenantId, String), Vec<Stored<KeyRecord>>>;

impl Applying<'_> {
    pub(super) async fn keys(&mut self) -> Result<(), EditError> {
        let mut written = HashSet::new();
        for (batch, entries) in self.document.keys.chunks(BATCH).enumerate() {
            let mut parsed = Vec::with_capacity(entries.len());
            for (offset, given) in entries.iter().enumerate() {
                parsed.extend(self.parse_key(batch * BATCH + offset, given).await?);
            }
            self.write_keys(parsed, &mut written).await?;
        }
        Ok(())
    }

    async fn parse_key(&mut self, index: usize, given: &KeyEntry) -> Result<Option<Parsed>, EditError> {
        let entry = entry(index);
        let tenant = self.tenant(&entry, given.beside.tenant.as_deref())?;
        let parsed = self.parse(tenant, &given.draft).await;
        let spec = self.found.check(&entry, parsed)?;
        let value = self.found.check_parsed(&entry, GivenValue::parse(&given.beside))?;
        let parsed = tenant.zip(spec).zip(value);
        Ok(parsed.map(|((tenant, spec), value)| Parsed { index, tenant, spec, value }))
    }

    async fn write_keys(
        &mut self,
        batch: Vec<Parsed>,
        written: &mut HashSet<KeyId>,
    ) -> Result<(), EditError> {
        let mut held = self.held(&batch).await?;
        let mut added: Vec<Key> = Vec::new();
        let mut added_names = HashSet::new();
        let mut added_hashes = HashSet::new();
        for Parsed { index, tenant, spec, value } in batch {
            let entry = entry(index);
            let name = (tenant, spec.name.as_str().to_owned());
            let mut keys = held.remove(&name).unwrap_or_default();
            let before = keys.pop();
            if !keys.is_empty() {
                self.found.add(format!("{entry}.name"), "is the name of several keys of this tenant")?;
                continue;
            }
            let held_key = before.as_ref().map(|before| &before.value.key);
            if held_key.is_some_and(|held| written.contains(&held.id)) || added_names.contains(&name) {
                self.found.add(format!("{entry}.name"), "is that of an earlier key already")?;
                continue;
            }
            self.count_guess(tenant, &value.hash)?;
            if added_hashes.contains(&value.hash) || self.is_another_keys(&value.hash, held_key) {
                self.found.add(format!("{entry}.{}", value.field), "is in use already")?;
                continue;
            }
            let value = value.beside(held_key);
            match before {
                None => {
                    let made = self.edit.new_key(&mut self.references, tenant, spec, value).await;
                    if let Some(key) = self.found.check(&entry, made)? {
                        added_names.insert(name);
                        added_hashes.insert(key.hash);
                        added.push(key);
                    }
                }
                Some(before) => {
                    let key = &before.value.key;
                    written.insert(key.id);
                    let unseen = (key.hash != value.hash).then_some("key");
                    let outcome = self.edit.replace_key(&mut self.references, key.clone(), spec, value).await;
                    let replaced = self.found.check(&entry, outcome)?;
                    self.applied.keys.count(replaced);
                    let (at, after) = ((&*entry, &key.name), self.edit.read().key(tenant, key.id));
                    self.applied.changes.note::<_, KeyView>(replaced, at, &before, after, unseen).await?;
                }
            }
        }
        for key in &added {
            self.applied.keys.created += 1;
            written.insert(key.id);
        }
        self.edit.insert_keys(added).await
    }

    async fn held(&mut self, batch: &[Parsed]) -> Result<Held, EditError> {
        let mut names: HashMap<TenantId, Vec<&str>> = HashMap::new();
        for parsed in batch {
            names.entry(parsed.tenant).or_default().push(parsed.spec.name.as_str());
        }
        let mut held = Held::new();
        for (tenant, names) in names {
            for stored in self.edit.read().keys_named(tenant, &names).await? {
                let name = (tenant, stored.value.key.name.as_str().to_owned());
                held.entry(name).or_default().push(stored);
            }
        }
        Ok(held)
    }

    /// Whoever is told that a key is another tenant's has found one: that counts like a failed attempt with it.
    fn count_guess(&self, tenant: TenantId, hash: &KeyHash) -> Result<(), EditError> {
        let holder = self.edit.snapshot().key(hash).map(tollgate_core::snapshot::Key::tenant);
        if self.principal.tenant().is_some() && holder.is_some_and(|holder| holder != tenant) {
            self.edit.throttle().fail(throttle::API_KEYS, self.principal.peer, clock::instant())?;
        }
        Ok(())
    }

    fn is_another_keys(&self, hash: &KeyHash, own: Option<&Key>) -> bool {
        let holder = self.edit.snapshot().key(hash).map(|held| held.id);
        holder.is_some_and(|holder| own.is_none_or(|own| own.id != holder))
    }
}

impl GivenValue {
    pub(super) fn parse(given: &KeyMaterial) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let value = match (&given.key, &given.key_hash) {
            (Some(key), None) => {
                if given.prefix.is_some() {
                    problems
                        .add("prefix", "goes with `key_hash` alone: the prefix of `key` is its beginning");
                }
                let key = problems.check("key", ApiKey::import(key));
                key.map(|key| Self { hash: key.hash(), field: "key", prefix: Some(key.prefix().into()) })
            }
            (None, Some(hash)) => {
                let hash = problems.check("key_hash", KeyHash::from_hex(hash));
                let prefix =
                    given.prefix.as_deref().and_then(|prefix| problems.check("prefix", parse_prefix(prefix)));
                hash.map(|hash| Self { hash, field: "key_hash", prefix })
            }
            (Some(_), Some(_)) | (None, None) => {
                problems.add("key", "give either `key` or `key_hash`");
                None
            }
        };
        problems.finish(value)
    }

    /// A prefix that is not given stays as it was; of a new hash, the hash's beginning is shown.
    fn beside(self, before: Option<&Key>) -> KeyValue {
        let kept = before.filter(|before| before.hash == self.hash).map(|before| before.prefix.clone());
        let prefix = self.prefix.or(kept).unwrap_or_else(|| {
            let [a, b, c, ..] = self.hash.as_bytes();
            format!("sha256:{a:02x}{b:02x}{c:02x}").into()
        });
        KeyValue { hash: self.hash, prefix }
    }
}

fn parse_prefix(text: &str) -> Result<Box<str>, &'static str> {
    let is_plain =
        (1..=LONGEST_PREFIX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(text.into()) } else { Err("must be 1 to 16 visible ASCII characters") }
}

fn entry(index: usize) -> String {
    format!("keys[{index}]")
}
