//! What there is once: the revision, and the platform administrator's generated token.

use sqlx::{query, query_scalar};
use tollgate_core::credential::KeyHash;
use tollgate_core::feed::{Epoch, Position};

use crate::error::StoreError;
use crate::row::{Fields, integer};
use crate::store::{Read, Write};

impl Read {
    /// The revision counts the changes to what the proxy runs, from 1.
    pub async fn position(&mut self) -> Result<Position, StoreError> {
        let row = query("SELECT revision, epoch FROM platform").fetch_one(self.connection()).await?;
        let fields = Fields { table: "platform", row: &row };
        Ok(Position { revision: fields.unsigned("revision")?, epoch: fields.id("epoch", Epoch)? })
    }

    pub async fn revision(&mut self) -> Result<u64, StoreError> {
        Ok(self.position().await?.revision)
    }

    pub async fn admin_token_hash(&mut self) -> Result<Option<KeyHash>, StoreError> {
        let bytes: Option<Vec<u8>> =
            query_scalar("SELECT admin_token_hash FROM platform").fetch_one(self.connection()).await?;
        let hash = bytes.map(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).map(KeyHash::from_bytes));
        hash.transpose()
            .map_err(|error| StoreError::Corrupt { table: "platform", problem: error.to_string() })
    }
}

impl Write {
    /// Begins an epoch of its own.
    pub async fn set_revision(&mut self, revision: u64) -> Result<Position, StoreError> {
        let epoch = query_scalar("UPDATE platform SET revision = ?, epoch = randomblob(16) RETURNING epoch")
            .bind(integer(revision))
            .fetch_one(self.connection())
            .await?;
        Ok(Position { revision, epoch: Epoch(epoch) })
    }

    pub async fn set_admin_token_hash(&mut self, hash: &KeyHash) -> Result<(), StoreError> {
        query("UPDATE platform SET admin_token_hash = ?")
            .bind(hash.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
