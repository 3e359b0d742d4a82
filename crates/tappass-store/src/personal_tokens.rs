//! People's personal tokens. Only a keyed hash is stored; the token itself was shown once.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{any::AnyRow, query};
use tappass_model::Role;
use uuid::Uuid;

use crate::{
    Db, Page, PageRequest, Proof, Reach, StoreError,
    row::{Columns as _, to_word},
    users::changed,
};

/// A personal token: acts for its person in one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PersonalToken {
    /// Its identity.
    pub token_id: Uuid,
    /// Where it acts.
    pub org_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What its person calls it.
    pub name: String,
    /// The most it may do; never more than its person may.
    pub role: Role,
    /// What the session stood on in which it was made.
    pub proof: Proof,
    /// What may be shown of it, to tell tokens apart.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, within a minute or so.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token that has not been revoked, with whose it is. It may have expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUser {
    /// The token.
    pub token: PersonalToken,
    /// The person's address.
    pub email: String,
    /// The person's role in the token's organisation, now.
    pub role: Role,
    /// Whether the organisation wants a second factor that the person has not set up.
    pub factor_missing: bool,
}

/// The personal tokens.
#[derive(Debug, Clone, Copy)]
pub struct PersonalTokens<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl PersonalTokens<'_> {
    /// Adds one; `false` when its person is no member of its organisation.
    pub async fn create(&self, token: &PersonalToken, token_hash: String) -> Result<bool, StoreError> {
        let mut tx = self.0.write(token.org_id).await?;
        let insert = query(
            "INSERT INTO personal_tokens \
             (token_id, org_id, user_id, name, role, proof, token_hash, hint, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(token.token_id.to_string())
        .bind(token.org_id.to_string())
        .bind(token.user_id.to_string())
        .bind(token.name.clone())
        .bind(to_word("role", &token.role)?)
        .bind(to_word("proof", &token.proof)?)
        .bind(token_hash)
        .bind(token.hint.clone())
        .bind(token.created_at.as_microsecond())
        .bind(token.expires_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other.map_err(|e| e.conflict(|| format!("token {}", token.hint)))?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// A person's tokens in one organisation, ended ones too, oldest first.
    pub async fn list(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        page: &PageRequest,
    ) -> Result<Page<PersonalToken>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT * FROM personal_tokens WHERE org_id = $1 AND user_id = $2 AND token_id > $3 \
             ORDER BY token_id LIMIT $4",
        )
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(page.after()?)
        .bind(page.fetch());
        let rows = tx.fetch_all(select).await?;
        tx.commit().await?;
        let items = rows.iter().map(token_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |t: &PersonalToken| t.token_id.to_string()))
    }

    /// Revokes a person's token; `false` when there is none that lasts.
    pub async fn revoke(
        &self,
        org_id: Uuid,
        user_id: Uuid,
        token_id: Uuid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE personal_tokens SET revoked_at = $4 \
             WHERE org_id = $1 AND user_id = $2 AND token_id = $3 AND revoked_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(token_id.to_string())
        .bind(now.as_microsecond());
        changed(self.0, org_id, update).await
    }

    /// Revokes all of a member's tokens in one organisation; how many.
    pub async fn revoke_all(&self, org_id: Uuid, user_id: Uuid, now: Timestamp) -> Result<u64, StoreError> {
        let update = query(
            "UPDATE personal_tokens SET revoked_at = $3 \
             WHERE org_id = $1 AND user_id = $2 AND revoked_at IS NULL",
        )
        .bind(org_id.to_string())
        .bind(user_id.to_string())
        .bind(now.as_microsecond());
        crate::users::touched(self.0, org_id, update).await
    }

    /// A token by its hash, unless it has been revoked. The caller checks whether it has expired.
    pub async fn find(&self, token_hash: &str) -> Result<Option<TokenUser>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select = query(
            "SELECT t.*, u.email, m.role AS member_role, \
             CASE WHEN o.require_second_factor = 1 AND t.proof = 'password' \
             AND f.confirmed_at IS NULL THEN 1 ELSE 0 END AS factor_missing \
             FROM personal_tokens t JOIN users u ON u.user_id = t.user_id \
             JOIN memberships m ON m.org_id = t.org_id AND m.user_id = t.user_id \
             JOIN orgs o ON o.org_id = t.org_id LEFT JOIN second_factors f ON f.user_id = t.user_id \
             WHERE t.token_hash = $1 AND t.revoked_at IS NULL",
        );
        let row = tx.fetch_optional(select.bind(token_hash.to_owned())).await?;
        tx.commit().await?;
        row.map(|r| {
            Ok(TokenUser {
                token: token_of(&r)?,
                email: r.text("email")?,
                role: r.word("member_role")?,
                factor_missing: r.int("factor_missing")? == 1,
            })
        })
        .transpose()
    }

    /// Notes when tokens were last used, many at once. A time earlier than the one noted changes nothing.
    pub async fn used(&self, uses: &[(Uuid, Timestamp)]) -> Result<(), StoreError> {
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        let mut tx = self.0.write(Reach::All).await?;
        for (token_id, at) in uses {
            let update = query(
                "UPDATE personal_tokens SET last_used_at = $2 \
                 WHERE token_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            );
            tx.execute(update.bind(token_id.to_string()).bind(at.as_microsecond())).await?;
        }
        tx.commit().await
    }
}

fn token_of(row: &AnyRow) -> Result<PersonalToken, StoreError> {
    Ok(PersonalToken {
        token_id: row.uuid("token_id")?,
        org_id: row.uuid("org_id")?,
        user_id: row.uuid("user_id")?,
        name: row.text("name")?,
        role: row.word("role")?,
        proof: row.word("proof")?,
        hint: row.text("hint")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        last_used_at: row.opt_time("last_used_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}
