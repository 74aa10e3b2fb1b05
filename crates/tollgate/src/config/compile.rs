//! Layers in, a valid [`Config`] out, or every problem at once.

mod proxy;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tollgate_core::address::AllowList;
use tollgate_core::resource::{CounterStoreUrl, Encryption};
use tollgate_core::token::{Issuing, LONGEST_LIFETIME, SigningKey};

use super::layers::Layer;
use super::problem::{BadConfig, ConfigProblem, Origin};
use super::setting::{self, Setting};
use super::sources::Sources;
use super::value::{self, Reading, Value};
use super::written::Written;
use super::{
    ADMIN_TOKEN, AdminConfig, AdminToken, ClientCertificates, Config, ControlConfig, IdentityFiles,
    JWT_SECRET, RedisConfig, SettingFile, TlsConfig, TokensConfig,
};

/// What is told through the environment alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Secrets<'s> {
    pub admin_token: Option<&'s str>,
    pub jwt_secret: Option<&'s str>,
}

/// `problems` are those that reading the layers brought up.
pub fn compile(
    layer: &Layer,
    secrets: Secrets<'_>,
    problems: Vec<ConfigProblem>,
    sources: &Sources,
) -> Result<Config, BadConfig> {
    let mut reader = Reader { layer, problems };
    let config = reader.config(secrets, sources);
    match config {
        Some(config) if reader.problems.is_empty() => Ok(config),
        Some(_) | None => Err(BadConfig(reader.problems)),
    }
}

/// A problem that is among the reader's.
struct Noted;

struct Reader<'a> {
    layer: &'a Layer,
    problems: Vec<ConfigProblem>,
}

