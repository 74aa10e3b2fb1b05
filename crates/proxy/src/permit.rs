//! What the caller's key may be used for: which services and routes, and from where.

use std::net::IpAddr;

use tollgate_core::snapshot::{KeyParticulars, Service};

use crate::caller::Caller;
use crate::rejection::Rejection;
use crate::route::Selected;

/// Whether the caller's key may be used for this request; another issuer's token is restricted to its service
/// already.
pub(crate) fn request(
    caller: &Caller<'_>,
    selected: &Selected<'_, '_>,
    method: &[u8],
    client: IpAddr,
) -> Result<(), Rejection> {
    let Some(particulars) = particulars(caller) else { return Ok(()) };
    service(caller, selected.service)?;
    permit_client(particulars, client)?;
    if particulars.permits_route(method, selected.rest) { Ok(()) } else { Err(Rejection::KeyNotForRoute) }
}

/// Whether the caller's key opens the service.
pub(crate) fn service(caller: &Caller<'_>, service: &Service) -> Result<(), Rejection> {
    match particulars(caller) {
        Some(particulars) if !particulars.permits_service(service.id) => Err(Rejection::KeyNotForService),
        Some(_) | None => Ok(()),
    }
}

/// Whether the caller's key may be used from where the client is, for a resource of the gateway itself.
pub(crate) fn here(caller: &Caller<'_>, client: IpAddr) -> Result<(), Rejection> {
    particulars(caller).map_or(Ok(()), |particulars| permit_client(particulars, client))
}

fn permit_client(particulars: &KeyParticulars, client: IpAddr) -> Result<(), Rejection> {
    if particulars.permits_client(client) { Ok(()) } else { Err(Rejection::KeyNotFromHere) }
}

fn particulars<'s>(caller: &Caller<'s>) -> Option<&'s KeyParticulars> {
    caller.key?.particulars()
}
