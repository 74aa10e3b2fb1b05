//! The way to the control plane: HTTP/1.1, over TLS where its URL says so.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tollgate_core::resource::{BaseUrl, Host, Scheme};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a connection that fails to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Of a refusal; the rest is not read.
const MOST_REFUSAL_BYTES: usize = 64 << 10;

/// What a node presents. It has no `Display`, and its `Debug` shows nothing.
#[derive(Clone)]
pub struct NodeToken(String);

pub struct Link {
    control: BaseUrl,
    token: NodeToken,
    /// For `https`; each connection begins with what is there by then.
    tls: Arc<ArcSwap<ClientConfig>>,
}

/// A connection; it goes when this is dropped.
pub struct Connection<'l> {
    link: &'l Link,
    sender: SendRequest<Full<Bytes>>,
    /// Ends with the connection, and knows best why.
    driver: JoinHandle<hyper::Result<()>>,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the control plane cannot be reached: {0}")]
    Connect(#[source] io::Error),
    #[error("the control plane does not answer in time")]
    Timeout,
    #[error("the control plane's name is not one that a certificate can have")]
    ServerName,
    #[error("the connection to the control plane failed: {}", with_causes(.0))]
    Http(#[from] hyper::Error),
    #[error("the control plane refuses the node token (TOLLGATE_NODE_TOKEN): it is unknown or was revoked")]
    Token,
    /// Those that have a good one are never told so.
    #[error(
        "the control plane refuses the node token (TOLLGATE_NODE_TOKEN): it is unknown or was revoked, and was tried too \
         often: {detail}"
    )]
    TokenTooOften { detail: String },
    #[error("the control plane refuses ({status}): {detail}")]
    Refused { status: StatusCode, detail: String },
    #[error("a request to the control plane cannot be made: {0}")]
    Request(#[from] hyper::http::Error),
}

impl NodeToken {
    /// `None` where it could not be sent as it is.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for NodeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeToken(…)")
    }
}

impl Link {
    /// Does not connect yet.
    pub const fn new(control: BaseUrl, token: NodeToken, tls: Arc<ArcSwap<ClientConfig>>) -> Self {
        Self { control, token, tls }
    }

    pub const fn control(&self) -> &BaseUrl {
        &self.control
    }

    pub async fn open(&self) -> Result<Connection<'_>, LinkError> {
        timeout(CONNECT_TIMEOUT, self.connect()).await.map_err(|_| LinkError::Timeout)?
    }

    async fn connect(&self) -> Result<Connection<'_>, LinkError> {
        let port = self.control.port();
        let tcp = match self.control.host() {
            Host::Address(address) => TcpStream::connect((*address, port)).await,
            Host::Name(name) => TcpStream::connect((name.to_look_up(), port)).await,
        };
        let tcp = tcp.map_err(LinkError::Connect)?;
        // Reports are small, and waited for.
        tcp.set_nodelay(true).map_err(LinkError::Connect)?;
        match self.control.scheme() {
            Scheme::Http => self.handshake(tcp).await,
            Scheme::Https => {
                let name = match self.control.host() {
                    Host::Address(address) => ServerName::from(*address),
                    Host::Name(name) => ServerName::try_from(name.without_dot().to_owned())
                        .map_err(|_| LinkError::ServerName)?,
                };
                let tls = TlsConnector::from(self.tls.load_full());
                self.handshake(tls.connect(name, tcp).await.map_err(LinkError::Connect)?).await
            }
        }
    }

    async fn handshake<S>(&self, stream: S) -> Result<Connection<'_>, LinkError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        Ok(Connection { link: self, sender, driver })
    }
}

impl Connection<'_> {
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// The head of a good answer; its body is still coming.
    pub async fn get(&mut self, path: &str) -> Result<Response<Incoming>, LinkError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Sends JSON; an answer that is good is read to its end.
    pub async fn post(&mut self, path: &str, json: Vec<u8>) -> Result<(), LinkError> {
        let response = self.send(Method::POST, path, json.into()).await?;
        let body = Limited::new(response.into_body(), MOST_REFUSAL_BYTES).collect();
        // An answer that says more than anybody reads costs the connection.
        let _rest = timeout(ANSWER_TIMEOUT, body).await.map_err(|_| LinkError::Timeout)?;
        Ok(())
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, LinkError> {
        let Link { control, token, .. } = self.link;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", control.path_prefix()))
            .header(HOST, control.authority())
            .header(USER_AGENT, "tollgate-node")
            .header(AUTHORIZATION, format!("Bearer {}", token.0));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body))?;
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.ended(error).await),
            Err(_) => return Err(LinkError::Timeout),
        };
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }
}

impl Connection<'_> {
    /// A server refuses a certificate after the handshake (RFC 8446 section 4.4.2.4), so that it is the connection that
    /// hears of it; who waits for the answer learns only that there will be none.
    async fn ended(&mut self, error: hyper::Error) -> LinkError {
        match timeout(LAST_WORDS, &mut self.driver).await {
            Ok(Ok(Err(cause))) => LinkError::Http(cause),
            Ok(Ok(Ok(())) | Err(_)) | Err(_) => LinkError::Http(error),
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn with_causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn refusal(response: Response<Incoming>) -> LinkError {
    let status = response.status();
    let body = Limited::new(response.into_body(), MOST_REFUSAL_BYTES).collect();
    let bytes = match timeout(ANSWER_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    refused(status, &bytes)
}

fn refused(status: StatusCode, body: &[u8]) -> LinkError {
    match status {
        StatusCode::UNAUTHORIZED => LinkError::Token,
        StatusCode::TOO_MANY_REQUESTS => LinkError::TokenTooOften { detail: detail(body) },
        status => LinkError::Refused { status, detail: detail(body) },
    }
}

/// What problem details (RFC 9457) say is wrong, field by field where they do.
fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
        #[serde(default)]
        errors: Vec<FieldProblem>,
    }
    #[derive(serde::Deserialize)]
    struct FieldProblem {
        field: String,
        message: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.errors.is_empty() => problem.detail,
        Ok(problem) => {
            let lines = problem.errors.iter().map(|error| format!("{}: {}", error.field, error.message));
            lines.collect::<Vec<_>>().join("; ")
        }
        Err(_) => "what answers is not a Tollgate control plane".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_refused_is_named_however_often_it_was_tried() {
        let body = br#"{"detail": "too many failed attempts: try again in 9 seconds"}"#;
        for status in [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS] {
            let said = refused(status, body).to_string();
            assert!(said.contains("TOLLGATE_NODE_TOKEN") && said.contains("revoked"), "{said}");
        }
        assert!(refused(StatusCode::TOO_MANY_REQUESTS, body).to_string().contains("in 9 seconds"));
        let other = refused(StatusCode::FORBIDDEN, br#"{"detail": "show a certificate"}"#).to_string();
        assert_eq!(other, "the control plane refuses (403 Forbidden): show a certificate");
    }
}
