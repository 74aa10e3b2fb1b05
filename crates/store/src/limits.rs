//! Limits as columns: JSON, as they are written through the API, and parsed again on the way out.

use serde::Serialize;
use tollgate_core::resource::{Limit, LimitDraft, ServiceLimits, ServiceLimitsDraft};

use crate::error::StoreError;

pub(crate) fn limits_json(table: &'static str, limits: &[Limit]) -> Result<String, StoreError> {
    json(table, &limits.iter().map(LimitDraft::from).collect::<Vec<_>>())
}

pub(crate) fn parse_limits(json: &str) -> Result<Vec<Limit>, String> {
    let drafts: Vec<LimitDraft> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    drafts.iter().map(|draft| draft.parse().map_err(|problems| problems.to_string())).collect()
}

pub(crate) fn service_limits_json(limits: &ServiceLimits) -> Result<String, StoreError> {
    json("services", &ServiceLimitsDraft::from(limits))
}

pub(crate) fn parse_service_limits(json: &str) -> Result<ServiceLimits, String> {
    let draft: ServiceLimitsDraft = serde_json::from_str(json).map_err(|error| error.to_string())?;
    draft.parse().map_err(|problems| problems.to_string())
}

fn json(table: &'static str, drafts: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(drafts).map_err(|error| StoreError::Corrupt { table, problem: error.to_string() })
}
