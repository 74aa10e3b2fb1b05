//! What clients are told of their limits.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Gateway, Response, ScriptedUpstream, Step, exactly, started_limited};
use jiff::{Timestamp, ToSpan, Unit, tz::TimeZone};
use serde_json::{Value, json};

fn get(gateway: &Gateway, key: &str) -> Response {
    gateway.client().get("/acme/api", &[("X-API-Key", key)])
}

/// Of a limit that is whole again only with its period; the clock is nearly always within a second.
#[test]
fn whoever_waits_as_ratelimit_says_is_let_through() {
    let (gateway, _upstream, _, key) =
        started_limited(&json!([{ "requests": 1, "per": "2s", "algorithm": "fixed_window" }]));
    for _ in 0..2 {
        let mut refused = get(&gateway, &key);
        while refused.status == 200 {
            refused = get(&gateway, &key);
        }
        let (_, wait) = refused.header("RateLimit").and_then(|said| said.rsplit_once("t=")).expect("a wait");
        std::thread::sleep(std::time::Duration::from_secs(wait.parse().expect("seconds")));
        get(&gateway, &key).expect(200);
    }
}

#[test]
fn every_response_says_where_the_client_stands_with_every_limit() {
    let plan = json!([
        { "requests": 60, "per": "minute" },
        { "requests": 10, "per": "10s" },
        { "requests": 100, "per": "second" },
        { "requests": 600, "per": "1h" },
        { "requests": 1_000, "per": "day" },
        { "requests": 5_000, "per": "month" },
    ]);
    let (gateway, _upstream, _, key) = started_limited(&plan);
    let before = Timestamp::now();
    let response = get(&gateway, &key).expect(200);
    let after = Timestamp::now();
    for (suffix, limit, most_secs) in [
        ("Minute", 60, 60),
        ("10s", 10, 10),
        ("Second", 100, 1),
        ("Hour", 600, 3_600),
        ("Day", 1_000, 86_400),
    ] {
        let field = |what: &str| response.header(&format!("X-RateLimit-{what}-{suffix}")).map(str::to_owned);
        assert_eq!(field("Limit"), Some(limit.to_string()));
        assert_eq!(field("Remaining"), Some((limit - 1).to_string()));
        let reset: Timestamp = field("Reset").expect("a reset").parse().expect("RFC 3339");
        let secs = reset.as_second() - before.as_second();
        assert!((0..=most_secs + 20).contains(&secs), "{suffix}: in {secs} s");
    }
    // The calendar's periods end with the calendar's.
    let ends = |span: jiff::Span, unit: Unit| {
        [before, after].map(|now| {
            let later = now.to_zoned(TimeZone::UTC).checked_add(span).expect("a date");
            let first = if unit == Unit::Month { later.first_of_month().expect("a date") } else { later };
            first.start_of_day().expect("a date").timestamp().to_string()
        })
    };
    for (suffix, ends) in [("Day", ends(1.day(), Unit::Day)), ("Month", ends(1.month(), Unit::Month))] {
        let reset = response.header(&format!("X-RateLimit-Reset-{suffix}")).expect("a reset").to_owned();
        assert!(ends.contains(&reset), "{suffix}: {reset}, not {ends:?}");
    }
    assert_eq!(response.header("X-RateLimit-Remaining-Month"), Some("4999"));
    let policy = "\"minute\";q=60;w=60, \"10s\";q=10;w=10, \"second\";q=100;w=1, \"hour\";q=600;w=3600, \
        \"day\";q=1000;w=86400, \"month\";q=5000;w=2592000";
    assert_eq!(response.header("RateLimit-Policy"), Some(policy));
    let standing = response.header("RateLimit").expect("RateLimit");
    let names: Vec<&str> =
        standing.split(", ").map(|item| item.split(";t=").next().unwrap_or_default()).collect();
    let expected =
        ["minute\";r=59", "10s\";r=9", "second\";r=99", "hour\";r=599", "day\";r=999", "month\";r=4999"];
    assert_eq!(names, expected.map(|item| format!("\"{item}")));
}

#[test]
fn a_request_over_the_limit_is_429_with_all_there_is_to_know() {
    let (gateway, upstream, _, key) = started_limited(&json!([{ "requests": 2, "per": "minute" }]));
    for remaining in ["1", "0"] {
        let response = get(&gateway, &key).expect(200);
        assert_eq!(response.header("X-RateLimit-Remaining-Minute"), Some(remaining));
    }
    let refused = get(&gateway, &key).expect(429);
    assert_eq!(refused.header("X-RateLimit-Limit-Minute"), Some("2"));
    assert_eq!(refused.header("X-RateLimit-Remaining-Minute"), Some("0"));
    let mut body = refused.json();
    let details = body["error"]["details"].take();
    let retry_after = details["retry_after"].as_u64().expect("a number of seconds");
    assert!((1..=30).contains(&retry_after), "{retry_after}");
    assert_eq!(refused.header("Retry-After"), Some(retry_after.to_string().as_str()));
    let reset = refused.header("X-RateLimit-Reset-Minute");
    let expected = json!({ "level": "plan", "limit_type": "minute", "limit": 2, "used": 2, "reset_at": reset, "retry_after": retry_after });
    assert_eq!(details, expected);
    assert_eq!(body["error"]["code"], 429);
    assert_eq!(body["error"]["message"], "Rate limit exceeded: minute limit reached");
    assert_eq!(body["request_id"].as_str(), refused.header("X-Request-ID"));
    assert_eq!(upstream.requests().len(), 2);
    let logged = gateway.await_logged(|line| line["status"] == 429);
    assert_eq!((&logged["limited"], &logged["plan_tier"]), (&json!(true), &json!("plan")));

    let accept = [("X-API-Key", key.as_str()), ("Accept", "application/problem+json")];
    let problem = gateway.client().get("/acme/api", &accept).expect(429).json();
    assert_eq!((&problem["status"], &problem["limit_type"]), (&json!(429), &json!("minute")));
}

