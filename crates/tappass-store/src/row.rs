//! Reading the columns that all tables use: text, integers, ids, times, JSON.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row as _, any::AnyRow};
use uuid::Uuid;

use crate::StoreError;

/// Typed access to a row's columns. Each gives [`StoreError`] when the column is missing or holds something else.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
pub trait Columns {
    /// Text.
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    /// Text or NULL.
    fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    /// An integer of 64 bits.
    fn int(&self, column: &'static str) -> Result<i64, StoreError>;
    /// An integer of 64 bits or NULL.
    fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError>;

    /// A UUID, stored as text.
    fn uuid(&self, column: &'static str) -> Result<Uuid, StoreError> {
        self.text(column)?.parse().map_err(|e| unreadable(column, &e))
    }

    /// A time, stored as microseconds since 1970 UTC.
    fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(self.int(column)?).map_err(|e| unreadable(column, &e))
    }

    /// A time or NULL.
    fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let micros = self.opt_int(column)?;
        micros.map(|m| Timestamp::from_microsecond(m).map_err(|e| unreadable(column, &e))).transpose()
    }

    /// JSON, stored as text.
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|e| unreadable(column, &e))
    }

    /// A word of an enum, stored as serde writes it.
    fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_value(self.text(column)?.into()).map_err(|e| unreadable(column, &e))
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(column)?)
    }
}

/// A value as JSON text, for a column read with [`Columns::json`].
///
/// # Errors
/// [`StoreError::Unreadable`] when it has no JSON form.
pub fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| unreadable(column, &e))
}

/// The word of an enum without data, for a column read with [`Columns::word`].
///
/// # Errors
/// [`StoreError::Unreadable`] when it is not a word.
pub fn to_word<T: Serialize>(column: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(unreadable(column, &format!("{other} is not a word"))),
        Err(e) => Err(unreadable(column, &e)),
    }
}

fn unreadable(column: &'static str, e: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable { column, reason: e.to_string() }
}
