//! TLS of a listener.

use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use super::files;
use crate::config::{ClientCertificates, DemandedOf, TlsConfig};

/// What new connections are met with; it can be replaced under way.
pub struct ServerTls(ArcSwap<ServerConfig>);

impl ServerTls {
    pub fn open(config: &TlsConfig) -> anyhow::Result<Self> {
        Ok(Self(ArcSwap::from_pointee(server_config(config)?)))
    }

    /// Reads the files again. Where one of them is bad, what is in force stays.
    pub fn renew(&self, config: &TlsConfig) -> anyhow::Result<()> {
        self.0.store(Arc::new(server_config(config)?));
        Ok(())
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1 within.
fn server_config(config: &TlsConfig) -> anyhow::Result<ServerConfig> {
    let (chain, key) = files::identity(&config.identity)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?;
    let mut server = builder
        .with_client_cert_verifier(verifier(config.clients.as_ref())?)
        .with_single_cert(chain, key)
        .map_err(|error| files::refused(&config.identity, error))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    if config.clients.is_some() {
        // A session that goes on would be as good as the certificate that began it, however long ago.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    Ok(server)
}

fn verifier(clients: Option<&ClientCertificates>) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let Some(ClientCertificates { authorities, demanded_of }) = clients else {
        return Ok(Arc::new(NoClientAuth));
    };
    let roots = Arc::new(files::authorities(authorities)?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let builder = match demanded_of {
        DemandedOf::Nodes => builder.allow_unauthenticated(),
        DemandedOf::All => builder,
    };
    builder.build().with_context(|| format!("{} cannot be used", authorities.setting.key))
}
