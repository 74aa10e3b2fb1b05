//! The system's DNS servers, and how it wants them to be asked: `/etc/resolv.conf`, and the two variables of the
//! environment that glibc lets override it.

use std::env;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::system_conf::read_system_conf;
use tollgate_core::name::{Search, ServerOptions, local_domains};

use super::servers::Servers;

/// `None` where the file cannot be used.
pub(super) fn servers() -> Option<Result<Servers, NetError>> {
    let read = read_system_conf();
    let read = read.inspect_err(|error| tracing::warn!(%error, "/etc/resolv.conf cannot be used"));
    let (config, options) = read.ok()?;
    let said = said(&config, &options, env::var("LOCALDOMAIN").ok(), env::var("RES_OPTIONS").ok());
    Some(build(config, options, said))
}

/// In the file, or in the environment.
fn said(
    config: &ResolverConfig,
    options: &ResolverOpts,
    localdomain: Option<String>,
    res_options: Option<String>,
) -> (Search, ServerOptions) {
    let ResolverOpts { ndots: dots, timeout, attempts, .. } = *options;
    let of_file = ServerOptions { dots, timeout, attempts };
    let options = res_options.map_or(of_file, |text| of_file.overridden_by(&text));
    let search = match localdomain {
        Some(text) => Search::new(local_domains(&text), options.dots),
        None if config.search().is_empty() => {
            // That of the machine's own name, where it has one.
            Search::new(config.domain().map(ToString::to_string), options.dots)
        }
        None => Search::new(config.search().iter().map(ToString::to_string), options.dots),
    };
    (search, options)
}

fn build(
    config: ResolverConfig,
    mut options: ResolverOpts,
    (search, said): (Search, ServerOptions),
) -> Result<Servers, NetError> {
    let (_, _, servers) = config.into_parts();
    // Attempts are all of them there, and those after the first here.
    (options.timeout, options.attempts) = (said.timeout, said.attempts.saturating_sub(1));
    Servers::build(servers, options, search)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::system_conf::parse_resolv_conf;
    use tollgate_core::resource::{BaseUrl, Host};

    use super::*;

    const FILE: &str = "nameserver 127.0.0.1\nsearch shop.test example.com\noptions ndots:2 attempts:4\n";

    fn candidates(file: &str, localdomain: Option<&str>, res_options: Option<&str>) -> Vec<String> {
        let (config, options) = parse_resolv_conf(file).unwrap();
        let text = |text: &str| text.to_owned();
        let (search, _) = said(&config, &options, localdomain.map(text), res_options.map(text));
        search.candidates("api.eu")
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        assert_eq!(candidates(FILE, None, None), ["api.eu.shop.test.", "api.eu.example.com.", "api.eu."]);
        assert_eq!(candidates(FILE, Some("other.test"), None), ["api.eu.other.test.", "api.eu."]);
        assert_eq!(candidates(FILE, Some(""), None), ["api.eu."]);
        assert_eq!(candidates(FILE, Some("other.test"), Some("ndots:1")), ["api.eu.", "api.eu.other.test."]);
    }

    #[test]
    fn a_target_with_a_dot_at_its_end_is_looked_for_in_no_domain() {
        let (config, options) = parse_resolv_conf(FILE).unwrap();
        let (search, _) = said(&config, &options, None, None);
        let candidates = |text| match BaseUrl::parse(text).unwrap().host() {
            Host::Name(name) => search.candidates(name.to_look_up()),
            Host::Address(_) => panic!("{text}"),
        };
        assert_eq!(candidates("http://api.:8080"), ["api."]);
        assert_eq!(candidates("http://api:8080"), ["api.shop.test.", "api.example.com.", "api."]);
    }

    #[test]
    fn a_domain_is_a_search_list_of_one() {
        let file = "nameserver 127.0.0.1\ndomain example.com\n";
        assert_eq!(candidates(file, None, Some("ndots:3")), ["api.eu.example.com.", "api.eu."]);
    }
}
