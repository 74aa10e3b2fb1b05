//! Sessions of signed-in users: the token's hash, until when it holds.

use sqlx::query;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::UserId;

use crate::error::StoreError;
use crate::row::{Fields, integer};
use crate::store::{Read, Write};
use crate::users::{UserRecord, user};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    pub user: UserRecord,
    pub expires_at_secs: u64,
}

pub(crate) const DELETE_EXPIRED: &str = "DELETE FROM sessions WHERE expires_at <= ?";

impl Read {
    /// The session of a token, unless it has expired.
    pub async fn session(
        &mut self,
        token: &KeyHash,
        now_secs: u64,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let row = query(
            "SELECT u.*, t.slug AS tenant, s.expires_at FROM sessions s
             JOIN users u ON u.id = s.user_id LEFT JOIN tenants t ON t.id = u.tenant_id
             WHERE s.token_hash = ? AND s.expires_at > ?",
        )
        .bind(token.as_bytes().as_slice())
        .bind(integer(now_secs))
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let expires_at_secs = Fields { table: "sessions", row: &row }.unsigned("expires_at")?;
        Ok(Some(SessionRecord { user: user(&row)?.value, expires_at_secs }))
    }
}

impl Write {
    pub async fn insert_session(
        &mut self,
        token: &KeyHash,
        user: UserId,
        expires_at_secs: u64,
    ) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query("INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)")
            .bind(token.as_bytes().as_slice())
            .bind(user.0)
            .bind(now)
            .bind(integer(expires_at_secs))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delete_session(&mut self, token: &KeyHash) -> Result<(), StoreError> {
        query("DELETE FROM sessions WHERE token_hash = ?")
            .bind(token.as_bytes().as_slice())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delete_expired_sessions(&mut self) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(DELETE_EXPIRED).bind(now).execute(self.connection()).await?;
        Ok(())
    }
}
