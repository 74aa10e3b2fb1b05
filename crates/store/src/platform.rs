//! What there is once: the revision, and the platform administrator's generated token.

use sqlx::query_scalar;
use tollgate_core::credential::KeyHash;

use crate::error::StoreError;
use crate::row::integer;
use crate::store::{Read, Write};

impl Read {
    /// Counts the changes to what the proxy runs, from 1.
    pub async fn revision(&mut self) -> Result<u64, StoreError> {
        let revision: i64 =
            query_scalar("SELECT revision FROM platform").fetch_one(self.connection()).await?;
        u64::try_from(revision)
            .map_err(|error| StoreError::Corrupt { table: "platform", problem: error.to_string() })
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
    pub async fn set_revision(&mut self, revision: u64) -> Result<(), StoreError> {
        sqlx::query("UPDATE platform SET revision = ?")
            .bind(integer(revision))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn set_admin_token_hash(&mut self, hash: &KeyHash) -> Result<(), StoreError> {
        sqlx::query("UPDATE platform SET admin_token_hash = ?")
            .bind(hash.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