#[test]
fn asking_for_the_usage_costs_nothing() {
    let (gateway, _upstream, tenant, key) = started_limited(&json!([exactly(3)]));
    tenant.consumer("shop", "plan");
    get(&gateway, &key).expect(200);
    let mut client = gateway.client();
    for _ in 0..10 {
        let response = client.get("/-/usage", &[("Authorization", &format!("Bearer {key}"))]).expect(200);
        assert_eq!(response.header("X-RateLimit-Remaining-700h"), Some("2"));
        let usage = response.json();
        assert_eq!(
            (&usage["tenant"], &usage["consumer"], &usage["plan"]),
            (&json!("acme"), &Value::Null, &json!("plan"))
        );
        let reset = response.header("X-RateLimit-Reset-700h");
        let limit = json!({ "level": "plan", "limit_type": "700h", "limit": 3, "used": 1, "remaining": 2, "reset_at": reset });
        assert_eq!(usage["limits"], json!([limit]));
    }
    let shop = client.get("/-/usage", &[("X-API-Key", &key), ("X-Client-ID", "shop")]).expect(200).json();
    assert_eq!((&shop["consumer"], &shop["limits"][0]["used"]), (&json!("shop"), &json!(0)));
    client.get("/-/usage", &[]).expect(401);
    client.get("/-/usage", &[("X-API-Key", "wrong")]).expect(403);
    let post = client.request("POST", "/-/usage", &[("X-API-Key", &key)], b"").expect(405);
    assert_eq!(post.header("Allow"), Some("GET, HEAD"));
    get(&gateway, &key).expect(200);
    get(&gateway, &key).expect(200);
    get(&gateway, &key).expect(429);
}

#[test]
fn a_bucket_that_holds_more_or_less_than_its_limit_is_unused_at_first() {
    for burst in [20, 200] {
        let limit = json!({ "requests": 60, "per": "700h", "burst": burst });
        let (gateway, _upstream, _, key) = started_limited(&json!([limit]));
        let used = || {
            let usage = gateway.client().get("/-/usage", &[("X-API-Key", &key)]).expect(200).json();
            (usage["limits"][0]["used"].clone(), usage["limits"][0]["remaining"].clone())
        };
        assert_eq!(used(), (json!(0), json!(burst)));
        get(&gateway, &key).expect(200);
        assert_eq!(used(), (json!(1), json!(burst - 1)));
    }
}

#[test]
fn an_upstream_s_own_limits_are_not_taken_for_the_gateway_s() {
    let upstream = ScriptedUpstream::script(vec![Step::write(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-RateLimit-Limit-Minute: 7\r\nRateLimit: \"theirs\";r=1;t=1\r\n\r\n",
    )]);
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).plan("plan", &[(60, "minute")]);
    let (limited, unlimited) = (tenant.key("plan"), tenant.unlimited_key());
    let values = |response: &Response, name: &str| {
        let fields = response.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let response = get(&gateway, &limited).expect(200);
    assert_eq!(values(&response, "X-RateLimit-Limit-Minute"), ["60"]);
    assert!(matches!(values(&response, "RateLimit").as_slice(), [one] if one.starts_with("\"minute\"")));
    let response = get(&gateway, &unlimited).expect(200);
    assert_eq!(values(&response, "X-RateLimit-Limit-Minute"), ["7"]);
    assert_eq!(values(&response, "RateLimit-Policy"), [""; 0]);
}

#[test]
fn a_request_that_failed_behind_the_limits_says_what_it_cost() {
    let gateway = Gateway::start();
    let upstream = ScriptedUpstream::script(vec![Step::Close]);
    let tenant = gateway.tenant("acme");
    let small = json!({ "slug": "small", "url": upstream.url(), "max_body_bytes": 1 });
    tenant.service("api", &upstream.url()).service_with(&small).plan("plan", &[(10, "hour")]);
    let key = tenant.key("plan");
    for (path, status, remaining) in [("/acme/api", 502, "9"), ("/acme/small", 413, "8")] {
        let response = gateway.client().request("POST", path, &[("X-API-Key", &key)], b"body").expect(status);
        assert_eq!(response.header("X-RateLimit-Remaining-Hour"), Some(remaining), "{path}");
        assert!(response.header("RateLimit").is_some(), "{path}");
    }
}
