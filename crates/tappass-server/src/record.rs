//! What people change and who signs in goes into the audit log too.

use serde_json::Value;
use tappass_audit::{AuditError, Event, EventType};
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
