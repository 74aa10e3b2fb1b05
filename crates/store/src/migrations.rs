//! The schema's history, embedded. A file that was released never changes; a new one is added here.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

const SQLITE: [(i64, &str, &str); 7] = [
    (1, "foundation", include_str!("../../../migrations/sqlite/0001_foundation.sql")),
    (2, "counting", include_str!("../../../migrations/sqlite/0002_counting.sql")),
    (4, "routes", include_str!("../../../migrations/sqlite/0004_routes.sql")),
    (5, "traffic", include_str!("../../../migrations/sqlite/0005_traffic.sql")),
    (6, "soft_limits", include_str!("../../../migrations/sqlite/0006_soft_limits.sql")),
    (7, "node_sessions", include_str!("../../../migrations/sqlite/0007_node_sessions.sql")),
    (8, "ends", include_str!("../../../migrations/sqlite/0008_ends.sql")),
];

pub(crate) fn sqlite() -> Migrator {
    let migrations = SQLITE.map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.into())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    use super::*;
    use crate::{deliveries, keys, sessions};

    /// A database of the version before `version`, with `rows`, brought up to date.
    async fn updated(version: i64, rows: &'static str) -> SqliteConnection {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let before = sqlite().iter().filter(|migration| migration.version < version).cloned().collect();
        Migrator::with_migrations(before).run(&mut database).await.unwrap();
        sqlx::raw_sql(rows).execute(&mut database).await.unwrap();
        sqlite().run(&mut database).await.unwrap();
        database
    }

    #[test]
    fn every_file_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), SQLITE.len());
    }

    /// While these run, edits wait.
    #[tokio::test]
    async fn what_is_asked_for_again_and_again_reads_no_table_from_end_to_end() {
        let mut database = updated(1, "").await;
        for (asked, looked_up) in [
            (keys::LAPSED, "retired_hashes_by_end"),
            (sessions::DELETE_EXPIRED, "sessions_by_end"),
            (deliveries::WEBHOOKS_PENDING, "deliveries_pending"),
        ] {
            let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {asked}"));
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(plan).fetch_all(&mut database).await.unwrap();
            let steps: Vec<String> = plan.into_iter().map(|(.., step)| step).collect();
            assert!(
                steps.iter().any(|step| step.starts_with("SEARCH") && step.contains(looked_up)),
                "{steps:?}"
            );
            // Of webhooks there are few.
            let is_scan = |step: &&String| step.starts_with("SCAN") && !step.starts_with("SCAN webhooks");
            assert_eq!(steps.iter().find(is_scan), None, "{steps:?}");
        }
    }

    #[tokio::test]
    async fn plans_of_an_older_database_are_counted_by_default() {
        let mut database = updated(
            2,
            "INSERT INTO tenants VALUES (x'01', 'acme', 'Acme', 'UTC', '[]', 1, 0, 0);
             INSERT INTO plans VALUES (x'02', x'01', 'basic', 'Basic', '[]', NULL, 1, 0, 0);",
        )
        .await;
        let counted = "SELECT counting, on_unavailable FROM plans";
        let counted: Vec<(String, String)> = sqlx::query_as(counted).fetch_all(&mut database).await.unwrap();
        assert_eq!(counted, [("leased".to_owned(), "local".to_owned())]);
    }

    #[tokio::test]
    async fn what_nodes_had_said_to_an_older_database_is_known_by_their_runs() {
        let mut database = updated(
            7,
            "INSERT INTO node_tokens VALUES (x'01', 'one', zeroblob(32), 'tgn_', 0);
             INSERT INTO node_tokens VALUES (x'02', 'two', randomblob(32), 'tgn_', 0);
             INSERT INTO node_reports VALUES (x'01', x'0a', 7, 100), (x'02', x'0a', 9, 90), (x'01', x'0b', 1, 80);",
        )
        .await;
        let kept = "SELECT session, token_id, number FROM node_sessions ORDER BY session";
        let kept: Vec<(Vec<u8>, Vec<u8>, i64)> = sqlx::query_as(kept).fetch_all(&mut database).await.unwrap();
        assert_eq!(kept, [(vec![0x0a], vec![2], 9), (vec![0x0b], vec![1], 1)]);
    }
}
