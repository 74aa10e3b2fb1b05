use std::sync::Mutex;

use serde_json::json;
use tollgate_admin::Settings;
use tollgate_core::limit::{Calendar, Counted, CounterRecord, Demand, LevelLimits, Subject, Window};
use tollgate_core::resource::{KeyId, LimitDraft};
use tollgate_core::time::UnixMicros;
use tollgate_core::usage::KeyUsage;

use crate::gateway::{Gateway, settings};

#[test]
fn counts_survive_a_restart_within_their_period() {
    let gateway = Gateway::start();
    let month = Window::CalendarMonth;
    let now = UnixMicros::from_secs(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
    );
    let (start_secs, end_secs) = (now.secs() - 60, now.secs() + 86_400);
    let subject = Subject::from(KeyId("01890000-0000-7000-8000-000000000000".parse().unwrap()));
    let record =
        CounterRecord { subject, window: month, counted: Counted::Fixed { start_secs, end_secs, used: 41 } };
    let draft = LimitDraft { requests: 42, per: "month".into(), ..LimitDraft::default() };
    let limits = LevelLimits::of_plan(&[draft.parse().unwrap()], None);
    let demands = [Demand { subject, limits: &limits, calendar: Calendar::utc() }];
    gateway.counters.restore([record]);
    assert!(gateway.counters.decide(&demands, 1, now).verdict.is_admitted());
    gateway.runtime.block_on(gateway.plane.persist());
    gateway.runtime.block_on(gateway.plane.persist());

    let (gateway, _) = Gateway::start_in(gateway.stop(), settings());
    assert!(!gateway.counters.decide(&demands, 1, now).verdict.is_admitted(), "42 were used before");
}

#[test]
fn the_last_use_of_a_key_is_shown_and_counts_no_version() {
    let uses: &'static Mutex<Vec<(KeyId, KeyUsage)>> = Box::leak(Box::default());
    let usage = |last_used_secs| KeyUsage { last_used_secs, requests: 3, rejections: 1 };
    let take = || std::mem::take(&mut *uses.lock().unwrap());
    let gateway = Gateway::start_with(Settings { last_used: Some(Box::new(take)), ..settings() });
    let acme = gateway.admin_in("acme");
    let made = acme.post("/api/keys", &json!({ "name": "k" })).expect(201);
    assert!(made["last_used_at"].is_null());
    let id = made["id"].as_str().unwrap();
    uses.lock().unwrap().push((KeyId(id.parse().unwrap()), usage(1_800_000_000)));
    let revision = gateway.revision();
    gateway.runtime.block_on(gateway.plane.persist());
    let shown = acme.get(&format!("/api/keys/{id}")).expect(200);
    assert_eq!((&shown["last_used_at"], &shown["version"]), (&json!("2027-01-15T08:00:00Z"), &json!(1)));
    assert_eq!((&shown["requests"], &shown["rejections"]), (&json!(3), &json!(1)));
    assert_eq!(gateway.revision(), revision);
    // More within the minute is kept at the end, if not before.
    uses.lock().unwrap().push((KeyId(id.parse().unwrap()), usage(1_800_000_001)));
    gateway.runtime.block_on(gateway.plane.run_jobs(std::future::ready(()))).expect("all is kept");
    let shown = acme.get(&format!("/api/keys/{id}")).expect(200);
    assert_eq!((&shown["requests"], &shown["rejections"]), (&json!(6), &json!(2)));
}

#[test]
fn jobs_persist_a_last_time_when_they_are_stopped() {
    let gateway = Gateway::start();
    let subject = Subject::from(KeyId("01890000-0000-7000-8000-000000000001".parse().unwrap()));
    let draft = LimitDraft { requests: 1, per: "month".into(), ..LimitDraft::default() };
    let limits = LevelLimits::of_plan(&[draft.parse().unwrap()], None);
    let demands = [Demand { subject, limits: &limits, calendar: Calendar::utc() }];
    let now = UnixMicros::from_secs(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(),
    );
    assert!(gateway.counters.decide(&demands, 1, now).verdict.is_admitted());
    // They are stopped before the first of them is due.
    gateway.runtime.block_on(gateway.plane.run_jobs(std::future::ready(()))).expect("all is kept");
    let (gateway, _) = Gateway::start_in(gateway.stop(), settings());
    assert!(!gateway.counters.decide(&demands, 1, now).verdict.is_admitted());
}
