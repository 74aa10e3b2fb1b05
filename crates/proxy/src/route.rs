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
use crate::identity::Origin;
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
    pub origin: &'a Origin<'a>,
}

impl Asked for Selecting<'_, '_, '_> {
    fn method(&self) -> &[u8] {
        self.request.head.method_name()
    }

    /// As the upstream may get it: what only a proxy can know is a trusted one's to say.
    fn header(&self, name: &str) -> Option<&[u8]> {
        let name = name.as_bytes();
        self.request.head.fields.find(name).filter(|_| self.origin.may_say(name))
    }

    fn query(&self) -> &[u8] {
        self.request.query
    }
}

impl<'s, 'r> Selecting<'_, 's, 'r> {
    /// `rewritten` holds the path where a route makes another of it.
    pub fn select(&self, rewritten: &'r mut String) -> Result<Selected<'s, 'r>, Rejection> {
        let (snapshot, path) = (self.snapshot, self.request.path);
        let by_host = snapshot.hosts().map_or(Selection::Nothing, |hosts| self.by_host(hosts));
        if let Selection::Route(matched) = &by_host {
            let tenant = snapshot.tenant_by_id(matched.route.tenant).ok_or(Rejection::NoSuchService)?;
            return self.routed(tenant, matched, path.as_str(), rewritten);
        }
        let named = self.named_tenant();
        let within_tenant = match &named {
            Ok((tenant, within)) => {
                tenant.routes_within().map_or(Selection::Nothing, |routes| routes.select(within, self))
            }
            Err(_) => Selection::Nothing,
        };
        if let (Ok((tenant, within)), Selection::Route(matched)) = (&named, &within_tenant) {
            return self.routed(tenant, matched, within, rewritten);
        }
        refuse_other_methods(by_host)?;
        refuse_other_methods(within_tenant)?;
        let (tenant, within) = named?;
        let (second, rest) = first_segment(within).ok_or(Rejection::NoSuchService)?;
        let service = tenant.service(second).ok_or(Rejection::NoSuchService)?;
        service.fetch_ahead();
        Ok(Selected { tenant, service, route: None, rest })
    }

    fn by_host(&self, hosts: &'s Hosts) -> Selection<'s> {
        let mut buffer: HostBuffer = [0; _];
        let host = self.request.authority.and_then(|authority| read_host(authority, &mut buffer));
        host.map_or(Selection::Nothing, |host| hosts.select(host, self.request.path.as_str(), self))
    }

    /// The tenant that the path names, and what follows it.
    fn named_tenant(&self) -> Result<(&'s Tenant, &'r str), Rejection> {
        let (first, within) = first_segment(self.request.path.as_str()).ok_or(Rejection::NoSuchService)?;
        let tenant = self.snapshot.tenant(first).ok_or_else(|| absent(self.snapshot))?;
        Ok((tenant, within))
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
            Some(Sticky::ClientIp) => Some(of_address(self.origin.client)),
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

/// Where all that is missing is the method.
fn refuse_other_methods(selection: Selection<'_>) -> Result<(), Rejection> {
    match selection {
        Selection::OtherMethods(allowed) => Err(Rejection::MethodNotAllowed(allowed.into())),
        Selection::Route(_) | Selection::Nothing => Ok(()),
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
