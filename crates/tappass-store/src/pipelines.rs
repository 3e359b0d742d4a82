//! Pipelines as an organisation wrote them, in all their versions.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Page, PageRequest, StoreError, row::Columns as _};

/// One version of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PipelineVersion {
    /// Whose it is.
    pub org_id: Uuid,
    /// Its name, unique in the organisation.
    pub name: String,
    /// Counts from 1.
    pub version: i64,
    /// The text, as it was written.
    pub yaml: String,
    /// The hash of what it compiles to.
    pub hash: String,
    /// When this version was written.
    pub created_at: Timestamp,
}

/// The pipelines.
#[derive(Debug, Clone, Copy)]
pub struct Pipelines<'a>(pub(crate) &'a Db);

/// How often a version number taken by someone else in the same moment is tried again.
const ATTEMPTS: usize = 5;

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Pipelines<'_> {
    /// Writes the next version; its `version` is set here. With `expected`, only if the latest version is that
    /// one (0: none yet), else [`StoreError::Stale`]. `None` when there is no such organisation.
    pub async fn put(
        &self,
        new: &PipelineVersion,
        expected: Option<i64>,
    ) -> Result<Option<PipelineVersion>, StoreError> {
        for _ in 1..ATTEMPTS {
            match self.try_put(new, expected).await {
                Err(StoreError::Conflict(_)) => {}
                other => return other,
            }
        }
        self.try_put(new, expected).await
    }

    async fn try_put(
        &self,
        new: &PipelineVersion,
        expected: Option<i64>,
    ) -> Result<Option<PipelineVersion>, StoreError> {
        let mut tx = self.0.write(new.org_id).await?;
        let select = query(
            "SELECT COALESCE(MAX(version), 0) AS version FROM pipelines WHERE org_id = $1 AND name = $2",
        );
        let row = tx.fetch_optional(select.bind(new.org_id.to_string()).bind(new.name.clone())).await?;
        let latest = row.map(|r| r.int("version")).transpose()?.unwrap_or(0);
        if expected.is_some_and(|e| e != latest) {
            return Err(StoreError::Stale(format!("pipeline `{}`", new.name)));
        }
        let put = PipelineVersion { version: latest + 1, ..new.clone() };
        let insert = query(
            "INSERT INTO pipelines (org_id, name, version, yaml, pipeline_hash, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(put.org_id.to_string())
        .bind(put.name.clone())
        .bind(put.version)
        .bind(put.yaml.clone())
        .bind(put.hash.clone())
        .bind(put.created_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(None),
            other => other
                .map_err(|e| e.conflict(|| format!("version {} of pipeline `{}`", put.version, put.name)))?,
        };
        tx.commit().await?;
        Ok(Some(put))
    }

    /// The latest version of one.
    pub async fn latest(&self, org_id: Uuid, name: &str) -> Result<Option<PipelineVersion>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select =
            query("SELECT * FROM pipelines WHERE org_id = $1 AND name = $2 ORDER BY version DESC LIMIT 1");
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(name.to_owned())).await?;
        tx.commit().await?;
        row.as_ref().map(version_of).transpose()
    }

    /// One version of one.
    pub async fn version(
        &self,
        org_id: Uuid,
        name: &str,
        version: i64,
    ) -> Result<Option<PipelineVersion>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query("SELECT * FROM pipelines WHERE org_id = $1 AND name = $2 AND version = $3");
        let row =
            tx.fetch_optional(select.bind(org_id.to_string()).bind(name.to_owned()).bind(version)).await?;
        tx.commit().await?;
        row.as_ref().map(version_of).transpose()
    }

    /// The versions of one, the newest first: the last two hundred.
    pub async fn versions(&self, org_id: Uuid, name: &str) -> Result<Vec<PipelineVersion>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select =
            query("SELECT * FROM pipelines WHERE org_id = $1 AND name = $2 ORDER BY version DESC LIMIT 200");
        let rows = tx.fetch_all(select.bind(org_id.to_string()).bind(name.to_owned())).await?;
        rows.iter().map(version_of).collect()
    }

    /// The latest version of each of an organisation's, by name.
    pub async fn list(&self, org_id: Uuid, page: &PageRequest) -> Result<Page<PipelineVersion>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT p.* FROM pipelines p WHERE p.org_id = $1 AND p.name > $2 AND p.version = \
             (SELECT MAX(q.version) FROM pipelines q WHERE q.org_id = p.org_id AND q.name = p.name) \
             ORDER BY p.name LIMIT $3",
        );
        let rows =
            tx.fetch_all(select.bind(org_id.to_string()).bind(page.after()?).bind(page.fetch())).await?;
        tx.commit().await?;
        let items = rows.iter().map(version_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |p: &PipelineVersion| p.name.clone()))
    }
}

fn version_of(row: &AnyRow) -> Result<PipelineVersion, StoreError> {
    Ok(PipelineVersion {
        org_id: row.uuid("org_id")?,
        name: row.text("name")?,
        version: row.int("version")?,
        yaml: row.text("yaml")?,
        hash: row.text("pipeline_hash")?,
        created_at: row.time("created_at")?,
    })
}
