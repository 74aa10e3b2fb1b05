use proptest::prelude::*;

use super::*;

fn secs(instant: &str) -> u64 {
    u64::try_from(instant.parse::<Timestamp>().unwrap().as_second()).unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).unwrap()
}

fn period(zone_name: &str, unit: Unit, now: &str) -> (String, String) {
    let zone = zone(zone_name);
    let calendar = Calendar { zone: &zone, subscribed_at_secs: 0 };
    written(calendar.period(unit, Anchor::Calendar, UnixMicros::from_secs(secs(now))))
}

fn anchored(zone_name: &str, unit: Unit, subscribed: &str, now: &str) -> (String, String) {
    let zone = zone(zone_name);
    let calendar = Calendar { zone: &zone, subscribed_at_secs: secs(subscribed) };
    written(calendar.period(unit, Anchor::Subscription, UnixMicros::from_secs(secs(now))))
}

fn written(period: Period) -> (String, String) {
    let text = |secs: u64| timestamp(secs).unwrap().to_string();
    (text(period.start_secs), text(period.end_secs))
}

fn from_to(start: &str, end: &str) -> (String, String) {
    (start.to_owned(), end.to_owned())
}

#[test]
fn days_and_months_are_the_zones_own() {
    for (name, unit, now, start, end) in [
        ("UTC", Unit::Day, "2026-01-25T14:32:00Z", "2026-01-25T00:00:00Z", "2026-01-26T00:00:00Z"),
        ("UTC", Unit::Month, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (
            "Europe/Berlin",
            Unit::Month,
            "2026-03-15T12:00:00Z",
            "2026-02-28T23:00:00Z",
            "2026-03-31T22:00:00Z",
        ),
        ("Asia/Kathmandu", Unit::Day, "2026-01-25T18:15:00Z", "2026-01-25T18:15:00Z", "2026-01-26T18:15:00Z"),
        (
            "Pacific/Chatham",
            Unit::Day,
            "2026-01-25T12:00:00Z",
            "2026-01-25T10:15:00Z",
            "2026-01-26T10:15:00Z",
        ),
        (
            "America/New_York",
            Unit::Month,
            "2026-01-01T04:59:59Z",
            "2025-12-01T05:00:00Z",
            "2026-01-01T05:00:00Z",
        ),
    ] {
        assert_eq!(period(name, unit, now), from_to(start, end), "{name} {now}");
    }
}

#[test]
fn february_has_a_day_more_in_leap_years() {
    for (now, end) in [
        ("2027-02-10T00:00:00Z", "2027-03-01T00:00:00Z"),
        ("2028-02-29T23:59:59Z", "2028-03-01T00:00:00Z"),
        ("2000-02-29T12:00:00Z", "2000-03-01T00:00:00Z"),
        ("2100-02-28T12:00:00Z", "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(period("UTC", Unit::Month, now).1, end);
    }
    let leap_day = period("UTC", Unit::Day, "2028-02-29T12:00:00Z");
    assert_eq!(leap_day, from_to("2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"));
}

#[test]
fn a_day_whose_midnight_is_left_out_begins_with_the_change() {
    for (name, now, start, end) in [
        // 00:00 became 01:00.
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        ("America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"),
        ("Asia/Beirut", "2022-03-27T12:00:00Z", "2022-03-26T22:00:00Z", "2022-03-27T21:00:00Z"),
        // 00:00 became 00:44:30.
        ("Africa/Monrovia", "1972-01-07T12:00:00Z", "1972-01-07T00:44:30Z", "1972-01-08T00:00:00Z"),
    ] {
        assert_eq!(period(name, Unit::Day, now), from_to(start, end), "{name} {now}");
    }
}

#[test]
fn a_day_that_a_zone_leaves_out_is_no_period() {
    let before = period("Pacific/Apia", Unit::Day, "2011-12-30T09:59:59Z");
    assert_eq!(before, from_to("2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"));
    let after = period("Pacific/Apia", Unit::Day, "2011-12-30T10:00:00Z");
    assert_eq!(after, from_to("2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"));
}

#[test]
fn a_day_that_ends_twice_is_one_period() {
    for (name, now, start, end) in [
        // 24:00 became 23:00: a day of 25 hours.
        ("America/Sao_Paulo", "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
        ("Asia/Beirut", "2022-10-29T21:30:00Z", "2022-10-28T21:00:00Z", "2022-10-29T22:00:00Z"),
        // 00:01 became 23:01: midnight struck twice, and the day had begun with the first.
        ("America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"),
        ("America/St_Johns", "2010-11-07T02:29:59Z", "2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z"),
    ] {
        assert_eq!(period(name, Unit::Day, now), from_to(start, end), "{name} {now}");
    }
}

#[test]
fn days_of_23_and_25_hours_and_of_odd_changes_are_days() {
    for (name, now, hours_and_minutes) in [
        ("Europe/Berlin", "2026-03-29T12:00:00Z", (23, 0)),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", (25, 0)),
        ("Australia/Lord_Howe", "2026-10-03T20:00:00Z", (23, 30)),
        ("Australia/Lord_Howe", "2026-04-04T20:00:00Z", (24, 30)),
    ] {
        let (start, end) = period(name, Unit::Day, now);
        let minutes = (secs(&end) - secs(&start)) / 60;
        assert_eq!((minutes / 60, minutes % 60), hours_and_minutes, "{name} {now}");
    }
}

#[test]
fn a_subscription_of_the_31st_counts_to_the_last_of_shorter_months() {
    let subscribed = "2027-01-31T10:00:00Z";
    for (now, start, end) in [
        ("2027-01-31T10:00:00Z", "2027-01-31T10:00:00Z", "2027-02-28T10:00:00Z"),
        ("2027-02-28T10:00:00Z", "2027-02-28T10:00:00Z", "2027-03-31T10:00:00Z"),
        ("2027-04-30T09:59:59Z", "2027-03-31T10:00:00Z", "2027-04-30T10:00:00Z"),
        ("2028-02-29T09:59:59Z", "2028-01-31T10:00:00Z", "2028-02-29T10:00:00Z"),
        ("2028-02-29T10:00:00Z", "2028-02-29T10:00:00Z", "2028-03-31T10:00:00Z"),
    ] {
        assert_eq!(anchored("UTC", Unit::Month, subscribed, now), from_to(start, end), "{now}");
    }
    // Of the leap day: the 28th in other years, the 29th else.
    let leap = |now| anchored("UTC", Unit::Month, "2028-02-29T00:00:00Z", now);
    assert_eq!(leap("2029-02-28T12:00:00Z"), from_to("2029-02-28T00:00:00Z", "2029-03-29T00:00:00Z"));
}

#[test]
fn anchored_periods_begin_at_the_subscriptions_time_in_the_zone() {
    // The first of February, half past midnight, in Berlin.
    let month = anchored("Europe/Berlin", Unit::Month, "2027-01-31T23:30:00Z", "2027-04-10T00:00:00Z");
    assert_eq!(month, from_to("2027-03-31T22:30:00Z", "2027-04-30T22:30:00Z"));
    let day = |now| anchored("Europe/Berlin", Unit::Day, "2026-02-10T01:30:00Z", now);
    assert_eq!(day("2026-02-20T01:29:59Z"), from_to("2026-02-19T01:30:00Z", "2026-02-20T01:30:00Z"));
    // Half past two is left out on 29 March: that day begins when the clock is put forward.
    assert_eq!(day("2026-03-29T01:00:00Z"), from_to("2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"));
    // And strikes twice on 25 October: it begins with the first.
    assert_eq!(day("2026-10-25T01:00:00Z"), from_to("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"));
}

#[test]
fn after_the_end_of_the_calendar_periods_have_their_nominal_length() {
    for now in [UnixMicros::from_secs(300_000_000_000), UnixMicros(u64::MAX)] {
        for unit in [Unit::Day, Unit::Month] {
            let period = Calendar::utc().period(unit, Anchor::Calendar, now);
            assert!(period.start_secs <= now.secs() && now.secs() < period.end_secs);
            assert_eq!(period.end_secs - period.start_secs, unit.nominal_secs());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Near a change of a zone's clock most of the time: nothing goes wrong elsewhere.
    #[test]
    fn periods_of_every_zone_follow_each_other_without_gap_or_overlap(
        zone in prop::sample::select(TimeZone::all_names().collect::<Vec<_>>()),
        around in 0i64..4_102_444_800,
        offset in prop_oneof![Just(0i64), -90_000i64..90_000],
        subscribed_at_secs in 0u64..4_102_444_800,
        unit in prop_oneof![Just(Unit::Day), Just(Unit::Month)],
        anchor in prop_oneof![Just(Anchor::Calendar), Just(Anchor::Subscription)],
    ) {
        let zone = TimeZone::parse(&zone).unwrap();
        let around = Timestamp::from_second(around).unwrap();
        let change = zone.rules().following(around).next().map_or(around, |change| change.timestamp());
        let now = u64::try_from(change.as_second() + offset).unwrap_or(0);
        let calendar = Calendar { zone: &zone, subscribed_at_secs };
        let of = |secs: u64| calendar.period(unit, anchor, UnixMicros::from_secs(secs));
        let period = of(now);
        prop_assert!(period.start_secs <= now && now < period.end_secs);
        prop_assert_eq!(of(period.start_secs), period);
        prop_assert_eq!(of(period.end_secs - 1), period);
        prop_assert_eq!(of(period.end_secs).start_secs, period.end_secs);
        let longest_days = match unit { Unit::Day => 3, Unit::Month => 33 };
        prop_assert!(period.end_secs - period.start_secs <= longest_days * 86_400);
    }
}
