//! Certificates for TLS upstreams, made anew for each test.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::programs::Ran;

/// A server's certificate, or an authority's.
pub struct Certificate {
    directory: TempDir,
}

impl Certificate {
    /// For these names, such as `DNS:localhost` and `IP:127.0.0.1`. It is its own authority: a client that
    /// takes [`Self::certificate_file`] for a CA file trusts it.
    #[track_caller]
    pub fn new(names: &[&str]) -> Self {
        Self::make("upstream.test", &server_extensions(names), &[])
    }

    /// An authority, which [`Self::issued_by`] takes.
    #[track_caller]
    pub fn authority() -> Self {
        Self::make("authority.test", &["basicConstraints=critical,CA:TRUE".to_owned()], &[])
    }

    /// For these names, signed by the authority.
    #[track_caller]
    pub fn issued_by(authority: &Self, names: &[&str]) -> Self {
        let signer = [("-CA", authority.certificate_file()), ("-CAkey", authority.key_file())];
        Self::make("upstream.test", &server_extensions(names), &signer)
    }

    #[track_caller]
    fn make(common_name: &str, extensions: &[String], signer: &[(&str, PathBuf)]) -> Self {
        let certificate = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-noenc", "-days", "2", "-subj", &format!("/CN={common_name}")]);
        openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        for extension in extensions {
            openssl.args(["-addext", extension]);
        }
        for (option, file) in signer {
            openssl.arg(option).arg(file);
        }
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

/// As a CA's own certificate it would not do for a server.
fn server_extensions(names: &[&str]) -> [String; 2] {
    [format!("subjectAltName={}", names.join(",")), "basicConstraints=critical,CA:FALSE".to_owned()]
}
