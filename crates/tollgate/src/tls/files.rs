//! PEM files, with errors that say which setting names the file and what is wrong with it.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{IdentityFiles, SettingFile};

#[derive(Debug, thiserror::Error)]
#[error("{setting}: {path} {problem}", path = .path.display())]
pub struct BadFile {
    setting: &'static str,
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is no valid PEM file")]
    NotPem,
    #[error("holds no PEM certificate")]
    NoCertificate,
    #[error("holds no PEM private key")]
    NoKey,
    #[error("holds a private key under a passphrase: only keys without one can be read")]
    EncryptedKey,
    #[error("holds a private key that cannot be used: {0}")]
    UnusableKey(rustls::Error),
    #[error("is not the private key of {of}", of = .of.display())]
    OtherKey { of: PathBuf },
    #[error("holds a certificate that cannot be used: {0}")]
    UnusableCertificate(rustls::Error),
}

pub type Chain = Vec<CertificateDer<'static>>;

impl SettingFile {
    pub(super) fn is_bad(&self, problem: Problem) -> BadFile {
        BadFile { setting: self.setting.key, path: self.path.clone(), problem }
    }

    fn read(&self) -> Result<Vec<u8>, BadFile> {
        fs::read(&self.path).map_err(|error| self.is_bad(Problem::Unreadable(error)))
    }
}

/// A certificate with its chain, and its private key. Whether they belong together is seen where they are used.
pub fn identity(files: &IdentityFiles) -> Result<(Chain, PrivateKeyDer<'static>), BadFile> {
    Ok((chain(&files.certificate)?, key(&files.key)?))
}

/// What is wrong with an identity that rustls refuses.
pub(super) fn refused(files: &IdentityFiles, error: rustls::Error) -> BadFile {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            files.key.is_bad(Problem::OtherKey { of: files.certificate.path.clone() })
        }
        rustls::Error::InvalidCertificate(_) => files.certificate.is_bad(Problem::UnusableCertificate(error)),
        error => files.key.is_bad(Problem::UnusableKey(error)),
    }
}

/// Every certificate of the file is an authority.
pub(super) fn authorities(file: &SettingFile) -> Result<RootCertStore, BadFile> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots.add(certificate).map_err(|error| file.is_bad(Problem::UnusableCertificate(error)))?;
    }
    Ok(roots)
}

fn chain(file: &SettingFile) -> Result<Chain, BadFile> {
    let text = file.read()?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Chain, pem::Error>>();
    let chain = chain.map_err(|_| file.is_bad(Problem::NotPem))?;
    if chain.is_empty() { Err(file.is_bad(Problem::NoCertificate)) } else { Ok(chain) }
}

fn key(file: &SettingFile) -> Result<PrivateKeyDer<'static>, BadFile> {
    let text = file.read()?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_encrypted = text.windows(9).any(|window| window == b"ENCRYPTED");
        file.is_bad(match error {
            pem::Error::NoItemsFound if is_encrypted => Problem::EncryptedKey,
            pem::Error::NoItemsFound => Problem::NoKey,
            _ => Problem::NotPem,
        })
    })
}
