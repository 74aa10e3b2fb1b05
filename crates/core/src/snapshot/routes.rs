//! Routes in a snapshot: those with hosts in the index of all hosts, those without in their tenant's own trie.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Snapshot, Tenant};
use crate::problem::{Problem, Problems};
use crate::resource::{DisplayName, Route, RouteId, RouteState, TenantId, TenantSlug};
use crate::routing::{Admission, Conflict, Crowd, Crowding, HostPattern, Hosts, Key, MOST_AT_ONE_PATH, Trie};

/// A route that was accepted before and makes look-ups dearer than a new one may: it is in force all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdingRoute {
    pub tenant: TenantSlug,
    pub id: RouteId,
    pub name: DisplayName,
    /// What a new one would be told.
    pub problem: Problem,
}

/// How routes come into a snapshot.
pub(super) enum Admitted<'c> {
    /// Where there were these before.
    New(Former),
    /// Those that crowd are told.
    Accepted(&'c mut Vec<CrowdingRoute>),
}

/// The routes before some of them change together.
#[derive(Default)]
pub(super) struct Former {
    hosts: Option<Arc<Hosts>>,
    /// Of each tenant that changes some.
    within: HashMap<TenantId, Arc<Trie>>,
}

impl Snapshot {
    pub(super) fn former<'r>(&self, routes: impl Iterator<Item = &'r Route>) -> Former {
        let mut former = Former::default();
        for route in routes {
            if !route.rules.hosts.is_empty() {
                former.hosts.clone_from(&self.hosts);
            } else if let Some(tenant) = self.tenant_by_id(route.tenant) {
                former.within.extend(tenant.routes_within.clone().map(|routes| (route.tenant, routes)));
            }
        }
        former
    }

    /// The routes of all tenants that have hosts; `None` where there is none.
    pub fn hosts(&self) -> Option<&Hosts> {
        self.hosts.as_deref()
    }

    /// What keeps routes from being put into this snapshot together, each by its place.
    pub fn misfits(&self, routes: &[Route]) -> Vec<(usize, Problems)> {
        let mut candidate = self.clone();
        for route in routes {
            candidate.delete_route(route.tenant, route.id);
        }
        let mut admitted = Admitted::New(self.former(routes.iter()));
        let misfit = |(index, route): (usize, &Route)| {
            let mut problems = Problems::default();
            candidate.put_route(route, &mut admitted, &mut problems);
            (!problems.is_empty()).then_some((index, problems))
        };
        routes.iter().enumerate().filter_map(misfit).collect()
    }

    pub(super) fn put_route(&mut self, route: &Route, admitted: &mut Admitted<'_>, problems: &mut Problems) {
        let Some(tenant) = self.tenant_by_id(route.tenant) else {
            problems.add("tenant", "does not exist");
            return;
        };
        for (index, (service, _)) in route.split.shares.iter().enumerate() {
            if !tenant.has_service(*service) {
                problems.add(format!("services[{index}].service"), "does not exist");
            }
        }
        self.delete_route(route.tenant, route.id);
        let route = Arc::new(route.clone());
        if self.claim_hosts(&route, problems) == Claimed::Not {
            return;
        }
        let mut hosts = self.hosts.as_mut().map(Arc::make_mut);
        let tenant = self.tenant_slugs.get(&route.tenant).and_then(|slug| self.tenants.get_mut(slug));
        let Some(tenant) = tenant.map(Arc::make_mut) else { return };
        tenant.routes.insert(route.id, Arc::clone(&route));
        if route.rules.state == RouteState::Disabled {
            return;
        }
        for (path, template) in route.templates() {
            let mut outcomes = Vec::new();
            if route.rules.hosts.is_empty() {
                let routes = Arc::make_mut(tenant.routes_within.get_or_insert_default());
                let admission = admitted.within(route.tenant, template.key());
                outcomes.push(routes.insert(template.key(), &route, path, admission));
            }
            if let Some(hosts) = hosts.as_deref_mut() {
                let insert = |host| {
                    let admission = admitted.at_host(host, template.key());
                    hosts.insert(host, template.key(), &route, path, admission)
                };
                outcomes.extend(route.rules.hosts.iter().map(insert));
            }
            let field = || field_of_path(&route, path);
            match outcomes.into_iter().collect::<Result<Vec<_>, _>>() {
                Err(Conflict::Tie(other)) => problems.add(field(), tie(&route, &other)),
                Err(Conflict::Crowding(crowding)) => problems.add(field(), message(crowding)),
                Ok(crowdings) => {
                    if let Some(crowding) = crowdings.into_iter().flatten().next() {
                        let problem = Problem { field: field(), message: message(crowding) };
                        admitted.tell(&tenant.slug, &route, problem);
                    }
                }
            }
        }
    }

    pub(super) fn delete_route(&mut self, tenant: TenantId, id: RouteId) {
        let tenant = self.tenant_slugs.get(&tenant).and_then(|slug| self.tenants.get_mut(slug));
        let Some(tenant) = tenant.filter(|tenant| tenant.routes.contains_key(&id)) else { return };
        let tenant = Arc::make_mut(tenant);
        let Some(route) = tenant.routes.remove(&id) else { return };
        if route.rules.hosts.is_empty() {
            let Some(routes) = tenant.routes_within.as_mut().map(Arc::make_mut) else { return };
            for (_, template) in route.templates() {
                routes.remove(template.key(), id);
            }
            tenant.routes_within.take_if(|routes| routes.is_empty());
        } else {
            release_hosts(&mut self.hosts, &route);
        }
    }

    /// The routes of a tenant that goes.
    pub(super) fn delete_routes_of(&mut self, tenant: &Tenant) {
        for route in tenant.routes.values() {
            release_hosts(&mut self.hosts, route);
        }
    }

    /// Claims all hosts of a route, or none.
    fn claim_hosts(&mut self, route: &Route, problems: &mut Problems) -> Claimed {
        if route.rules.hosts.is_empty() {
            return Claimed::All;
        }
        let before = self.hosts.clone();
        let hosts = Arc::make_mut(self.hosts.get_or_insert_default());
        let mut claimed = Claimed::All;
        for (index, host) in route.rules.hosts.iter().enumerate() {
            if hosts.claim(host, route.tenant).is_err() {
                // Whose it is, and what there is, is nobody else's business.
                let message = "is not available: another tenant uses it, or one that overlaps";
                problems.add(format!("hosts[{index}]"), message);
                claimed = Claimed::Not;
            }
        }
        if claimed == Claimed::Not {
            self.hosts = before;
        }
        claimed
    }
}

