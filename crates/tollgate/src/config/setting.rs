//! Every setting: the one list that the file, the environment, the flags and the documentation agree on.

/// One setting. Its name in the environment follows from its key.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// In the file: `proxy.listen` is `listen` in the section `[proxy]`.
    pub key: &'static str,
    /// What holds where nothing else is said, written as in the environment; empty for "not set".
    pub default: &'static str,
    /// Completes "must be …".
    pub expected: &'static str,
    /// Where it is common enough to have one.
    pub flag: Option<&'static str>,
    /// A variable that other programs know too, and that is honoured as it stands.
    pub well_known_variable: Option<&'static str>,
}

impl Setting {
    /// `TOLLGATE_PROXY__LISTEN` for `proxy.listen`.
    pub fn variable(&self) -> String {
        format!("TOLLGATE_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }

    pub fn of_key(key: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|setting| setting.key == key)
    }
}

macro_rules! settings {
    ($($name:ident { key: $key:literal, default: $default:expr, expected: $expected:expr $(, $field:ident: $value:literal)* })*) => {
        $(pub static $name: Setting = Setting {
            $($field: Some($value),)*
            ..Setting { key: $key, default: $default, expected: $expected, flag: None, well_known_variable: None }
        };)*

        pub static ALL: &[&Setting] = &[$(&$name),*];
    };
}

const ADDRESS: &str =
    "an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080 (port 0 takes a free one)";
const TIMEOUT: &str = "a duration from 1ms to 24h, such as \"250ms\", \"30s\" or \"5m\"";
const PEM_FILE: &str = "a PEM file's path";
const NETWORKS: &str = "a list of networks, such as [\"10.0.0.0/8\", \"fd00::/8\"]";

settings! {
    DATA_DIR { key: "data_dir", default: "./tollgate-data", expected: "a directory's path", flag: "--data-dir" }
    DATABASE_URL {
        key: "database_url", default: "",
        expected: "sqlite: and a file's path, such as sqlite:/var/lib/tollgate/tollgate.db (no other database is supported yet)",
        well_known_variable: "DATABASE_URL"
    }
    REDIS_URL {
        key: "redis_url", default: "",
        expected: "redis://, rediss://, redis+unix://, redis+cluster:// or redis+sentinel:// and where it is, such as \
                   redis://user:password@host:6379/0",
        well_known_variable: "REDIS_URL"
    }
    REDIS_CA_FILE { key: "redis.ca_file", default: "", expected: "a PEM file's path" }
    LOG_LEVEL {
        key: "log_level", default: "info", expected: "one of error, warn, info, debug, trace, off",
        well_known_variable: "LOG_LEVEL"
    }
    ACCESS_LOG { key: "access_log", default: "stdout", expected: "stdout, off, or a file's path" }

    PROXY_LISTEN { key: "proxy.listen", default: "0.0.0.0:8080", expected: ADDRESS, flag: "--proxy-listen" }
    PROXY_WORKERS {
        key: "proxy.workers", default: "auto", expected: "a whole number from 1 to 1024, or \"auto\"",
        flag: "--workers"
    }
    PROXY_TRUSTED_PROXIES { key: "proxy.trusted_proxies", default: "", expected: NETWORKS }
    PROXY_UPSTREAM_CA_FILE { key: "proxy.upstream_ca_file", default: "", expected: PEM_FILE }
    PROXY_UPSTREAM_IDLE_CONNECTIONS {
        key: "proxy.upstream_idle_connections", default: "64", expected: "a whole number from 0 to 65536"
    }
    PROXY_TIMEOUTS_HEAD { key: "proxy.timeouts.head", default: "10s", expected: TIMEOUT }
    PROXY_TIMEOUTS_KEEP_ALIVE { key: "proxy.timeouts.keep_alive", default: "75s", expected: TIMEOUT }
    PROXY_TIMEOUTS_BODY_IDLE { key: "proxy.timeouts.body_idle", default: "60s", expected: TIMEOUT }
    PROXY_TIMEOUTS_CONNECT { key: "proxy.timeouts.connect", default: "5s", expected: TIMEOUT }
    PROXY_TIMEOUTS_FIRST_BYTE { key: "proxy.timeouts.first_byte", default: "60s", expected: TIMEOUT }
    PROXY_TIMEOUTS_UPSTREAM_IDLE { key: "proxy.timeouts.upstream_idle", default: "60s", expected: TIMEOUT }
    PROXY_TIMEOUTS_TUNNEL_IDLE { key: "proxy.timeouts.tunnel_idle", default: "1h", expected: TIMEOUT }
    PROXY_TIMEOUTS_TOTAL {
        key: "proxy.timeouts.total", default: "none",
        expected: "a duration from 1ms to 24h, such as \"5m\", or \"none\""
    }
    PROXY_LIMITS_REQUEST_LINE_BYTES {
        key: "proxy.limits.request_line_bytes", default: "8192",
        expected: "a whole number from 256 to 1048576"
    }
    PROXY_LIMITS_HEAD_BYTES {
        key: "proxy.limits.head_bytes", default: "65536", expected: "a whole number from 1024 to 1048576"
    }
    PROXY_LIMITS_HEAD_FIELDS {
        key: "proxy.limits.head_fields", default: "100", expected: "a whole number from 8 to 256"
    }
    PROXY_LIMITS_MAX_BODY_BYTES {
        key: "proxy.limits.max_body_bytes", default: "none", expected: "a whole number of bytes, or \"none\""
    }
    PROXY_LIMITS_MAX_CONNECTIONS {
        key: "proxy.limits.max_connections", default: "65536",
        expected: "a whole number from 1 to 10000000, or \"none\""
    }
    PROXY_LIMITS_MAX_REQUESTS {
        key: "proxy.limits.max_requests", default: "32768",
        expected: "a whole number from 1 to 10000000, or \"none\""
    }

    ADMIN_LISTEN { key: "admin.listen", default: "127.0.0.1:8081", expected: ADDRESS, flag: "--admin-listen" }
    ADMIN_TLS_CERT { key: "admin.tls.cert", default: "", expected: PEM_FILE }
    ADMIN_TLS_KEY { key: "admin.tls.key", default: "", expected: PEM_FILE }
    ADMIN_TLS_CLIENT_CA { key: "admin.tls.client_ca", default: "", expected: PEM_FILE }
    ADMIN_TLS_CLIENT_AUTH { key: "admin.tls.client_auth", default: "nodes", expected: "nodes or all" }
    CONTROL_URL {
        key: "control.url", default: "", expected: "a control plane's URL, such as https://control.example:8081",
        flag: "--control-url"
    }
    CONTROL_NODE_NAME { key: "control.node_name", default: "", expected: "1 to 128 letters, digits and . _ -" }
    CONTROL_CA_FILE { key: "control.ca_file", default: "", expected: PEM_FILE }
    CONTROL_CERT { key: "control.cert", default: "", expected: PEM_FILE }
    CONTROL_KEY { key: "control.key", default: "", expected: PEM_FILE }
    METRICS_LISTEN {
        key: "metrics.listen", default: "",
        expected: "an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464 (port 0 takes a free one)"
    }
    DEMO_LISTEN { key: "demo.listen", default: "127.0.0.1:8082", expected: ADDRESS, flag: "--demo-listen" }
    SHUTDOWN_GRACE {
        key: "shutdown.grace", default: "30s", expected: "a duration from 0s to 24h, such as \"30s\""
    }
    AUTH_FAILURES_PER_MINUTE {
        key: "auth.failures_per_minute", default: "100", expected: "a whole number from 1 to 1000000, or \"none\""
    }
    TOKENS_TTL {
        key: "tokens.ttl", default: "60m", expected: "a duration of whole seconds from 1s to 24h, such as \"60m\""
    }
    TOKENS_ISSUER {
        key: "tokens.issuer", default: "tollgate", expected: "1 to 255 visible ASCII characters without spaces"
    }
    TOKENS_ROTATE_EVERY {
        key: "tokens.rotate_every", default: "30d", expected: "a duration from 10m to 365d, such as \"30d\""
    }
    UPSTREAMS_ALLOW { key: "upstreams.allow", default: "", expected: NETWORKS }
    UPSTREAMS_DNS_SERVERS {
        key: "upstreams.dns_servers", default: "",
        expected: "a list of IP addresses, with a port where it is not 53, such as [\"10.0.0.2\", \"[fd00::1]:5353\"]"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table whose header starts with `| Setting |`: the code spans of each row's first cells.
    fn documented(markdown: &str) -> Vec<(String, String)> {
        let table = markdown.split("| Setting |").nth(1).expect("a settings table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let code = |cell: &str| cell.trim().trim_matches('`').to_owned();
        rows.map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (code(cells[1]), code(cells[2]))
        })
        .collect()
    }

    fn in_code() -> Vec<(String, String)> {
        ALL.iter().map(|setting| (setting.key.to_owned(), setting.default.to_owned())).collect()
    }

    #[test]
    fn the_documentation_lists_every_setting_with_its_default() {
        assert_eq!(documented(include_str!("../../../../docs/configuration.md")), in_code());
    }

    #[test]
    fn the_readme_lists_every_setting_with_its_default() {
        assert_eq!(documented(include_str!("../../../../README.md")), in_code());
    }

    #[test]
    fn a_setting_has_one_name_in_every_form() {
        assert_eq!(PROXY_LISTEN.variable(), "TOLLGATE_PROXY__LISTEN");
        assert_eq!(PROXY_TIMEOUTS_KEEP_ALIVE.variable(), "TOLLGATE_PROXY__TIMEOUTS__KEEP_ALIVE");
        assert_eq!(DATA_DIR.variable(), "TOLLGATE_DATA_DIR");
    }
}
