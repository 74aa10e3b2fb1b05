//! How far nodes have been heard.

use sqlx::{query, query_scalar};
use uuid::Uuid;

use crate::error::StoreError;
use crate::row::integer;
use crate::store::Write;

/// Of the runs of a token's nodes, those heard last are remembered.
const MOST_RUNS_A_TOKEN: u32 = 1_000;

/// Whether a number was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    First,
    Before,
    /// Not at all: the node has to say it again, under a token that there is.
    TokenGone,
}

impl Write {
    /// Remembers the number of a report, which ascends within a session, whichever tokens it presents.
    pub async fn hear_node(&mut self, token: Uuid, session: Uuid, number: u64) -> Result<Heard, StoreError> {
        let now = integer(self.now_secs());
        let written = query(
            "INSERT INTO node_sessions (session, token_id, number, taken_at)
             SELECT ?, id, ?, ? FROM node_tokens WHERE id = ?
             ON CONFLICT (session) DO UPDATE
                 SET token_id = excluded.token_id, number = excluded.number, taken_at = excluded.taken_at
                 WHERE excluded.number > node_sessions.number",
        )
        .bind(session)
        .bind(integer(number))
        .bind(now)
        .bind(token)
        .execute(self.connection())
        .await?;
        if written.rows_affected() > 0 {
            return Ok(Heard::First);
        }
        let is_there: bool = query_scalar("SELECT EXISTS (SELECT 1 FROM node_tokens WHERE id = ?)")
            .bind(token)
            .fetch_one(self.connection())
            .await?;
        Ok(if is_there { Heard::Before } else { Heard::TokenGone })
    }

    /// Forgets the runs that were last heard before `since_secs`, and those that are too many.
    pub async fn forget_node_runs(&mut self, since_secs: u64) -> Result<(), StoreError> {
        query("DELETE FROM node_sessions WHERE taken_at < ?")
            .bind(integer(since_secs))
            .execute(self.connection())
            .await?;
        query(
            "DELETE FROM node_sessions WHERE session IN (
                 SELECT session FROM (
                     SELECT session,
                            row_number() OVER (PARTITION BY token_id ORDER BY taken_at DESC, session DESC) AS place
                     FROM node_sessions)
                 WHERE place > ?)",
        )
        .bind(MOST_RUNS_A_TOKEN)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
