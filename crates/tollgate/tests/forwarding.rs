//! What the upstream is told of a request and of where it came from.

mod harness;

use harness::{Echoed, eventually_some, started, started_with};

/// All values of the fields of that name.
fn all<'a>(echoed: &'a Echoed, name: &str) -> Vec<&'a str> {
    let fields = echoed.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    fields.map(|(_, value)| value.as_str()).collect()
}

/// What a client or a proxy before the gateway says of the request.
const CLAIMS: [(&str, &str); 11] = [
    ("X-Forwarded-For", "203.0.113.7, 10.1.1.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "shop.example"),
    ("X-Forwarded-Port", "8443"),
    ("Forwarded", "for=203.0.113.7;proto=https"),
    ("X-Request-ID", "claimed-id"),
    ("X-Tenant-ID", "evil"),
    ("x-organization-id", "evil"),
    ("X-CONSUMER-ID", "evil"),
    ("X-Plan-Tier", "evil"),
    ("x-tenant-id", "evil twice"),
];

fn with_key<'a>(key: &'a str, claims: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("X-API-Key", key)], claims].concat()
}

#[test]
fn the_gateway_says_who_calls_and_nobody_else() {
    let (gateway, _upstream, key) = started();
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &CLAIMS)));
    assert_eq!(all(&echoed, "X-Tenant-ID"), ["acme"]);
    assert_eq!(all(&echoed, "X-Organization-ID"), ["acme"]);
    // The key speaks for no consumer and has no plan.
    assert_eq!(all(&echoed, "X-Consumer-ID"), [""; 0]);
    assert_eq!(all(&echoed, "X-Plan-Tier"), [""; 0]);
}

#[test]
fn a_client_s_forwarding_fields_are_not_believed() {
    let (gateway, _upstream, key) = started();
    let response = gateway.client().get("/acme/api", &with_key(&key, &CLAIMS));
    let echoed = Echoed::of(&response);
    assert_eq!(all(&echoed, "X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(all(&echoed, "X-Forwarded-Proto"), ["http"]);
    assert_eq!(all(&echoed, "X-Forwarded-Host"), ["gateway.test"]);
    assert_eq!(all(&echoed, "X-Forwarded-Port"), [gateway.proxy_address().port().to_string()]);
    assert_eq!(all(&echoed, "Forwarded"), ["for=127.0.0.1;host=\"gateway.test\";proto=http"]);
    let logged = gateway.await_logged(|line| line["tenant"] == "acme");
    assert_eq!(logged["client_ip"], "127.0.0.1");
}

#[test]
fn a_trusted_proxy_s_forwarding_fields_are_carried_on() {
    let (gateway, _upstream, key) =
        started_with("[proxy]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &CLAIMS)));
    assert_eq!(all(&echoed, "X-Forwarded-For"), ["203.0.113.7, 10.1.1.1, 127.0.0.1"]);
    assert_eq!(all(&echoed, "X-Forwarded-Proto"), ["https"]);
    assert_eq!(all(&echoed, "X-Forwarded-Host"), ["shop.example"]);
    assert_eq!(all(&echoed, "X-Forwarded-Port"), ["8443"]);
    let forwarded = "for=203.0.113.7;proto=https, for=127.0.0.1;host=\"gateway.test\";proto=http";
    assert_eq!(all(&echoed, "Forwarded"), [forwarded]);
    // Who calls is still for the gateway alone to say.
    assert_eq!(all(&echoed, "X-Tenant-ID"), ["acme"]);
    let logged = gateway.await_logged(|line| line["tenant"] == "acme");
    assert_eq!(logged["client_ip"], "203.0.113.7", "the first that is no trusted proxy");
    let unended = [("Forwarded", "for=\"[2001:db8::7]")];
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &unended)));
    assert_eq!(all(&echoed, "Forwarded"), ["for=unknown, for=127.0.0.1;host=\"gateway.test\";proto=http"]);
}

