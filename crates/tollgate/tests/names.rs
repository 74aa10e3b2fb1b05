//! Targets that are named by a host name: all of its addresses are used, and changes of them are followed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy's leave for tests covers test functions alone"
)]

mod harness;

use harness::{
    AUDIENCE, BlackHole, DnsServer, Gate, Gateway, Issuer, Load, ScriptedUpstream, Step, Tenant, eventually,
};
use serde_json::json;

const NAME: &str = "api.upstreams.test";
const FIRST: [u8; 4] = [127, 0, 0, 1];
const SECOND: [u8; 4] = [127, 0, 0, 2];

/// Upstreams at the same port of two addresses.
struct Twins {
    first: ScriptedUpstream,
    second: ScriptedUpstream,
}

impl Twins {
    fn start() -> Self {
        let first = ScriptedUpstream::responding("first");
        let at = (SECOND, first.address().port());
        let second = ScriptedUpstream::start_at(at.into(), |exchange| {
            exchange.run(&Step::respond("200 OK", "second"))
        });
        Self { first, second }
    }

    fn url(&self) -> String {
        format!("http://{NAME}:{}", self.first.address().port())
    }
}

fn gateway(dns: &DnsServer) -> Gateway {
    let servers = dns.address().to_string();
    Gateway::builder().env("TOLLGATE_UPSTREAMS__DNS_SERVERS", &servers).start()
}

/// The name leads to the first of the twins, which gets requests without a pause.
fn loaded_at_the_first(dns: &DnsServer, twins: &Twins) -> (Gateway, Load) {
    dns.set(NAME, &[FIRST]);
    let gateway = gateway(dns);
    let key = gateway.expose(&twins.url());
    let load = Load::start(&[gateway.proxy_address()], "/acme/api/", &key, 4, usize::MAX);
    eventually("requests at the first", || !twins.first.requests().is_empty());
    (gateway, load)
}

#[track_caller]
fn assert_nothing_is_lost(load: Load) {
    let tally = load.stop();
    assert_eq!(tally.lost, 0, "{tally:?}");
    tally.only(&[200]);
}

#[test]
fn all_addresses_of_a_name_get_connections() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    dns.set(NAME, &[FIRST, SECOND]);
    let gateway = gateway(&dns);
    let key = gateway.expose(&twins.url());
    let tally = Load::start(&[gateway.proxy_address()], "/acme/api/", &key, 8, 400).finish();
    assert_eq!((tally.lost, tally.of(200)), (0, 400), "{tally:?}");
    for upstream in [&twins.first, &twins.second] {
        assert!(upstream.connections() >= 2, "{}", upstream.connections());
    }
    assert!(dns.answered() < 20, "a request waits for no answer: {}", dns.answered());
}

#[test]
fn requests_take_turns_at_all_addresses_of_a_name_whatever_is_connected() {
    const REQUESTS: usize = 60;
    let (dns, twins) = (DnsServer::start(), Twins::start());
    dns.set(NAME, &[FIRST, SECOND]);
    let gateway = gateway(&dns);
    let key = gateway.expose(&twins.url());
    let mut client = gateway.client();
    for _ in 0..REQUESTS {
        client.get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
    }
    for upstream in [&twins.first, &twins.second] {
        let requests = upstream.requests().len();
        assert!(requests.abs_diff(REQUESTS / 2) <= 1, "{requests}");
        assert_eq!(upstream.connections(), 1, "it is reused");
    }
}

#[test]
fn a_name_with_a_dot_at_its_end_is_one_of_its_own_that_only_the_resolver_sees() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    dns.set(NAME, &[FIRST]);
    let gateway = gateway(&dns);
    let tenant = gateway.tenant("acme");
    let authority = format!("{NAME}:{}", twins.first.address().port());
    let urls = [format!("http://{NAME}.:{}", twins.first.address().port()), twins.url()];
    let targets = urls.clone().map(|url| json!({ "url": url }));
    tenant.service_with(&json!({ "slug": "api", "targets": targets }));
    let written = gateway.admin().get(&tenant.path("services/api")).expect(200);
    assert_eq!([0, 1].map(|index| written["targets"][index]["url"].clone()), urls);
    let key = tenant.unlimited_key();
    // Over one connection: it is read again only when the upstream's connection is back in its pool.
    let mut client = gateway.client();
    for _ in 0..4 {
        client.get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
    }
    assert!(twins.first.requests().iter().all(|request| request.header("Host") == Some(&authority)));
    assert_eq!(twins.first.connections(), 2, "neither uses the other's");
}

