//! Services, and the rule on what their targets may reach.

use tollgate_core::Problems;
use tollgate_core::address::{AddressRefused, AllowList, Reach};
use tollgate_core::resource::{
    JwtIssuer, JwtIssuerSpec, Service, ServiceDraft, ServiceId, ServiceSlug, ServiceSpec, Target, TargetId,
    TargetSpec, TenantId,
};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, References, Replaced};
use crate::control_plane::ControlPlane;
use crate::key_sets::NewKeySet;
use crate::principal::Principal;

/// A service as it is written, and how far its author's targets may reach.
pub struct WrittenService<'d> {
    /// Names the fields in problems.
    draft: &'d ServiceDraft,
    spec: ServiceSpec,
    reach: Reach,
}

impl<'d> WrittenService<'d> {
    pub fn parse(draft: &'d ServiceDraft, author: &Principal) -> Result<Self, Problems> {
        Ok(Self { draft, spec: draft.parse()?, reach: author.reach() })
    }

    pub const fn slug(&self) -> &ServiceSlug {
        &self.spec.slug
    }

    /// Where keys are to be fetched that were not fetched for the service before; none that the author may not name.
    pub fn new_key_sets(&self, plane: &ControlPlane, before: Option<&Service>) -> Vec<NewKeySet> {
        let held = before.map_or(&[][..], |before| &before.jwt);
        let issuers = self.spec.jwt.iter().enumerate();
        let new = issuers.filter(|(_, spec)| held.iter().all(|held| held.spec.jwks_url != spec.jwks_url));
        let permitted = new.filter(|(_, spec)| permit(spec, self.reach, &plane.0.allow_list).is_ok());
        permitted
            .map(|(index, spec)| NewKeySet {
                field: field_of_key_set(index),
                url: spec.jwks_url.clone(),
                reach: self.reach,
            })
            .collect()
    }
}

impl Edit {
    pub async fn create_service(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        written: WrittenService<'_>,
    ) -> Result<ServiceId, EditError> {
        let id = (ServiceId(Uuid::now_v7()), tenant);
        let service = self.service(references, id, None, written).await?;
        let id = service.id;
        self.check_slug(&service).await?;
        self.write.insert_service(&service).await?;
        self.put(&[Change::PutService(service)])?;
        Ok(id)
    }

    pub async fn replace_service(
        &mut self,
        references: &mut References,
        before: &Service,
        written: WrittenService<'_>,
    ) -> Result<Replaced, EditError> {
        let service = self.service(references, (before.id, before.tenant), Some(before), written).await?;
        if service == *before && service.auth_header.as_str() == before.auth_header.as_str() {
            return Ok(Replaced::Unchanged);
        }
        self.check_slug(&service).await?;
        self.write.update_service(&service).await?;
        self.put(&[Change::PutService(service)])?;
        Ok(Replaced::Changed)
    }

    pub async fn delete_service(&mut self, service: &Service) -> Result<(), EditError> {
        self.write.delete_service(service.id).await?;
        self.put(&[Change::DeleteService(service.tenant, service.id)])
    }

    /// Services are found by their ids as well: who names one may not mean another.
    async fn check_slug(&mut self, service: &Service) -> Result<(), EditError> {
        let Ok(id) = Uuid::try_parse(service.slug.as_str()) else { return Ok(()) };
        let other = self.read().service(service.tenant, ServiceId(id)).await?;
        match other.filter(|other| other.value.id != service.id) {
            Some(_) => Err(Problems::one("slug", "is the id of another service").into()),
            None => Ok(()),
        }
    }

