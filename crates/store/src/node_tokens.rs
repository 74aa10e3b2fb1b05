//! Tokens that nodes present to the control plane: their hashes.

use sqlx::query;
use sqlx::sqlite::SqliteRow;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::DisplayName;
use uuid::Uuid;

use crate::error::{StoreError, Unique, taken};
use crate::page::{Page, Paged};
use crate::row::{Fields, integer};
use crate::store::{Read, Write};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTokenRecord {
    pub id: Uuid,
    pub name: DisplayName,
    pub hash: KeyHash,
    /// The first characters of the token.
    pub prefix: Box<str>,
    pub created_at_secs: u64,
}

impl Read {
    pub async fn node_tokens(&mut self, page: Page) -> Result<Paged<NodeTokenRecord>, StoreError> {
        let rows = query("SELECT * FROM node_tokens WHERE id > ? ORDER BY id LIMIT ?")
            .bind(page.after_or_first())
            .bind(page.rows())
            .fetch_all(self.connection())
            .await?;
        let tokens = rows.iter().map(record).collect::<Result<_, _>>()?;
        Ok(page.cut(tokens, |token| token.id))
    }

    pub async fn all_node_tokens(&mut self) -> Result<Vec<NodeTokenRecord>, StoreError> {
        let rows = query("SELECT * FROM node_tokens").fetch_all(self.connection()).await?;
        rows.iter().map(record).collect()
    }
}

impl Write {
    pub async fn insert_node_token(&mut self, token: &NodeTokenRecord) -> Result<(), StoreError> {
        query("INSERT INTO node_tokens (id, name, token_hash, prefix, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(token.id)
            .bind(token.name.as_str())
            .bind(token.hash.as_bytes().as_slice())
            .bind(&*token.prefix)
            .bind(integer(token.created_at_secs))
            .execute(self.connection())
            .await
            .map_err(taken(Unique::NodeTokenName))?;
        Ok(())
    }

    /// Whether there was such a token.
    pub async fn delete_node_token(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let deleted =
            query("DELETE FROM node_tokens WHERE id = ?").bind(id).execute(self.connection()).await?;
        Ok(deleted.rows_affected() > 0)
    }
}

fn record(row: &SqliteRow) -> Result<NodeTokenRecord, StoreError> {
    let fields = Fields { table: "node_tokens", row };
    Ok(NodeTokenRecord {
        id: fields.value("id")?,
        name: fields.parsed("name", DisplayName::parse)?,
        hash: fields.hash("token_hash")?,
        prefix: fields.value::<&str>("prefix")?.into(),
        created_at_secs: fields.unsigned("created_at")?,
    })
}
