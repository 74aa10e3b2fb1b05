//! TLS of the connections that a node opens to its control plane.

use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use super::files;
use crate::config::ControlConfig;

/// What new connections begin with; it can be replaced under way.
pub struct ClientTls(Arc<ArcSwap<ClientConfig>>);

impl ClientTls {
    pub fn open(config: &ControlConfig) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(client_config(config)?))))
    }

    /// Reads the files again. Where one of them is bad, what is in force stays.
    pub fn renew(&self, config: &ControlConfig) -> anyhow::Result<()> {
        self.0.store(Arc::new(client_config(config)?));
        Ok(())
    }

    /// For whoever connects; it follows what is renewed here.
    pub fn shared(&self) -> Arc<ArcSwap<ClientConfig>> {
        Arc::clone(&self.0)
    }
}

fn client_config(config: &ControlConfig) -> anyhow::Result<ClientConfig> {
    let roots = match &config.ca_file {
        Some(file) => files::authorities(file)?,
        None => tollgate_proxy::roots(None)?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_root_certificates(roots);
    let mut client = match &config.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = files::identity(identity)?;
            let with_identity = builder.with_client_auth_cert(chain, key);
            with_identity.map_err(|error| files::refused(identity, error))?
        }
    };
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(client)
}
