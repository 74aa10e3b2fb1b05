//! TLS to upstreams: always verified, against the system's roots or a CA file.

use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate_core::resource::Host;

use super::dial::DialError;
use crate::wire::Stream;

#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("cannot read the CA file {path}: {source}")]
    File { path: String, source: io::Error },
    #[error("the CA file {path} holds no valid PEM certificate")]
    Empty { path: String },
    #[error("TLS cannot be set up: {0}")]
    Provider(rustls::Error),
}

pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, RootsError> {
    let roots = roots(ca_file)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(RootsError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The authorities of a file, or the system's.
pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    match ca_file {
        Some(path) => roots_from(path),
        None => Ok(system_roots()),
    }
}

fn roots_from(path: &Path) -> Result<RootCertStore, RootsError> {
    let shown = || path.display().to_string();
    let file = std::fs::File::open(path).map_err(|source| RootsError::File { path: shown(), source })?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_reader_iter(BufReader::new(file)).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 { Err(RootsError::Empty { path: shown() }) } else { Ok(roots) }
}

/// The system's roots. A system without any verifies nothing, and every https upstream fails with a
/// certificate error: that is noted here, once.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a system certificate could not be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("the system has no root certificates: every https server will be refused");
    }
    roots
}

pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    host: &Host,
    tcp: TcpStream,
) -> Result<Stream, DialError> {
    let name = match host {
        Host::Address(ip) => ServerName::from(*ip),
        Host::Name(name) => ServerName::try_from(name.without_dot().to_owned())
            .map_err(|error| DialError::Certificate(io::Error::other(error)))?,
    };
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(tls_error(error)),
    }
}

fn tls_error(error: io::Error) -> DialError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => DialError::Certificate(error),
        Some(_) | None => DialError::Tls(error),
    }
}
