//! One message to one receiver.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tollgate_core::address::AllowList;
use tollgate_core::resource::Webhook;

use crate::outbound::{Answer, Outbound, OutboundError};

/// From the name's resolution to the head of the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// The rest of an answer is read for the receiver's sake, who may not expect to be cut off; nobody looks at it.
const REST_WITHIN: Duration = Duration::from_secs(2);
const MOST_ANSWER_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("it did not answer within 10 seconds")]
    TooSlow,
}

pub async fn post(
    tls: &TlsConnector,
    allowed: &AllowList,
    webhook: &Webhook,
    headers: &[(&str, String)],
    body: String,
) -> Result<StatusCode, PostError> {
    let mut request = Request::post(webhook.url.path()).header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(OutboundError::from)?;
    let outbound = Outbound { tls, allowed, place: webhook.url.place(), reach: webhook.reach };
    let Answer { status, rest, driver } =
        timeout(WITHIN, outbound.send(request)).await.map_err(|_| PostError::TooSlow)??;
    let _rest = timeout(REST_WITHIN, Limited::new(rest, MOST_ANSWER_BYTES).collect()).await;
    drop(driver);
    Ok(status)
}