    async fn service(
        &mut self,
        references: &mut References,
        (id, tenant): (ServiceId, TenantId),
        before: Option<&Service>,
        written: WrittenService<'_>,
    ) -> Result<Service, EditError> {
        let WrittenService { draft, spec, reach } = written;
        let mut problems = Problems::default();
        let mut targets = Vec::with_capacity(spec.targets.len());
        let (targets_before, issuers_before) =
            before.map_or((&[][..], &[][..]), |before| (&before.targets, &before.jwt));
        for (index, target) in spec.targets.into_iter().enumerate() {
            let target = self.target(target, targets_before, reach);
            targets.extend(problems.check(&field_of_target(draft, index), target));
        }
        let mut jwt = Vec::with_capacity(spec.jwt.len());
        for (index, issuer) in spec.jwt.into_iter().enumerate() {
            if issuer.issuer == self.plane.issuing.issuer {
                // Tollgate's own tokens would be looked for among the other's keys.
                problems.add(format!("jwt[{index}].issuer"), OWN_ISSUER);
            }
            for (value, plan) in issuer.plan_map.iter().flatten() {
                if let Err(missing) = self.plan_id(references, tenant, plan).await? {
                    problems.add(format!("jwt[{index}].plan_map.{value}"), missing);
                }
            }
            let issuer = self.issuer(issuer, issuers_before, reach);
            jwt.extend(problems.check(&field_of_key_set(index), issuer));
        }
        let service = Service {
            id,
            tenant,
            slug: spec.slug,
            name: spec.name,
            auth_header: spec.auth_header,
            targets,
            timeouts: spec.timeouts,
            max_body_bytes: spec.max_body_bytes,
            jwt,
            limits: spec.limits,
            traffic: spec.traffic,
        };
        Ok(problems.finish(Some(service))?)
    }

    /// Keys are fetched like targets are reached: the same addresses, and the same leave of an administrator's.
    fn issuer(
        &self,
        spec: JwtIssuerSpec,
        before: &[JwtIssuer],
        reach: Reach,
    ) -> Result<JwtIssuer, BadKeyUrl> {
        let held = before.iter().find(|held| held.spec.jwks_url == spec.jwks_url);
        let reach = farther(reach, held.map(|held| held.reach));
        permit(&spec, reach, self.allow_list())?;
        Ok(JwtIssuer { spec, reach })
    }

    /// A target that was there keeps its id, so that what the proxy knows of it stays, and the farther of its
    /// reach and the author's: a tenant's user may leave standing what an administrator allowed.
    fn target(&self, spec: TargetSpec, before: &[Target], reach: Reach) -> Result<Target, AddressRefused> {
        let held = before.iter().find(|held| held.url == spec.url);
        let reach = farther(reach, held.map(|held| held.reach));
        spec.url.permit(reach, self.allow_list())?;
        let id = held.map_or_else(|| TargetId(Uuid::now_v7()), |held| held.id);
        Ok(Target { id, url: spec.url, weight: spec.weight, duty: spec.duty, reach })
    }
}

const OWN_ISSUER: &str = "is what Tollgate calls itself in its own tokens, which every service takes: give it another name (`tokens.issuer`)";

#[derive(Debug, thiserror::Error)]
enum BadKeyUrl {
    #[error(transparent)]
    Address(#[from] AddressRefused),
    #[error("must start with https://, unless a platform administrator writes it")]
    InClear,
}

fn permit(spec: &JwtIssuerSpec, reach: Reach, allowed: &AllowList) -> Result<(), BadKeyUrl> {
    spec.jwks_url.place().permit(reach, allowed)?;
    if spec.is_fetched_in_clear() && reach == Reach::Public {
        return Err(BadKeyUrl::InClear);
    }
    Ok(())
}

fn field_of_key_set(index: usize) -> String {
    format!("jwt[{index}].jwks_url")
}

pub(super) fn farther(author: Reach, held: Option<Reach>) -> Reach {
    match (author, held) {
        (Reach::Private, _) | (Reach::Public, Some(Reach::Private)) => Reach::Private,
        (Reach::Public, Some(Reach::Public) | None) => Reach::Public,
    }
}

fn field_of_target(draft: &ServiceDraft, index: usize) -> String {
    if draft.url.is_some() { "url".to_owned() } else { format!("targets[{index}].url") }
}
