//! Organisations: the border that everything else is scoped by.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{any::AnyRow, query};
use uuid::Uuid;

use crate::{Db, Page, PageRequest, Reach, StoreError, row::Columns as _};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Org {
    /// Its identity.
    pub org_id: Uuid,
    /// Its name, as people write it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An organisation and what it has set for all its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgTerms {
    /// Which.
    pub org: Org,
    /// Whether its people need a second factor.
    pub require_second_factor: bool,
    /// Counts its changes from 1.
    pub version: i64,
}

/// The organisations.
#[derive(Debug, Clone, Copy)]
pub struct Orgs<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Orgs<'_> {
    /// Adds one. [`StoreError::Conflict`] when the id is taken.
    pub async fn create(&self, org: &Org) -> Result<(), StoreError> {
        let mut tx = self.0.write(org.org_id).await?;
        insert(&mut tx, org).await?;
        tx.commit().await
    }

    /// One of them.
    pub async fn get(&self, org_id: Uuid) -> Result<Option<Org>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query("SELECT org_id, name, created_at FROM orgs WHERE org_id = $1");
        let row = tx.fetch_optional(select.bind(org_id.to_string())).await?;
        tx.commit().await?;
        row.as_ref().map(org_of).transpose()
    }

    /// What an organisation has set for all its people.
    pub async fn terms(&self, org_id: Uuid) -> Result<Option<OrgTerms>, StoreError> {
        let mut tx = self.0.read(org_id).await?;
        let select = query(
            "SELECT org_id, name, created_at, require_second_factor, version FROM orgs WHERE org_id = $1",
        );
        let row = tx.fetch_optional(select.bind(org_id.to_string())).await?;
        tx.commit().await?;
        row.map(|row| {
            Ok(OrgTerms {
                org: org_of(&row)?,
                require_second_factor: row.int("require_second_factor")? == 1,
                version: row.int("version")?,
            })
        })
        .transpose()
    }

    /// Writes the version after `terms.version`. [`StoreError::Stale`] when another was written meanwhile; `None` when
    /// there is no such organisation.
    pub async fn set_terms(&self, terms: &OrgTerms) -> Result<Option<OrgTerms>, StoreError> {
        let update = query(
            "UPDATE orgs SET name = $2, require_second_factor = $3, version = version + 1 \
             WHERE org_id = $1 AND version = $4",
        )
        .bind(terms.org.org_id.to_string())
        .bind(terms.org.name.clone())
        .bind(i64::from(terms.require_second_factor))
        .bind(terms.version);
        let written = crate::users::changed(self.0, terms.org.org_id, update).await?;
        let now = self.terms(terms.org.org_id).await?;
        match now {
            Some(_) if !written => Err(StoreError::Stale("the organisation".to_owned())),
            now => Ok(now),
        }
    }

    /// All of them, oldest first. For the platform's administrator only.
    pub async fn list(&self, page: &PageRequest) -> Result<Page<Org>, StoreError> {
        let mut tx = self.0.read(Reach::All).await?;
        let select =
            query("SELECT org_id, name, created_at FROM orgs WHERE org_id > $1 ORDER BY org_id LIMIT $2");
        let rows = tx.fetch_all(select.bind(page.after()?).bind(page.fetch())).await?;
        tx.commit().await?;
        let items = rows.iter().map(org_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |o: &Org| o.org_id.to_string()))
    }
}

pub(crate) async fn insert(tx: &mut crate::Tx, org: &Org) -> Result<(), StoreError> {
    let insert = query("INSERT INTO orgs (org_id, name, created_at) VALUES ($1, $2, $3)")
        .bind(org.org_id.to_string())
        .bind(org.name.clone())
        .bind(org.created_at.as_microsecond());
    tx.execute(insert).await.map_err(|e| e.conflict(|| format!("organisation {}", org.org_id)))?;
    Ok(())
}

pub(crate) fn org_of(row: &AnyRow) -> Result<Org, StoreError> {
    Ok(Org { org_id: row.uuid("org_id")?, name: row.text("name")?, created_at: row.time("created_at")? })
}
