//! Which service a request is for.

use tollgate_core::snapshot::{Service, Snapshot, Tenant};

use crate::rejection::Rejection;
use crate::request::Request;

/// A request that has a service.
#[derive(Clone, Copy)]
pub(crate) struct Selected<'s, 'r> {
    pub tenant: &'s Tenant,
    pub service: &'s Service,
    /// The part of the path that the target sees: empty or starting with a slash.
    pub rest: &'r str,
}

pub(crate) fn select<'s, 'r>(
    snapshot: &'s Snapshot,
    request: &Request<'r>,
) -> Result<Selected<'s, 'r>, Rejection> {
    let path = request.path.service_path().ok_or(Rejection::NoSuchService)?;
    let tenant = snapshot.tenant(path.tenant).ok_or_else(|| absent(snapshot))?;
    let service = tenant.service(path.service).ok_or(Rejection::NoSuchService)?;
    service.fetch_ahead();
    Ok(Selected { tenant, service, rest: path.rest })
}

/// A node that has heard nothing yet cannot say what there is.
const fn absent(snapshot: &Snapshot) -> Rejection {
    if snapshot.revision() == 0 { Rejection::NotStarted } else { Rejection::NoSuchService }
}
