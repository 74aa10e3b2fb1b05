//! How many files this process may have open, connections among them.

use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tollgate_admin::ConnectionLimits;

use crate::config::{AdminConfig, PROXY_LIMITS_MAX_CONNECTIONS, PROXY_LIMITS_MAX_REQUESTS};

/// Handshakes of the admin listener at once.
const MOST_HANDSHAKES: usize = 1_024;
/// Of the files, for the admin API, and as many for its handshakes: the rest are the proxy's, and the database's.
const ADMIN_PART: usize = 4;
/// The API can be reached whatever the limit is.
const FEWEST: usize = 16;
/// The database, the log, the listeners, and what the counter store and the control plane are reached over.
const OWN: usize = 64;
/// So many connections are enough for most.
const PLENTY: usize = 10_000;

/// How the listener begins that is not the proxy's, if there is one: with TLS, there are connections beside those that it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminListening {
    /// A node has none, unless it serves its metrics.
    Absent,
    Plain,
    Tls,
}

/// What the proxy takes on: `None` where that is without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub connections: Option<usize>,
    pub requests: Option<usize>,
}

/// Takes all that the system lets a process have without asking: the soft limit is low for the sake of programs that
/// would break with more (`select(2)`), which this is none of.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if current == maximum || current.is_none() {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
}

/// What a listener of ours that is not the proxy's may take of them.
pub fn admin_limits() -> ConnectionLimits {
    let usual = ConnectionLimits::default();
    ConnectionLimits { most: share(usual.most, limit()), ..usual }
}

/// Most handshakes of the admin listener, beside its connections.
pub fn admin_handshakes() -> usize {
    share(MOST_HANDSHAKES, limit())
}

/// What files suffice for, where that is less than what is wanted; a warning then, unless that is plenty and nobody has
/// asked for more.
pub fn sufficing(wanted: Bounds, admin: AdminListening) -> Bounds {
    let files = limit();
    let bounds = wanted.within(files, admin.most_files(files));
    let is_plenty = bounds.connections.is_none_or(|connections| connections >= PLENTY);
    if bounds != wanted && !(is_plenty && wanted == Bounds::usual()) {
        let Bounds { connections, requests } = bounds;
        tracing::warn!(
            open_files = files,
            connections,
            requests,
            "the limit of open files is too low for proxy.limits.max_connections and max_requests, and these bounds \
             hold instead: raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd)"
        );
    }
    bounds
}

impl AdminListening {
    pub const fn of(config: &AdminConfig) -> Self {
        if config.tls.is_some() { Self::Tls } else { Self::Plain }
    }

    /// A node's, which has no admin API, whatever is said of one.
    pub const fn of_node(metrics_listen: Option<SocketAddr>) -> Self {
        if metrics_listen.is_some() { Self::Plain } else { Self::Absent }
    }

    fn most_files(self, files: Option<usize>) -> usize {
        let connections = share(ConnectionLimits::default().most, files);
        match self {
            Self::Absent => 0,
            Self::Plain => connections,
            Self::Tls => connections + share(MOST_HANDSHAKES, files),
        }
    }
}

impl Bounds {
    /// Where nothing is written.
    fn usual() -> Self {
        let [connections, requests] = [&PROXY_LIMITS_MAX_CONNECTIONS, &PROXY_LIMITS_MAX_REQUESTS]
            .map(|setting| setting.default.parse().ok());
        Self { connections, requests }
    }

    /// A connection takes a file, and a request one more, for its target's.
    fn within(self, files: Option<usize>, of_admin: usize) -> Self {
        let Some(files) = files else { return self };
        let left = files.saturating_sub(of_admin + OWN).max(FEWEST * 3);
        let at_most =
            |most: usize, wanted: Option<usize>| Some(wanted.map_or(most, |wanted| wanted.min(most)));
        let requests = at_most(left / 3, self.requests);
        let connections = at_most(left - requests.unwrap_or_default(), self.connections);
        Self { connections, requests }
    }
}

fn share(usual: usize, files: Option<usize>) -> usize {
    files.map_or(usual, |files| usual.min((files / ADMIN_PART).max(FEWEST)))
}

/// The soft limit; `None` where there is none.
fn limit() -> Option<usize> {
    usize::try_from(getrlimit(Resource::Nofile).current?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_api_takes_a_quarter_of_few_files() {
        assert_eq!(share(1_024, Some(200)), 50);
        assert_eq!(share(1_024, Some(20)), FEWEST);
        assert_eq!((share(1_024, Some(1 << 20)), share(1_024, None)), (1_024, 1_024));
    }

    #[test]
    fn a_node_keeps_no_files_for_an_admin_api() {
        let metrics = "127.0.0.1:9090".parse().unwrap();
        let kept = |metrics| AdminListening::of_node(metrics).most_files(Some(4_096));
        assert_eq!((kept(None), kept(Some(metrics))), (0, 1_024));
    }

    #[test]
    fn what_is_taken_on_never_needs_more_files_than_there_are() {
        let wanted = Bounds::usual();
        assert_eq!((wanted.within(None, 1_024), wanted.within(Some(1 << 20), 1_024)), (wanted, wanted));
        let all = [wanted, Bounds { connections: None, requests: None }]
            .map(|wanted| [(wanted, AdminListening::Plain, 1), (wanted, AdminListening::Tls, 2)]);
        for files in [300, 1_024, 4_096, 20_000, 100_000] {
            for (wanted, admin, shares) in all.into_iter().flatten() {
                let bounds = wanted.within(Some(files), admin.most_files(Some(files)));
                let (connections, requests) = (bounds.connections.unwrap(), bounds.requests.unwrap());
                let needed = connections + requests + shares * share(1_024, Some(files)) + OWN;
                assert!(needed <= files, "{bounds:?} of {files}, {admin:?}");
                assert!(connections >= requests && requests > 0, "{bounds:?} of {files}, {admin:?}");
            }
        }
        let few = Bounds { connections: Some(100), requests: None };
        assert_eq!(few.within(Some(4_096), 1_024), Bounds { connections: Some(100), requests: Some(1_002) });
        assert!(wanted.within(Some(10), FEWEST).connections.is_some_and(|connections| connections > 0));
    }
}
