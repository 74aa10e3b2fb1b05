//! A service: upstream targets behind one name, and how they are talked to.

use serde::{Deserialize, Serialize};

use super::jwt::JwtIssuer;
use super::traffic::Traffic;
use super::{
    BaseUrl, DisplayName, HeaderName, ServiceId, ServiceLimits, ServiceSlug, TargetId, TenantId, Timeouts,
};
use crate::address::Reach;
use crate::balance::Duty;
use crate::outlier::OutlierRules;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub id: ServiceId,
    pub tenant: TenantId,
    pub slug: ServiceSlug,
    pub name: DisplayName,
    pub auth_header: HeaderName,
    /// At least one.
    pub targets: Vec<Target>,
    pub timeouts: Timeouts,
    /// Largest request body that is passed on; the proxy's own limit where `None`.
    pub max_body_bytes: Option<u64>,
    /// Whose tokens it takes beside keys.
    pub jwt: Vec<JwtIssuer>,
    pub limits: ServiceLimits,
    pub traffic: Box<Traffic>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub id: TargetId,
    pub url: BaseUrl,
    pub weight: u32,
    pub duty: Duty,
    pub reach: Reach,
}

impl Service {
    /// How targets that fail are left out; not at all where there is nobody else.
    pub fn outlier_rules(&self) -> Option<OutlierRules> {
        self.traffic.outlier.or_usual(OutlierRules::DEFAULT).filter(|_| self.targets.len() > 1)
    }
}
