//! The licence: what it says, how it stands, and that it has changed.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tappass_audit::EventType;
use tappass_identity::license::{Licensed, Standing};
use tappass_model::clock::rfc3339;
use tappass_store::{PageRequest, StoreError};
use uuid::Uuid;

use crate::{error::ApiError, record::Change, state::App};

/// The name of the document that says which licence an organisation's log knows of.
const SETTING: &str = "license";

/// `GET /admin/license`
#[derive(Debug, Serialize, JsonSchema)]
pub struct LicenseView {
    /// `development` (none), `valid`, `ends_soon`, `grace`, `expired` or `invalid`.
    standing: String,
    /// How it stands, in a sentence.
    detail: String,
    customer: Option<String>,
    plan: Option<String>,
    features: Vec<String>,
    expires_at: Option<String>,
    /// How many agents may be registered; null: any number.
    agents: Option<u64>,
    /// How many are, in all organisations.
    registered: u64,
}

/// `GET /admin/license`
pub async fn show(State(app): State<App>) -> Result<Json<LicenseView>, ApiError> {
    let (now, registered) = (app.clock.now(), app.store.agents().count().await?);
    let given = match &app.license {
        Licensed::Given(license) => Some(license),
        Licensed::Development | Licensed::Invalid(_) => None,
    };
    Ok(Json(LicenseView {
        standing: name(app.license.standing(now)),
        detail: app.license.told(Some(registered), now),
        customer: given.map(|l| l.customer.clone()),
        plan: given.map(|l| l.plan.clone()),
        features: given.map(|l| l.features.clone()).unwrap_or_default(),
        expires_at: given.map(|l| rfc3339(l.expires_at())),
        agents: app.license.agents(),
        registered,
    }))
}

fn name(standing: Standing) -> String {
    json!(standing).as_str().unwrap_or_default().to_owned()
}

impl App {
    /// Writes into every organisation's log that another licence is in use than the last one it knows of.
    pub(crate) async fn note_license(self) {
        if let Err(error) = self.noted().await {
            tracing::warn!(%error, "cannot note which licence is in use");
        }
    }

    /// A new organisation begins with the licence that is in use: for it that is no change.
    pub(crate) async fn begins_with_license(&self, org_id: Uuid) {
        let body = self.license_now().to_string();
        if let Err(error) = self.store.settings().put(org_id, SETTING, &body, 0, self.clock.now()).await {
            tracing::warn!(%error, %org_id, "cannot note which licence is in use");
        }
    }

    /// The licence in use, as the audit log tells it.
    fn license_now(&self) -> Value {
        match &self.license {
            Licensed::Given(l) => {
                json!({"id": l.jti, "plan": l.plan, "agents": l.agents, "expires_at": rfc3339(l.expires_at())})
            }
            Licensed::Development | Licensed::Invalid(_) => json!({"id": null}),
        }
    }

    async fn noted(&self) -> Result<(), StoreError> {
        let now = self.license_now();
        let mut page = PageRequest { limit: 500, cursor: None };
        loop {
            let orgs = self.store.orgs().list(&page).await?;
            for org in orgs.items {
                let known = self.store.settings().get(org.org_id, SETTING).await?;
                let before = known.as_ref().and_then(|known| serde_json::from_str(&known.body).ok());
                if before.as_ref() == Some(&now) || before.is_none() && now["id"].is_null() {
                    continue;
                }
                let version = known.map_or(0, |known| known.version);
                let settings = self.store.settings();
                let body = now.to_string();
                match settings.put(org.org_id, SETTING, &body, version, self.clock.now()).await {
                    Ok(Some(_)) => {
                        let change =
                            Change::by(EventType::ConfigChanged, org.org_id, "the server's configuration");
                        if self.changed(change.details(json!({"license": [before, now]}))).await.is_err() {
                            tracing::warn!(org_id = %org.org_id, "the change of the licence could not be recorded");
                        }
                    }
                    // Another replica was first, or the organisation is gone.
                    Ok(None) | Err(StoreError::Stale(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            match orgs.next {
                Some(next) => page.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }
}
