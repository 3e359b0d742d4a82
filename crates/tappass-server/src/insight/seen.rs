//! A call as its record tells it: what it counts as, and what it was refused for or would have been.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tappass_audit::{Detection, EventType, Latency};
use tappass_model::{Action, Family, Usage};
use tappass_store::{
    AuditRow, Batch, Counts, Stopped,
    insight::{StepCounts, histogram::Part},
};

/// A call that the log has recorded.
#[derive(Debug)]
pub struct Seen<'r> {
    row: &'r AuditRow,
    event: Record<'r>,
    stops: Vec<Stop>,
    explained: Vec<Told>,
    failed: bool,
}

/// What is counted of an event (`tappass_audit::Event`): most of a record is what its steps had to say, and is read
/// only where one of them refused.
#[derive(Debug, Deserialize)]
struct Record<'r> {
    agent_id: Option<String>,
    model: Option<String>,
    verdict: Option<Action>,
    action: Option<Action>,
    blocked_by: Option<String>,
    #[serde(default)]
    detections: Vec<Detection>,
    #[serde(borrow)]
    steps: Option<&'r RawValue>,
    tokens: Option<Usage>,
    cost_usd: Option<f64>,
    latency: Option<Latency>,
    #[serde(borrow)]
    details: Option<&'r RawValue>,
}

/// What one step said.
#[derive(Deserialize)]
struct Said<'r> {
    #[serde(borrow)]
    step: Cow<'r, str>,
    #[serde(borrow)]
    message: Cow<'r, str>,
}

/// A step that refused the call, or would have in enforce.
#[derive(Debug)]
struct Stop {
    step: String,
    reason: String,
    blocked: bool,
}

/// As `tappass-server/src/call/conclude.rs` writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details<'r> {
    explain: Vec<Told>,
    would_block: Vec<Would>,
    #[serde(borrow)]
    provider_error: Option<&'r RawValue>,
}

#[derive(Debug, Deserialize)]
struct Would {
    step: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Told {
    step: String,
    score: Option<f64>,
    threshold: Option<f64>,
    #[serde(default)]
    found: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    family: Option<Family>,
    kind: String,
}

impl<'r> Seen<'r> {
    /// The call that an event is the record of; `None` where it is something else's.
    #[must_use]
    pub fn of(row: &'r AuditRow) -> Option<Self> {
        let kinds =
            [EventType::LlmCall, EventType::LlmCallBlocked, EventType::ToolCall, EventType::ToolCallBlocked];
        if !kinds.iter().any(|kind| kind.as_str() == row.event_type) {
            return None;
        }
        let event: Record<'r> = serde_json::from_str(&row.body).ok()?;
        // The tool calls of an answer have events too, without a verdict: they are the call's, which has its own.
        event.verdict?;
        let details: Details<'r> =
            event.details.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let message = |step: &str| {
            let said: Vec<Said<'r>> =
                event.steps.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
            said.into_iter().find(|said| said.step == step).map(|said| said.message.into_owned())
        };
        let by = event.blocked_by.iter().map(|step| Stop {
            step: step.clone(),
            reason: message(step).unwrap_or_default(),
            blocked: true,
        });
        let would = details.would_block.into_iter();
        let would = would.map(|w| Stop { step: w.step, reason: w.reason, blocked: false });
        let mut stops: Vec<Stop> = Vec::new();
        for stop in by.chain(would) {
            if !stops.iter().any(|known| known.step == stop.step) {
                stops.push(stop);
            }
        }
        let failed = details.provider_error.is_some();
        Some(Self { row, stops, explained: details.explain, failed, event })
    }

    /// Adds it to what is counted.
    pub fn add_to(&self, batch: &mut Batch) {
        let (event, agent) = (&self.event, self.agent());
        batch.call(self.row.ts, agent, self.model(), &self.counts());
        for detection in &event.detections {
            let stop = self.stops.iter().find(|stop| stop.step == detection.step);
            let counts = StepCounts { calls: 1, findings: detection.count, ..of_stop(stop) };
            batch.step(self.row.ts, agent, &detection.step, &detection.kind, &counts);
        }
        for stop in self.stops.iter().filter(|stop| !self.found_by(&stop.step)) {
            let counts = StepCounts { calls: 1, ..of_stop(Some(stop)) };
            batch.step(self.row.ts, agent, &stop.step, "", &counts);
        }
        for stopped in self.stopped() {
            batch.stopped(stopped);
        }
    }

    fn agent(&self) -> &str {
        self.event.agent_id.as_deref().unwrap_or_default()
    }

    fn model(&self) -> &str {
        self.event.model.as_deref().unwrap_or_default()
    }

