//! MCP servers, as admins configure them: where they are, who may reach them, which tools they may offer.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use tappass_audit::EventType;
use tappass_model::{ToolRules, clock::rfc3339};
use tappass_store::{McpServer, McpSettings, McpTool};

use super::credentials::vault_error;
use crate::{
    body,
    error::ApiError,
    mcp::pins::{Difference, differences},
    params::{ListQuery, Listed, Params, check_match, etag},
    record::Change,
    scope::Scope,
    state::App,
};

/// Most globs of one list.
const MOST: usize = 200;
/// How long a server may take unless said otherwise, in seconds.
const TIMEOUT: u32 = 120;

/// `POST /admin/mcp/servers`
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewServer {
    /// Its name in the path `/mcp/{server}`: lower case, digits, `.`, `_`, `-`.
    name: String,
    #[serde(flatten)]
    set: ServerChange,
}

/// `PATCH /admin/mcp/servers/{server}`: what is absent stays as it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct ServerChange {
    /// What it is for.
    description: Option<String>,
    /// Where it speaks MCP over Streamable HTTP: `https://mcp.example.com/mcp`.
    url: Option<String>,
    /// What the gateway shows it in place of the agent's key, which never goes on; null removes it.
    #[serde(deserialize_with = "given")]
    credential: Option<Option<Credential>>,
    /// The agents that may reach it, by id or glob; all of the organisation unless said otherwise.
    agents: Option<Vec<String>>,
    /// Which of its tools may be used; deny wins, an empty `allow` allows all.
    tools: Option<ToolRules>,
    /// Whether it can be reached at all; true unless said otherwise.
    enabled: Option<bool>,
    /// How long it may take to answer, and between two parts of an answer; 120 unless said otherwise.
    timeout_seconds: Option<u32>,
    /// What does not belong here, to be refused by name.
    #[serde(flatten)]
    #[schemars(skip)]
    other: serde_json::Map<String, Value>,
}

/// A credential: a bearer token, or any header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Credential {
    /// The token of `Authorization: Bearer …`.
    Bearer(String),
    /// A header of another name.
    Header {
        /// Its name.
        name: String,
        /// Its value. Never given back.
        value: String,
    },
}

fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Credential>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A server. Its credential is not among it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerView {
    name: String,
    description: String,
    url: String,
    /// Where agents reach it.
    address: String,
    agents: Vec<String>,
    tools: ToolRules,
    enabled: bool,
    timeout_seconds: u32,
    /// The header that carries its credential; null where it has none.
    credential: Option<String>,
    created_at: String,
    updated_at: String,
}

impl ServerView {
    fn of(app: &App, server: McpServer) -> Self {
        let McpSettings { description, url, agents, tools, enabled, timeout_seconds, header } =
            server.settings;
        Self {
            address: format!("{}/mcp/{}", app.base_url(), server.name),
            name: server.name,
            description,
            url,
            agents,
            tools,
            enabled,
            timeout_seconds,
            credential: header,
            created_at: rfc3339(server.created_at),
            updated_at: rfc3339(server.updated_at),
        }
    }
}

/// What is known of a tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolView {
    pub(crate) tool: String,
    /// `pinned`, or `quarantined`: its definition has changed, and nobody has approved that.
    pub(crate) state: &'static str,
    /// SHA-256 of the pinned definition's canonical JSON.
    pub(crate) hash: String,
    /// The pinned definition.
    pub(crate) definition: Value,
    pub(crate) pinned_at: String,
    /// Who approved it; null where it is what was first seen.
    pub(crate) pinned_by: Option<String>,
    /// The definition that waits, where one does.
    pub(crate) changed: Option<ChangedView>,
}

/// A definition that waits for an admin.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChangedView {
    /// SHA-256 of its canonical JSON; approving it says this.
    pub(crate) hash: String,
    pub(crate) definition: Value,
    /// Where it differs from the pinned one.
    pub(crate) differences: Vec<Difference>,
    /// When it was first seen.
    pub(crate) since: String,
}

impl ToolView {
    /// What the server says of the tool.
    pub(crate) fn description(&self) -> &str {
        self.definition["description"].as_str().unwrap_or_default()
    }

    /// The pinned definition, to be read.
    pub(crate) fn pretty(&self) -> String {
        serde_json::to_string_pretty(&self.definition).unwrap_or_default()
    }

    fn of(app: &App, server: &McpServer, tool: McpTool) -> Self {
        let open = |d| app.mcp.definition(server.org_id, &server.name, &tool.tool, d);
        let definition = open(&tool.pinned);
        let changed = tool.changed.as_ref().map(|changed| {
            let now = open(changed);
            ChangedView {
                hash: changed.hash.clone(),
                differences: differences(&definition, &now),
                definition: now,
                since: tool.changed_at.map(rfc3339).unwrap_or_default(),
            }
        });
        Self {
            state: if changed.is_some() { "quarantined" } else { "pinned" },
            hash: tool.pinned.hash,
            definition,
            pinned_at: rfc3339(tool.pinned_at),
            pinned_by: tool.pinned_by,
            changed,
            tool: tool.tool,
        }
    }
}

