//! What every store keeps its word on. Each behaviour is a function of a store, so that another backend runs
//! the same list.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod suite;

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tollgate_core::time::UnixMicros;
use tollgate_store::{Store, StoreError};

/// A fresh database of each backend; the guard keeps its files until the behaviour was shown.
async fn fresh() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("tollgate.db")).await.unwrap();
    (store, folder)
}

/// The file as another program sees it.
async fn connected(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

macro_rules! contract {
    ($($behaviour:ident)*) => {$(
        #[tokio::test]
        async fn $behaviour() {
            let (store, _folder) = fresh().await;
            suite::$behaviour(&store).await;
        }
    )*};
}

contract! {
    what_is_written_is_read_back
    what_is_not_committed_never_was
    an_edit_counts_the_version_and_a_use_does_not
    slugs_are_unique_in_their_tenant_alone
    a_value_is_one_key
    what_is_in_use_stays
    a_deleted_tenant_takes_everything_along
    lists_come_in_pages_in_the_order_of_creation
    everything_loads_in_an_order_that_compiles
    keys_of_long_scopes_load_few_at_a_time
    counters_are_kept_until_they_are_over
    sessions_end_when_they_should
    signing_keys_come_and_go
    node_tokens_are_listed_until_they_are_revoked
    a_report_of_a_node_is_heard_once
    a_report_is_heard_once_when_the_token_was_changed_in_between
    the_last_changes_are_kept_in_order_until_they_are_forgotten
    every_revision_has_an_epoch_of_its_own
    webhooks_are_their_tenants
    an_event_is_kept_once_with_what_is_to_be_sent_of_it
    a_delivery_waits_until_it_was_delivered_or_tried_enough
    lapsed_values_are_found_and_forgotten
    routes_are_read_back_and_edited
    a_service_of_a_route_stays_unless_its_tenant_goes
    a_reading_sees_one_state
}

#[tokio::test]
async fn a_reopened_database_has_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    let store = Store::open(&path).await.unwrap();
    let tenant = suite::add_tenant(&store, "acme").await;
    store.close().await;
    let store = Store::open(&path).await.unwrap();
    let found = store.read().await.unwrap().tenant_by_id(tenant.id).await.unwrap();
    assert_eq!(found.unwrap().value, tenant);
}

#[tokio::test]
async fn a_damaged_row_among_many_ends_the_loading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    let store = Store::open(&path).await.unwrap();
    let tenant = suite::add_tenant(&store, "acme").await;
    let keys: Vec<_> = (0..8_000).map(|number| suite::key(&tenant, &format!("secret-{number}"))).collect();
    let mut write = suite::writing(&store).await;
    write.insert_keys(&keys).await.unwrap();
    write.commit().await.unwrap();
    store.close().await;
    let mut connection = connected(&path).await;
    sqlx::query("UPDATE keys SET name = '' WHERE id = (SELECT min(id) FROM keys)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let store = Store::open(&path).await.unwrap();
    let (batches, mut arriving) = tokio::sync::mpsc::channel(1);
    let taking = tokio::spawn(async move { while arriving.recv().await.is_some() {} });
    let loading = store.load(batches);
    // Where loading hangs, this is what ends the test.
    let outcome = tokio::time::timeout(std::time::Duration::from_mins(1), loading).await.unwrap();
    assert!(matches!(outcome, Err(StoreError::Corrupt { table: "keys", .. })), "{outcome:?}");
    taking.await.unwrap();
}

#[tokio::test]
async fn a_damaged_batch_of_counts_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    let store = Store::open(&path).await.unwrap();
    suite::counters_are_kept_until_they_are_over(&store).await;
    let now = UnixMicros::from_secs(suite::NOW);
    let before = store.read().await.unwrap().counters().await.unwrap();
    assert!(!before.is_empty());
    let mut connection = connected(&path).await;
    for damaged in ["x'00'", "x''", "(SELECT substr(records, 1, length(records) - 3) FROM counter_batches)"] {
        let insert = format!("INSERT INTO counter_batches (records) VALUES ({damaged})");
        sqlx::query(sqlx::AssertSqlSafe(insert)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    assert_eq!(store.read().await.unwrap().counters().await.unwrap(), before);
    // Merging clears it away.
    let mut write = suite::writing(&store).await;
    write.merge_counters(now).await.unwrap();
    write.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().counters().await.unwrap(), before);
}

#[tokio::test]
async fn merging_one_batch_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    let store = Store::open(&path).await.unwrap();
    suite::counters_are_kept_until_they_are_over(&store).await;
    let mut observer = connected(&path).await;
    let mut versions: Vec<i64> = Vec::new();
    for _ in 0..2 {
        let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut observer).await.unwrap();
        versions.push(version);
        let mut write = suite::writing(&store).await;
        write.merge_counters(UnixMicros::from_secs(suite::NOW)).await.unwrap();
        write.commit().await.unwrap();
    }
    assert_eq!(versions[0], versions[1]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    std::fs::write(&path, "this is a letter, not a database; ".repeat(100)).unwrap();
    let message = Store::open(&path).await.unwrap_err().to_string();
    assert!(message.contains("tollgate.db") && message.contains("not a database"), "{message}");
    let nowhere = folder.path().join("no/such/folder/tollgate.db");
    let message = Store::open(&nowhere).await.unwrap_err().to_string();
    assert!(message.contains("cannot be opened"), "{message}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tollgate.db");
    Store::open(&path).await.unwrap().close().await;
    let mut connection = connected(&path).await;
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (9999, 'later', 0, 1, x'00', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let message = Store::open(&path).await.unwrap_err().to_string();
    assert!(message.contains("newer version"), "{message}");
}
