//! What drafts name of their tenant's other resources: whether there is such a one is for others to say.

use super::{
    ClientId, ConsumerDraft, ConsumerSpec, KeyDraft, KeySpec, PlanSlug, RouteDraft, RouteSpec, ServiceSlug,
    key, route_draft,
};
use crate::Problems;

/// Another resource of the tenant, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Plan(PlanSlug),
    Consumer(ClientId),
    Service(ServiceSlug),
}

/// A draft that may name other resources.
pub trait Referring {
    type Spec;

    fn parse(&self) -> Result<Self::Spec, Problems>;

    /// Each name that is well written, and the field that it stands in, whatever else is wrong with the draft. Of a list
    /// that is too long, those that it may have.
    fn references(&self) -> impl Iterator<Item = (String, Reference)>;
}

impl Referring for ConsumerDraft {
    type Spec = ConsumerSpec;

    fn parse(&self) -> Result<ConsumerSpec, Problems> {
        self.parse()
    }

    fn references(&self) -> impl Iterator<Item = (String, Reference)> {
        plan(self.plan.as_deref())
    }
}

impl Referring for KeyDraft {
    type Spec = KeySpec;

    fn parse(&self) -> Result<KeySpec, Problems> {
        self.parse()
    }

    fn references(&self) -> impl Iterator<Item = (String, Reference)> {
        let consumer = self.consumer.as_deref().and_then(|text| ClientId::parse(text).ok());
        let services = self.services.iter().flatten().take(key::MOST_SERVICES).enumerate();
        plan(self.plan.as_deref())
            .chain(consumer.map(|client_id| ("consumer".to_owned(), Reference::Consumer(client_id))))
            .chain(services.filter_map(|(index, slug)| service(format!("services[{index}]"), slug)))
    }
}

impl Referring for RouteDraft {
    type Spec = RouteSpec;

    fn parse(&self) -> Result<RouteSpec, Problems> {
        self.parse()
    }

    fn references(&self) -> impl Iterator<Item = (String, Reference)> {
        let one = self.service.iter().filter_map(|slug| service("service".to_owned(), slug));
        let several = self.services.iter().flatten().take(route_draft::MOST_SERVICES).enumerate();
        one.chain(
            several
                .filter_map(|(index, share)| service(format!("services[{index}].service"), &share.service)),
        )
    }
}

fn plan(text: Option<&str>) -> impl Iterator<Item = (String, Reference)> {
    let slug = text.and_then(|text| PlanSlug::parse(text).ok());
    slug.map(|slug| ("plan".to_owned(), Reference::Plan(slug))).into_iter()
}

fn service(field: String, text: &str) -> Option<(String, Reference)> {
    Some((field, Reference::Service(ServiceSlug::parse(text).ok()?)))
}
