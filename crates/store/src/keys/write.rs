//! Writing keys, many at a time where a document brings many.

use sqlx::{QueryBuilder, Sqlite, query};
use tollgate_core::resource::{Key, KeyId, KeyScopeDraft};
use tollgate_core::usage::KeyUsage;

use crate::error::{StoreError, Unique, taken};
use crate::limits::limits_json;
use crate::row::integer;
use crate::store::Write;

/// Rows of one statement; fifteen parameters each stay far below `SQLite`'s 32,766.
const ROWS_A_STATEMENT: usize = 500;

impl Write {
    pub async fn insert_keys(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        for chunk in keys.chunks(ROWS_A_STATEMENT) {
            let scopes = chunk.iter().map(scope_json).collect::<Result<Vec<_>, _>>()?;
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO keys (id, tenant_id, name, hash, prefix, plan_id, consumer_id, restricted, scope,
                                   limits, expires_at, subscribed_at, version, created_at, updated_at) ",
            );
            let limits = chunk.iter().map(limits_column).collect::<Result<Vec<_>, _>>()?;
            insert.push_values(chunk.iter().zip(scopes).zip(limits), |mut row, ((key, scope), limits)| {
                row.push_bind(key.id.0)
                    .push_bind(key.tenant.0)
                    .push_bind(key.name.as_str().to_owned())
                    .push_bind(key.hash.as_bytes().to_vec())
                    .push_bind(key.prefix.to_string())
                    .push_bind(key.plan.map(|plan| plan.0))
                    .push_bind(key.consumer.map(|consumer| consumer.0))
                    .push_bind(key.services.is_some())
                    .push_bind(scope)
                    .push_bind(limits)
                    .push_bind(key.expires_at_secs.map(integer))
                    .push_bind(integer(key.subscribed_at_secs))
                    .push_bind(1_i64)
                    .push_bind(now)
                    .push_bind(now);
            });
            insert.build().execute(self.connection()).await.map_err(taken(Unique::KeyHash))?;
        }
        for key in keys {
            self.insert_key_services(key).await?;
            self.insert_retired(key).await?;
        }
        Ok(())
    }

    /// `before` is the key as it stands in the database.
    pub async fn update_key(&mut self, before: &Key, key: &Key) -> Result<(), StoreError> {
        let now = integer(self.now_secs());
        query(
            "UPDATE keys SET name = ?, hash = ?, prefix = ?, plan_id = ?, consumer_id = ?, restricted = ?,
                             scope = ?, limits = ?, expires_at = ?, subscribed_at = ?, version = version + 1,
                             updated_at = ?
             WHERE id = ?",
        )
        .bind(key.name.as_str())
        .bind(key.hash.as_bytes().as_slice())
        .bind(&*key.prefix)
        .bind(key.plan.map(|plan| plan.0))
        .bind(key.consumer.map(|consumer| consumer.0))
        .bind(key.services.is_some())
        .bind(scope_json(key)?)
        .bind(limits_column(key)?)
        .bind(key.expires_at_secs.map(integer))
        .bind(integer(key.subscribed_at_secs))
        .bind(now)
        .bind(key.id.0)
        .execute(self.connection())
        .await
        .map_err(taken(Unique::KeyHash))?;
        if before.services != key.services {
            query("DELETE FROM key_services WHERE key_id = ?")
                .bind(key.id.0)
                .execute(self.connection())
                .await?;
            self.insert_key_services(key).await?;
        }
        if before.retired != key.retired {
            query("DELETE FROM retired_hashes WHERE key_id = ?")
                .bind(key.id.0)
                .execute(self.connection())
                .await?;
            self.insert_retired(key).await?;
        }
        Ok(())
    }

    /// Deletes former values whose grace has run out by `now_secs`. No version counts it: nothing that is shown
    /// changes.
    pub async fn forget_lapsed_values(&mut self, id: KeyId, now_secs: u64) -> Result<(), StoreError> {
        query("DELETE FROM retired_hashes WHERE key_id = ? AND valid_until <= ?")
            .bind(id.0)
            .bind(integer(now_secs))
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub async fn delete_key(&mut self, id: KeyId) -> Result<(), StoreError> {
        query("DELETE FROM keys WHERE id = ?").bind(id.0).execute(self.connection()).await?;
        Ok(())
    }

    /// Adds to what is known of the keys' use; keys that are gone are passed over. No version counts it.
    pub async fn note_key_uses(&mut self, uses: &[(KeyId, KeyUsage)]) -> Result<(), StoreError> {
        for chunk in uses.chunks(ROWS_A_STATEMENT) {
            let mut insert = QueryBuilder::<Sqlite>::new("WITH used (id, at, requests, rejections) AS (");
            insert.push_values(chunk, |mut row, (key, usage)| {
                row.push_bind(key.0)
                    .push_bind(integer(usage.last_used_secs))
                    .push_bind(integer(usage.requests))
                    .push_bind(integer(usage.rejections));
            });
            insert.push(
                ") INSERT INTO key_use (key_id, last_used_at, requests, rejections)
                 SELECT used.id, used.at, used.requests, used.rejections
                 FROM used JOIN keys ON keys.id = used.id WHERE true
                 ON CONFLICT (key_id) DO UPDATE SET last_used_at = max(last_used_at, excluded.last_used_at),
                     requests = requests + excluded.requests, rejections = rejections + excluded.rejections",
            );
            insert.build().execute(self.connection()).await?;
        }
        Ok(())
    }

    async fn insert_key_services(&mut self, key: &Key) -> Result<(), StoreError> {
        let services = key.services.as_deref().unwrap_or_default();
        for chunk in services.chunks(ROWS_A_STATEMENT) {
            let mut insert =
                QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO key_services (key_id, service_id) ");
            insert.push_values(chunk, |mut row, service| {
                row.push_bind(key.id.0).push_bind(service.0);
            });
            insert.build().execute(self.connection()).await?;
        }
        Ok(())
    }

    async fn insert_retired(&mut self, key: &Key) -> Result<(), StoreError> {
        for retired in &key.retired {
            query("INSERT INTO retired_hashes (hash, key_id, valid_until) VALUES (?, ?, ?)")
                .bind(retired.hash.as_bytes().as_slice())
                .bind(key.id.0)
                .bind(integer(retired.valid_until_secs))
                .execute(self.connection())
                .await
                .map_err(taken(Unique::KeyHash))?;
        }
        Ok(())
    }
}

/// `NULL` where the key has none: there may be a million.
fn scope_json(key: &Key) -> Result<Option<String>, StoreError> {
    let json = key.scope.as_deref().map(|scope| serde_json::to_string(&KeyScopeDraft::from(scope)));
    json.transpose().map_err(|error| StoreError::Corrupt { table: "keys", problem: error.to_string() })
}

fn limits_column(key: &Key) -> Result<Option<String>, StoreError> {
    if key.limits.is_empty() { Ok(None) } else { limits_json("keys", &key.limits).map(Some) }
}
