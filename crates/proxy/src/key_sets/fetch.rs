//! One key set, fetched.

use std::time::Duration;

use bytes::Buf;
use tollgate_core::resource::TenantId;
use tollgate_core::snapshot::KeySource;
use tollgate_core::token::{BadKeySet, KeySet};
use tollgate_http1::{BodyDecoder, Decoded, Method, response_body};

use crate::ask::{Answer, AskError, ask};
use crate::gateway::Gateway;

/// From the name's resolution to the last byte.
const WITHIN: Duration = Duration::from_secs(5);
const LONGEST_KEY_SET: usize = 256 * 1_024;

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("it took more than 5 seconds")]
    TooSlow,
    #[error("the answer has status {0}; redirects are not followed")]
    Status(u16),
    #[error("the answer is larger than {LONGEST_KEY_SET} bytes")]
    TooLarge,
    #[error(transparent)]
    NotKeys(#[from] BadKeySet),
}

/// The keys, and what the issuer answered. The tenant is whose look-up it is where the issuer's name
/// needs one.
pub(super) async fn fetch(
    gateway: &Gateway,
    source: &KeySource,
    tenant: TenantId,
) -> Result<(KeySet, Vec<u8>), FetchError> {
    let body = tokio::time::timeout(WITHIN, download(gateway, source, tenant)).await;
    let body = body.map_err(|_| FetchError::TooSlow)??;
    Ok((KeySet::parse(&body)?, body))
}

async fn download(gateway: &Gateway, source: &KeySource, tenant: TenantId) -> Result<Vec<u8>, FetchError> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json, application/jwk-set+json\r\n\
         User-Agent: tollgate\r\nConnection: close\r\n\r\n",
        source.target, source.authority
    );
    let answer = ask(gateway, &source.endpoint, &request, tenant, WITHIN).await?;
    if answer.head.status != 200 {
        return Err(FetchError::Status(answer.head.status));
    }
    read_body(answer).await
}

async fn read_body(mut answer: Answer) -> Result<Vec<u8>, FetchError> {
    let length =
        response_body(Method::Get, &answer.head).map_err(|_| AskError::Malformed("length of the body"))?;
    let mut decoder = BodyDecoder::new(length);
    let mut body = Vec::new();
    loop {
        match decoder.decode(&answer.input).map_err(|_| AskError::Malformed("body"))? {
            Decoded::Data { skip, len } => {
                if body.len() + len > LONGEST_KEY_SET {
                    return Err(FetchError::TooLarge);
                }
                body.extend_from_slice(&answer.input[skip..skip + len]);
                answer.input.advance(skip + len);
            }
            Decoded::NeedMore { consumed } => {
                answer.input.advance(consumed);
                if answer.read().await.map_err(AskError::from)? == 0 {
                    decoder.end_of_input().map_err(|_| AskError::Closed)?;
                    return Ok(body);
                }
            }
            Decoded::End { .. } => return Ok(body),
        }
    }
}
