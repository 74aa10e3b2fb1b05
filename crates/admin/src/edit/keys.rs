//! API keys: made here, or brought along; rotated, revoked.

use std::time::Duration;

use tollgate_core::Problems;
use tollgate_core::credential::{ApiKey, Environment, KeyHash};
use tollgate_core::resource::{ConsumerId, Key, KeyId, KeySpec, PlanId, RetiredHash, ServiceId, TenantId};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, References, Replaced};
use crate::clock::{self, timestamp};

/// In their grace at a time. Each is looked up like a key, so that who rotates in a loop fills every node's memory.
const MOST_FORMER_VALUES: usize = 16;

/// What is kept of a key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub hash: KeyHash,
    pub prefix: Box<str>,
}

impl From<&ApiKey> for KeyValue {
    fn from(key: &ApiKey) -> Self {
        Self { hash: key.hash(), prefix: key.prefix().into() }
    }
}

/// What a key has that its author does not write.
struct Held {
    id: KeyId,
    tenant: TenantId,
    /// Where the author does not write when the subscription began.
    subscribed_at_secs: u64,
    retired: Vec<RetiredHash>,
}

/// What a key's names refer to.
struct Referred {
    plan: Option<PlanId>,
    consumer: Option<ConsumerId>,
    services: Option<Box<[ServiceId]>>,
}

impl Edit {
    /// A key that is not written yet; see [`Edit::insert_keys`].
    pub async fn new_key(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        spec: KeySpec,
        value: KeyValue,
    ) -> Result<Key, EditError> {
        let subscribed_at_secs = self.write.now_secs();
        let held = Held { id: KeyId(Uuid::now_v7()), tenant, subscribed_at_secs, retired: Vec::new() };
        self.compose(references, held, spec, value).await
    }

    pub async fn insert_keys(&mut self, keys: Vec<Key>) -> Result<(), EditError> {
        self.write.insert_keys(&keys).await?;
        let changes: Vec<Change> = keys.into_iter().map(|key| Change::PutKey { key, before: None }).collect();
        self.put(&changes)
    }

    /// Former values that a rotation left valid stay so.
    pub async fn replace_key(
        &mut self,
        references: &mut References,
        before: Key,
        spec: KeySpec,
        value: KeyValue,
    ) -> Result<Replaced, EditError> {
        // A former value that is the value again needs no grace.
        let retired = before.retired.iter().filter(|retired| retired.hash != value.hash).copied().collect();
        let Key { id, tenant, subscribed_at_secs, .. } = before;
        let held = Held { id, tenant, subscribed_at_secs, retired };
        let key = self.compose(references, held, spec, value).await?;
        if key == before {
            return Ok(Replaced::Unchanged);
        }
        self.update_key(before, key).await?;
        Ok(Replaced::Changed)
    }

    /// The key answers to its new value from now on, and to those before until their grace has run out.
    pub async fn rotate_key(
        &mut self,
        before: Key,
        value: KeyValue,
        grace: Duration,
    ) -> Result<(), EditError> {
        let now_secs = clock::now_secs();
        let mut retired = still_valid(&before.retired, now_secs);
        if !grace.is_zero() {
            if retired.len() >= MOST_FORMER_VALUES {
                let message = format!(
                    "must be \"0s\": {MOST_FORMER_VALUES} former values are in their grace already, the first until {}",
                    timestamp(first_lapse_secs(&retired))
                );
                return Err(Problems::one("grace", message).into());
            }
            let grace_secs = grace.as_millis().div_ceil(1_000);
            let grace_secs = u64::try_from(grace_secs).unwrap_or(u64::MAX);
            let valid_until_secs = now_secs.saturating_add(grace_secs);
            retired.push(RetiredHash { hash: before.hash, valid_until_secs });
        }
        let key = Key { hash: value.hash, prefix: value.prefix, retired, ..before.clone() };
        self.update_key(before, key).await
    }

    pub async fn delete_key(&mut self, key: Key) -> Result<(), EditError> {
        self.write.delete_key(key.id).await?;
        self.put(&[Change::DeleteKey(Box::new(key))])
    }

    /// Forgets former values whose grace has run out.
    pub async fn drop_lapsed_values(&mut self) -> Result<(), EditError> {
        let now_secs = clock::now_secs();
        for stored in self.read().keys_with_lapsed_values(now_secs).await? {
            let before = stored.value.key;
            self.write.forget_lapsed_values(before.id, now_secs).await?;
            let key = Key { retired: still_valid(&before.retired, now_secs), ..before.clone() };
            self.put(&[Change::PutKey { key, before: Some(Box::new(before)) }])?;
        }
        Ok(())
    }

    async fn update_key(&mut self, before: Key, key: Key) -> Result<(), EditError> {
        self.write.update_key(&before, &key).await?;
        self.put(&[Change::PutKey { key, before: Some(Box::new(before)) }])
    }

    async fn compose(
        &mut self,
        references: &mut References,
        held: Held,
        spec: KeySpec,
        value: KeyValue,
    ) -> Result<Key, EditError> {
        let Held { id, tenant, subscribed_at_secs, retired } = held;
        let Referred { plan, consumer, services } = self.referred(references, tenant, &spec).await?;
        if spec.environment.is_some_and(|environment| Environment::of(&value.prefix) != Some(environment)) {
            return Err(
                Problems::one("environment", "is not that of the key itself, which begins with it").into()
            );
        }
        Ok(Key {
            id,
            tenant,
            name: spec.name,
            hash: value.hash,
            prefix: value.prefix,
            plan,
            consumer,
            services,
            scope: spec.scope,
            limits: spec.limits,
            expires_at_secs: spec.expires_at_secs,
            subscribed_at_secs: spec.subscribed_at_secs.unwrap_or(subscribed_at_secs),
            retired,
        })
    }

    async fn referred(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        spec: &KeySpec,
    ) -> Result<Referred, EditError> {
        let mut problems = Problems::default();
        let mut referred = Referred { plan: None, consumer: None, services: None };
        if let Some(slug) = &spec.plan {
            referred.plan = problems.check("plan", self.plan_id(references, tenant, slug).await?);
        }
        if let Some(client_id) = &spec.consumer {
            let found = self.consumer_id(references, tenant, client_id).await?;
            referred.consumer = problems.check("consumer", found);
        }
        if let Some(slugs) = &spec.services {
            let mut services = Vec::with_capacity(slugs.len());
            for (index, slug) in slugs.iter().enumerate() {
                match self.service_id(references, tenant, slug).await? {
                    Ok(id) => services.push(id),
                    Err(missing) => problems.add(format!("services[{index}]"), missing),
                }
            }
            // A set: the order in which it was written says nothing.
            services.sort_unstable();
            services.dedup();
            referred.services = Some(services.into());
        }
        Ok(problems.finish(Some(referred))?)
    }
}

fn first_lapse_secs(retired: &[RetiredHash]) -> u64 {
    retired.iter().map(|retired| retired.valid_until_secs).min().unwrap_or_default()
}

fn still_valid(retired: &[RetiredHash], now_secs: u64) -> Vec<RetiredHash> {
    retired.iter().filter(|retired| retired.valid_until_secs > now_secs).copied().collect()
}
