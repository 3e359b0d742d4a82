//! What the audit log says of a call.

use serde_json::Value;
use tappass_model::Action;
use uuid::Uuid;

use crate::{error::ApiError, state::App};

/// A call as it was recorded.
pub struct Past {
    /// What each step and policy that found something would have done in enforce.
    pub steps: Vec<(String, Action)>,
    /// The reasons as recorded, by step.
    reasons: Vec<Value>,
    rows: Vec<Value>,
}

impl Past {
    /// Of the log; `None` where the call is not in it (any more, or yet).
    pub async fn of(app: &App, org_id: Uuid, call_id: Uuid) -> Result<Option<Self>, ApiError> {
        let row = app.store.audit().get(org_id, call_id).await?;
        Ok(row.and_then(|row| serde_json::from_str(&row.body).ok()).map(Self::read))
    }

    fn read(mut event: Value) -> Self {
        let list = |value: Value| match value {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let blocked = event["blocked_by"].as_str().map(str::to_owned);
        // What a person has approved would have waited without them.
        let approved = event["details"]["approvals"].as_array().is_some_and(|all| !all.is_empty());
        let (reasons, rows) = (list(event["details"]["explain"].take()), list(event["steps"].take()));
        let would = |reason: &Value| {
            let action = serde_json::from_value(reason["would"].clone()).ok()?;
            Some((reason["step"].as_str()?.to_owned(), action))
        };
        let mut steps: Vec<(String, Action)> = reasons.iter().filter_map(would).collect();
        let missing = blocked.into_iter().chain(approved.then(|| "require_approval".to_owned()));
        for step in missing {
            if !steps.iter().any(|(id, action)| *id == step && *action == Action::Block) {
                steps.push((step, Action::Block));
            }
        }
        Self { steps, reasons, rows }
    }

    /// What a step found, masked, and its sentence.
    pub fn of_step(&self, step: &str) -> (Value, String) {
        let reason = self.reasons.iter().find(|reason| reason["step"] == step);
        let found = reason.map(|reason| reason["found"].clone()).unwrap_or_default();
        let row = self.rows.iter().chain(reason).filter(|row| row["step"] == step);
        let message = row.filter_map(|row| row["message"].as_str()).find(|text| !text.is_empty());
        (found, message.unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_says_what_each_step_would_have_done() {
        let past = Past::read(json!({
            "blocked_by": "hook_canary",
            "steps": [{"step": "detect_pii", "message": "personal data: 1 × EMAIL"}],
            "details": {"approvals": ["x"], "explain": [{"step": "detect_pii", "would": "redact", "found": [{"kind": "EMAIL"}]}]},
        }));
        let told: Vec<(&str, Action)> = past.steps.iter().map(|(id, a)| (id.as_str(), *a)).collect();
        assert_eq!(
            told,
            [
                ("detect_pii", Action::Redact),
                ("hook_canary", Action::Block),
                ("require_approval", Action::Block)
            ]
        );
        let (found, message) = past.of_step("detect_pii");
        assert_eq!((&found[0]["kind"], message.as_str()), (&json!("EMAIL"), "personal data: 1 × EMAIL"));
    }
}
