//! What the dashboard counts: the audit log folded into roll-ups in the background, and the figures read from them.
//! Nothing here stands in a call's way. Pages and JSON routes read through the same functions.

pub mod overview;
pub mod proposal;
pub mod readiness;
pub mod seen;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tappass_model::clock::rfc3339;
use tappass_store::{AuditRow, Batch, StoreError, Window, insight::Behind};

use crate::{error::ApiError, state::App};

/// How often the fold looks whether a log has grown: what pages show is that old at most.
const LOOK: Duration = Duration::from_secs(1);
/// How many events are folded in one transaction, which holds SQLite's one writer for some milliseconds.
const RUN: u32 = 256;

impl App {
    /// Folds what the logs grow by, until the server ends.
    pub(crate) async fn fold(self) {
        loop {
            if let Err(error) = fold_all(&self).await {
                tracing::warn!(%error, "cannot count what is in the audit log; trying again");
            }
            tokio::select! {
                () = self.life.draining.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// Folds all that is in the logs now, some of each in turn. Any number of replicas may do so at once.
///
/// # Errors
/// [`StoreError`] when the database does not answer; what was folded before stays.
pub async fn fold_all(app: &App) -> Result<(), StoreError> {
    loop {
        let behind = app.store.insight().behind().await?;
        if behind.is_empty() || app.life.draining.is_cancelled() {
            return Ok(());
        }
        for log in behind {
            fold_run(app, log).await?;
            // Who waits for the writer goes first.
            tokio::task::yield_now().await;
        }
    }
}

async fn fold_run(app: &App, log: Behind) -> Result<(), StoreError> {
    let rows = app.store.audit().range(log.org_id, log.folded, RUN).await?;
    let Some(last) = rows.last().map(|row| row.seq) else {
        // A log that is shorter than its head says: `tappass audit verify` tells; counting must not spin on it.
        return app
            .store
            .insight()
            .fold(log.org_id, log.folded, log.size, Batch::default())
            .await
            .map(|_| ());
    };
    let reading = tokio::task::spawn_blocking(move || read(&rows));
    let Ok(batch) = reading.await else {
        tracing::error!(org_id = %log.org_id, from = log.folded, "events could not be counted and are left out");
        return app.store.insight().fold(log.org_id, log.folded, last, Batch::default()).await.map(|_| ());
    };
    app.store.insight().fold(log.org_id, log.folded, last, batch).await.map(|_| ())
}

/// What events amount to.
#[must_use]
pub fn read(rows: &[AuditRow]) -> Batch {
    let mut batch = Batch::default();
    for call in rows.iter().filter_map(seen::Seen::of) {
        call.add_to(&mut batch);
    }
    batch
}

/// From when until when figures are.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WindowView {
    /// As it was asked for: `7d`.
    pub name: String,
    /// The beginning, RFC 3339, a whole hour.
    pub since: String,
    /// The end: that of the hour that is under way.
    pub until: String,
    #[serde(skip)]
    pub(crate) window: Window,
    #[serde(skip)]
    pub(crate) hours: i64,
}

impl WindowView {
    /// The last so many hours (`24h`) or days (`7d`), 90 days at most.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn parse(text: Option<&str>, now: Timestamp) -> Result<Self, ApiError> {
        let name = text.unwrap_or("7d");
        let unit = |suffix: char, hours: i64| -> Option<i64> {
            name.strip_suffix(suffix)?.parse::<u16>().ok().map(|n| i64::from(n) * hours)
        };
        let hours = unit('h', 1).or_else(|| unit('d', 24)).filter(|hours| (1..=90 * 24).contains(hours));
        let hours = hours.ok_or_else(|| {
            let detail = "`window` is hours or days like 24h, 7d, 30d; 90d at most.";
            ApiError::bad_request("invalid_query", detail)
        })?;
        let window = Window::last(hours, now);
        let (since, until) = (rfc3339(window.since), rfc3339(window.until));
        Ok(Self { name: name.to_owned(), since, until, window, hours })
    }
}

/// A score in thousandths, as it is shown.
#[expect(clippy::cast_precision_loss, reason = "0 to 1000")]
pub(crate) fn score(thousandths: Option<i64>) -> Option<f64> {
    thousandths.map(|n| n as f64 / 1000.0)
}
