//! A request that has waited, for its turn or for the counter store, goes on by what is in force then.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tollgate_core::snapshot::Snapshot;

use super::queue::Waited;
use super::send::{Forward, Sides};
use crate::authenticate::{self, Found};
use crate::permit;
use crate::rejection::Rejection;
use crate::request::Request;
use crate::route::Selected;
use crate::token::{self, Shown};
use crate::worker::HeldSnapshot;

/// What was edited meanwhile holds for it too: a target that drains gets no new requests. `None` where there was no time for an
/// edit.
pub(super) fn edited(forward: &Forward<'_, '_>, waited: Waited) -> Option<Rc<HeldSnapshot>> {
    let has_waited = waited == Waited::Yes || forward.admitted_at != forward.received.instant;
    has_waited.then(|| forward.worker.snapshot())
}

/// What was selected, as it is in a snapshot that may be a later one, where the caller may still make the request. `None` where
/// the client has gone.
pub(super) async fn selected_now<'n>(
    forward: &Forward<'n, '_>,
    sides: &mut Sides<'_>,
    snapshot: &'n Snapshot,
    waited: Waited,
) -> Result<Option<Selected<'n, 'n>>, Rejection> {
    // A key or token may be over without an edit too, in a queue that lets requests wait for long.
    if waited == Waited::No && std::ptr::eq(snapshot, forward.snapshot) {
        return Ok(Some(*forward.selected));
    }
    // Boxed, so that requests which do not wait carry no room for it.
    Box::pin(selected_again(forward, sides, snapshot)).await
}

/// The credential is good, in the header that it was found in, and leads to whom the request was charged to; and what that may do is
/// enough.
async fn selected_again<'n>(
    forward: &Forward<'n, '_>,
    sides: &mut Sides<'_>,
    snapshot: &'n Snapshot,
) -> Result<Option<Selected<'n, 'n>>, Rejection> {
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
            let caller = token::caller(worker, snapshot, &selected, shown);
            match while_there(sides, request, caller).await {
                Some(caller) => caller?,
                None => return Ok(None),
            }
        }
    };
    if !caller.is_the_same_as(&admitted.caller) {
        return Err(Rejection::ConsumerNotAllowed);
    }
    permit::request(&caller, &selected, request.head.method_name(), client)?;
    Ok(Some(selected))
}

/// Keys of an issuer may be waited for with a place of the service's in hand, which is for those who are there. `None` where the
/// client has gone.
async fn while_there<T>(
    sides: &mut Sides<'_>,
    request: &Request<'_>,
    awaited: impl Future<Output = T>,
) -> Option<T> {
    let mut awaited = pin!(awaited);
    poll_fn(|cx| match awaited.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => sides.poll_gone(cx, request).map(|()| None),
    })
    .await
}