impl Reader<'_> {
    /// What `parse` makes of a setting's value, or `None` with the problem noted.
    fn read<T>(&mut self, setting: &Setting, parse: impl FnOnce(&Value) -> Reading<T>) -> Option<T> {
        let (value, origin) = self.layer.value(setting);
        let Ok(parsed) = parse(&value) else {
            let message = format!("must be {}, not {value}", setting.expected);
            self.problems.push(ConfigProblem { origin, key: setting.key.to_owned(), message });
            return None;
        };
        Some(parsed)
    }

    // Everything is read before the first `?`, so that every problem is noted.
    fn config(&mut self, secrets: Secrets<'_>, sources: &Sources) -> Option<Config> {
        let data_dir = self.read(&setting::DATA_DIR, value::path);
        let database_file = self.read(&setting::DATABASE_URL, value::sqlite_file);
        let redis = self.redis();
        let log_level = self.read(&setting::LOG_LEVEL, value::log_level);
        let access_log = if self.layer.has(&setting::ACCESS_LOG) {
            self.read(&setting::ACCESS_LOG, value::access_log).map(Some)
        } else {
            Some(None)
        };
        let proxy = self.proxy();
        let admin = self.admin();
        let control = self.control();
        let metrics_listen = self.read(&setting::METRICS_LISTEN, value::optional_socket_address);
        let demo_listen = self.read(&setting::DEMO_LISTEN, value::socket_address);
        let shutdown_grace = self.read(&setting::SHUTDOWN_GRACE, value::duration);
        let upstreams_allowed = self.read(&setting::UPSTREAMS_ALLOW, value::networks).map(AllowList::new);
        let dns_servers = self.read(&setting::UPSTREAMS_DNS_SERVERS, value::dns_servers);
        let failures_per_minute = self.read(&setting::AUTH_FAILURES_PER_MINUTE, |value| {
            value::or_none(value, |value| value::whole_number(value, 1..=1_000_000))
        });
        let tokens = self.tokens(secrets.jwt_secret);
        let admin_token = match secrets.admin_token {
            Some(text) => self.admin_token(text).map(Some),
            None => Some(None),
        };
        let config = Config {
            data_dir: data_dir?,
            database_file: database_file?,
            redis: redis.ok()?,
            log_level: log_level?,
            access_log: access_log?,
            proxy: proxy?,
            admin: admin?,
            control: control?,
            metrics_listen: metrics_listen?,
            demo_listen: demo_listen?,
            shutdown_grace: shutdown_grace?,
            upstreams_allowed: upstreams_allowed?,
            dns_servers: dns_servers?,
            failures_per_minute: failures_per_minute?
                .and_then(|failures| u32::try_from(failures).ok())
                .and_then(NonZeroU32::new),
            tokens: tokens?,
            admin_token: admin_token?,
            written: Written { sources: sources.clone(), layer: self.layer.clone() },
        };
        self.refuse_shared_address(&config);
        Some(config)
    }

    fn redis(&mut self) -> Result<Option<RedisConfig>, Noted> {
        let ca_file = self.read(&setting::REDIS_CA_FILE, value::optional_path).ok_or(Noted);
        let (value, origin) = self.layer.value(&setting::REDIS_URL);
        let url = match value.text() {
            Some("") => Ok(None),
            // The value is not repeated, unlike others: whatever is wrong with it, a password may be in it.
            Some(text) => CounterStoreUrl::parse(text).map(Some).map_err(|reason| format!(": {reason}")),
            None => Err(String::new()),
        };
        let url = url.map_err(|reason| {
            let message = format!("must be {}{reason}", setting::REDIS_URL.expected);
            self.problems.push(ConfigProblem { origin, key: setting::REDIS_URL.key.to_owned(), message });
            Noted
        });
        let (url, ca_file) = (url?, ca_file?);
        let is_used = url.as_ref().is_some_and(|url| url.encryption == Encryption::Tls);
        if ca_file.is_some() && !is_used {
            let (_, origin) = self.layer.value(&setting::REDIS_CA_FILE);
            let message = "is for a redis_url of rediss:// alone".to_owned();
            self.problems.push(ConfigProblem { origin, key: setting::REDIS_CA_FILE.key.to_owned(), message });
            return Err(Noted);
        }
        Ok(url.map(|url| RedisConfig { url, ca_file }))
    }

    fn admin(&mut self) -> Option<AdminConfig> {
        let listen = self.read(&setting::ADMIN_LISTEN, value::socket_address);
        let tls = self.admin_tls();
        Some(AdminConfig { listen: listen?, tls: tls.ok()? })
    }

    fn admin_tls(&mut self) -> Result<Option<TlsConfig>, Noted> {
        let identity = self.identity(&setting::ADMIN_TLS_CERT, &setting::ADMIN_TLS_KEY);
        let authorities = self.file(&setting::ADMIN_TLS_CLIENT_CA);
        let demanded_of = self.read(&setting::ADMIN_TLS_CLIENT_AUTH, value::demanded_of).ok_or(Noted);
        let (identity, authorities, demanded_of) = (identity?, authorities?, demanded_of?);
        if authorities.is_none() && self.layer.has(&setting::ADMIN_TLS_CLIENT_AUTH) {
            return Err(self.lacks(&setting::ADMIN_TLS_CLIENT_AUTH, &setting::ADMIN_TLS_CLIENT_CA));
        }
        let Some(identity) = identity else {
            return match authorities {
                None => Ok(None),
                Some(_) => Err(self.lacks(&setting::ADMIN_TLS_CLIENT_CA, &setting::ADMIN_TLS_CERT)),
            };
        };
        let clients = authorities.map(|authorities| ClientCertificates { authorities, demanded_of });
        Ok(Some(TlsConfig { identity, clients }))
    }

    fn control(&mut self) -> Option<ControlConfig> {
        let url = self.read(&setting::CONTROL_URL, value::optional_url);
        let node_name = self.read(&setting::CONTROL_NODE_NAME, value::optional_node_name);
        let ca_file = self.file(&setting::CONTROL_CA_FILE);
        let identity = self.identity(&setting::CONTROL_CERT, &setting::CONTROL_KEY);
        Some(ControlConfig {
            url: url?,
            node_name: node_name?,
            ca_file: ca_file.ok()?,
            identity: identity.ok()?,
        })
    }

    /// A certificate and its key: both, or neither.
    fn identity(
        &mut self,
        certificate: &'static Setting,
        key: &'static Setting,
    ) -> Result<Option<IdentityFiles>, Noted> {
        let (certificate_file, key_file) = (self.file(certificate), self.file(key));
        match (certificate_file?, key_file?) {
            (Some(certificate), Some(key)) => Ok(Some(IdentityFiles { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.lacks(certificate, key)),
            (None, Some(_)) => Err(self.lacks(key, certificate)),
        }
    }

    fn file(&mut self, setting: &'static Setting) -> Result<Option<SettingFile>, Noted> {
        let path = self.read(setting, value::optional_path).ok_or(Noted)?;
        Ok(path.map(|path| SettingFile { setting, path }))
    }

    /// One setting means nothing without the other.
    fn lacks(&mut self, given: &Setting, missing: &Setting) -> Noted {
        let (_, origin) = self.layer.value(given);
        let message = format!("needs {} beside it", missing.key);
        self.problems.push(ConfigProblem { origin, key: given.key.to_owned(), message });
        Noted
    }

    fn tokens(&mut self, secret: Option<&str>) -> Option<TokensConfig> {
        let lifetime = self.read(&setting::TOKENS_TTL, |value| {
            value::seconds_within(value, Duration::from_secs(1)..=LONGEST_LIFETIME)
        });
        let issuer = self.read(&setting::TOKENS_ISSUER, value::visible_text);
        let rotate_every = self.read(&setting::TOKENS_ROTATE_EVERY, |value| {
            value::seconds_within(value, Duration::from_mins(10)..=Duration::from_hours(365 * 24))
        });
        let secret = match secret.map(|secret| SigningKey::from_secret(secret.as_bytes())) {
            None => Some(None),
            Some(Ok(key)) => Some(Some(Arc::new(key))),
            Some(Err(error)) => {
                self.problems.push(ConfigProblem {
                    origin: Origin::Variable(JWT_SECRET.to_owned()),
                    key: String::new(),
                    message: error.to_string(),
                });
                None
            }
        };
        let issuing = Issuing { issuer: issuer?, lifetime: lifetime?, secret: secret? };
        Some(TokensConfig { issuing, rotate_every: rotate_every? })
    }

    fn admin_token(&mut self, text: &str) -> Option<AdminToken> {
        let token = AdminToken::parse(text);
        if token.is_none() {
            self.problems.push(ConfigProblem {
                origin: Origin::Variable(ADMIN_TOKEN.to_owned()),
                key: String::new(),
                message: "must be visible ASCII characters without spaces, at least one".to_owned(),
            });
        }
        token
    }

    fn refuse_shared_address(&mut self, config: &Config) {
        let (proxy, admin) = (config.proxy.listen, config.admin.listen);
        let overlap = proxy.ip() == admin.ip() || proxy.ip().is_unspecified() || admin.ip().is_unspecified();
        if proxy.port() != 0 && proxy.port() == admin.port() && overlap {
            let (_, origin) = self.layer.value(&setting::ADMIN_LISTEN);
            let message = format!("must not share its port with proxy.listen ({proxy})");
            self.problems.push(ConfigProblem { origin, key: setting::ADMIN_LISTEN.key.to_owned(), message });
        }
    }
}
