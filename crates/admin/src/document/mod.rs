//! Declarative documents: what an operator keeps in a file, applied all at once or not at all.

mod apply;
mod changes;
mod check;
mod consumers;
mod entry;
mod key_sets;
mod keys;
mod passwords;
mod routes;
mod tenancy;
mod users;
mod validity;

use serde::{Deserialize, Serialize};
use tollgate_core::Problems;
use tollgate_core::resource::{ConsumerDraft, PlanDraft, RouteDraft, ServiceDraft, TenantDraft, UserDraft};
use utoipa::ToSchema;

use crate::control_plane::ControlPlane;
use crate::edit::EditError;
use crate::principal::Principal;

pub use changes::{Changed, Changes};
pub use entry::{Beside, Entry, InTenant, KeyEntry, KeyMaterial, TenantName};

/// Everything that a file may name. An entry's `tenant` may be left out where the file lists exactly one tenant.
//
// Of an alias, the macro sees the parameters that are written alone: the schemas are of what it stands for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "tenants": [{ "slug": "acme", "name": "Acme Corp" }],
    "plans": [{ "slug": "basic", "limits": [{ "requests": 60, "per": "minute" }] }],
    "services": [{ "slug": "orders", "url": "https://orders-1.example" }],
    "keys": [{ "name": "imported", "plan": "basic", "key": "a-key-that-exists-already" }],
})))]
#[serde(deny_unknown_fields, default)]
pub struct Document {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantDraft>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Entry<TenantName, PlanDraft>>)]
    pub plans: Vec<InTenant<PlanDraft>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Entry<TenantName, ServiceDraft>>)]
    pub services: Vec<InTenant<ServiceDraft>>,
    /// Matched by tenant and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Entry<TenantName, RouteDraft>>)]
    pub routes: Vec<InTenant<RouteDraft>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Entry<TenantName, ConsumerDraft>>)]
    pub consumers: Vec<InTenant<ConsumerDraft>>,
    /// Matched by tenant and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyEntry>,
    /// A user without `tenant` is a platform administrator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserDraft>,
}

/// What applying a document did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Applied {
    /// The revision in force afterwards; the one before where nothing that the proxy runs was changed.
    pub revision: u64,
    pub tenants: Tally,
    pub plans: Tally,
    pub services: Tally,
    pub routes: Tally,
    pub consumers: Tally,
    pub keys: Tally,
    pub users: Tally,
    /// The first 1,000 entries that are updated, and what changes in each.
    #[schema(value_type = Vec<Changed>)]
    pub changes: Changes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tally {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Nothing was changed; each problem names its entry, such as `services[2].targets[0].url`.
    #[error("{0}")]
    Refused(Problems),
    #[error(transparent)]
    Failed(ApplyFailed),
}

/// The database or the system failed, or the author tried too often; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ApplyFailed(pub(crate) EditError);

impl From<EditError> for ApplyError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Refused(problems) => Self::Refused(problems),
            EditError::Store(_)
            | EditError::OutOfStep
            | EditError::NoRandomness(_)
            | EditError::Hashing(_)
            | EditError::SessionOver
            | EditError::Guessing(_)
            | EditError::TooManyDemands(_) => Self::Failed(ApplyFailed(error)),
        }
    }
}

pub(crate) async fn apply(
    plane: &ControlPlane,
    principal: &Principal,
    document: &Document,
) -> Result<Applied, ApplyError> {
    let (edit, applied) = apply::run(plane, principal, document).await?;
    edit.commit().await?;
    Ok(applied)
}

pub(crate) async fn validate(
    plane: &ControlPlane,
    principal: &Principal,
    document: &Document,
) -> Result<Applied, ApplyError> {
    // Dropping the edit takes everything back.
    let (_, applied) = apply::run(plane, principal, document).await?;
    Ok(applied)
}
