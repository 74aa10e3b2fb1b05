//! Which admin API a command talks to, and how.

use std::path::PathBuf;

use clap::Args;

use crate::config;
use crate::remote::{AdminApi, ApiError, Trust};

/// The server that a command talks to.
#[derive(Args)]
pub struct Server {
    #[arg(
        id = "admin_url",
        long = "admin-url",
        global = true,
        help = "The admin API; the token for it is in the environment, as TOLLGATE_ADMIN_TOKEN",
        help_heading = "Server",
        value_name = "URL",
        env = config::ADMIN_URL,
        hide_env_values = true,
        default_value = "http://127.0.0.1:8081"
    )]
    url: String,
    #[arg(
        id = "admin_ca_file",
        long = "admin-ca-file",
        global = true,
        help = "PEM file with the authorities that an https admin API is verified against; the system's if left out",
        help_heading = "Server",
        value_name = "FILE",
        env = config::ADMIN_CA_FILE
    )]
    ca_file: Option<PathBuf>,
    #[arg(
        id = "admin_cert",
        long = "admin-cert",
        global = true,
        help = "PEM file with the certificate to show to an admin API that asks for one",
        help_heading = "Server",
        value_name = "FILE",
        env = config::ADMIN_CERT,
        requires = "admin_key"
    )]
    certificate: Option<PathBuf>,
    #[arg(
        id = "admin_key",
        long = "admin-key",
        global = true,
        help = "PEM file with the private key of that certificate",
        help_heading = "Server",
        value_name = "FILE",
        env = config::ADMIN_KEY,
        requires = "admin_cert"
    )]
    key: Option<PathBuf>,
}

impl Server {
    pub fn api(&self) -> Result<AdminApi, ApiError> {
        let identity = self.certificate.as_deref().zip(self.key.as_deref());
        let trust = Trust { ca_file: self.ca_file.as_deref(), identity };
        let token = std::env::var(config::ADMIN_TOKEN).ok().filter(|token| !token.is_empty());
        AdminApi::new(&self.url, token, &trust)
    }
}
