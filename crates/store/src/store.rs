//! The database: opening it, reading it, writing to it.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Sqlite, SqlitePool, Transaction};

use crate::error::{OpenError, StoreError};
use crate::migrations;

const READERS: u32 = 4;
/// How long another process (a backup, say) may hold the file before a statement fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READER_CACHE_KIB: u32 = 2 * 1024;
/// Large imports touch the tree of hashes all over; a cache that holds its inner pages keeps them out of the log.
const WRITER_CACHE_KIB: u32 = 16 * 1024;
/// The log grows with the largest transaction; above this it is cut back once it was taken over.
const LOG_KEPT_BYTES: u32 = 64 << 20;

/// A handle on the database; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    readers: SqlitePool,
    /// One connection: `SQLite` has one writer at a time, and waiting in line beats failing as busy.
    writer: SqlitePool,
    path: Arc<Path>,
}

impl Store {
    /// Opens the database, creates it where there is none, and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::connect(path).await.map_err(|source| OpenError { path: path.to_owned(), source })
    }

    async fn connect(path: &Path) -> Result<Self, StoreError> {
        // FULL, not NORMAL: in WAL mode NORMAL may lose commits that were already acknowledged when the
        // power fails (https://www.sqlite.org/pragma.html#pragma_synchronous).
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let cache = |kib: u32| options.clone().pragma("cache_size", format!("-{kib}"));
        let writer_options = cache(WRITER_CACHE_KIB).pragma("journal_size_limit", LOG_KEPT_BYTES.to_string());
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(writer_options)
            .await?;
        migrations::sqlite().run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .max_lifetime(None)
            .connect_lazy_with(cache(READER_CACHE_KIB));
        Ok(Self { readers, writer, path: path.into() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One consistent state of everything, however long the reading takes.
    pub async fn read(&self) -> Result<Read, StoreError> {
        Ok(Read { transaction: begin(&self.readers, "BEGIN").await? })
    }

    /// The writer, once it is free. Rows written carry `now_secs`.
    pub async fn write(&self, now_secs: u64) -> Result<Write, StoreError> {
        let transaction = begin(&self.writer, "BEGIN IMMEDIATE").await?;
        Ok(Write { read: Read { transaction }, now_secs })
    }

    /// Waits for what is under way, and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// `SQLite` ends a transaction by itself where the disk is full or fails
/// (<https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>). sqlx takes that connection for
/// one inside a transaction from then on: another takes its place.
async fn begin(
    pool: &SqlitePool,
    statement: &'static str,
) -> Result<Transaction<'static, Sqlite>, StoreError> {
    match pool.begin_with(statement).await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            pool.acquire().await?.close().await?;
            Ok(pool.begin_with(statement).await?)
        }
        begun => Ok(begun?),
    }
}

/// A reading of the database; its methods are beside each resource.
#[derive(Debug)]
pub struct Read {
    transaction: Transaction<'static, Sqlite>,
}

impl Read {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

/// A writing: it can read what it has written, and dropping it undoes everything.
#[derive(Debug)]
pub struct Write {
    read: Read,
    now_secs: u64,
}

impl Write {
    /// Makes everything last. When this returns, it survives a power failure.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.read.transaction.commit().await?)
    }

    /// What rows that are written carry.
    pub const fn now_secs(&self) -> u64 {
        self.now_secs
    }
}

impl Deref for Write {
    type Target = Read;

    fn deref(&self) -> &Read {
        &self.read
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut Read {
        &mut self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writing_goes_on_once_the_disk_has_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("tollgate.db")).await.unwrap();
        let fill = async |rows: u32| {
            let mut write = store.write(0).await?;
            sqlx::query("CREATE TABLE IF NOT EXISTS filling (text TEXT)").execute(write.connection()).await?;
            for _ in 0..rows {
                let row = sqlx::query("INSERT INTO filling VALUES (hex(randomblob(4096)))");
                row.execute(write.connection()).await?;
            }
            write.commit().await
        };
        fill(1).await.unwrap();
        let pages: u32 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 20));
        sqlx::query(limit).execute(&store.writer).await.unwrap();
        assert!(matches!(fill(1_000).await, Err(StoreError::DiskFull)));
        // The limit ends with the connection.
        fill(1_000).await.unwrap();
    }
}
