//! An upstream over TLS that decides what stands in one record.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::PATIENCE;
use super::certificate::Certificate;

/// Answers each request, which has no body, with the next of its answers: the last for all that follow. An
/// answer is a number of records, which are written to the socket at once.
pub struct TlsUpstream {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl TlsUpstream {
    pub fn start(certificate: &Certificate, answers: Vec<Vec<Vec<u8>>>) -> Self {
        let config = Arc::new(config(certificate));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (accepted, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (answers, counted) = (Arc::new(answers), Arc::clone(&accepted));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let (config, answers, served) =
                    (Arc::clone(&config), Arc::clone(&answers), Arc::clone(&served));
                // Where the gateway closes the connection, reading or writing fails, and that is the end.
                thread::spawn(move || serve(stream, config, &answers, &served));
            }
        });
        Self { address, accepted }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn config(certificate: &Certificate) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(certificate.certificate_file()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(certificate.key_file()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.expect("TLS").with_no_client_auth().with_single_cert(chain, key).expect("a certificate's key")
}

fn serve(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    answers: &[Vec<Vec<u8>>],
    served: &AtomicUsize,
) -> std::io::Result<()> {
    tcp.set_read_timeout(Some(PATIENCE))?;
    let mut session = ServerConnection::new(config).map_err(std::io::Error::other)?;
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            rustls::Stream::new(&mut session, &mut tcp).read_exact(&mut byte)?;
            request.extend(byte);
        }
        let number = served.fetch_add(1, Ordering::SeqCst);
        let mut bytes = Vec::new();
        for record in answers.get(number).or(answers.last()).expect("an answer") {
            session.writer().write_all(record)?;
            while session.wants_write() {
                session.write_tls(&mut bytes)?;
            }
        }
        tcp.write_all(&bytes)?;
    }
}
