use tollgate_core::limit::{Counted, CounterRecord, Log, Subject, Window};
use tollgate_core::time::UnixMicros;
use tollgate_store::Store;
use uuid::Uuid;

use super::*;

pub async fn counters_are_kept_until_they_are_over(store: &Store) {
    let now = UnixMicros::from_secs(NOW);
    let subject = Subject(Uuid::now_v7());
    let record = |window, counted| CounterRecord { subject, window, counted };
    let month = Window::CalendarMonth;
    let (start_secs, end_secs) = (NOW - 86_400, NOW + 86_400);
    let span = |secs| Window::Span { secs };
    let bucket = record(
        span(90),
        Counted::Bucket {
            missing: (u128::from(u64::MAX) * 5).into(),
            at: now,
            full_at: now.after(1_000_000),
        },
    );
    let sliding = record(span(91), Counted::Sliding { end_secs: NOW + 50, previous: 7, current: 2 });
    let log = Log::of([(now, 2), (now.after(1_500_000), 3)]).unwrap();
    let logged = record(span(92), Counted::Log(Box::new(log)));
    let first = record(month, Counted::Fixed { start_secs, end_secs, used: 3 });
    let later = record(month, Counted::Fixed { start_secs, end_secs, used: 8 });
    for batch in [vec![bucket.clone(), logged.clone(), sliding.clone(), first], vec![later.clone()]] {
        let mut write = writing(store).await;
        write.save_counters(&batch).await.unwrap();
        write.commit().await.unwrap();
    }
    let mut kept = store.read().await.unwrap().counters().await.unwrap();
    kept.sort_by_key(|record| record.window.nominal_secs());
    assert_eq!(kept, [bucket, sliding.clone(), logged.clone(), later.clone()]);

    // Its rate may have been lowered to a tenth.
    let after_bucket = now.after(10_000_000);
    let before_that = UnixMicros(after_bucket.0 - 1);
    assert_eq!(merged(store, &later, before_that).await.len(), 4);
    assert_eq!(merged(store, &later, after_bucket).await.len(), 3);
    // The sliding window's count weighs for another window, the log's last request for one from when it was.
    let after_log = now.after(93_500_000);
    assert_eq!(merged(store, &later, after_log).await, [sliding, later.clone()]);
    let after_all = now.after(142_000_000);
    assert_eq!(merged(store, &later, after_all).await, [later]);
}

/// What is left of it all, once another batch, which says nothing new, is merged with the others.
async fn merged(store: &Store, said: &CounterRecord, now: UnixMicros) -> Vec<CounterRecord> {
    let mut write = writing(store).await;
    write.save_counters(std::slice::from_ref(said)).await.unwrap();
    write.merge_counters(now).await.unwrap();
    write.commit().await.unwrap();
    let mut left = store.read().await.unwrap().counters().await.unwrap();
    left.sort_by_key(|record| record.window.nominal_secs());
    left
}
