//! Policies as an organisation wrote them, in all their versions.

use jiff::Timestamp;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, StoreError, row::Columns as _};

/// One version of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Whose it is.
    pub org_id: Uuid,
    /// The question it answers: `authz`, `tools`, `routing`, `guardrails`.
    pub question: String,
    /// Counts from 1.
    pub version: i64,
    /// The text; empty when the organisation took its policy back.
    pub rego: String,
    /// When this version was written.
    pub created_at: Timestamp,
}

/// The policies.
#[derive(Debug, Clone, Copy)]
pub struct Policies<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Policies<'_> {
    /// Writes the next version; its `version` is set here. With `expected`, only if the latest version is that one
    /// (0: none yet), else [`StoreError::Stale`]. `None` when there is no such organisation.
    pub async fn put(
        &self,
        new: &PolicyVersion,
        expected: Option<i64>,
    ) -> Result<Option<PolicyVersion>, StoreError> {
        let what = || format!("policy `{}`", new.question);
        let mut tx = self.0.write(new.org_id).await?;
        let select = query(
            "SELECT COALESCE(MAX(version), 0) AS version FROM policies WHERE org_id = $1 AND question = $2",
        );
        let row = tx.fetch_optional(select.bind(new.org_id.to_string()).bind(new.question.clone())).await?;
        let latest = row.map(|r| r.int("version")).transpose()?.unwrap_or(0);
        if expected.is_some_and(|e| e != latest) {
            return Err(StoreError::Stale(what()));
        }
        let put = PolicyVersion { version: latest + 1, ..new.clone() };
        let insert = query(
            "INSERT INTO policies (org_id, question, version, rego, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(put.org_id.to_string())
        .bind(put.question.clone())
        .bind(put.version)
        .bind(put.rego.clone())
        .bind(put.created_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(None),
            // Somebody else wrote this version in the same moment.
            Err(e) => match e.conflict(what) {
                StoreError::Conflict(_) => return Err(StoreError::Stale(what())),
                other => return Err(other),
            },
            Ok(_) => {}
        }
        tx.commit().await?;
        Ok(Some(put))
    }

    /// The latest version of each, by question; those that were taken back too.
    pub async fn latest(&self, org_id: Uuid) -> Result<Vec<PolicyVersion>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT p.* FROM policies p WHERE p.org_id = $1 AND p.version = \
             (SELECT MAX(q.version) FROM policies q WHERE q.org_id = p.org_id AND q.question = p.question) \
             ORDER BY p.question",
        );
        let rows = tx.fetch_all(select.bind(org_id.to_string())).await?;
        tx.commit().await?;
        rows.iter().map(version_of).collect()
    }
}

fn version_of(row: &AnyRow) -> Result<PolicyVersion, StoreError> {
    Ok(PolicyVersion {
        org_id: row.uuid("org_id")?,
        question: row.text("question")?,
        version: row.int("version")?,
        rego: row.text("rego")?,
        created_at: row.time("created_at")?,
    })
}