#[test]
fn a_trusted_proxy_may_say_it_all_in_forwarded() {
    let (gateway, _upstream, key) =
        started_with("[proxy]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
    let said = "for=\"[2001:db8::7]:4711\";host=a.example, for=10.1.1.1:80;proto=https;host=\"shop.example\"";
    let claims = [("Forwarded", said), ("X-Forwarded-Prefix", "/shop")];
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &claims)));
    let logged = gateway.await_logged(|line| line["tenant"] == "acme");
    assert_eq!(logged["client_ip"], "2001:db8::7");
    assert_eq!(all(&echoed, "X-Forwarded-Proto"), ["https"]);
    assert_eq!(all(&echoed, "X-Forwarded-Host"), ["a.example"]);
    assert_eq!(all(&echoed, "X-Forwarded-Prefix"), ["/shop"]);
}

#[test]
fn what_a_trusted_proxy_says_in_one_way_is_said_in_both() {
    let (gateway, _upstream, key) =
        started_with("[proxy]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
    let own = "for=127.0.0.1;host=\"gateway.test\";proto=http";
    let port = gateway.proxy_address().port().to_string();
    let with_x = |claims: &[(&'static str, &'static str)], forwarded: &str, port: &str| {
        let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, claims)));
        assert_eq!(all(&echoed, "Forwarded"), [format!("{forwarded}{own}")], "{claims:?}");
        assert_eq!(all(&echoed, "X-Forwarded-Port"), [port], "{claims:?}");
    };
    let [by, proto, host] = [
        ("X-Forwarded-For", "2001:db8::7, _hidden, 10.1.1.1:80"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
    ];
    let elements = |said: &str| format!("for=\"[2001:db8::7]\"{said}, for=unknown, for=10.1.1.1, ");
    with_x(&[by], &elements(""), &port);
    with_x(&[by, proto, host], &elements(";host=\"shop.example\";proto=https"), "443");
    with_x(&[proto], "proto=https, ", "443");
    with_x(
        &[("X-Forwarded-Host", "shop.example:8443"), proto],
        "host=\"shop.example:8443\";proto=https, ",
        "8443",
    );
    with_x(&[("X-Forwarded-Host", "a\"b"), ("X-Forwarded-Proto", "a b")], "", &port);

    let said =
        [("Forwarded", "for=\"[2001:db8::7]:4711\";host=shop.example;proto=http, for=_hidden, for=10.1.1.1")];
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &said)));
    assert_eq!(all(&echoed, "X-Forwarded-For"), ["2001:db8::7, unknown, 10.1.1.1, 127.0.0.1"]);
}

#[test]
fn a_quote_that_a_client_leaves_open_hides_nothing_that_a_trusted_proxy_appends() {
    let (gateway, _upstream, key) = started_with("[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let own = "for=203.0.113.7;proto=https;host=evil.example";
    let appended = "x=\", for=198.51.100.4;proto=https;host=shop.example";
    let in_one_line = format!("{own};{appended}");
    for (lines, hops) in
        [(&[in_one_line.as_str()][..], "unknown"), (&[own, appended], "203.0.113.7, unknown")]
    {
        let claims: Vec<_> = lines.iter().map(|line| ("Forwarded", *line)).collect();
        let response = gateway.client().get("/acme/api", &with_key(&key, &claims));
        let id = response.header("X-Request-ID").expect("an id");
        let echoed = Echoed::of(&response);
        assert_eq!(all(&echoed, "X-Forwarded-For"), [format!("{hops}, 127.0.0.1")]);
        let elements = all(&echoed, "Forwarded").join(", ");
        let nodes = |list: &str| list.split(", ").count();
        assert_eq!(nodes(&elements), nodes(hops) + 1, "each of them has as many hops: {elements}");
        assert!(elements.contains("for=unknown, for=127.0.0.1"), "{elements}");
        assert_eq!(all(&echoed, "X-Forwarded-Proto"), ["http"], "{lines:?}");
        assert_eq!(all(&echoed, "X-Forwarded-Host"), ["gateway.test"], "{lines:?}");
        let logged = gateway.await_logged(|line| line["request_id"] == id);
        assert_eq!(logged["client_ip"], "127.0.0.1", "{lines:?}");
    }
}

#[test]
fn what_the_client_asked_is_what_forwarded_says_beside_its_address() {
    let (gateway, _upstream, key) =
        started_with("[proxy]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
    let own_port = gateway.proxy_address().port().to_string();
    let clients = "for=203.0.113.7;proto=https;host=shop.example";
    for (said, proto, host, port) in [
        (format!("{clients}, for=10.2.2.2;proto=http;host=inner"), "https", "shop.example", "443"),
        (format!("{clients}, for=10.2.2.2"), "https", "shop.example", "443"),
        ("for=203.0.113.7, for=10.2.2.2;proto=https".to_owned(), "https", "gateway.test", "443"),
        // What stands before the client's own is the client's claim.
        ("for=10.3.3.3;proto=https;host=evil, for=203.0.113.7".to_owned(), "http", "gateway.test", &own_port),
        ("for=10.3.3.3;host=evil, for=_hidden;proto=https".to_owned(), "https", "gateway.test", "443"),
        ("for=10.3.3.3;proto=https, for=10.2.2.2;proto=http".to_owned(), "https", "gateway.test", "443"),
    ] {
        let claims = [("Forwarded", said.as_str())];
        let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &claims)));
        assert_eq!(all(&echoed, "X-Forwarded-Proto"), [proto], "{said}");
        assert_eq!(all(&echoed, "X-Forwarded-Host"), [host], "{said}");
        assert_eq!(all(&echoed, "X-Forwarded-Port"), [port], "{said}");
    }
}