/// `GET /admin/mcp/servers`: by name.
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<ServerView>>, ApiError> {
    let page = app.store.mcp_servers().list(scope.org_id, &query.page()).await?;
    Ok(Json(Listed::of(page, |server| ServerView::of(&app, server))))
}

/// `POST /admin/mcp/servers`
pub async fn add(
    State(app): State<App>,
    scope: Scope,
    body::Json(new): body::Json<NewServer>,
) -> Result<Response, ApiError> {
    check_name(&new.name)?;
    let now = app.clock.now();
    let settings = McpSettings {
        description: String::new(),
        url: String::new(),
        agents: vec!["*".to_owned()],
        tools: ToolRules::default(),
        enabled: true,
        timeout_seconds: TIMEOUT,
        header: None,
    };
    let (org_id, name) = (scope.org_id, new.name);
    let blank =
        McpServer { org_id, name, settings, credential: None, version: 1, created_at: now, updated_at: now };
    let server = apply(&app, blank, new.set).await?;
    if server.settings.url.is_empty() {
        return Err(invalid("`url` is needed: where the server speaks MCP over Streamable HTTP.".to_owned()));
    }
    if !app.store.mcp_servers().create(&server).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"mcp_server": server.name, "added": server.settings});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok((StatusCode::CREATED, etag(1), Json(ServerView::of(&app, server))).into_response())
}

/// `GET /admin/mcp/servers/{server}`
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let server = find(&app, &scope, &name).await?;
    Ok((etag(server.version), Json(ServerView::of(&app, server))))
}

/// `PATCH /admin/mcp/servers/{server}`: the next message honours it.
pub async fn change(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
    headers: HeaderMap,
    body::Json(change): body::Json<ServerChange>,
) -> Result<impl IntoResponse, ApiError> {
    let before = find(&app, &scope, &name).await?;
    check_match(&headers, before.version)?;
    let credential = change.credential.is_some();
    let after = McpServer { updated_at: app.clock.now(), ..apply(&app, before.clone(), change).await? };
    let version = app.store.mcp_servers().update(&after).await?.ok_or_else(ApiError::not_found)?;
    let mut changes = changes(&before.settings, &after.settings);
    if credential {
        changes["credential"] = if after.credential.is_some() { "set" } else { "removed" }.into();
    }
    let details = json!({"mcp_server": name, "version": version, "changes": changes});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok((etag(version), Json(ServerView::of(&app, after))))
}

