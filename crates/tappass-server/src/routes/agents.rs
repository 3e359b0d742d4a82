//! Agents: registered, governed, suspended.

use axum::{
    Json,
    extract::{Path, State},
    response::IntoResponse,
};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_audit::EventType;
use tappass_identity::KeyTerms;
use tappass_model::{AgentSettings, Flags, Mode, TokenScope, ToolRules, clock::rfc3339};
use tappass_pipeline::compile::DEFAULT_PRESET;
use tappass_store::{Agent, AgentStatus};
use uuid::Uuid;

use super::agent_keys::KeyView;
use crate::{
    body,
    error::ApiError,
    params::{ListQuery, Listed, Params, check_match, etag},
    record::Change,
    scope::Scope,
    state::App,
};

/// `POST /agents/register`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The name it is called by, unique in the organisation: lower-case letters, digits, `.`, `_`, `-`.
    agent_id: String,
    /// The name people read; the id unless said otherwise.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// The pipeline or preset that governs it; `starter` unless said otherwise.
    preset: Option<String>,
    /// What it is built with.
    framework: Option<String>,
    /// Who answers for it.
    owner_email: Option<String>,
    /// The mode it starts in; observe unless said otherwise.
    mode: Option<Mode>,
    /// The floor it starts with; observe unless said otherwise.
    floor: Option<Mode>,
    /// Whether its client knows the outcome `needs_approval` of `POST /v1/govern`; not, unless said otherwise.
    approvals: Option<bool>,
}

/// A new agent with its first key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Registered {
    agent_id: String,
    agent_uuid: Uuid,
    org_id: Uuid,
    name: String,
    pipeline: String,
    mode: Mode,
    floor: Mode,
    /// Shown this once.
    api_key: String,
}

/// An agent.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentView {
    agent_id: String,
    agent_uuid: Uuid,
    org_id: Uuid,
    name: String,
    description: String,
    framework: Option<String>,
    owner_email: Option<String>,
    /// `active` or `suspended`.
    status: &'static str,
    pipeline: String,
    mode: Mode,
    floor: Mode,
    tools: ToolRules,
    flags: Flags,
    trace: bool,
    /// Whether its client knows the outcome `needs_approval`; others are told `block`.
    approvals: bool,
    /// What its capability tokens may cover; absent: none is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<TokenScope>,
    /// The id in its workload's SVIDs that was set for it; null: `spiffe://<trust domain>/agent/<org_id>/<agent_id>`.
    spiffe_id: Option<String>,
    /// Counts its changes; the `ETag` is made of it.
    version: i64,
    created_at: String,
    updated_at: String,
}

/// An agent with its keys.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentDetail {
    #[serde(flatten)]
    agent: AgentView,
    keys: Vec<KeyView>,
}

/// `PATCH /agents/{agent}`: what is not named stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentChange {
    name: Option<String>,
    description: Option<String>,
    framework: Option<String>,
    owner_email: Option<String>,
    mode: Option<Mode>,
    floor: Option<Mode>,
    pipeline: Option<String>,
    tools: Option<ToolRules>,
    /// Replaces all flags.
    flags: Option<Flags>,
    trace: Option<bool>,
    /// Whether its client knows the outcome `needs_approval`.
    approvals: Option<bool>,
    /// The id in its workload's SVIDs: no other agent may have it. Empty: the one made of its names again.
    spiffe_id: Option<String>,
}

/// `PUT /agents/{agent}/pipeline`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// A preset's name, or a pipeline's of the organisation.
    pipeline: String,
}

/// `POST /agents/register`
pub async fn register(
    State(app): State<App>,
    scope: Scope,
    body::Json(new): body::Json<Register>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    check_id(&new.agent_id)?;
    app.license.admits(app.store.agents().count().await?, app.clock.now()).map_err(not_admitted)?;
    let now = app.clock.now();
    let agent = Agent {
        agent_uuid: app.ids.uuid(),
        org_id: scope.org_id,
        name: text("name", new.name.unwrap_or_else(|| new.agent_id.clone()), 200)?,
        agent_id: new.agent_id,
        description: text("description", new.description.unwrap_or_default(), 2_000)?,
        framework: new.framework.map(|v| text("framework", v, 200)).transpose()?,
        owner_email: new.owner_email.map(|v| text("owner_email", v, 320)).transpose()?,
        status: AgentStatus::Active,
        settings: AgentSettings {
            mode: new.mode.unwrap_or_default().max(new.floor.unwrap_or_default()),
            floor: new.floor.unwrap_or_default(),
            pipeline: new.preset.unwrap_or_else(|| DEFAULT_PRESET.to_owned()),
            approvals: new.approvals.unwrap_or_default(),
            ..AgentSettings::default()
        },
        spiffe_id: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    check_settings(&app, scope.org_id, &agent.settings).await?;
    let most = app.license.agents().unwrap_or(u64::MAX);
    match app.store.agents().create_within(&agent, most).await? {
        Ok(true) => {}
        Ok(false) => return Err(ApiError::not_found()),
        // Others were registered meanwhile.
        Err(there) => app.license.admits(there, now).map_err(not_admitted)?,
    }
    let terms = KeyTerms { created_by: Some(scope.actor.clone()), ..KeyTerms::default() };
    let made = app.authenticator.issue_key(agent.org_id, agent.agent_uuid, terms).await?;
    let (key, secret) = made.ok_or_else(ApiError::not_found)?;
    let details = json!({"agent_uuid": agent.agent_uuid, "settings": agent.settings, "key_id": key.key_id, "key": key.hint});
    app.changed(Change::new(EventType::AgentRegistered, &scope).agent(&agent.agent_id).details(details))
        .await?;
    let registered = Registered {
        agent_id: agent.agent_id,
        agent_uuid: agent.agent_uuid,
        org_id: agent.org_id,
        name: agent.name,
        pipeline: agent.settings.pipeline,
        mode: agent.settings.mode,
        floor: agent.settings.floor,
        api_key: secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(registered)))
}

