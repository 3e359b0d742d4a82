//! `GET /admin/status`: what `tappass status` prints. Each check says how it is and what mends it.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use tappass_identity::{license::Standing, svid::Trouble};
use tappass_model::clock::rfc3339;
use tappass_store::PageRequest;

use crate::{caller::Caller, error::ApiError, scope::Scope, state::App};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// Not in use.
    Off,
    /// As it should be.
    Pass,
    /// Works, and should be looked at.
    Warn,
    /// Does not work.
    Fail,
}

/// One check.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Check {
    /// What is checked.
    pub(crate) name: &'static str,
    pub(crate) state: CheckState,
    /// How it is, in a sentence.
    pub(crate) detail: String,
    /// What mends it; null where nothing needs to.
    pub(crate) hint: Option<String>,
}

/// All checks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    /// The worst of the checks.
    pub(crate) state: CheckState,
    pub(crate) version: &'static str,
    pub(crate) checks: Vec<Check>,
}

use CheckState::{Fail, Off, Pass, Warn};

fn check(name: &'static str, state: CheckState, detail: impl Into<String>) -> Check {
    Check { name, state, detail: detail.into(), hint: None }
}

impl Check {
    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// `GET /admin/status`
pub async fn status(State(app): State<App>, caller: Caller, scope: Result<Scope, ApiError>) -> Json<Status> {
    Json(status_of(&app, &caller, scope.as_ref()).await)
}

/// All checks, as one caller sees them.
pub(crate) async fn status_of(app: &App, caller: &Caller, scope: Result<&Scope, &ApiError>) -> Status {
    let mut checks = vec![config(app), server(app), auth(caller)];
    match scope {
        Ok(scope) => {
            checks.push(agents(app, scope).await);
            checks.push(pipelines(app, scope).await);
        }
        Err(error) => {
            let hint = "tappass signup, or name the organisation: tappass status --org UUID";
            checks.push(check("agents", Warn, error.detail()).hint(hint));
            checks.push(check("pipeline", Warn, error.detail()).hint(hint));
        }
    }
    let parts = app.checks().await;
    let part = |name: &'static str, hint: &str| match parts.get(name).map_or("off", String::as_str) {
        "ok" => check(name, Pass, "answers"),
        "off" => check(name, Off, "not in use"),
        wrong => check(name, Fail, wrong).hint(hint),
    };
    checks.push(match app.store.beyond_the_wall().await {
        Ok(Some(role)) => check(
            "database",
            Warn,
            format!(
                "answers; its role {role} goes past row-level security, the second wall between organisations"
            ),
        )
        .hint(&format!("ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS, or connect as an ordinary role")),
        _ => part("database", "look at the server's log, then at the database"),
    });
    checks.push(part("audit", "free disk space or mend the database, then look at the server's log"));
    checks.push(check("opa", Off, "not in use"));
    checks.push(spire(app).await);
    checks.push(license(app).await);
    let state = checks.iter().map(|c| c.state).max().unwrap_or(Pass);
    Status { state, version: env!("CARGO_PKG_VERSION"), checks }
}

async fn license(app: &App) -> Check {
    let now = app.clock.now();
    let told = app.license.told(app.agent_count().await, now);
    let renew = "set a new one: TAPPASS_LICENSE, or tappass up --license K";
    match app.license.standing(now) {
        Standing::Development | Standing::Valid => check("license", Pass, told),
        // Of an expired one too: nothing has stopped but new registrations.
        Standing::EndsSoon | Standing::Grace | Standing::Expired => check("license", Warn, told).hint(renew),
        Standing::Invalid => check("license", Warn, told).hint("look at it with `tappass license verify`"),
    }
}

fn config(app: &App) -> Check {
    let (host, storage) = (app.config.host, app.config.storage.health_name());
    let detail = format!("listens on {host}, keeps its data in storage `{storage}`");
    if storage == "memory" {
        return check("config", Warn, format!("{detail}: gone when the server stops"))
            .hint("tappass up --storage local");
    }
    check("config", Pass, detail)
}

