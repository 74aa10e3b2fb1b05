//! TLS to the admin API: whom the command line believes, and what it shows of itself.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::error::ApiError;
use crate::config::{ADMIN_CA_FILE, ADMIN_CERT, ADMIN_KEY};

/// PEM files, where there are any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust<'f> {
    /// The system's authorities where `None`.
    pub ca_file: Option<&'f Path>,
    /// A certificate with its chain, and its private key.
    pub identity: Option<(&'f Path, &'f Path)>,
}

impl Trust<'_> {
    pub(super) fn read(&self) -> Result<TlsConfig, ApiError> {
        let roots = match self.ca_file {
            Some(file) => {
                RootCerts::Specific(Arc::new(certificates("--admin-ca-file", ADMIN_CA_FILE, file)?))
            }
            None => system_roots(),
        };
        let identity = match self.identity {
            Some((chain, key)) => {
                let certificates = certificates("--admin-cert", ADMIN_CERT, chain)?;
                let private_key = private_key(key)?;
                belong_together(&certificates, &private_key).map_err(|error| {
                    bad_file(
                        "--admin-key",
                        ADMIN_KEY,
                        key,
                        &format!("does not go with {}: {error}", chain.display()),
                    )
                })?;
                Some(ClientCert::new_with_certs(&certificates, private_key))
            }
            None => None,
        };
        Ok(TlsConfig::builder().root_certs(roots).client_cert(identity).build())
    }
}

fn certificates(
    flag: &'static str,
    variable: &'static str,
    file: &Path,
) -> Result<Vec<Certificate<'static>>, ApiError> {
    let bad = |problem: &str| bad_file(flag, variable, file, problem);
    let text = fs::read(file).map_err(|error| bad(&format!("cannot be read: {error}")))?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| bad("is no valid PEM file"))?;
    if chain.is_empty() {
        return Err(bad("holds no PEM certificate"));
    }
    Ok(chain.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

fn private_key(file: &Path) -> Result<PrivateKey<'static>, ApiError> {
    let bad = |problem: &str| bad_file("--admin-key", ADMIN_KEY, file, problem);
    let text = fs::read(file).map_err(|error| bad(&format!("cannot be read: {error}")))?;
    PrivateKey::from_pem(&text).map_err(|_| bad("holds no PEM private key without a passphrase"))
}

/// Asked of rustls first: ureq takes it for granted.
fn belong_together(chain: &[Certificate<'static>], key: &PrivateKey<'static>) -> Result<(), rustls::Error> {
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let key = PrivateKeyDer::try_from(key.der().to_vec())
        .map_err(|_| rustls::Error::General("it is of no known kind".to_owned()))?;
    let builder = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
    builder.with_client_auth_cert(chain, key).map(drop)
}

fn bad_file(flag: &'static str, variable: &'static str, file: &Path, problem: &str) -> ApiError {
    ApiError::File { flag, variable, problem: format!("{} {problem}", file.display()) }
}

fn system_roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs();
    let roots = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    RootCerts::Specific(Arc::new(roots.collect()))
}
