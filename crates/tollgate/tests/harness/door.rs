//! The way to an admin listener. Over TLS it leads through a tunnel that believes any certificate: whether a
//! certificate is good is for the programs under test to see.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;

use super::certificate::Certificate;
use super::child::ChildProcess;

pub struct AdminDoor {
    scheme: &'static str,
    address: SocketAddr,
    tunnel: Option<Tunnel>,
}

impl AdminDoor {
    /// Where the process says that it listens, once it does. Clients of the tunnel show this certificate.
    pub fn of(process: &ChildProcess, shown: Option<&Certificate>) -> Option<Self> {
        let line = process.stdout.after("admin listening on ")?;
        let (scheme, address) = line.trim().split_once("://").expect("a URL");
        let address = address.parse().expect("an address");
        Some(match scheme {
            "https" => Self { scheme: "https", address, tunnel: Some(Tunnel::to(address, shown)) },
            _ => Self { scheme: "http", address, tunnel: None },
        })
    }

    /// Where it listens itself.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Where plain HTTP is spoken.
    pub fn plain(&self) -> SocketAddr {
        self.tunnel.as_ref().map_or(self.address, |tunnel| tunnel.address)
    }
}

struct Tunnel {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Tunnel {
    fn to(server: SocketAddr, shown: Option<&Certificate>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connector = TlsConnector::from(Arc::new(config(shown)));
        runtime.spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let tcp = TcpStream::connect(server).await?;
                    let mut tls = connector.connect(ServerName::from(server.ip()), tcp).await?;
                    copy_bidirectional(&mut plain, &mut tls).await
                });
            }
        });
        Self { address, _runtime: runtime }
    }
}

fn config(shown: Option<&Certificate>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believing));
    match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let chain = vec![CertificateDer::from_pem_file(shown.certificate_file()).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(shown.key_file()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a certificate's key")
        }
    }
}

#[derive(Debug)]
struct Believing;

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
