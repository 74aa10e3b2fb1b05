//! The schema's history, embedded. A file that was released never changes; a new one is added here.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

const SQLITE: [(i64, &str, &str); 5] = [
    (1, "foundation", include_str!("../../../migrations/sqlite/0001_foundation.sql")),
    (2, "counting", include_str!("../../../migrations/sqlite/0002_counting.sql")),
    (4, "routes", include_str!("../../../migrations/sqlite/0004_routes.sql")),
    (5, "traffic", include_str!("../../../migrations/sqlite/0005_traffic.sql")),
    (6, "soft_limits", include_str!("../../../migrations/sqlite/0006_soft_limits.sql")),
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

    #[test]
    fn every_file_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), SQLITE.len());
    }

    #[tokio::test]
    async fn plans_of_an_older_database_are_counted_by_default() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let first = sqlite().iter().take(1).cloned().collect();
        Migrator::with_migrations(first).run(&mut database).await.unwrap();
        let older = "INSERT INTO tenants VALUES (x'01', 'acme', 'Acme', 'UTC', '[]', 1, 0, 0);
                     INSERT INTO plans VALUES (x'02', x'01', 'basic', 'Basic', '[]', NULL, 1, 0, 0);";
        sqlx::raw_sql(older).execute(&mut database).await.unwrap();
        sqlite().run(&mut database).await.unwrap();
        let counted = "SELECT counting, on_unavailable FROM plans";
        let counted: Vec<(String, String)> = sqlx::query_as(counted).fetch_all(&mut database).await.unwrap();
        assert_eq!(counted, [("leased".to_owned(), "local".to_owned())]);
    }
}
