//! The DNS servers that are asked for a name. It may stand for several whole ones, which are asked for one after another.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tollgate_core::name::Search;

use super::LookupError;
use super::families::{Joined, look_up};
use super::resolver::{Failure, Found};

/// How long a server is waited for at most, before it is asked once more or another is.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

pub(super) struct Servers {
    resolver: TokioResolver,
    search: Search,
}

impl Servers {
    /// These; every name is whole.
    pub fn at(addresses: &[SocketAddr]) -> Result<Self, NetError> {
        let servers = addresses.iter().map(server_at).collect();
        Self::build(servers, ResolverOpts::default(), Search::default())
    }

    pub fn build(
        servers: Vec<NameServerConfig>,
        mut options: ResolverOpts,
        search: Search,
    ) -> Result<Self, NetError> {
        options.timeout = options.timeout.min(LONGEST_WAIT);
        // What is known is kept by name, not here; and the file has been asked before.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // Theirs are times to live as well.
        options.preserve_intermediates = true;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self { resolver: builder.build()?, search })
    }

    /// The addresses of the first whole name that has any. Where one family's do not come, those `before` stand in, if
    /// they are of the same.
    pub async fn look_up(&self, name: &str, before: Option<&Found>) -> Result<Found, Failure> {
        let in_force = before.and_then(|before| before.whole_name.as_deref());
        first_found(self.search.candidates(name), in_force, async |whole_name: String| {
            let of_same = before.filter(|before| before.whole_name.as_ref() == Some(&whole_name));
            look_up(&self.resolver, &whole_name, of_same.map_or(&[], |before| &before.ips)).await
        })
        .await
    }
}

/// Where there is none, and somebody did not say so of a whole name, nobody says so of the name. While nobody says anything
/// of the whole name that is in force none behind it takes its place: that may be a machine of somebody else's.
async fn first_found<LookUp: Future<Output = Joined>>(
    whole_names: Vec<String>,
    in_force: Option<&str>,
    look_up: impl Fn(String) -> LookUp,
) -> Result<Found, Failure> {
    let mut failure: Option<Failure> = None;
    for whole_name in whole_names {
        match look_up(whole_name.clone()).await {
            Ok((ips, time_to_live)) => {
                return Ok(Found { ips, time_to_live, whole_name: Some(whole_name) });
            }
            Err(unknown @ Failure::Unknown(_)) if in_force == Some(&whole_name) => return Err(unknown),
            Err(next) => {
                failure = Some(match failure {
                    Some(before) => before.and(next),
                    None => next,
                });
            }
        }
    }
    Err(failure.unwrap_or_else(|| Failure::Unknown(LookupError("the name is too long".into()))))
}

fn server_at(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
    NameServerConfig::new(address.ip(), true, connections.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn error() -> LookupError {
        LookupError("no answer".into())
    }

    fn denied(secs: u64) -> Failure {
        Failure::Denied { error: error(), time_to_live: Duration::from_secs(secs) }
    }

    /// Of the three names, this comes.
    async fn outcome(of: [fn() -> Joined; 3]) -> Result<Found, Failure> {
        outcome_while(None, of).await
    }

    /// The same while the addresses of one of them are in force.
    async fn outcome_while(in_force: Option<&str>, of: [fn() -> Joined; 3]) -> Result<Found, Failure> {
        let names = ["0", "1", "2"].map(str::to_owned).to_vec();
        first_found(names, in_force, async |name: String| of[name.parse::<usize>().unwrap()]()).await
    }

    #[tokio::test]
    async fn the_first_whole_name_that_has_addresses_is_taken_whatever_came_before() {
        let addresses = || Ok((vec![ip("192.0.2.1")], Duration::from_secs(9)));
        for before in [|| Err(denied(1)), || Err(Failure::Unknown(error()))] {
            let found = outcome([before, addresses, || panic!("it is not asked for")]).await.unwrap();
            assert_eq!(found.whole_name.as_deref(), Some("1"));
        }
    }

    #[tokio::test]
    async fn silence_about_the_whole_name_in_force_brings_no_other_in_its_place() {
        let addresses = || Ok((vec![ip("192.0.2.1")], Duration::from_secs(9)));
        let unknown = || Err(Failure::Unknown(error()));
        let silent = outcome_while(Some("0"), [unknown, addresses, addresses]).await;
        assert!(matches!(silent, Err(Failure::Unknown(_))), "{silent:?}");
        let denied = outcome_while(Some("0"), [|| Err(denied(1)), addresses, addresses]).await.unwrap();
        assert_eq!(denied.whole_name.as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_name_is_denied_where_all_whole_names_are() {
        let all = outcome([|| Err(denied(9)), || Err(denied(4)), || Err(denied(7))]).await;
        let Err(Failure::Denied { time_to_live, .. }) = all else { panic!("{all:?}") };
        assert_eq!(time_to_live, Duration::from_secs(4));
        let unknown = || Err(Failure::Unknown(error()));
        for one_is_not in
            [[unknown, || Err(denied(4)), || Err(denied(7))], [|| Err(denied(4)), unknown, || Err(denied(7))]]
        {
            let outcome = outcome(one_is_not).await;
            assert!(matches!(outcome, Err(Failure::Unknown(_))), "{outcome:?}");
        }
    }
}
