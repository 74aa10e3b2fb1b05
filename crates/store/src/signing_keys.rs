//! Keys that sign tokens, as the database may see them: their private halves are sealed.

use sqlx::query;

use crate::error::StoreError;
use crate::row::{Fields, integer};
use crate::store::{Read, Write};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// What tokens call it (`kid`).
    pub key_id: Box<str>,
    pub sealed_seed: Vec<u8>,
    /// Seconds since the epoch.
    pub signs_from_secs: u64,
}

impl Read {
    /// In the order in which they sign.
    pub async fn signing_keys(&mut self) -> Result<Vec<SealedKey>, StoreError> {
        let rows =
            query("SELECT key_id, sealed_seed, signs_from FROM signing_keys ORDER BY signs_from, key_id")
                .fetch_all(self.connection())
                .await?;
        let key = |row| {
            let fields = Fields { table: "signing_keys", row };
            Ok(SealedKey {
                key_id: fields.value::<&str>("key_id")?.into(),
                sealed_seed: fields.value("sealed_seed")?,
                signs_from_secs: fields.unsigned("signs_from")?,
            })
        };
        rows.iter().map(key).collect()
    }
}

impl Write {
    pub async fn insert_signing_key(&mut self, key: &SealedKey) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query("INSERT INTO signing_keys (key_id, sealed_seed, signs_from, created_at) VALUES (?, ?, ?, ?)")
            .bind(&*key.key_id)
            .bind(key.sealed_seed.as_slice())
            .bind(integer(key.signs_from_secs))
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delete_signing_key(&mut self, key_id: &str) -> Result<(), StoreError> {
        query("DELETE FROM signing_keys WHERE key_id = ?").bind(key_id).execute(self.connection()).await?;
        Ok(())
    }
}