#[test]
fn the_resolver_is_given_a_name_with_its_dot() {
    let dns = DnsServer::start();
    let gateway = gateway(&dns);
    let key = gateway.expose("http://nowhere.upstreams.test.:1");
    gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(502);
    eventually("it is told", || {
        gateway.stderr().iter().any(|line| line.contains(r#""name":"nowhere.upstreams.test.""#))
    });
}

#[test]
fn an_address_that_is_added_gets_its_share_though_no_connection_is_ever_idle() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    let (_gateway, load) = loaded_at_the_first(&dns, &twins);
    dns.set(NAME, &[FIRST, SECOND]);
    let requests = || [&twins.first, &twins.second].map(|upstream| upstream.requests().len());
    // Each worker begins with it at a time of its own.
    eventually("both have equal shares", || {
        let before = requests();
        eventually("more requests", || {
            requests().iter().sum::<usize>() >= before.iter().sum::<usize>() + 200
        });
        let after = requests();
        (after[0] - before[0]).abs_diff(after[1] - before[1]) <= 20
    });
    assert_nothing_is_lost(load);
}

#[test]
fn an_address_that_cannot_be_reached_is_gone_around() {
    let (dns, upstream) = (DnsServer::start(), ScriptedUpstream::responding("first"));
    // Nobody listens at the second.
    dns.set(NAME, &[FIRST, SECOND]);
    let gateway = gateway(&dns);
    let key = gateway.expose(&format!("http://{NAME}:{}", upstream.address().port()));
    for _ in 0..6 {
        gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
        upstream.close_connections();
    }
}

#[test]
fn a_check_that_has_little_time_goes_around_addresses_that_are_silent() {
    const CHECKS: usize = 16;
    let (dns, upstream) = (DnsServer::start(), ScriptedUpstream::responding("up"));
    let port = upstream.address().port();
    let _silent = [2, 3].map(|last| BlackHole::open_at(([127, 0, 0, last], port).into()));
    dns.set(NAME, &[FIRST, SECOND, [127, 0, 0, 3]]);
    let gateway = gateway(&dns);
    let tenant = gateway.tenant("acme");
    let check = json!({ "interval": "250ms", "timeout": "250ms" });
    let url = format!("http://{NAME}:{port}");
    tenant.service_with(&json!({ "slug": "api", "url": url, "health_check": check }));
    let mut passed = Vec::new();
    eventually("enough checks", || {
        let health = gateway.admin().get(&tenant.path("health/services")).expect(200);
        let history = health["items"][0]["targets"][0]["history"].as_array().expect("a history").iter();
        passed = history.map(|check| check["passed"] == true).collect();
        passed.len() >= CHECKS
    });
    // Two of three fail where each begins at a silent one and stays there.
    let failed = passed.iter().filter(|passed| !**passed).count();
    assert!(failed <= CHECKS / 4, "{passed:?}");
}

#[test]
fn an_address_that_falls_silent_behind_idle_connections_is_gone_around() {
    let (dns, first, falls_silent) = (DnsServer::start(), ScriptedUpstream::responding("first"), Gate::new());
    let (at, gate) = ((SECOND, first.address().port()), falls_silent.clone());
    let second = ScriptedUpstream::start_at(at.into(), move |exchange| {
        if gate.is_open() {
            return exchange.run(&[Step::AwaitClose]);
        }
        exchange.run(&Step::respond("200 OK", "second"))
    });
    dns.set(NAME, &[FIRST, SECOND]);
    let gateway = gateway(&dns);
    let tenant = gateway.tenant("acme");
    let url = format!("http://{NAME}:{}", first.address().port());
    tenant.service_with(&json!({ "slug": "api", "url": url, "timeouts": { "first_byte": "300ms" } }));
    let key = tenant.unlimited_key();
    Load::start(&[gateway.proxy_address()], "/acme/api/", &key, 32, 600).finish().only(&[200]);
    assert!(second.connections() >= 6, "{}", second.connections());
    falls_silent.open();
    let mut client = gateway.client();
    let statuses = (0..12).map(|_| client.get("/acme/api/", &[("X-API-Key", &key)]).status);
    let silent = statuses.filter(|status| *status == 504).count();
    // The one that found out; another tries it again ten seconds later, should this take so long.
    assert!((1..=2).contains(&silent), "{silent}");
}

#[test]
fn traffic_follows_a_change_of_address_without_losing_a_request() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    let (_gateway, load) = loaded_at_the_first(&dns, &twins);
    assert!(twins.second.requests().is_empty());
    dns.set(NAME, &[SECOND]);
    eventually("requests at the second", || !twins.second.requests().is_empty());
    // Even those that are never idle when somebody looks.
    twins.first.await_open_connections(0);
    assert_nothing_is_lost(load);
}

