//! The schema's history, embedded. A file that was released never changes; a new one is added here.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

const SQLITE: [(i64, &str, &str); 2] = [
    (1, "foundation", include_str!("../../../migrations/sqlite/0001_foundation.sql")),
    (3, "soft_limits", include_str!("../../../migrations/sqlite/0003_soft_limits.sql")),
];

pub(crate) fn sqlite() -> Migrator {
    let migrations = SQLITE.map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), SQLITE.len());
    }
}
