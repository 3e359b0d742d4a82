//! Where people are asked: the questions stand in the database with their contents sealed, and whoever waits for an
//! answer is woken.

use std::sync::Arc;

use serde_json::Value;
use tappass_identity::Sealer;
use tappass_model::{Clock, Ids};
use tappass_pipeline::Approvals;
use tappass_store::{Approval, Asked, Store};
use tokio::sync::Notify;
use uuid::Uuid;

/// The questions of this gateway.
pub struct People {
    store: Store,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    /// Woken by every decision that is made in this process.
    pub(crate) decided: Notify,
}

impl People {
    /// Over a database, with what seals contents.
    #[must_use]
    pub fn new(store: Store, sealer: Sealer, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { store, sealer, clock, ids, decided: Notify::new() }
    }

    /// What was asked: `summary`, `request`, `tool_call`, `headers`. `None` once it is forgotten.
    #[must_use]
    pub fn opened(&self, approval: &Approval) -> Option<Value> {
        if approval.sealed.is_empty() {
            return None;
        }
        let opened = self.sealer.open(&place(approval.org_id, approval.approval_id), &approval.sealed);
        match opened.map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::error!(approval = %approval.approval_id, %error, "what was asked cannot be read");
                None
            }
            Err(error) => {
                tracing::error!(approval = %approval.approval_id, %error, "what was asked cannot be opened");
                None
            }
        }
    }
}

/// What is sealed for one approval opens in no other.
fn place(org_id: Uuid, approval_id: Uuid) -> String {
    format!("approval:{org_id}:{approval_id}")
}

#[async_trait::async_trait]
impl Approvals for People {
    async fn ask(&self, mut new: Approval, asked: Value) -> Result<Asked, String> {
        new.approval_id = self.ids.uuid();
        let place = place(new.org_id, new.approval_id);
        new.sealed = self.sealer.seal(&place, asked.to_string().as_bytes()).map_err(|e| e.to_string())?;
        self.store.approvals().ask(&new, self.clock.now()).await.map_err(|e| e.to_string())
    }

    async fn find(&self, org_id: Uuid, approval_id: Uuid) -> Result<Option<Approval>, String> {
        let found = self.store.approvals().get(org_id, approval_id, self.clock.now()).await;
        found.map_err(|e| e.to_string())
    }

    async fn used_before(&self, org_id: Uuid, fingerprint: &str) -> Result<bool, String> {
        self.store.approvals().used_before(org_id, fingerprint).await.map_err(|e| e.to_string())
    }

    async fn give_back(&self, org_id: Uuid, approval_id: Uuid, call_id: Uuid) -> Result<(), String> {
        self.store.approvals().give_back(org_id, approval_id, call_id).await.map_err(|e| e.to_string())
    }
}
