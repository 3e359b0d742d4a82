//! MCP servers that agents reach through the gateway, and the definitions of their tools as they were first seen.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query};
use tappass_model::ToolRules;
use uuid::Uuid;

use crate::{
    Db, Page, PageRequest, StoreError,
    row::{Columns as _, to_json},
};

/// What an admin has set for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpSettings {
    /// What it is for.
    pub description: String,
    /// Where it speaks MCP over Streamable HTTP.
    pub url: String,
    /// The agents that may reach it, by id or glob; none: nobody.
    pub agents: Vec<String>,
    /// Which of its tools may be used, by name or glob.
    pub tools: ToolRules,
    /// Whether it can be reached at all.
    pub enabled: bool,
    /// How long it may take to answer, and between two parts of an answer, in seconds.
    pub timeout_seconds: u32,
    /// The header that carries the credential; none where there is none.
    pub header: Option<String>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Whose it is.
    pub org_id: Uuid,
    /// Its name in the path `/mcp/{server}`, unique in the organisation.
    pub name: String,
    /// What an admin has set.
    pub settings: McpSettings,
    /// The value of the header, sealed.
    pub credential: Option<String>,
    /// Counts its changes from 1; guards against lost updates.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A definition of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpDefinition {
    /// SHA-256 of its canonical JSON, in hexadecimal.
    pub hash: String,
    /// Its canonical JSON, sealed.
    pub sealed: String,
}

/// A tool's definition as it is pinned, and the one that waits for an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpTool {
    /// The tool's name.
    pub tool: String,
    /// As it was first seen, or approved since.
    pub pinned: McpDefinition,
    /// Another one that the server has told since; until it is approved the tool is in quarantine.
    pub changed: Option<McpDefinition>,
    /// When it was pinned.
    pub pinned_at: Timestamp,
    /// When the other one was first seen.
    pub changed_at: Option<Timestamp>,
    /// Who approved what is pinned; none where it is what was first seen.
    pub pinned_by: Option<String>,
}

