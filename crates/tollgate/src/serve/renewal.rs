//! SIGHUP: the configuration, and every file that it names, are read again. What can change under way does; for the
//! rest, the log says that it takes a restart.

use std::sync::Arc;

use tollgate_proxy::Proxy;

use super::admin_listener::AdminTls;
use super::logging::LogLevel;
use crate::config::{self, Config, Setting};
use crate::tls::ClientTls;

/// Something that can be renewed under way.
pub struct Renewal {
    /// What it is made from.
    settings: Vec<&'static Setting>,
    renew: Renew,
}

type Renew = Box<dyn Fn(&Config) -> anyhow::Result<()> + Send>;

/// Everything that a process renews.
pub struct Renewals<'c> {
    /// What the process was started with.
    started: &'c Config,
    /// What was read since, and is in force.
    read: Option<Config>,
    all: Vec<Renewal>,
}

impl Renewal {
    fn of<const N: usize>(
        settings: [&'static Setting; N],
        renew: impl Fn(&Config) -> anyhow::Result<()> + Send + 'static,
    ) -> Self {
        Self { settings: settings.into(), renew: Box::new(renew) }
    }

    fn of_log(log: LogLevel) -> Self {
        Self::of([&config::LOG_LEVEL], move |config| log.set(config.log_level))
    }

    /// What is looked up in the configuration when it is needed.
    fn of_shutdown() -> Self {
        Self::of([&config::SHUTDOWN_GRACE], |_| Ok(()))
    }

    /// The access log is opened anew, where it is.
    pub fn of_proxy(proxy: &Arc<Proxy>) -> Self {
        // Whoever ends the proxy holds it alone.
        let proxy = Arc::downgrade(proxy);
        Self::of([&config::PROXY_UPSTREAM_CA_FILE], move |config| {
            if let Some(proxy) = proxy.upgrade() {
                proxy.reopen_access_log();
                proxy.trust(config.proxy.upstream_ca_file.as_deref())?;
            }
            Ok(())
        })
    }

    pub fn of_admin(tls: Option<AdminTls>) -> Self {
        let settings = [
            &config::ADMIN_TLS_CERT,
            &config::ADMIN_TLS_KEY,
            &config::ADMIN_TLS_CLIENT_CA,
            &config::ADMIN_TLS_CLIENT_AUTH,
        ];
        Self::of(settings, move |config| match (&tls, &config.admin.tls) {
            (Some(tls), Some(config)) => tls.renew(config),
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => {
                anyhow::bail!("TLS on the admin listener begins and ends with a restart alone")
            }
        })
    }

    pub fn of_link(tls: ClientTls) -> Self {
        let settings = [&config::CONTROL_CA_FILE, &config::CONTROL_CERT, &config::CONTROL_KEY];
        Self::of(settings, move |config| tls.renew(&config.control))
    }
}

impl<'c> Renewals<'c> {
    pub fn new(started: &'c Config, log: LogLevel) -> Self {
        let all = vec![Renewal::of_log(log), Renewal::of_shutdown()];
        Self { started, read: None, all }
    }

    /// What is in force, but for what takes a restart.
    pub fn config(&self) -> &Config {
        self.read.as_ref().unwrap_or(self.started)
    }

    pub fn add(&mut self, renewal: Renewal) {
        self.all.push(renewal);
    }

    /// Does what SIGHUP asks for. Whatever cannot be used leaves in force what was.
    pub fn renew(&mut self) {
        match self.started.read_again() {
            Ok(config) => {
                self.read = Some(config);
                tracing::info!("the configuration was read again");
            }
            Err(problems) => {
                for problem in problems.0 {
                    tracing::error!(%problem, "the configuration stays as it was");
                }
            }
        }
        let config = self.config();
        for renewal in &self.all {
            if let Err(error) = (renewal.renew)(config) {
                tracing::error!(error = %format_args!("{error:#}"), "what cannot be used leaves in force what was");
            }
        }
        let is_renewed =
            |setting: &&Setting| self.all.iter().any(|renewal| renewal.settings.contains(setting));
        for setting in config.differing_from(self.started).filter(|setting| !is_renewed(setting)) {
            tracing::warn!(setting = setting.key, "a setting has changed that takes a restart");
        }
        tracing::info!("the files that the configuration names were read again");
    }
}
