//! What can go wrong with the store, in the words of those who have to act on it.

use std::fmt;
use std::path::PathBuf;

use sqlx::migrate::MigrateError;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0} is taken already")]
    Taken(Unique),
    #[error("is still in use by {0}")]
    InUse(Dependent),
    #[error("the disk is full: nothing was written; free some space and try again")]
    DiskFull,
    #[error("the database is locked by another process")]
    Locked,
    #[error("the database cannot be written to")]
    ReadOnly,
    #[error("the file cannot be opened: does its directory exist, and may this user write to it?")]
    CannotOpen,
    #[error("the file is not a database, or is damaged")]
    Damaged,
    #[error("the database was written by a newer version of Tollgate")]
    Newer,
    #[error("a row of {table} does not parse: {problem}")]
    Corrupt { table: &'static str, problem: String },
    #[error("whoever was loading has gone away")]
    Abandoned,
    #[error("the database failed: {0}")]
    Failed(#[source] sqlx::Error),
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open the database {}: {source}", path.display())]
pub struct OpenError {
    pub path: PathBuf,
    pub source: StoreError,
}

/// What only one resource may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    TenantSlug,
    ServiceSlug,
    PlanSlug,
    ClientId,
    Username,
    KeyHash,
    NodeTokenName,
    RouteName,
}

/// What keeps another resource from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependent {
    Consumers,
    Keys,
    Routes,
    Services,
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TenantSlug | Self::ServiceSlug | Self::PlanSlug => "the slug",
            Self::ClientId => "the client id",
            Self::Username => "the username",
            Self::KeyHash => "the key",
            Self::NodeTokenName | Self::RouteName => "the name",
        })
    }
}

impl fmt::Display for Dependent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumers => "consumers",
            Self::Keys => "keys",
            Self::Routes => "routes",
            Self::Services => "services",
        })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(5 | 6) => Self::Locked,
            Some(8) => Self::ReadOnly,
            Some(11 | 26) => Self::Damaged,
            Some(13) => Self::DiskFull,
            Some(14) => Self::CannotOpen,
            Some(_) | None => Self::Failed(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Self::Newer,
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::from(error),
            other => Self::Corrupt { table: "_sqlx_migrations", problem: other.to_string() },
        }
    }
}

/// `SQLite`'s primary result code (<https://www.sqlite.org/rescode.html>): the low byte of the extended one.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<u32>().ok().map(|extended| extended & 0xff)
}

/// The error of a statement that can violate one uniqueness alone.
pub(crate) fn taken(unique: Unique) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| match error.as_database_error() {
        Some(database) if database.is_unique_violation() => StoreError::Taken(unique),
        Some(_) | None => StoreError::from(error),
    }
}
