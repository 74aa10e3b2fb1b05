//! The last changes as nodes are sent them, sealed.

use sqlx::query;
use tollgate_core::feed::Epoch;

use crate::error::StoreError;
use crate::row::{Fields, integer};
use crate::store::{Read, Write};

/// What leads from one revision to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedStep {
    /// The one that it leads to.
    pub revision: u64,
    /// Of the revision before.
    pub before: Epoch,
    pub sealed: Vec<u8>,
}

impl Read {
    /// Those of this format, in the order of their revisions.
    pub async fn feed_steps(&mut self, format: u32) -> Result<Vec<SealedStep>, StoreError> {
        let rows =
            query("SELECT revision, before_epoch, sealed FROM feed_log WHERE format = ? ORDER BY revision")
                .bind(i64::from(format))
                .fetch_all(self.connection())
                .await?;
        let step = |row| {
            let fields = Fields { table: "feed_log", row };
            Ok(SealedStep {
                revision: fields.unsigned("revision")?,
                before: fields.id("before_epoch", Epoch)?,
                sealed: fields.value("sealed")?,
            })
        };
        rows.iter().map(step).collect()
    }
}

impl Write {
    pub async fn append_feed_step(&mut self, step: &SealedStep, format: u32) -> Result<(), StoreError> {
        query("INSERT OR REPLACE INTO feed_log (revision, before_epoch, format, sealed) VALUES (?, ?, ?, ?)")
            .bind(integer(step.revision))
            .bind(step.before.0)
            .bind(i64::from(format))
            .bind(step.sealed.as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets what leads to this revision, and to those before.
    pub async fn forget_feed_steps(&mut self, up_to: u64) -> Result<(), StoreError> {
        query("DELETE FROM feed_log WHERE revision <= ?")
            .bind(integer(up_to))
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