#[test]
fn a_connection_that_was_out_while_its_address_went_is_not_used_again() {
    let (dns, gate) = (DnsServer::start(), Gate::new());
    let held = [vec![Step::Await(gate.clone())], Step::respond("200 OK", "first")].concat();
    let first = ScriptedUpstream::script(held);
    let at = (SECOND, first.address().port());
    let _second =
        ScriptedUpstream::start_at(at.into(), |exchange| exchange.run(&Step::respond("200 OK", "second")));
    dns.set(NAME, &[FIRST]);
    let gateway = gateway(&dns);
    let key = gateway.expose(&format!("http://{NAME}:{}", first.address().port()));
    let mut client = gateway.client();
    client.send(format!("GET /acme/api/ HTTP/1.1\r\nHost: g\r\nX-API-Key: {key}\r\n\r\n"));
    eventually("the request is at the first", || !first.requests().is_empty());
    dns.set(NAME, &[SECOND]);
    eventually("the change is seen", || {
        gateway.stderr().iter().any(|line| line.contains("a name has other addresses"))
    });
    // Long enough that the pools have looked since.
    let answered = dns.answered();
    eventually("the name was asked for again", || dns.answered() >= answered + 6);
    gate.open();
    assert_eq!(client.read_response().expect(200).text(), "first");
    assert_eq!(gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200).text(), "second");
}

#[test]
fn traffic_goes_on_while_nobody_answers_for_a_name() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    dns.set(NAME, &[FIRST]);
    let gateway = gateway(&dns);
    let key = gateway.expose(&twins.url());
    gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
    drop(dns);
    eventually("the outage is told", || {
        gateway
            .stderr()
            .iter()
            .any(|line| line.contains("does not resolve any more: its addresses stay in use"))
    });
    twins.first.close_connections();
    gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
}

#[test]
fn a_name_that_is_gone_has_no_address_until_it_is_back() {
    goes_and_comes_back(|dns| dns.unset(NAME));
}

#[test]
fn a_name_that_is_there_without_addresses_has_none_until_it_has_some_again() {
    goes_and_comes_back(|dns| dns.set(NAME, &[]));
}

#[track_caller]
fn goes_and_comes_back(deny: impl FnOnce(&DnsServer)) {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    dns.set(NAME, &[FIRST]);
    let gateway = gateway(&dns);
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": twins.url(), "breaker": { "enabled": false } }));
    let key = tenant.unlimited_key();
    let mut client = gateway.client();
    let mut get = || client.get("/acme/api/", &[("X-API-Key", &key)]);
    get().expect(200);
    deny(&dns);
    eventually("the denial is told", || {
        gateway.stderr().iter().any(|line| line.contains("its addresses stay in use"))
    });
    get().expect(200);
    eventually("the denial is confirmed", || {
        let response = get();
        assert!(matches!(response.status, 200 | 502), "{response:?}");
        response.header("Proxy-Status").is_some_and(|status| status.contains("dns_error"))
    });
    twins.first.await_open_connections(0);
    dns.set(NAME, &[SECOND]);
    eventually("it is back", || get().status == 200);
    assert_eq!(get().expect(200).text(), "second");
}

#[test]
fn a_name_that_comes_to_lead_to_where_nobody_may_go_is_refused() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    dns.set(NAME, &[FIRST]);
    let gateway = gateway(&dns);
    let key = gateway.expose(&twins.url());
    let get = || gateway.client().get("/acme/api/", &[("X-API-Key", &key)]);
    assert_eq!(get().expect(200).text(), "first");
    dns.set(NAME, &[[169, 254, 169, 254]]);
    eventually("the change is followed", || {
        let response = get();
        assert!(matches!(response.status, 200 | 502), "{}", response.status);
        let status = response.header("Proxy-Status").unwrap_or_default();
        response.status == 502 && status.contains("destination_ip_prohibited")
    });
}

