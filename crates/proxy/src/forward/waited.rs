//! A request that has waited, for its turn or for the counter store, goes on by what is in force then.

use tollgate_core::snapshot::Snapshot;

use super::queue::Waited;
use super::send::Forward;
use crate::authenticate::{self, Found};
use crate::permit;
use crate::rejection::Rejection;
use crate::route::Selected;
use crate::token::{self, Shown};

/// What was selected, as it is in a snapshot that may be a later one, where the caller may still make the request.
pub(super) async fn selected_now<'n>(
    forward: &Forward<'n, '_>,
    snapshot: &'n Snapshot,
    waited: Waited,
) -> Result<Selected<'n, 'n>, Rejection> {
    // A key or token may be over without an edit too, in a queue that lets requests wait for long.
    if waited == Waited::No && std::ptr::eq(snapshot, forward.snapshot) {
        return Ok(*forward.selected);
    }
    // Boxed, so that requests which do not wait carry no room for it.
    Box::pin(selected_again(forward, snapshot)).await
}

/// The credential is good, in the header that it was found in, and leads to whom the request was charged to; and what that may do is
/// enough.
async fn selected_again<'n>(
    forward: &Forward<'n, '_>,
    snapshot: &'n Snapshot,
) -> Result<Selected<'n, 'n>, Rejection> {
    let Forward { worker, admitted, origin, request, .. } = *forward;
    let (fields, client) = (&request.head.fields, origin.client);
    let selected = forward.selected.renewed(snapshot).ok_or(Rejection::NoSuchService)?;
    let now_secs = worker.clock.now().wall.secs();
    let found =
        authenticate::caller(snapshot, &selected, admitted.auth_header, fields, None, client, now_secs)?;
    let caller = match found {
        Found::Caller(caller) => caller,
        Found::Token(token) => {
            let received = forward.received.instant;
            let shown = Shown { token: &token, fields, received, now_secs };
            token::caller(worker, snapshot, &selected, shown).await?
        }
    };
    if !caller.is_the_same_as(&admitted.caller) {
        return Err(Rejection::ConsumerNotAllowed);
    }
    permit::request(&caller, &selected, request.head.method_name(), client)?;
    Ok(selected)
}
