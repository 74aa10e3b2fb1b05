//! What the proxy listens on, how long it waits, and how much it takes on.

use super::Reader;
use crate::config::{LimitsConfig, ProxyConfig, TimeoutsConfig, setting, value};

impl Reader<'_> {
    pub(super) fn proxy(&mut self) -> Option<ProxyConfig> {
        let listen = self.read(&setting::PROXY_LISTEN, value::socket_address);
        let workers = self.read(&setting::PROXY_WORKERS, value::workers);
        let trusted_proxies = self.read(&setting::PROXY_TRUSTED_PROXIES, value::networks);
        let upstream_ca_file = self.read(&setting::PROXY_UPSTREAM_CA_FILE, value::optional_path);
        let upstream_idle_connections =
            self.read(&setting::PROXY_UPSTREAM_IDLE_CONNECTIONS, |value| value::size(value, 0..=65_536));
        let timeouts = self.timeouts();
        let limits = self.limits();
        Some(ProxyConfig {
            listen: listen?,
            workers: workers?,
            trusted_proxies: trusted_proxies?,
            upstream_ca_file: upstream_ca_file?,
            upstream_idle_connections: upstream_idle_connections?,
            timeouts: timeouts?,
            limits: limits?,
        })
    }

    fn timeouts(&mut self) -> Option<TimeoutsConfig> {
        let head = self.read(&setting::PROXY_TIMEOUTS_HEAD, value::timeout);
        let keep_alive = self.read(&setting::PROXY_TIMEOUTS_KEEP_ALIVE, value::timeout);
        let body_idle = self.read(&setting::PROXY_TIMEOUTS_BODY_IDLE, value::timeout);
        let connect = self.read(&setting::PROXY_TIMEOUTS_CONNECT, value::timeout);
        let first_byte = self.read(&setting::PROXY_TIMEOUTS_FIRST_BYTE, value::timeout);
        let upstream_idle = self.read(&setting::PROXY_TIMEOUTS_UPSTREAM_IDLE, value::timeout);
        let tunnel_idle = self.read(&setting::PROXY_TIMEOUTS_TUNNEL_IDLE, value::timeout);
        let total = self.read(&setting::PROXY_TIMEOUTS_TOTAL, |value| value::or_none(value, value::timeout));
        Some(TimeoutsConfig {
            head: head?,
            keep_alive: keep_alive?,
            body_idle: body_idle?,
            connect: connect?,
            first_byte: first_byte?,
            upstream_idle: upstream_idle?,
            tunnel_idle: tunnel_idle?,
            total: total?,
        })
    }

    fn limits(&mut self) -> Option<LimitsConfig> {
        let request_line_bytes =
            self.read(&setting::PROXY_LIMITS_REQUEST_LINE_BYTES, |value| value::size(value, 256..=1_048_576));
        let head_bytes =
            self.read(&setting::PROXY_LIMITS_HEAD_BYTES, |value| value::size(value, 1_024..=1_048_576));
        let head_fields = self.read(&setting::PROXY_LIMITS_HEAD_FIELDS, |value| value::size(value, 8..=256));
        let max_body_bytes = self.read(&setting::PROXY_LIMITS_MAX_BODY_BYTES, |value| {
            value::or_none(value, |value| value::whole_number(value, 0..=u64::MAX))
        });
        let bound = |value: &_| value::or_none(value, |value| value::size(value, 1..=10_000_000));
        let max_connections = self.read(&setting::PROXY_LIMITS_MAX_CONNECTIONS, bound);
        let max_requests = self.read(&setting::PROXY_LIMITS_MAX_REQUESTS, bound);
        Some(LimitsConfig {
            request_line_bytes: request_line_bytes?,
            head_bytes: head_bytes?,
            head_fields: head_fields?,
            max_body_bytes: max_body_bytes?,
            max_connections: max_connections?,
            max_requests: max_requests?,
        })
    }
}