/// `GET /agents`
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<AgentView>>, ApiError> {
    let page = app.store.agents().list(scope.org_id, &query.page()).await?;
    Ok(Json(Listed::of(page, AgentView::from)))
}

/// `GET /agents/{agent}`
pub async fn show(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    let keys = app.store.keys().list(scope.org_id, agent.agent_uuid).await?;
    let tag = etag(agent.version);
    Ok((tag, Json(AgentDetail { agent: agent.into(), keys: keys.into_iter().map(KeyView::from).collect() })))
}

/// `PATCH /agents/{agent}`
pub async fn change(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body::Json(change): body::Json<AgentChange>,
) -> Result<impl IntoResponse, ApiError> {
    let before = find(&app, &scope, &agent).await?;
    check_match(&headers, before.version)?;
    let after = apply(&app, before.clone(), change)?;
    save(&app, &scope, before, after, EventType::ConfigChanged).await
}

/// `PUT /agents/{agent}/pipeline`
pub async fn assign(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
    headers: HeaderMap,
    body::Json(assign): body::Json<Assign>,
) -> Result<impl IntoResponse, ApiError> {
    let before = find(&app, &scope, &agent).await?;
    check_match(&headers, before.version)?;
    let mut after = before.clone();
    after.settings.pipeline = assign.pipeline;
    save(&app, &scope, before, after, EventType::PipelineChanged).await
}

/// `POST /agents/{agent}/suspend`
pub async fn suspend(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    set_status(app, scope, agent, AgentStatus::Suspended).await
}

/// `POST /agents/{agent}/reactivate`
pub async fn reactivate(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    set_status(app, scope, agent, AgentStatus::Active).await
}

/// `DELETE /agents/{agent}`
pub async fn remove(
    State(app): State<App>,
    scope: Scope,
    Path(agent): Path<String>,
) -> Result<StatusCode, ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    if !app.authenticator.delete_agent(scope.org_id, agent.agent_uuid).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"agent_uuid": agent.agent_uuid, "removed": true});
    app.changed(Change::new(EventType::ConfigChanged, &scope).agent(&agent.agent_id).details(details))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An agent by its id or its UUID.
pub(crate) async fn find(app: &App, scope: &Scope, id_or_uuid: &str) -> Result<Agent, ApiError> {
    app.store.agents().find(scope.org_id, id_or_uuid).await?.ok_or_else(ApiError::not_found)
}

fn apply(app: &App, mut agent: Agent, change: AgentChange) -> Result<Agent, ApiError> {
    if let Some(name) = change.name {
        agent.name = text("name", name, 200)?;
    }
    if let Some(description) = change.description {
        agent.description = text("description", description, 2_000)?;
    }
    if let Some(framework) = change.framework {
        agent.framework = Some(text("framework", framework, 200)?);
    }
    if let Some(owner) = change.owner_email {
        agent.owner_email = Some(text("owner_email", owner, 320)?);
    }
    if let Some(id) = change.spiffe_id {
        agent.spiffe_id = super::spiffe_ids::check(app, &agent, &id)?;
    }
    let settings = &mut agent.settings;
    settings.mode = change.mode.unwrap_or(settings.mode);
    settings.floor = change.floor.unwrap_or(settings.floor);
    settings.trace = change.trace.unwrap_or(settings.trace);
    settings.approvals = change.approvals.unwrap_or(settings.approvals);
    if let Some(pipeline) = change.pipeline {
        settings.pipeline = pipeline;
    }
    if let Some(tools) = change.tools {
        settings.tools = tools;
    }
    if let Some(flags) = change.flags {
        settings.flags = flags;
    }
    Ok(agent)
}

