//! Certificates of servers, clients and authorities, made anew for each test.

use std::fs;
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

    /// For these names, signed by the authority, and over since long ago.
    #[track_caller]
    pub fn expired(authority: &Self, names: &[&str]) -> Self {
        let certificate = Self::new(names);
        let file = |name: &str| certificate.directory.path().join(name);
        fs::write(file("index"), "").expect("a file");
        let config = format!(
            "[ca]\ndefault_ca = ca\n[ca]\ndatabase = {}\nnew_certs_dir = {}\nrand_serial = yes\n\
             default_md = sha256\npolicy = policy\ncopy_extensions = copy\n[policy]\ncommonName = supplied\n",
            file("index").display(),
            certificate.directory.path().display()
        );
        fs::write(file("ca.conf"), config).expect("a file");
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-subj", "/CN=expired.test", "-key"]).arg(certificate.key_file());
        for extension in server_extensions(names) {
            request.args(["-addext", &extension]);
        }
        Ran::of(request.arg("-out").arg(file("request.pem"))).success();
        let mut sign = Command::new("openssl");
        sign.args(["ca", "-batch", "-notext", "-config"]).arg(file("ca.conf"));
        sign.args(["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]);
        sign.arg("-cert").arg(authority.certificate_file()).arg("-keyfile").arg(authority.key_file());
        sign.arg("-in").arg(file("request.pem")).arg("-out").arg(certificate.certificate_file());
        Ran::of(&mut sign).success();
        certificate
    }

    /// Puts another certificate where this one was.
    #[track_caller]
    pub fn become_like(&self, other: &Self) {
        fs::copy(other.certificate_file(), self.certificate_file()).expect("a copy");
        fs::copy(other.key_file(), self.key_file()).expect("a copy");
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
