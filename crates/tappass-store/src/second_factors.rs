//! People's second factors: a sealed secret, the last time step whose code was taken, and recovery codes as hashes.

use jiff::Timestamp;
use sqlx::query;
use uuid::Uuid;

use crate::{
    Db, Reach, StoreError, Tx,
    row::Columns as _,
    users::{changed, touched},
};

/// A person's second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// The secret, sealed.
    pub sealed: String,
    /// The last time step (RFC 6238) whose code was taken.
    pub last_step: i64,
    /// When its person showed that they have it; until then it protects nothing.
    pub confirmed_at: Option<Timestamp>,
    /// How many recovery codes are left.
    pub codes_left: i64,
}

/// The second factors. They belong to a person, whatever organisations they are in.
#[derive(Debug, Clone, Copy)]
pub struct SecondFactors<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl SecondFactors<'_> {
    /// A person's.
    pub async fn get(&self, user_id: Uuid) -> Result<Option<SecondFactor>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT sealed, last_step, confirmed_at, \
             (SELECT COUNT(*) FROM recovery_codes c WHERE c.user_id = f.user_id AND c.used_at IS NULL) AS codes_left \
             FROM second_factors f WHERE user_id = $1",
        );
        let row = tx.fetch_optional(select.bind(user_id.to_string())).await?;
        tx.commit().await?;
        row.map(|row| {
            Ok(SecondFactor {
                sealed: row.text("sealed")?,
                last_step: row.int("last_step")?,
                confirmed_at: row.opt_time("confirmed_at")?,
                codes_left: row.int("codes_left")?,
            })
        })
        .transpose()
    }

    /// Begins one, in place of another that was begun and not confirmed; `false` when there is a confirmed one.
    pub async fn begin(&self, user_id: Uuid, sealed: String, now: Timestamp) -> Result<bool, StoreError> {
        let upsert = query(
            "INSERT INTO second_factors (user_id, sealed, last_step, created_at) VALUES ($1, $2, 0, $3) \
             ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, last_step = 0, \
             created_at = excluded.created_at WHERE second_factors.confirmed_at IS NULL",
        );
        let upsert = upsert.bind(user_id.to_string()).bind(sealed).bind(now.as_microsecond());
        changed(self.0, Reach::All, upsert).await
    }

    /// Confirms what was begun as `sealed`, with the step of the code that showed it and the hashes of its recovery
    /// codes. `false` when that is not what waits to be confirmed.
    pub async fn confirm(
        &self,
        user_id: Uuid,
        sealed: &str,
        step: i64,
        codes: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        let update = query(
            "UPDATE second_factors SET confirmed_at = $4, last_step = $3 \
             WHERE user_id = $1 AND sealed = $2 AND confirmed_at IS NULL",
        )
        .bind(user_id.to_string())
        .bind(sealed.to_owned())
        .bind(step)
        .bind(now.as_microsecond());
        if tx.execute(update).await? == 0 {
            return Ok(false);
        }
        insert_codes(&mut tx, user_id, codes).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Puts other recovery codes in the place of all there are; `false` when there is no confirmed factor.
    pub async fn renew_codes(&self, user_id: Uuid, codes: &[String]) -> Result<bool, StoreError> {
        let mut tx = self.0.write(Reach::All).await?;
        // Takes the factor's row, so that of two at once one's codes stay, whole.
        let lock = query(
            "UPDATE second_factors SET last_step = last_step WHERE user_id = $1 AND confirmed_at IS NOT NULL",
        );
        if tx.execute(lock.bind(user_id.to_string())).await? == 0 {
            return Ok(false);
        }
        tx.execute(query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user_id.to_string())).await?;
        insert_codes(&mut tx, user_id, codes).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes the code of a time step; `false` when that step's, or a later one's, has been taken.
    pub async fn take_step(&self, user_id: Uuid, step: i64) -> Result<bool, StoreError> {
        let update = query("UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2");
        changed(self.0, Reach::All, update.bind(user_id.to_string()).bind(step)).await
    }

    /// Takes a recovery code; `false` when there is none of this hash that has not been used.
    pub async fn take_code(&self, user_id: Uuid, hash: String, now: Timestamp) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE recovery_codes SET used_at = $3 \
             WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL",
        );
        changed(self.0, Reach::All, update.bind(user_id.to_string()).bind(hash).bind(now.as_microsecond()))
            .await
    }

    /// Removes it with its recovery codes; `false` when there is none.
    pub async fn remove(&self, user_id: Uuid) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM second_factors WHERE user_id = $1").bind(user_id.to_string());
        Ok(touched(self.0, Reach::All, delete).await? > 0)
    }
}

async fn insert_codes(tx: &mut Tx, user_id: Uuid, hashes: &[String]) -> Result<(), StoreError> {
    for hash in hashes {
        let insert = query("INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)");
        tx.execute(insert.bind(user_id.to_string()).bind(hash.clone())).await?;
    }
    Ok(())
}
