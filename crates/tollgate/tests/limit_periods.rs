//! Days and months: the tenant's, and those of a subscription.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Gateway, Response, started_limited};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::json;

/// Where no clock is earlier in the day: 14 hours before UTC.
const EARLY: &str = "Pacific/Kiritimati";

fn get(gateway: &Gateway, fields: &[(&str, &str)]) -> Response {
    gateway.client().get("/acme/api", fields).expect(200)
}

fn reset(response: &Response, suffix: &str) -> String {
    response.header(&format!("X-RateLimit-Reset-{suffix}")).expect("a reset").to_owned()
}

fn move_tenant(gateway: &Gateway, time_zone: &str) {
    let tenant = json!({ "slug": "acme", "name": "acme", "time_zone": time_zone });
    gateway.admin().put("/api/tenants/acme", &tenant).expect(200);
}

/// The first of `began` and so many months later that is after `now`, in UTC.
fn end_of_month_since(began: &str, now: Timestamp) -> String {
    let began: Timestamp = began.parse().expect("RFC 3339");
    let began = began.to_zoned(TimeZone::UTC);
    let ends = (1..).map(|months| began.checked_add(months.months()).expect("a date").timestamp());
    ends.into_iter().find(|end| *end > now).expect("an end").to_string()
}

#[test]
fn days_and_months_end_where_the_tenant_is() {
    let limits = json!([{ "requests": 10, "per": "day" }, { "requests": 100, "per": "month" }]);
    let (gateway, _upstream, _, key) = started_limited(&limits);
    move_tenant(&gateway, EARLY);
    let before = Timestamp::now();
    let response = get(&gateway, &[("X-API-Key", &key)]);
    let ends = [before, Timestamp::now()].map(|now| {
        let today = now.in_tz(EARLY).expect("a zone").date();
        let tomorrow = today.tomorrow().expect("a date");
        let next_month = today.last_of_month().tomorrow().expect("a date");
        [tomorrow, next_month].map(|date| date.in_tz(EARLY).expect("a midnight").timestamp().to_string())
    });
    let resets = ["Day", "Month"].map(|suffix| reset(&response, suffix));
    assert!(ends.contains(&resets), "{resets:?}, not {ends:?}");
}

#[test]
fn a_running_month_ends_as_it_would_have_wherever_the_tenant_moves() {
    let (gateway, _upstream, _, key) = started_limited(&json!([{ "requests": 10, "per": "month" }]));
    let own = [("X-API-Key", key.as_str())];
    let first = get(&gateway, &own);
    move_tenant(&gateway, EARLY);
    let second = get(&gateway, &own);
    let gateway = gateway.restart_after("TERM");
    let third = get(&gateway, &own);
    for (response, remaining) in [(&first, "9"), (&second, "8"), (&third, "7")] {
        assert_eq!(response.header("X-RateLimit-Remaining-Month"), Some(remaining));
        assert_eq!(reset(response, "Month"), reset(&first, "Month"));
    }
}

#[test]
fn an_anchored_month_is_counted_from_the_subscription_that_applies() {
    let limits = json!([{ "requests": 10, "per": "month", "anchor": "subscription" }]);
    let (gateway, _upstream, tenant, _) = started_limited(&limits);
    let (of_key, of_consumer) = ("2020-01-31T10:20:30Z", "2021-08-15T23:59:59Z");
    let made = tenant.key_with(&json!({ "name": "old", "plan": "plan", "subscribed_at": of_key }));
    let key = made["key"].as_str().expect("a key");
    let consumer = |client_id: &str, plan: Option<&str>| {
        let consumer = json!({ "client_id": client_id, "plan": plan, "subscribed_at": of_consumer });
        tenant.post("consumers", &consumer).expect(201);
    };
    consumer("with-a-plan", Some("plan"));
    consumer("without", None);
    for (client_id, began) in [(None, of_key), (Some("with-a-plan"), of_consumer), (Some("without"), of_key)]
    {
        let mut fields = vec![("X-API-Key", key)];
        fields.extend(client_id.map(|client_id| ("X-Client-ID", client_id)));
        let before = Timestamp::now();
        let response = get(&gateway, &fields);
        let ends = [before, Timestamp::now()].map(|now| end_of_month_since(began, now));
        assert!(ends.contains(&reset(&response, "Month")), "{client_id:?}: not {ends:?}");
        let usage = gateway.client().get("/-/usage", &fields).expect(200).json();
        assert_eq!(usage["limits"][0]["reset_at"], reset(&response, "Month"));
    }
}

#[test]
fn a_new_keys_subscription_begins_when_it_is_made() {
    let limits = json!([{ "requests": 10, "per": "day", "anchor": "subscription" }]);
    let (gateway, _upstream, tenant, _) = started_limited(&limits);
    let made = tenant.key_with(&json!({ "name": "new", "plan": "plan" }));
    assert_eq!(made["subscribed_at"], made["created_at"]);
    let began: Timestamp = made["created_at"].as_str().expect("an instant").parse().expect("RFC 3339");
    let response = get(&gateway, &[("X-API-Key", made["key"].as_str().expect("a key"))]);
    assert_eq!(reset(&response, "Day"), (began + 24.hours()).to_string());
}
