//! From columns to the core's types and back.

use std::fmt;

use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Row, Sqlite, Type};
use tollgate_core::credential::KeyHash;
use uuid::Uuid;

use crate::error::StoreError;
use crate::stored::Stored;

/// A row, with the table's name for errors.
pub(crate) struct Fields<'r> {
    pub table: &'static str,
    pub row: &'r SqliteRow,
}

impl<'r> Fields<'r> {
    pub fn value<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
        for<'c> &'c str: ColumnIndex<SqliteRow>,
    {
        self.row.try_get(column).map_err(|error| self.corrupt(&error))
    }

    pub fn id<T>(&self, column: &str, id: fn(Uuid) -> T) -> Result<T, StoreError> {
        self.value(column).map(id)
    }

    pub fn optional_id<T>(&self, column: &str, id: fn(Uuid) -> T) -> Result<Option<T>, StoreError> {
        Ok(self.value::<Option<Uuid>>(column)?.map(id))
    }

    pub fn parsed<T, E: fmt::Display>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        parse(self.value(column)?).map_err(|error| self.corrupt(&error))
    }

    pub fn optional_parsed<T, E: fmt::Display>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.value(column)?;
        text.map(parse).transpose().map_err(|error| self.corrupt(&error))
    }

    pub fn unsigned(&self, column: &str) -> Result<u64, StoreError> {
        let number: i64 = self.value(column)?;
        u64::try_from(number).map_err(|error| self.corrupt(&error))
    }

    pub fn optional_unsigned(&self, column: &str) -> Result<Option<u64>, StoreError> {
        let number: Option<i64> = self.value(column)?;
        number.map(u64::try_from).transpose().map_err(|error| self.corrupt(&error))
    }

    pub fn hash(&self, column: &str) -> Result<KeyHash, StoreError> {
        let bytes: &[u8] = self.value(column)?;
        bytes.try_into().map(KeyHash::from_bytes).map_err(|error| self.corrupt(&error))
    }

    pub fn stored<T>(&self, value: T) -> Result<Stored<T>, StoreError> {
        Ok(Stored {
            value,
            id: self.value("id")?,
            version: self.unsigned("version")?,
            created_at_secs: self.unsigned("created_at")?,
            updated_at_secs: self.unsigned("updated_at")?,
        })
    }

    pub fn corrupt(&self, problem: &dyn fmt::Display) -> StoreError {
        StoreError::Corrupt { table: self.table, problem: problem.to_string() }
    }
}

/// `SQLite`'s integers are signed; what does not fit is kept as the largest.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