fn server(app: &App) -> Check {
    let up = app.life.started.elapsed().as_secs();
    check("server", Pass, format!("version {}, up for {up} s", env!("CARGO_PKG_VERSION")))
}

fn auth(caller: &Caller) -> Check {
    match caller {
        Caller::Admin => check("auth", Pass, "signed in with the admin key"),
        Caller::Person(person) => check("auth", Pass, format!("signed in as {}", person.email)),
        Caller::Agent(agent) => check("auth", Pass, format!("an agent's key: {}", agent.agent_id)),
    }
}

async fn spire(app: &App) -> Check {
    let Some(spire) = app.svids.state().await else { return check("spire", Off, "not in use") };
    let accepts = spire.accepts.join(", ");
    let held = match (&spire.id, spire.expires_at) {
        (Some(id), Some(until)) => format!("we are {id} until {}", rfc3339(until)),
        _ => "no SVID of our own".to_owned(),
    };
    match &spire.trouble {
        None => check("spire", Pass, format!("{held}; accepts SVIDs of {accepts}")),
        // What we have goes on until it expires.
        Some(trouble) => {
            let state = if spire.id.is_some() { Warn } else { Fail };
            let row = check("spire", state, format!("{trouble}; {held}; agents with keys are served"));
            row.hint(&mend(trouble, spire.accepts.first()))
        }
    }
}

/// The command that mends it.
fn mend(trouble: &Trouble, trust_domain: Option<&String>) -> String {
    let domain = trust_domain.map_or("TRUST_DOMAIN", String::as_str);
    match trouble {
        Trouble::Absent { endpoint, .. } => {
            let path =
                endpoint.strip_prefix("unix:").map(|path| format!("/{}", path.trim_start_matches('/')));
            let path = path.unwrap_or_else(|| endpoint.clone());
            format!(
                "systemctl start spire-agent; its socket must be {path}, or set SPIFFE_ENDPOINT_SOCKET to where it is"
            )
        }
        Trouble::NoEntry { .. } => {
            let user = rustix::process::getuid().as_raw();
            format!(
                "spire-server entry create -spiffeID spiffe://{domain}/tappass -parentID spiffe://{domain}/AGENT \
                 -selector unix:uid:{user}; spire-server agent list names the AGENT of this machine"
            )
        }
        Trouble::Other(_) => "spire-agent healthcheck, then look at the server's log".to_owned(),
    }
}

async fn agents(app: &App, scope: &Scope) -> Check {
    // Enough to say; who has more agents than a page knows it.
    match app.store.agents().list(scope.org_id, &PageRequest { limit: 500, cursor: None }).await {
        Ok(page) if page.items.is_empty() => check("agents", Warn, "none is registered")
            .hint("tappass agents add --name my-agent --preset starter"),
        Ok(page) => {
            let enforced = page.items.iter().filter(|agent| agent.settings.floor.acts()).count();
            let more = if page.next.is_some() { " or more" } else { "" };
            check("agents", Pass, format!("{}{more} registered, {enforced} enforced", page.items.len()))
        }
        Err(error) => check("agents", Fail, ApiError::from(error).detail()).hint("look at the database"),
    }
}

async fn pipelines(app: &App, scope: &Scope) -> Check {
    let page = match app.store.agents().list(scope.org_id, &PageRequest { limit: 500, cursor: None }).await {
        Ok(page) => page,
        Err(error) => {
            return check("pipeline", Fail, ApiError::from(error).detail()).hint("look at the database");
        }
    };
    let mut names: Vec<String> = page.items.into_iter().map(|agent| agent.settings.pipeline).collect();
    names.sort();
    names.dedup();
    for name in &names {
        if let Err(error) = app.pipelines.get(scope.org_id, name).await {
            let hint = "tappass gov pipelines, then tappass gov assign AGENT --pipeline P";
            return check("pipeline", Fail, format!("{name}: {error}")).hint(hint);
        }
    }
    let detail = if names.is_empty() {
        "none is assigned yet".to_owned()
    } else {
        format!("in use: {}", names.join(", "))
    };
    check("pipeline", Pass, detail)
}