/// `DELETE /admin/mcp/servers/{server}`: with what is known of its tools.
pub async fn remove(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let server = find(&app, &scope, &name).await?;
    check_match(&headers, server.version)?;
    if !app.store.mcp_servers().remove(scope.org_id, &name, server.version).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"mcp_server": name, "removed": true});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /admin/mcp/servers/{server}/tools`: all of them, by name.
pub async fn tools(
    State(app): State<App>,
    scope: Scope,
    Path(name): Path<String>,
) -> Result<Json<Listed<ToolView>>, ApiError> {
    let server = find(&app, &scope, &name).await?;
    Ok(Json(Listed { items: tools_of(&app, &server).await?, next_cursor: None }))
}

/// A server's tools, by name.
pub(crate) async fn tools_of(app: &App, server: &McpServer) -> Result<Vec<ToolView>, ApiError> {
    let tools = app.store.mcp_servers().tools(server.org_id, &server.name).await?;
    Ok(tools.into_iter().map(|tool| ToolView::of(app, server, tool)).collect())
}

/// `POST /admin/mcp/servers/{server}/definitions/{hash}/approve`: pins the definition that waits.
pub async fn approve(
    State(app): State<App>,
    scope: Scope,
    Path((name, hash)): Path<(String, String)>,
) -> Result<Json<ToolView>, ApiError> {
    let server = find(&app, &scope, &name).await?;
    let servers = app.store.mcp_servers();
    let waits = servers.tools(scope.org_id, &name).await?;
    let waits = waits.into_iter().find(|t| t.changed.as_ref().is_some_and(|changed| changed.hash == hash));
    let Some(before) = waits else { return Err(ApiError::not_found()) };
    if !servers.approve(scope.org_id, &name, &hash, &scope.actor, app.clock.now()).await? {
        let detail = "The definition has changed once more since: read it again.";
        return Err(ApiError::conflict("changed_again", detail));
    }
    let details =
        json!({"mcp_server": name, "tool": before.tool, "approved": hash, "was": before.pinned.hash});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    let after = servers.tool(scope.org_id, &name, &before.tool).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(ToolView::of(&app, &server, after)))
}

/// One of the organisation's.
pub(crate) async fn find(app: &App, scope: &Scope, name: &str) -> Result<McpServer, ApiError> {
    app.store.mcp_servers().get(scope.org_id, name).await?.ok_or_else(ApiError::not_found)
}

fn invalid(detail: String) -> ApiError {
    ApiError::unprocessable("invalid_mcp_server", detail)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if fits {
        return Ok(());
    }
    Err(invalid(
        "`name` stands in the path: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit."
            .to_owned(),
    ))
}

/// A server with these changes, all checked.
async fn apply(app: &App, mut server: McpServer, change: ServerChange) -> Result<McpServer, ApiError> {
    foreign(&change.other)?;
    let settings = &mut server.settings;
    if let Some(url) = change.url {
        let parsed = Url::parse(url.trim()).map_err(|e| invalid(format!("`url` is no address: {e}.")))?;
        app.mcp.egress.rules().check(&parsed).map_err(|e| invalid(format!("`url`: {e}.")))?;
        settings.url = parsed.to_string();
    }
    if let Some(description) = change.description {
        if description.len() > 2_000 || description.chars().any(|c| c.is_control() && c != '\n') {
            return Err(invalid(
                "`description` is at most 2000 bytes, without control characters.".to_owned(),
            ));
        }
        settings.description = description;
    }
    if let Some(agents) = change.agents {
        settings.agents = globs("agents", agents)?;
    }
    if let Some(tools) = change.tools {
        settings.tools =
            ToolRules { allow: globs("tools.allow", tools.allow)?, deny: globs("tools.deny", tools.deny)? };
    }
    if let Some(seconds) = change.timeout_seconds {
        if !(1..=3600).contains(&seconds) {
            return Err(invalid("`timeout_seconds` is between 1 and 3600.".to_owned()));
        }
        settings.timeout_seconds = seconds;
    }
    settings.enabled = change.enabled.unwrap_or(settings.enabled);
    if let Some(credential) = change.credential {
        let (header, value) = match credential {
            None => (None, None),
            Some(Credential::Bearer(token)) => {
                (Some("authorization".to_owned()), Some(format!("Bearer {}", token.trim())))
            }
            Some(Credential::Header { name, value }) => (Some(name.trim().to_ascii_lowercase()), Some(value)),
        };
        if let (Some(header), Some(value)) = (&header, &value) {
            check_credential(header, value)?;
        }
        server.settings.header = header;
        server.credential = match value {
            None => None,
            Some(value) => {
                let sealed = app.mcp.seal_credential(server.org_id, &server.name, &value).await;
                Some(sealed.map_err(vault_error)?)
            }
        };
    }
    Ok(server)
}

/// Names of members that nobody knows. A server that would have to be started is not for this gateway.
fn foreign(other: &serde_json::Map<String, Value>) -> Result<(), ApiError> {
    let Some(first) = other.keys().next() else { return Ok(()) };
    let starts =
        |key: &String| ["command", "args", "env", "cwd", "transport", "type"].contains(&key.as_str());
    if other.keys().any(starts) {
        let detail = "The gateway starts no programs: an MCP server is reached over Streamable HTTP, by its `url`. Run a \
                      server that speaks stdio behind a bridge of your own, and give its address.";
        return Err(ApiError::unprocessable("stdio_not_offered", detail));
    }
    let first: String = first.chars().take(80).collect();
    Err(invalid(format!(
        "unknown field `{first}`; known are name, description, url, credential, agents, tools, enabled, timeout_seconds."
    )))
}

fn globs(what: &str, globs: Vec<String>) -> Result<Vec<String>, ApiError> {
    let fits = |glob: &String| !glob.is_empty() && glob.len() <= 200 && !glob.chars().any(char::is_control);
    if globs.len() <= MOST && globs.iter().all(fits) {
        return Ok(globs);
    }
    Err(invalid(format!(
        "`{what}` has at most {MOST} names or globs of 1 to 200 bytes, without control characters."
    )))
}

/// Headers that are the gateway's own to set.
const OWN: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept",
    "accept-encoding",
    "last-event-id",
    "user-agent",
    "te",
    "upgrade",
    "origin",
];

fn check_credential(header: &str, value: &str) -> Result<(), ApiError> {
    let name = HeaderName::from_bytes(header.as_bytes()).ok();
    if name.is_none() || OWN.contains(&header) || header.starts_with("mcp-") {
        return Err(invalid(
            "`credential.header.name` is no header that could carry a credential.".to_owned(),
        ));
    }
    let fits = (1..=8192).contains(&value.len()) && value.bytes().all(|b| (0x20..0x7f).contains(&b));
    if !fits || HeaderValue::from_str(value).is_err() || value.trim() == "Bearer" {
        return Err(invalid("`credential` must be 1 to 8192 visible ASCII characters.".to_owned()));
    }
    Ok(())
}

/// What of the settings is other than before, as [before, after].
fn changes(before: &McpSettings, after: &McpSettings) -> Value {
    let (before, after) = (json!(before), json!(after));
    let members = after.as_object().into_iter().flatten();
    let changed = members.filter(|(key, value)| before[key.as_str()] != **value);
    Value::Object(changed.map(|(key, value)| (key.clone(), json!([before[key.as_str()], value]))).collect())
}
