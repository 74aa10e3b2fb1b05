//! One message to one receiver, with the care that upstreams are reached with: the address policy applies to what the
//! name resolves to, and no redirect leads elsewhere.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tollgate_core::address::{self, AllowList};
use tollgate_core::resource::{Host, Scheme, Webhook};

/// From the name's resolution to the head of the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// For each of a name's addresses.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// The rest of an answer is read for the receiver's sake, who may not expect to be cut off; nobody looks at it.
const REST_WITHIN: Duration = Duration::from_secs(2);
const MOST_ANSWER_BYTES: usize = 64 << 10;

/// It is shown to the webhook's owner: no word of what a name resolves to in the operator's network.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("the name does not resolve")]
    Name,
    #[error("the address is not one that this webhook may have")]
    Prohibited,
    #[error("it cannot be reached: {0}")]
    Connect(io::ErrorKind),
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    #[error("the certificate cannot be for such a name")]
    ServerName,
    #[error("it did not answer within 10 seconds")]
    TooSlow,
    #[error("the connection failed before there was an answer")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made: {0}")]
    Request(#[from] axum::http::Error),
}

pub async fn post(
    tls: &TlsConnector,
    allowed: &AllowList,
    webhook: &Webhook,
    headers: &[(&str, String)],
    body: String,
) -> Result<StatusCode, PostError> {
    let exchange = async {
        let tcp = connect(allowed, webhook).await?;
        match webhook.url.place().scheme() {
            Scheme::Http => exchange(tcp, webhook, headers, body).await,
            Scheme::Https => {
                let name = server_name(webhook.url.place().host())?;
                let stream = tls.connect(name, tcp).await.map_err(PostError::Tls)?;
                exchange(stream, webhook, headers, body).await
            }
        }
    };
    let Answer { status, rest, driver } =
        timeout(WITHIN, exchange).await.map_err(|_| PostError::TooSlow)??;
    let _rest = timeout(REST_WITHIN, Limited::new(rest, MOST_ANSWER_BYTES).collect()).await;
    drop(driver);
    Ok(status)
}

/// An answer whose body is still coming.
struct Answer {
    status: StatusCode,
    rest: Incoming,
    /// Carries the connection, and ends it when it is dropped.
    driver: JoinSet<()>,
}

/// To the first of its addresses that can be reached.
async fn connect(allowed: &AllowList, webhook: &Webhook) -> Result<TcpStream, PostError> {
    let place = webhook.url.place();
    let addresses: Vec<SocketAddr> = match place.host() {
        Host::Address(address) => vec![SocketAddr::new(*address, place.port())],
        Host::Name(name) => {
            let found = tokio::net::lookup_host((&**name, place.port())).await;
            found.map_err(|_| PostError::Name)?.collect()
        }
    };
    let is_permitted = |address: IpAddr| address::permit(address, webhook.reach, allowed).is_ok();
    let mut failure = PostError::Name;
    for address in addresses {
        if !is_permitted(address.ip()) {
            failure = PostError::Prohibited;
            continue;
        }
        match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // The message is one write; where it fails the next one will tell.
                drop(tcp.set_nodelay(true));
                return Ok(tcp);
            }
            Ok(Err(error)) => failure = PostError::Connect(error.kind()),
            Err(_) => failure = PostError::Connect(io::ErrorKind::TimedOut),
        }
    }
    Err(failure)
}

async fn exchange<S>(
    stream: S,
    webhook: &Webhook,
    headers: &[(&str, String)],
    body: String,
) -> Result<Answer, PostError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Request::post(webhook.url.path())
        .header(HOST, webhook.url.place().authority())
        .header(USER_AGENT, concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // What ends it early is noticed by whoever waits for the answer.
        drop(connection.await);
    });
    let answer = sender.send_request(request).await?;
    Ok(Answer { status: answer.status(), rest: answer.into_body(), driver })
}

fn server_name(host: &Host) -> Result<ServerName<'static>, PostError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| PostError::ServerName),
    }
}
