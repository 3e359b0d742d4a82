//! The audit log as a table for spreadsheets: a row for each event, with its hash, so that each row can be found in the
//! export that proves it.

use tappass_audit::{AuditError, Event};
use tappass_model::clock::rfc3339;
use tappass_store::{AuditFilter, AuditOrder, AuditRow, PageRequest, Store};
use uuid::Uuid;

const PAGE: u32 = 500;

const HEAD: [&str; 24] = [
    "seq",
    "event_id",
    "ts",
    "event_type",
    "agent_id",
    "session_id",
    "turn",
    "user",
    "provider",
    "model",
    "mode",
    "verdict",
    "action",
    "blocked_by",
    "classification",
    "detections",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "gateway_us",
    "upstream_us",
    "pipeline",
    "pipeline_hash",
    "hash",
];

/// Writes the table piece by piece: memory does not grow with the log.
pub struct CsvExporter {
    store: Store,
    org_id: Uuid,
    filter: AuditFilter,
    cursor: Option<String>,
    begun: bool,
    done: bool,
}

impl CsvExporter {
    /// Of the events of an organisation that a filter names.
    #[must_use]
    pub fn new(store: Store, org_id: Uuid, filter: AuditFilter) -> Self {
        Self { store, org_id, filter, cursor: None, begun: false, done: false }
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// [`AuditError`] when the database does not answer.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        if self.done {
            return Ok(None);
        }
        let page = PageRequest { limit: PAGE, cursor: self.cursor.take() };
        let found =
            self.store.audit().list(self.org_id, &self.filter, AuditOrder::OldestFirst, &page).await?;
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        if !std::mem::replace(&mut self.begun, true) {
            writer.write_record(HEAD).map_err(|e| AuditError::Unavailable(e.to_string()))?;
        }
        for row in &found.items {
            let cells = cells(row).map(|cell| harmless(&cell));
            writer.write_record(cells).map_err(|e| AuditError::Unavailable(e.to_string()))?;
        }
        self.cursor = found.next;
        self.done = self.cursor.is_none();
        writer.into_inner().map(Some).map_err(|e| AuditError::Unavailable(e.to_string()))
    }
}

fn cells(row: &AuditRow) -> [String; HEAD.len()] {
    let event = serde_json::from_str::<Event>(&row.body).ok();
    let of = |get: fn(&Event) -> Option<String>| event.as_ref().and_then(get).unwrap_or_default();
    [
        row.seq.to_string(),
        row.event_id.to_string(),
        rfc3339(row.ts),
        row.event_type.clone(),
        row.agent_id.clone().unwrap_or_default(),
        of(|e| e.session_id.clone()),
        of(|e| e.turn_index.map(|turn| turn.to_string())),
        of(|e| e.user.clone()),
        of(|e| e.provider.clone()),
        of(|e| e.model.clone()),
        of(|e| e.mode.map(|mode| mode.as_str().to_owned())),
        of(|e| e.verdict.map(|verdict| verdict.as_str().to_owned())),
        row.action.clone().unwrap_or_default(),
        of(|e| e.blocked_by.clone()),
        of(|e| e.classification.map(|level| level.as_str().to_owned())),
        of(|e| {
            let found = e.detections.iter().map(|d| format!("{} {}×{}", d.step, d.count, d.kind));
            Some(found.collect::<Vec<_>>().join("; "))
        }),
        of(|e| e.tokens.map(|tokens| tokens.prompt_tokens.to_string())),
        of(|e| e.tokens.map(|tokens| tokens.completion_tokens.to_string())),
        of(|e| e.cost_usd.map(|cost| cost.to_string())),
        of(|e| e.latency.map(|latency| latency.gateway_us.to_string())),
        of(|e| e.latency.map(|latency| latency.upstream_us.to_string())),
        of(|e| e.pipeline.as_ref().map(|pipeline| pipeline.name.clone())),
        of(|e| e.pipeline.as_ref().map(|pipeline| pipeline.hash.clone())),
        row.hash.clone(),
    ]
}

/// A cell that a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection).
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn no_cell_is_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"] {
            assert!(harmless(formula).starts_with('\''), "{formula}");
        }
        assert_eq!(harmless("a=1"), "a=1");
    }
}
