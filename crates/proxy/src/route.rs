//! Which service a request is for: a route says it, or else the path itself.

use std::net::IpAddr;

use tollgate_core::credential::KeyHash;
use tollgate_core::resource::Route;
use tollgate_core::routing::{
    Asked, HostBuffer, Hosts, Matched, Selection, Sticky, first_segment, read_host, stable_hash,
};
use tollgate_core::snapshot::{Service, Snapshot, Tenant};
use tollgate_http1::{FieldId, Fields};

use crate::authenticate;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::worker::Worker;

/// A request that has a service.
#[derive(Clone, Copy)]
pub(crate) struct Selected<'s, 'r> {
    pub tenant: &'s Tenant,
    pub service: &'s Service,
    /// `None` where the path names the service.
    pub route: Option<&'s Route>,
    /// The path that the target sees, and that rules of services and scopes of keys are about: empty or starting with
    /// a slash.
    pub rest: &'r str,
}

impl<'s, 'r> Selected<'s, 'r> {
    /// The same as it is in a later snapshot; `None` where the service is gone. The route is what it was: the request has been found to be for it.
    pub fn renewed<'n>(&self, snapshot: &'n Snapshot) -> Option<Selected<'n, 'r>>
    where
        's: 'n,
    {
        let tenant = snapshot.tenant_by_id(self.tenant.id)?;
        let service = tenant.service_by_id(self.service.id)?;
        Some(Selected { tenant, service, route: self.route, rest: self.rest })
    }
}

/// What selecting asks of the request and of the worker.
pub(crate) struct Selecting<'a, 's, 'r> {
    pub worker: &'a Worker,
    pub snapshot: &'s Snapshot,
    pub request: &'a Request<'r>,
    pub client: IpAddr,
}

impl Asked for Request<'_> {
    fn method(&self) -> &[u8] {
        self.head.method_name()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.fields.find(name.as_bytes())
    }

    fn query(&self) -> &[u8] {
        self.query
    }
}

impl<'s, 'r> Selecting<'_, 's, 'r> {
    /// `rewritten` holds the path where a route makes another of it.
    pub fn select(&self, rewritten: &'r mut String) -> Result<Selected<'s, 'r>, Rejection> {
        let (snapshot, path) = (self.snapshot, self.request.path);
        if let Some(hosts) = snapshot.hosts()
            && let Some(matched) = self.by_host(hosts)?
        {
            let tenant = snapshot.tenant_by_id(matched.route.tenant).ok_or(Rejection::NoSuchService)?;
            return self.routed(tenant, &matched, path.as_str(), rewritten);
        }
        let (first, within) = first_segment(path.as_str()).ok_or(Rejection::NoSuchService)?;
        let tenant = snapshot.tenant(first).ok_or_else(|| absent(snapshot))?;
        if let Some(routes) = tenant.routes_within()
            && let Some(matched) = taken(routes.select(within, self.request))?
        {
            return self.routed(tenant, &matched, within, rewritten);
        }
        let (second, rest) = first_segment(within).ok_or(Rejection::NoSuchService)?;
        let service = tenant.service(second).ok_or(Rejection::NoSuchService)?;
        service.fetch_ahead();
        Ok(Selected { tenant, service, route: None, rest })
    }

    fn by_host(&self, hosts: &'s Hosts) -> Result<Option<Matched<'s>>, Rejection> {
        let mut buffer: HostBuffer = [0; _];
        let host = self.request.authority.and_then(|authority| read_host(authority, &mut buffer));
        let Some(host) = host else { return Ok(None) };
        taken(hosts.select(host, self.request.path.as_str(), self.request))
    }

    fn routed(
        &self,
        tenant: &'s Tenant,
        matched: &Matched<'s>,
        path: &'r str,
        rewritten: &'r mut String,
    ) -> Result<Selected<'s, 'r>, Rejection> {
        let route = matched.route;
        let service = route.split.only().or_else(|| route.split.pick(self.point(tenant, route)));
        let service = service.and_then(|id| tenant.service_by_id(id)).ok_or(Rejection::NoSuchService)?;
        let rest = route.rules.path_change.apply(matched, path, rewritten);
        let rest =
            rest.map_err(|_| Rejection::Malformed("the path means something else once it is rewritten"))?;
        Ok(Selected { tenant, service, route: Some(route), rest })
    }

    /// Where the request falls among the shares of a route's services: the same for all that have in common what the route
    /// says, random where it says nothing or the request has none of it.
    fn point(&self, tenant: &Tenant, route: &Route) -> u64 {
        let fields = &self.request.head.fields;
        let common = match &route.split.sticky {
            None => None,
            Some(Sticky::Key) => self.credential(tenant, route),
            Some(Sticky::ClientIp) => Some(of_address(self.client)),
            Some(Sticky::Header(name)) => fields.find(name.as_str().as_bytes()).map(stable_hash),
            Some(Sticky::Cookie(name)) => cookie(fields, name.as_bytes()).map(stable_hash),
        };
        common.unwrap_or_else(|| self.worker.random())
    }

    /// A key stays the same when it is rotated; whether it is good for anything is asked later.
    fn credential(&self, tenant: &Tenant, route: &Route) -> Option<u64> {
        let services = route.split.shares.iter().filter_map(|(id, _)| tenant.service_by_id(*id));
        let mut credentials = services.filter_map(|service| {
            authenticate::credential(&self.request.head.fields, service.auth_header().as_str().as_bytes())
        });
        let hash = KeyHash::of(credentials.next()?);
        Some(match self.snapshot.key(&hash) {
            Some(key) => stable_hash(key.id.0.as_bytes()),
            None => stable_hash(hash.as_bytes()),
        })
    }
}

fn taken(selection: Selection<'_>) -> Result<Option<Matched<'_>>, Rejection> {
    match selection {
        Selection::Route(matched) => Ok(Some(matched)),
        Selection::OtherMethods(allowed) => Err(Rejection::MethodNotAllowed(allowed.into())),
        Selection::Nothing => Ok(None),
    }
}

/// As limits tell addresses apart: IPv4 whole, IPv6 by its first 64 bits.
fn of_address(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => stable_hash(&address.octets()),
        IpAddr::V6(address) => stable_hash(&address.octets()[..8]),
    }
}

/// RFC 6265 section 4.2.1.
fn cookie<'f>(fields: &'f Fields, name: &[u8]) -> Option<&'f [u8]> {
    let pairs = fields.all(FieldId::Cookie).flat_map(|line| line.split(|&byte| byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = memchr::memchr(b'=', pair)?;
        (&pair[..equals] == name).then(|| &pair[equals + 1..])
    });
    values.next()
}

/// A node that has heard nothing yet cannot say what there is.
const fn absent(snapshot: &Snapshot) -> Rejection {
    if snapshot.revision() == 0 { Rejection::NotStarted } else { Rejection::NoSuchService }
}
