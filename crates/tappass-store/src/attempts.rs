//! What may be tried so often, or used once: counted in the database, so that replicas count together and a restart
//! forgets nothing.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::query;

use crate::{Db, Reach, StoreError, row::Columns as _};

/// The attempts. A key says of whom and at what; it should be a hash where it is about a person.
#[derive(Debug, Clone, Copy)]
pub struct Attempts<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Attempts<'_> {
    /// Counts an attempt that may fail, before it is made, so that many at once cannot outrun the count, on however many
    /// replicas. With `limit` attempts counted none is allowed until `lock` after the last: then it gives how long.
    pub async fn attempt(
        &self,
        what: &str,
        limit: u32,
        lock: Duration,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        let until = now.checked_add(lock).unwrap_or(Timestamp::MAX);
        let count = query(
            "INSERT INTO attempts (what, tries, until) VALUES ($1, 1, $2) ON CONFLICT (what) DO UPDATE SET \
             tries = CASE WHEN attempts.until <= $3 THEN 1 ELSE attempts.tries + 1 END, until = excluded.until \
             WHERE attempts.until <= $3 OR attempts.tries < $4",
        )
        .bind(what.to_owned())
        .bind(until.as_microsecond())
        .bind(now.as_microsecond())
        .bind(i64::from(limit));
        if self.0.execute(Reach::All, count).await? > 0 {
            return Ok(None);
        }
        let select = query("SELECT until FROM attempts WHERE what = $1").bind(what.to_owned());
        let row = self.0.read(Reach::All).await?.fetch_optional(select).await?;
        // Taken back meanwhile: whoever asks again is let in.
        let until = row.map(|row| row.time("until")).transpose()?.unwrap_or(now);
        Ok(Some(Duration::try_from(until.duration_since(now)).unwrap_or_default()))
    }

    /// Uses something up for `life` from now; `false` where it has been.
    pub async fn first_use(&self, what: &str, life: Duration, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.attempt(what, 1, life, now).await?.is_none())
    }

    /// Takes one counted attempt back: it succeeded.
    pub async fn forgive(&self, what: &str) -> Result<(), StoreError> {
        let update = query("UPDATE attempts SET tries = tries - 1 WHERE what = $1 AND tries > 0");
        self.0.execute(Reach::All, update.bind(what.to_owned())).await.map(|_| ())
    }

    /// Forgets all counted attempts.
    pub async fn clear(&self, what: &str) -> Result<(), StoreError> {
        let delete = query("DELETE FROM attempts WHERE what = $1").bind(what.to_owned());
        self.0.execute(Reach::All, delete).await.map(|_| ())
    }

    /// Forgets what is over; how many.
    pub async fn forget(&self, now: Timestamp) -> Result<u64, StoreError> {
        let delete = query("DELETE FROM attempts WHERE until <= $1").bind(now.as_microsecond());
        self.0.execute(Reach::All, delete).await
    }
}