/// The servers.
#[derive(Debug, Clone, Copy)]
pub struct McpServers<'a>(pub(crate) &'a Db);

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl McpServers<'_> {
    /// Adds one. [`StoreError::Conflict`] where its organisation has one of that name; false when there is no such
    /// organisation.
    pub async fn create(&self, server: &McpServer) -> Result<bool, StoreError> {
        let mut tx = self.0.write(server.org_id).await?;
        let insert = query(
            "INSERT INTO mcp_servers (org_id, name, settings, credential, version, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(server.org_id.to_string())
        .bind(server.name.clone())
        .bind(to_json("settings", &server.settings)?)
        .bind(server.credential.clone())
        .bind(server.version)
        .bind(server.created_at.as_microsecond())
        .bind(server.updated_at.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(false),
            other => other.map_err(|e| e.conflict(|| format!("an MCP server `{}`", server.name)))?,
        };
        tx.commit().await?;
        Ok(true)
    }

    /// One by its name.
    pub async fn get(&self, org_id: Uuid, name: &str) -> Result<Option<McpServer>, StoreError> {
        let select = query("SELECT * FROM mcp_servers WHERE org_id = $1 AND name = $2")
            .bind(org_id.to_string())
            .bind(name.to_owned());
        self.0.read(org_id).await?.fetch_optional(select).await?.map(|row| server_of(&row)).transpose()
    }

    /// An organisation's, by name.
    pub async fn list(&self, org_id: Uuid, page: &PageRequest) -> Result<Page<McpServer>, StoreError> {
        let select =
            query("SELECT * FROM mcp_servers WHERE org_id = $1 AND name > $2 ORDER BY name LIMIT $3")
                .bind(org_id.to_string())
                .bind(page.after()?)
                .bind(page.fetch());
        let rows = self.0.read(org_id).await?.fetch_all(select).await?;
        let items = rows.iter().map(server_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |s: &McpServer| s.name.clone()))
    }

    /// The sealed credentials of an organisation's servers, by name.
    pub async fn credentials(&self, org_id: Uuid) -> Result<Vec<(String, String)>, StoreError> {
        let select = query(
            "SELECT name, credential FROM mcp_servers WHERE org_id = $1 AND credential IS NOT NULL ORDER BY name",
        );
        let rows = self.0.read(org_id).await?.fetch_all(select.bind(org_id.to_string())).await?;
        rows.iter().map(|row| Ok((row.text("name")?, row.text("credential")?))).collect()
    }

    /// Writes its settings and its credential over the version that was read; gives the new version. `None` when it is
    /// not there, [`StoreError::Stale`] when it has changed since.
    pub async fn update(&self, server: &McpServer) -> Result<Option<i64>, StoreError> {
        let update = query(
            "UPDATE mcp_servers SET settings = $4, credential = $5, updated_at = $6, version = version + 1 \
             WHERE org_id = $1 AND name = $2 AND version = $3",
        )
        .bind(server.org_id.to_string())
        .bind(server.name.clone())
        .bind(server.version)
        .bind(to_json("settings", &server.settings)?)
        .bind(server.credential.clone())
        .bind(server.updated_at.as_microsecond());
        if self.0.execute(server.org_id, update).await? == 1 {
            return Ok(Some(server.version + 1));
        }
        match self.get(server.org_id, &server.name).await? {
            None => Ok(None),
            Some(_) => Err(StoreError::Stale(format!("the MCP server `{}`", server.name))),
        }
    }

    /// Removes the version that was read, with what is known of its tools. False when it is not there,
    /// [`StoreError::Stale`] when it has changed since.
    pub async fn remove(&self, org_id: Uuid, name: &str, version: i64) -> Result<bool, StoreError> {
        let delete = query("DELETE FROM mcp_servers WHERE org_id = $1 AND name = $2 AND version = $3")
            .bind(org_id.to_string())
            .bind(name.to_owned())
            .bind(version);
        if self.0.execute(org_id, delete).await? == 1 {
            return Ok(true);
        }
        match self.get(org_id, name).await? {
            None => Ok(false),
            Some(_) => Err(StoreError::Stale(format!("the MCP server `{name}`"))),
        }
    }

    /// What is known of a server's tools, by name.
    pub async fn tools(&self, org_id: Uuid, server: &str) -> Result<Vec<McpTool>, StoreError> {
        let select = query("SELECT * FROM mcp_tools WHERE org_id = $1 AND server = $2 ORDER BY tool")
            .bind(org_id.to_string())
            .bind(server.to_owned());
        self.0.read(org_id).await?.fetch_all(select).await?.iter().map(tool_of).collect()
    }

    /// What is known of one of them.
    pub async fn tool(&self, org_id: Uuid, server: &str, tool: &str) -> Result<Option<McpTool>, StoreError> {
        let select = query("SELECT * FROM mcp_tools WHERE org_id = $1 AND server = $2 AND tool = $3")
            .bind(org_id.to_string())
            .bind(server.to_owned())
            .bind(tool.to_owned());
        self.0.read(org_id).await?.fetch_optional(select).await?.map(|row| tool_of(&row)).transpose()
    }

    /// A tool is told with a definition: the first is pinned, the pinned one ends a quarantine, another begins one.
    /// Gives what is known then; `None` when there is no such server. Of several first ones at once one is pinned.
    pub async fn saw(
        &self,
        org_id: Uuid,
        server: &str,
        tool: &str,
        seen: &McpDefinition,
        now: Timestamp,
    ) -> Result<Option<McpTool>, StoreError> {
        let mut tx = self.0.write(org_id).await?;
        let insert = query(
            "INSERT INTO mcp_tools (org_id, server, tool, pinned_hash, pinned, pinned_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, server, tool) DO NOTHING",
        )
        .bind(org_id.to_string())
        .bind(server.to_owned())
        .bind(tool.to_owned())
        .bind(seen.hash.clone())
        .bind(seen.sealed.clone())
        .bind(now.as_microsecond());
        match tx.execute(insert).await {
            Err(e) if e.is_missing_parent() => return Ok(None),
            other => other?,
        };
        let changed = query(
            "UPDATE mcp_tools SET changed_hash = $4, changed = $5, changed_at = $6 WHERE org_id = $1 AND server = $2 \
             AND tool = $3 AND pinned_hash <> $4 AND (changed_hash IS NULL OR changed_hash <> $4)",
        )
        .bind(org_id.to_string())
        .bind(server.to_owned())
        .bind(tool.to_owned())
        .bind(seen.hash.clone())
        .bind(seen.sealed.clone())
        .bind(now.as_microsecond());
        tx.execute(changed).await?;
        let back = query(
            "UPDATE mcp_tools SET changed_hash = NULL, changed = NULL, changed_at = NULL \
             WHERE org_id = $1 AND server = $2 AND tool = $3 AND pinned_hash = $4 AND changed_hash IS NOT NULL",
        )
        .bind(org_id.to_string())
        .bind(server.to_owned())
        .bind(tool.to_owned())
        .bind(seen.hash.clone());
        tx.execute(back).await?;
        let select = query("SELECT * FROM mcp_tools WHERE org_id = $1 AND server = $2 AND tool = $3")
            .bind(org_id.to_string())
            .bind(server.to_owned())
            .bind(tool.to_owned());
        let row = tx.fetch_optional(select).await?;
        tx.commit().await?;
        row.as_ref().map(tool_of).transpose()
    }

    /// Pins the definition that waits, if it is still this one. False when it is not.
    pub async fn approve(
        &self,
        org_id: Uuid,
        server: &str,
        hash: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE mcp_tools SET pinned_hash = changed_hash, pinned = changed, pinned_at = $4, pinned_by = $5, \
             changed_hash = NULL, changed = NULL, changed_at = NULL \
             WHERE org_id = $1 AND server = $2 AND changed_hash = $3",
        )
        .bind(org_id.to_string())
        .bind(server.to_owned())
        .bind(hash.to_owned())
        .bind(now.as_microsecond())
        .bind(by.to_owned());
        Ok(self.0.execute(org_id, update).await? > 0)
    }
}

fn server_of(row: &AnyRow) -> Result<McpServer, StoreError> {
    Ok(McpServer {
        org_id: row.uuid("org_id")?,
        name: row.text("name")?,
        settings: row.json("settings")?,
        credential: row.opt_text("credential")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn tool_of(row: &AnyRow) -> Result<McpTool, StoreError> {
    let changed = row.opt_text("changed_hash")?.zip(row.opt_text("changed")?);
    Ok(McpTool {
        tool: row.text("tool")?,
        pinned: McpDefinition { hash: row.text("pinned_hash")?, sealed: row.text("pinned")? },
        changed: changed.map(|(hash, sealed)| McpDefinition { hash, sealed }),
        pinned_at: row.time("pinned_at")?,
        changed_at: row.opt_time("changed_at")?,
        pinned_by: row.opt_text("pinned_by")?,
    })
}