#[test]
fn a_name_that_nobody_knows_is_told_so_and_found_once_it_is_there() {
    let (dns, twins) = (DnsServer::start(), Twins::start());
    let gateway = gateway(&dns);
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": twins.url(), "breaker": { "enabled": false } }));
    let key = tenant.unlimited_key();
    let get = || gateway.client().get("/acme/api/", &[("X-API-Key", &key)]);
    let response = get().expect(502);
    assert!(response.header("Proxy-Status").unwrap().contains("dns_error"), "{response:?}");
    dns.set(NAME, &[FIRST]);
    eventually("the name is asked for again", || get().status == 200);
}

/// A gateway that asks this server, a look-up of which takes longer than a connection may.
fn impatient(dns: &DnsServer) -> Gateway {
    let servers = dns.address().to_string();
    let builder = Gateway::builder().env("TOLLGATE_UPSTREAMS__DNS_SERVERS", &servers);
    builder.config("[proxy.timeouts]\nconnect = \"1s\"\n").start()
}

/// A tenant that has so many names looked up that nobody answers for that others of its own wait.
fn noisy(gateway: &Gateway, dns: &DnsServer) -> Tenant {
    dns.silence("dead.test");
    let targets: Vec<_> =
        (0..80).map(|number| json!({ "url": format!("http://{number}.dead.test") })).collect();
    let health_check = json!({ "interval": "1s", "timeout": "1s" });
    let tenant = gateway.tenant("noisy");
    tenant.service_with(&json!({ "slug": "dead", "targets": targets, "health_check": health_check }));
    eventually("names that nobody answers for", || dns.unanswered() >= 30);
    tenant
}

#[test]
fn names_that_nobody_answers_for_keep_no_other_tenant_s_waiting() {
    let (dns, upstream) = (DnsServer::start(), ScriptedUpstream::responding("first"));
    dns.set(NAME, &[FIRST]);
    let gateway = impatient(&dns);
    let url = format!("http://{NAME}:{}", upstream.address().port());
    let noisy = noisy(&gateway, &dns);
    // It needs the name first, and has no place for it.
    noisy.service("api", &url);
    let refused = gateway.client().get("/noisy/api/", &[("X-API-Key", &noisy.unlimited_key())]);
    assert!(matches!(refused.status, 502 | 504), "{refused:?}");
    let key = gateway.expose(&url);
    gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
}

/// A service of the tenant whose issuers `0`, `1` and so on show their keys at these addresses.
fn take_tokens(tenant: &Tenant, slug: &str, urls: impl Iterator<Item = String>) {
    let entry = |(place, url): (usize, String)| json!({ "issuer": place.to_string(), "audience": AUDIENCE, "jwks_url": url });
    let entries: Vec<_> = urls.enumerate().map(entry).collect();
    tenant.service_with(&json!({ "slug": slug, "url": "http://127.0.0.1:1", "jwt": entries }));
}

#[test]
fn issuers_that_nobody_answers_for_keep_no_other_tenant_s_waiting() {
    const SERVICES: usize = 6;
    const ISSUERS: usize = 8;
    let (dns, keys) = (DnsServer::start(), ScriptedUpstream::responding(r#"{"keys":[]}"#));
    dns.set(NAME, &[FIRST]);
    dns.silence("dead.test");
    let (gateway, issuer) = (gateway(&dns), Issuer::start());
    let noisy = gateway.tenant("noisy");
    for service in 0..SERVICES {
        let urls = (0..ISSUERS).map(|issuer| format!("http://{service}-{issuer}.dead.test/"));
        take_tokens(&noisy, &format!("dead-{service}"), urls);
    }
    let url = format!("http://{NAME}:{}/", keys.address().port());
    take_tokens(&gateway.tenant("quiet"), "api", [url].into_iter());
    issuer.key("one", "EC");
    let tokens: Vec<_> = (0..ISSUERS)
        .map(|of| issuer.token("one", "ES256", &Issuer::claims(&json!({ "iss": of.to_string() }))))
        .collect();
    let ask = |path: &str, token: &str| {
        let mut client = gateway.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n"));
        client
    };
    let mut waiting = Vec::new();
    for service in 0..SERVICES {
        waiting.extend(tokens.iter().map(|token| ask(&format!("/noisy/dead-{service}"), token)));
    }
    eventually("names that nobody answers for", || dns.unanswered() >= 16);
    // There are keys, none of which has signed it.
    ask("/quiet/api", &tokens[0]).read_response().expect(403);
}
