//! What limits have counted, kept over a restart.
//!
//! A save appends one batch, whatever its size: one row, and not one for each subject and window that was busy.
//! Now and then the batches are merged into one.

use std::collections::HashMap;

use sqlx::{query, query_scalar};
use tollgate_core::limit::{CounterRecord, Subject, Window};
use tollgate_core::time::UnixMicros;
use tollgate_counters::packed;

use crate::error::StoreError;
use crate::row::Fields;
use crate::store::{Read, Write};

impl Read {
    /// All, with what is over and not merged away yet: the clock may be ahead just now. A batch that is damaged is passed over, and said so in the log: a gateway that does not start
    /// is worse than a limit that is had twice until its period ends.
    pub async fn counters(&mut self) -> Result<Vec<CounterRecord>, StoreError> {
        let batches =
            query("SELECT id, records FROM counter_batches ORDER BY id").fetch_all(self.connection()).await?;
        let mut newest: HashMap<(Subject, Window), CounterRecord> = HashMap::new();
        for row in &batches {
            let fields = Fields { table: "counter_batches", row };
            match packed::unpack(fields.value("records")?) {
                Ok(records) => {
                    newest
                        .extend(records.into_iter().map(|record| ((record.subject, record.window), record)));
                }
                Err(error) => {
                    let id: i64 = fields.value("id")?;
                    tracing::error!(
                        id, %error,
                        "a row of counter_batches does not parse: what only it says of limits that were used is lost"
                    );
                }
            }
        }
        Ok(newest.into_values().collect())
    }
}

impl Write {
    pub async fn save_counters(&mut self, records: &[CounterRecord]) -> Result<(), StoreError> {
        if !records.is_empty() {
            query("INSERT INTO counter_batches (records) VALUES (?)")
                .bind(packed::pack(records))
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// Merges all batches into one, without what is over at `now`. One batch is left as it is: a gateway that
    /// nobody uses does not write.
    pub async fn merge_counters(&mut self, now: UnixMicros) -> Result<(), StoreError> {
        let batches: i64 =
            query_scalar("SELECT count(*) FROM counter_batches").fetch_one(self.connection()).await?;
        if batches < 2 {
            return Ok(());
        }
        let mut records = self.counters().await?;
        records.retain(|record| now < record.over_at());
        query("DELETE FROM counter_batches").execute(self.connection()).await?;
        self.save_counters(&records).await
    }
}