    fn found_by(&self, step: &str) -> bool {
        self.event.detections.iter().any(|d| d.step == step)
    }

    fn counts(&self) -> Counts {
        let event = &self.event;
        let blocked = [EventType::LlmCallBlocked, EventType::ToolCallBlocked]
            .iter()
            .any(|kind| kind.as_str() == self.row.event_type);
        let would = !blocked && self.stops.iter().any(|stop| !stop.blocked);
        let masked = event.action == Some(Action::Redact);
        let would_mask = !masked && event.verdict == Some(Action::Redact);
        let tokens = event.tokens.unwrap_or_default();
        let mut counts = Counts {
            calls: 1,
            flagged: (!event.detections.is_empty() || !self.stops.is_empty()).into(),
            findings: event.detections.iter().map(|d| d.count).sum(),
            would_block: would.into(),
            blocked: blocked.into(),
            masked: masked.into(),
            would_mask: would_mask.into(),
            errors: self.failed.into(),
            tokens_in: tokens.prompt_tokens,
            tokens_out: tokens.completion_tokens,
            cost_nano: nano(event.cost_usd.unwrap_or_default()),
            ..Counts::default()
        };
        if let Some(latency) = event.latency {
            let slot = counts.gateway.get_mut(Part::Gateway.bucket(latency.gateway_us));
            slot.into_iter().for_each(|n| *n += 1);
            if latency.upstream_us > 0 {
                let slot = counts.upstream.get_mut(Part::Upstream.bucket(latency.upstream_us));
                slot.into_iter().for_each(|n| *n += 1);
            }
        }
        counts
    }

    /// What it was refused for, or would have been in enforce: one for each step and kind.
    #[must_use]
    pub fn stopped(&self) -> Vec<Stopped> {
        let mut all = Vec::new();
        for stop in &self.stops {
            let before = all.len();
            for kind in self.kinds(&stop.step) {
                all.push(self.row(stop, kind));
            }
            if all.len() == before {
                all.push(self.row(stop, ""));
            }
        }
        all
    }

    /// Everything that a step found, or was refused for: what a person can mark.
    #[must_use]
    pub fn markable(&self) -> Vec<Stopped> {
        let mut all = self.stopped();
        for detection in &self.event.detections {
            if !all.iter().any(|s| s.step == detection.step && s.kind == detection.kind) {
                let stop = Stop { step: detection.step.clone(), reason: String::new(), blocked: false };
                all.push(self.row(&stop, &detection.kind));
            }
        }
        all
    }

    fn kinds(&self, step: &str) -> impl Iterator<Item = &str> {
        self.event.detections.iter().filter(move |d| d.step == step).map(|d| d.kind.as_str())
    }

    fn row(&self, stop: &Stop, kind: &str) -> Stopped {
        let told = self.explained.iter().find(|told| told.step == stop.step);
        let of_step = || self.event.detections.iter().filter(|d| d.step == stop.step);
        let detection = of_step().find(|d| d.kind == kind);
        let family = told.and_then(|t| t.found.iter().find(|f| f.kind == kind)).and_then(|f| f.family);
        // Where one finding is enough for a hit, each kind has its own score; where a step adds findings up, it is the
        // step's that decides.
        let decided = told.and_then(|told| told.score);
        let highest = of_step().map(|d| d.score).fold(f64::MIN, f64::max);
        let each = decided.is_none_or(|score| (score - highest).abs() < 0.000_5);
        let score = if each { detection.map(|d| d.score).or(decided) } else { decided };
        Stopped {
            seq: self.row.seq,
            step: stop.step.clone(),
            kind: kind.to_owned(),
            event_id: self.row.event_id,
            ts: self.row.ts,
            agent_id: self.agent().to_owned(),
            model: self.model().to_owned(),
            blocked: stop.blocked,
            maskable: family.is_some_and(Family::maskable),
            findings: detection.map_or(0, |d| d.count),
            score: told.and(score).map(thousandths),
            threshold: told.and_then(|told| told.threshold).map(thousandths),
            sample: detection.map(|d| d.sample.clone()).unwrap_or_default(),
            reason: stop.reason.clone(),
        }
    }
}

fn of_stop(stop: Option<&Stop>) -> StepCounts {
    let blocked = stop.map(|stop| stop.blocked);
    StepCounts {
        would_block: (blocked == Some(false)).into(),
        blocked: (blocked == Some(true)).into(),
        ..StepCounts::default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a score is 0 to 1")]
fn thousandths(score: f64) -> i64 {
    (score * 1000.0).round() as i64
}

/// Billionths of a dollar.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cost is small and not negative"
)]
fn nano(usd: f64) -> u64 {
    (usd.max(0.0) * 1e9).round() as u64
}
