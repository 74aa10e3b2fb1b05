//! A self-signed certificate for TLS upstreams, made anew for each test.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::programs::Ran;

pub struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// For these names, such as `DNS:localhost` and `IP:127.0.0.1`. It is its own authority: a client that
    /// takes [`Self::certificate_file`] for a CA file trusts it.
    #[track_caller]
    pub fn new(names: &[&str]) -> Self {
        let certificate = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-noenc", "-days", "2", "-subj", "/CN=upstream.test"]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.arg("-addext").arg(format!("subjectAltName={}", names.join(",")));
        // As a CA's own certificate it would not do for a server.
        openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        openssl.arg("-keyout").arg(certificate.key_file()).arg("-out").arg(certificate.certificate_file());
        Ran::of(&mut openssl).success();
        certificate
    }

    pub fn certificate_file(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }
}
