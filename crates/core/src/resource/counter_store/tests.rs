use super::*;

fn parse(text: &str) -> CounterStoreUrl {
    CounterStoreUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_kind_of_place_is_read() {
    for (text, place) in [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("REDIS://h:7000/3", "redis://h:7000/3"),
        ("valkeys://[2001:db8::1]/", "rediss://[2001:db8::1]:6379/0"),
        ("redis+unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2"),
        ("redis+cluster://a:1,b,c:3", "redis+cluster://a:1,b:6379,c:3"),
        ("rediss+cluster://:p@a:1/0", "rediss+cluster://a:1"),
        ("redis+sentinel://a,b:2/main", "redis+sentinel://a:26379,b:2/main/0"),
        ("rediss+sentinel://u:p@a/main/4", "rediss+sentinel://a:26379/main/4"),
    ] {
        assert_eq!(parse(text).to_string(), place, "{text}");
    }
}

#[test]
fn user_and_password_are_decoded_and_never_shown() {
    let url = parse("rediss://us%40er:s%2Fe%3Acr:et@10.0.0.1/1");
    assert_eq!(url.credentials.user.as_deref(), Some("us@er"));
    assert_eq!(url.credentials.password.as_ref().map(Password::reveal), Some("s/e:cr:et"));
    let sentinels = parse("redis+sentinel://:s%2Fe:cr:et@a/m");
    let socket = parse("redis+unix://:s%2Fe:cr:et@/run/r.sock");
    for url in [url, sentinels, socket] {
        let shown = format!("{url} {url:?}");
        assert!(!shown.contains("cr:et") && !shown.contains("s%2Fe"), "{shown}");
    }
    assert_eq!(parse("redis://:only@h").credentials.user, None);
    assert_eq!(parse("redis://h").credentials, Credentials::default());
}

#[test]
fn what_is_no_store_is_refused_with_its_reason() {
    use BadStoreUrl::*;
    for (text, reason) in [
        ("", Scheme),
        ("localhost:6379", Scheme),
        (":secret@localhost", Scheme),
        ("http://localhost", Scheme),
        ("redis://", Host),
        ("redis://ho st", Host),
        ("redis://h:0", Port),
        ("redis://h:port", Port),
        ("redis://a,b", SeveralHosts),
        ("redis://h/one", Database),
        ("redis://h/+1", Database),
        ("redis://h/99999999999", Database),
        ("redis+cluster://a,b/1", ClusterDatabase),
        ("redis+cluster://a,,b", Host),
        ("redis+sentinel://a,b", Master),
        ("redis+sentinel://a,b//0", Master),
        ("redis+unix://", SocketPath),
        ("redis+unix://run/redis.sock", SocketPath),
        ("redis://h?db=1", Parameter),
        ("redis+unix:///run/redis.sock?database=1", Parameter),
        ("redis+unix:///run/redis.sock?db=1&db=2", Database),
        ("redis://:%zz@h", Credentials),
        ("redis://:%ff@h", Credentials),
    ] {
        assert_eq!(CounterStoreUrl::parse(text), Err(reason), "{text}");
    }
}
