//! The configuration in the terms of the data plane.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use tollgate_proxy::{AccessLog, Limits, Settings, Timeouts};

use super::open_files::{AdminListening, Bounds, sufficing};
use crate::config::{self, Config, LimitsConfig, TimeoutsConfig};

const KEY_SETS_DIRECTORY: &str = "key-sets";

pub fn proxy_settings(config: &Config, access_log: config::AccessLog, admin: AdminListening) -> Settings {
    let proxy = &config.proxy;
    let workers = proxy.workers.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    Settings {
        listen: proxy.listen,
        workers,
        timeouts: timeouts(&proxy.timeouts),
        limits: limits(&proxy.limits, admin),
        access_log: match access_log {
            config::AccessLog::Off => AccessLog::Off,
            config::AccessLog::Stdout => AccessLog::Stdout,
            config::AccessLog::File(path) => AccessLog::File(path),
        },
        allow_list: config.upstreams_allowed.clone(),
        upstream_ca_file: proxy.upstream_ca_file.clone(),
        dns_servers: config.dns_servers.clone(),
        trusted_proxies: proxy.trusted_proxies.clone(),
        upstream_idle_connections: proxy.upstream_idle_connections,
        failures_per_minute: config.failures_per_minute,
        issuing: config.tokens.issuing.clone(),
        key_sets_dir: Some(config.data_dir.join(KEY_SETS_DIRECTORY)),
    }
}

const fn timeouts(config: &TimeoutsConfig) -> Timeouts {
    let &TimeoutsConfig {
        head,
        keep_alive,
        body_idle,
        connect,
        first_byte,
        upstream_idle,
        tunnel_idle,
        total,
    } = config;
    Timeouts { head, keep_alive, body_idle, connect, first_byte, upstream_idle, tunnel_idle, total }
}

fn limits(config: &LimitsConfig, admin: AdminListening) -> Limits {
    let &LimitsConfig {
        request_line_bytes,
        head_bytes,
        head_fields,
        max_body_bytes,
        max_connections,
        max_requests,
    } = config;
    let wanted = Bounds { connections: max_connections, requests: max_requests };
    let Bounds { connections: max_connections, requests: max_requests } = sufficing(wanted, admin);
    let mut limits = Limits { max_body_bytes, max_connections, max_requests, ..Limits::default() };
    limits.head.request_line_bytes = request_line_bytes;
    limits.head.head_bytes = head_bytes;
    limits.head.fields = head_fields;
    limits
}