impl Admitted<'_> {
    fn within(&self, tenant: TenantId, path: &Key) -> Admission {
        match self {
            Self::New(former) => {
                let routes = former.within.get(&tenant);
                Admission::New(routes.map_or(Crowd::default(), |routes| routes.crowd(path)))
            }
            Self::Accepted(_) => Admission::Accepted,
        }
    }

    fn at_host(&self, host: &HostPattern, path: &Key) -> Admission {
        match self {
            Self::New(former) => {
                let hosts = former.hosts.as_ref();
                Admission::New(hosts.map_or(Crowd::default(), |hosts| hosts.crowd(host, path)))
            }
            Self::Accepted(_) => Admission::Accepted,
        }
    }

    fn tell(&mut self, tenant: &TenantSlug, route: &Route, problem: Problem) {
        match self {
            // It makes no crowd larger, or it was refused.
            Self::New(_) => {}
            Self::Accepted(crowding) => crowding.push(CrowdingRoute {
                tenant: tenant.clone(),
                id: route.id,
                name: route.name.clone(),
                problem,
            }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    All,
    Not,
}

fn release_hosts(held: &mut Option<Arc<Hosts>>, route: &Route) {
    let Some(hosts) = held.as_mut().map(Arc::make_mut) else { return };
    for host in &route.rules.hosts {
        for (_, template) in route.templates() {
            hosts.remove(host, template.key(), route);
        }
        hosts.release(host);
    }
    held.take_if(|hosts| hosts.is_empty());
}

fn field_of_path(route: &Route, path: u8) -> String {
    if route.rules.paths.is_empty() { "paths".to_owned() } else { format!("paths[{path}]") }
}

fn tie(route: &Route, other: &Route) -> String {
    format!(
        "ties: the routes \"{}\" and \"{}\" could match one request, and neither their priority nor their conditions say \
         which is meant",
        route.name, other.name
    )
}

fn message(crowding: Crowding) -> String {
    match crowding {
        Crowding::TooManyOverlaps => {
            "overlaps with too many other paths: a look-up would have to try them all".to_owned()
        }
        Crowding::TooManyAtOnePath => {
            format!(
                "is the path of {MOST_AT_ONE_PATH} other routes already, and a look-up would have to try them all"
            )
        }
    }
}