#[test]
fn lists_that_are_empty_are_begun_anew() {
    let (gateway, _upstream, key) = started_with("[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let own = "for=127.0.0.1;host=\"gateway.test\";proto=http";
    for (name, value) in
        [("X-Forwarded-For", ""), ("X-Forwarded-For", " , "), ("Forwarded", ""), ("Forwarded", ", ,")]
    {
        let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &[(name, value)])));
        assert_eq!(all(&echoed, "X-Forwarded-For"), ["127.0.0.1"], "{name}: {value}");
        assert_eq!(all(&echoed, "Forwarded"), [own], "{name}: {value}");
    }
    for claims in [
        [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "")],
        [("X-Forwarded-For", " , "), ("Forwarded", "for=203.0.113.7")],
    ] {
        let response = gateway.client().get("/acme/api", &with_key(&key, &claims));
        let id = response.header("X-Request-ID").expect("an id");
        let echoed = Echoed::of(&response);
        assert_eq!(all(&echoed, "X-Forwarded-For"), ["203.0.113.7, 127.0.0.1"], "{claims:?}");
        assert_eq!(all(&echoed, "Forwarded"), [format!("for=203.0.113.7, {own}")], "{claims:?}");
        let logged = gateway.await_logged(|line| line["request_id"] == id);
        assert_eq!(logged["client_ip"], "203.0.113.7", "{claims:?}");
    }
}

#[test]
fn of_a_long_list_the_nearest_hops_are_said_in_both_ways() {
    let (gateway, _upstream, key) = started_with("[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let own = "for=127.0.0.1;host=\"gateway.test\";proto=http";
    let addresses: Vec<_> = (1..=200).map(|host| format!("192.0.2.{host}")).collect();
    let nearest = &addresses[addresses.len() - 63..];
    let elements: Vec<_> = nearest.iter().map(|address| format!("for={address}")).collect();
    let said: Vec<_> = addresses.iter().map(|address| format!("for={address}")).collect();
    let (listed, said) = (addresses.join(", "), said.join(", "));
    let (listed, said) = (("X-Forwarded-For", listed.as_str()), ("Forwarded", said.as_str()));
    for claims in [&[listed][..], &[said], &[listed, said]] {
        let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, claims)));
        assert_eq!(all(&echoed, "X-Forwarded-For"), [format!("unknown, {}, 127.0.0.1", nearest.join(", "))]);
        assert_eq!(all(&echoed, "Forwarded"), [format!("for=unknown, {}, {own}", elements.join(", "))]);
    }
}

