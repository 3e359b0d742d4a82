//! What people change and who signs in goes into the audit log too.

use http::StatusCode;
use serde_json::{Value, json};
use tappass_audit::{AuditError, Event, EventType};
use tappass_identity::{AccountError, UserPrincipal};
use tappass_store::PageRequest;
use uuid::Uuid;

use crate::{error::ApiError, scope::Scope, state::App};

/// A change to be recorded.
#[derive(Debug)]
pub struct Change {
    event: EventType,
    org_id: Uuid,
    actor: String,
    agent_id: Option<String>,
    details: Value,
}

impl Change {
    /// Of this kind, by whoever acts in the scope.
    #[must_use]
    pub fn new(event: EventType, scope: &Scope) -> Self {
        Self::by(event, scope.org_id, &scope.actor)
    }

    /// Of this kind, by someone.
    #[must_use]
    pub fn by(event: EventType, org_id: Uuid, actor: &str) -> Self {
        Self { event, org_id, actor: actor.to_owned(), agent_id: None, details: Value::Null }
    }

    /// Concerning an agent.
    #[must_use]
    pub fn agent(mut self, agent_id: &str) -> Self {
        self.agent_id = Some(agent_id.to_owned());
        self
    }

    /// With what belongs to it. Never a secret.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

impl App {
    /// Records a change that has been made; returns when the record is durable.
    ///
    /// # Errors
    /// 503 when it cannot be recorded. The change has been made all the same, and the answer says so.
    pub async fn changed(&self, change: Change) -> Result<(), ApiError> {
        let mut event = Event::new(change.event, change.org_id, &*self.ids, &*self.clock);
        event.user = Some(change.actor);
        event.agent_id = change.agent_id;
        event.details = change.details;
        self.audit.record(&event).await.map(|_| ()).map_err(|e| {
            let detail = "It was done, but the audit log could not record it; see GET /health/ready.";
            ApiError::unavailable("audit_unavailable", 2, detail).because(e)
        })
    }
}

impl App {
    /// Records a change of what is the platform's in the log of every organisation, for it concerns each.
    ///
    /// # Errors
    /// As [`App::changed`].
    pub async fn changed_everywhere(
        &self,
        event: EventType,
        actor: &str,
        details: &Value,
    ) -> Result<(), ApiError> {
        let mut page = PageRequest { limit: 500, cursor: None };
        loop {
            let orgs = self.store.orgs().list(&page).await?;
            for org in orgs.items {
                self.changed(Change::by(event, org.org_id, actor).details(details.clone())).await?;
            }
            match orgs.next {
                Some(next) => page.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Records what a person has changed about their account in each of their organisations: it concerns all of them.
    ///
    /// # Errors
    /// As [`App::changed`].
    pub(crate) async fn changed_for_person(
        &self,
        user_id: Uuid,
        actor: &str,
        event: EventType,
        details: Value,
    ) -> Result<(), ApiError> {
        for (org, _) in self.store.users().orgs(user_id).await? {
            self.changed(Change::by(event, org.org_id, actor).details(details.clone())).await?;
        }
        Ok(())
    }

    /// What came of somebody's showing their password or a code again; a failure is recorded as one of signing in.
    ///
    /// # Errors
    /// 403 for what was wrong: 401 would say that the session is.
    pub(crate) async fn noting_failure<T>(
        &self,
        person: &UserPrincipal,
        shown: Result<T, AccountError>,
    ) -> Result<T, ApiError> {
        let error = match shown {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let (locked, code) = match error {
            AccountError::Wrong => (false, "wrong_password"),
            AccountError::WrongCode => (false, "wrong_code"),
            AccountError::Locked { .. } => (true, ""),
            other => return Err(other.into()),
        };
        let details = json!({"signed_in": true, "locked": locked});
        self.changed_for_person(person.user_id, &person.email, EventType::SigninFailed, details).await?;
        if locked {
            return Err(error.into());
        }
        let detail =
            if code == "wrong_code" { format!("{error}.") } else { "The password is wrong.".to_owned() };
        Err(ApiError::new(StatusCode::FORBIDDEN, code, detail))
    }
}

impl From<AuditError> for ApiError {
    fn from(e: AuditError) -> Self {
        match e {
            AuditError::Store(e) => e.into(),
            AuditError::Unavailable(_) | AuditError::Closed | AuditError::Fatal(_) => Self::unavailable(
                "audit_unavailable",
                2,
                "The audit log does not answer; see GET /health/ready.",
            )
            .because(e),
            other => Self::internal(other),
        }
    }
}
