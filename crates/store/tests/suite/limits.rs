use tollgate_core::limit::{Counted, CounterRecord, Subject, Window};
use tollgate_core::time::UnixMicros;
use tollgate_store::Store;
use uuid::Uuid;

use super::*;

pub async fn counters_are_kept_until_they_are_over(store: &Store) {
    let now = UnixMicros::from_secs(NOW);
    let subject = Subject(Uuid::now_v7());
    let record = |window, counted| CounterRecord { subject, window, counted };
    let month = Window::CalendarMonth;
    let start_secs = month.period(now).start_secs;
    let bucket = record(
        Window::Span { secs: 90 },
        Counted::Bucket { missing: u128::from(u64::MAX) * 5, at: now, full_at: now.after(1_000_000) },
    );
    let first = record(month, Counted::Fixed { start_secs, used: 3 });
    let later = record(month, Counted::Fixed { start_secs, used: 8 });
    for batch in [vec![bucket, first], vec![later]] {
        let mut write = writing(store).await;
        write.save_counters(&batch).await.unwrap();
        write.commit().await.unwrap();
    }
    let mut kept = store.read().await.unwrap().counters(now).await.unwrap();
    kept.sort_by_key(|record| record.window.nominal_secs());
    assert_eq!(kept, [bucket, later]);

    let after_bucket = now.after(2_000_000);
    assert_eq!(store.read().await.unwrap().counters(after_bucket).await.unwrap(), [later]);
    let mut write = writing(store).await;
    write.merge_counters(after_bucket).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().counters(now).await.unwrap(), [later]);
}