async fn save(
    app: &App,
    scope: &Scope,
    before: Agent,
    after: Agent,
    event: EventType,
) -> Result<impl IntoResponse + use<>, ApiError> {
    check_settings(app, scope.org_id, &after.settings).await?;
    let changes = difference(&before, &after);
    let saved = app.authenticator.update_agent(&after).await?.ok_or_else(ApiError::not_found)?;
    let details = json!({"agent_uuid": saved.agent_uuid, "changes": changes});
    app.changed(Change::new(event, scope).agent(&saved.agent_id).details(details)).await?;
    Ok((etag(saved.version), Json(AgentView::from(saved))))
}

async fn set_status(
    app: App,
    scope: Scope,
    agent: String,
    status: AgentStatus,
) -> Result<impl IntoResponse, ApiError> {
    let agent = find(&app, &scope, &agent).await?;
    if !app.authenticator.set_status(scope.org_id, agent.agent_uuid, status).await? {
        return Err(ApiError::not_found());
    }
    let changes = json!({"status": [status_name(agent.status), status_name(status)]});
    let details = json!({"agent_uuid": agent.agent_uuid, "changes": changes});
    app.changed(Change::new(EventType::ConfigChanged, &scope).agent(&agent.agent_id).details(details))
        .await?;
    let now = find(&app, &scope, &agent.agent_uuid.to_string()).await?;
    Ok((etag(now.version), Json(AgentView::from(now))))
}

/// What a call could not be governed by is refused here, where it can be mended.
async fn check_settings(app: &App, org_id: Uuid, settings: &AgentSettings) -> Result<(), ApiError> {
    if settings.mode < settings.floor {
        let detail = format!(
            "The mode `{}` is below the floor `{}`: raise the mode too, or lower the floor.",
            settings.mode, settings.floor
        );
        return Err(ApiError::unprocessable("mode_below_floor", detail));
    }
    super::pipelines::compiled(app, org_id, &settings.pipeline).await.map(|_| ())
}

/// The licence lets no more agents be registered. It has no say in anything else.
fn not_admitted((code, detail): (&'static str, String)) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, code, detail)
}

fn check_id(id: &str) -> Result<(), ApiError> {
    let fits = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && id.parse::<Uuid>().is_err();
    // `register` is a route of its own.
    if fits && id != "register" {
        return Ok(());
    }
    Err(ApiError::unprocessable(
        "invalid_agent_id",
        "`agent_id` is 1 to 64 lower-case letters, digits, `.`, `_`, `-`, begins with a letter or digit and is no UUID: `claims-processor`.",
    ))
}

/// A text of bounded length without control characters: it is shown in terminals and logs.
pub(super) fn text(field: &str, value: String, most: usize) -> Result<String, ApiError> {
    if value.chars().count() > most || value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        let detail = format!("`{field}` is longer than {most} characters, or has control characters.");
        return Err(ApiError::unprocessable("invalid_text", detail));
    }
    Ok(value)
}

/// What changed, each as `[before, after]`.
fn difference(before: &Agent, after: &Agent) -> Value {
    let view = |agent: &Agent| {
        let mut view = serde_json::to_value(&agent.settings).unwrap_or_default();
        for (key, value) in [
            ("name", json!(agent.name)),
            ("description", json!(agent.description)),
            ("framework", json!(agent.framework)),
            ("owner_email", json!(agent.owner_email)),
            ("spiffe_id", json!(agent.spiffe_id)),
        ] {
            view[key] = value;
        }
        view
    };
    let (before, after) = (view(before), view(after));
    let fields =
        after.as_object().into_iter().flatten().filter(|(key, value)| before[key.as_str()] != **value);
    fields.map(|(key, value)| (key.clone(), json!([before[key.as_str()], value]))).collect()
}

const fn status_name(status: AgentStatus) -> &'static str {
    match status {
        AgentStatus::Active => "active",
        AgentStatus::Suspended => "suspended",
    }
}

impl From<Agent> for AgentView {
    fn from(agent: Agent) -> Self {
        Self {
            agent_id: agent.agent_id,
            agent_uuid: agent.agent_uuid,
            org_id: agent.org_id,
            name: agent.name,
            description: agent.description,
            framework: agent.framework,
            owner_email: agent.owner_email,
            status: status_name(agent.status),
            pipeline: agent.settings.pipeline,
            mode: agent.settings.mode,
            floor: agent.settings.floor,
            tools: agent.settings.tools,
            flags: agent.settings.flags,
            trace: agent.settings.trace,
            approvals: agent.settings.approvals,
            scope: agent.settings.scope,
            spiffe_id: agent.spiffe_id,
            version: agent.version,
            created_at: rfc3339(agent.created_at),
            updated_at: rfc3339(agent.updated_at),
        }
    }
}
