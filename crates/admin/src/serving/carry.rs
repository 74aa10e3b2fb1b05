//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::ConnectionLimits;
use super::answer::Answer;
use super::body::TimedBody;
use super::phase::{Phase, Phases};
use super::watched::Watched;
use crate::connection::Connection;

/// What an answer that is given already may take on its way, once the server is to end.
const SENT_WITHIN: Duration = Duration::from_secs(5);
/// A request that has not arrived by then would hold up the end for as long as its client likes.
const LAST_BYTES_WITHIN: Duration = Duration::from_millis(500);

pub async fn carry<I>(
    io: I,
    peer: Connection,
    router: Router,
    phases: Phases,
    limits: ConnectionLimits,
    mut ending: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut phase = phases.subscribe();
    let router = TowerToHyperService::new(router);
    let io = TokioIo::new(Watched::new(io, phases.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        let body = |incoming| TimedBody::new(incoming, phases.clone(), limits.body_within);
        let mut request = request.map(body);
        request.extensions_mut().insert(ConnectInfo(peer));
        let (answering, phases) = (router.call(request), phases.clone());
        async move {
            let response = answering.await?;
            Ok::<Response<Answer>, Infallible>(response.map(|body| Answer::new(body, phases)))
        }
    });
    // The phases have the time limits: they tell a head from an idle connection.
    let carried = http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
    let mut carried = pin!(carried);
    let mut ends = pin!(async move {
        if ending.wait_for(|is_ending| *is_ending).await.is_err() {
            pending::<()>().await;
        }
    });
    loop {
        let stands = *phase.borrow_and_update();
        tokio::select! {
            ended = &mut carried => return say(peer, ended),
            () = &mut ends => break,
            _ = phase.changed() => {}
            () = overdue(stands, &limits) => return,
        }
    }
    carried.as_mut().graceful_shutdown();
    let stands = *phase.borrow_and_update();
    let within = match stands {
        Phase::Answering => return say(peer, carried.await),
        Phase::Sending(_) => SENT_WITHIN,
        Phase::Opened(_) | Phase::Head(_) | Phase::Body | Phase::Idle(_) => LAST_BYTES_WITHIN,
    };
    if let Ok(ended) = timeout(within, carried).await {
        say(peer, ended);
    }
}

async fn overdue(phase: Phase, limits: &ConnectionLimits) {
    match phase.deadline(limits) {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn say(peer: Connection, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(peer = %peer.peer, %error, "a connection broke off");
    }
}