#[test]
fn what_only_a_proxy_can_know_is_taken_from_no_client() {
    let (gateway, _upstream, key) = started();
    let names =
        ["X-Real-IP", "X-Forwarded-Ssl", "x-forwarded-prefix", "X_Forwarded_Server", "X-Original-URL"];
    let claims: Vec<_> = names.iter().map(|name| (*name, "claimed")).chain([("X-Forward", "1")]).collect();
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &with_key(&key, &claims)));
    for name in names {
        assert_eq!(all(&echoed, name), [""; 0], "{name}");
    }
    assert_eq!(all(&echoed, "X-Forward"), ["1"]);
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_the_client() {
    let (gateway, _upstream, key) = started_with("[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    for claims in [&[][..], &[("X-Forwarded-For", "unknown")]] {
        gateway.client().get("/acme/api/plain", &with_key(&key, claims)).expect(200);
    }
    let clients = eventually_some("both in the log", || {
        let lines = gateway.access_log().into_iter().filter(|line| line["tenant"] == "acme");
        let clients: Vec<_> = lines.map(|line| line["client_ip"].clone()).collect();
        (clients.len() == 2).then_some(clients)
    });
    assert_eq!(clients, ["127.0.0.1", "127.0.0.1"]);
}

#[test]
fn a_request_has_one_id_for_the_client_the_upstream_and_the_log() {
    let (gateway, _upstream, key) = started();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = gateway.client().get("/acme/api", &with_key(&key, &CLAIMS));
        let id = response.header("X-Request-ID").expect("an id").to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert_eq!(all(&Echoed::of(&response), "X-Request-ID"), [id.as_str()]);
        gateway.await_logged(|line| line["request_id"] == id.as_str());
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_trusted_proxy_may_name_the_request_plainly() {
    let (gateway, _upstream, key) = started_with("[proxy]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    let long = "x".repeat(65);
    for (given, is_kept) in
        [("claimed-id", true), ("a b", false), ("<script>", false), (long.as_str(), false)]
    {
        let response = gateway.client().get("/acme/api", &with_key(&key, &[("X-Request-ID", given)]));
        assert_eq!(response.header("X-Request-ID") == Some(given), is_kept, "{given}");
        let echoed = Echoed::of(&response);
        assert_eq!(echoed.header("X-Request-ID"), response.header("X-Request-ID"));
    }
}

#[test]
fn a_trace_is_carried_on_or_begun() {
    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (gateway, _upstream, key) = started();
    let trace = |claims: &[(&str, &str)]| {
        let response = gateway.client().get("/acme/api", &with_key(&key, claims));
        let echoed = Echoed::of(&response);
        let parents: Vec<String> = all(&echoed, "traceparent").into_iter().map(str::to_owned).collect();
        (parents, echoed.header("tracestate").map(str::to_owned))
    };
    let (carried_on, state) = trace(&[("traceparent", GIVEN), ("tracestate", "a=1")]);
    assert_eq!((carried_on, state.as_deref()), (vec![GIVEN.to_owned()], Some("a=1")));

    // Half of it is for the next hop alone: what is left would belong to another trace.
    let half = [("Connection", "traceparent"), ("traceparent", GIVEN), ("tracestate", "a=1")];
    let (begun, state) = trace(&half);
    assert_eq!((begun.len(), begun.contains(&GIVEN.to_owned()), state), (1, false, None));

    let invalid = [
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let claims = invalid.map(|parent| vec![("traceparent", parent), ("tracestate", "a=1")]);
    for claims in claims.into_iter().chain([Vec::new()]) {
        let (begun, state) = trace(&claims);
        let [parent] = begun.as_slice() else { panic!("{claims:?} became {begun:?}") };
        let parts: Vec<&str> = parent.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{parent}");
        assert!(parent.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{parent}");
        assert_eq!(state, None, "a state without its trace");
    }
}

#[test]
fn a_host_with_a_port_is_forwarded_with_it() {
    let (gateway, _upstream, key) = started();
    let headers = [("X-API-Key", key.as_str()), ("Host", "shop.example:8443")];
    let echoed = Echoed::of(&gateway.client().get("/acme/api", &headers));
    assert_eq!(echoed.header("X-Forwarded-Host"), Some("shop.example:8443"));
    assert_eq!(echoed.header("Forwarded"), Some("for=127.0.0.1;host=\"shop.example:8443\";proto=http"));
}
