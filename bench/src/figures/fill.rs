//! A month of believable traffic, straight into the store.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::json;
use tappass_audit::{Detection, Event, EventType, Latency, PipelineRef, StepRow};
use tappass_model::{Action, Classification, Mode, Role, Usage, clock::rfc3339};
use tappass_server::App;
use tappass_store::{AuditRow, Credentials, Org, User, audit::cursor_after};
use uuid::Uuid;

const AGENTS: [&str; 20] = [
    "claims-triage",
    "invoice-reader",
    "support-chat",
    "code-review",
    "contract-check",
    "hr-helper",
    "sales-mail",
    "fraud-watch",
    "kyc-intake",
    "risk-notes",
    "policy-search",
    "ticket-router",
    "meeting-notes",
    "translation",
    "data-analyst",
    "sql-helper",
    "doc-writer",
    "legal-draft",
    "procurement",
    "onboarding",
];
const MODELS: [(&str, &str, f64); 4] = [
    ("gpt-4o", "openai", 4.0e-6),
    ("gpt-4o-mini", "openai", 0.3e-6),
    ("claude-sonnet-4-5", "anthropic", 6.0e-6),
    ("mistral-large", "mistral", 3.0e-6),
];
const STEPS: [&str; 11] = [
    "validate_input",
    "rate_limit",
    "tool_permissions",
    "detect_pii",
    "detect_secrets",
    "detect_injection",
    "classify_data",
    "call_llm",
    "call_tool",
    "scan_output",
    "cost_tracking",
];
/// Step, kind, one in so many calls, whether it blocks.
const FINDS: [(&str, &str, u64, bool); 8] = [
    ("detect_pii", "EMAIL", 12, false),
    ("detect_pii", "PERSON", 9, false),
    ("detect_pii", "IBAN", 60, false),
    ("detect_pii", "PHONE", 40, false),
    ("detect_secrets", "AWS_ACCESS_KEY", 400, true),
    ("detect_secrets", "GITHUB_TOKEN", 600, true),
    ("detect_injection", "INSTRUCTION_OVERRIDE", 150, true),
    ("tool_permissions", "TOOL_NOT_ALLOWED", 250, true),
];
const DAYS: i64 = 62;
/// Rows in a transaction.
const RUN: u64 = 4_000;

/// What to ask for.
pub struct Sample {
    /// The busiest agent.
    pub agent: String,
    /// A call with a finding.
    pub event: String,
    /// A cursor in the middle of the log.
    pub deep: String,
    /// Three weeks ago.
    pub past: String,
}

/// A small generator (SplitMix64): the same traffic in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// Fills the log of a new organisation.
pub async fn fill(app: &App, events: u64) -> Result<Sample> {
    let org = Org { org_id: app.ids.uuid(), name: "Figures".to_owned(), created_at: app.clock.now() };
    let user = User {
        user_id: app.ids.uuid(),
        email: "ciso@figures.example".to_owned(),
        created_at: app.clock.now(),
    };
    let person = Credentials { user, password_hash: None, email_verified: true };
    app.store.users().sign_up(&org, &person, Role::OrgAdmin).await?;
    let now = app.clock.now();
    let mut dice = Dice(7);
    let mut times = times(now, events, &mut dice);
    times.sort_unstable();
    let mut sample = None;
    let mut seq = 0;
    for run in times.chunks(usize::try_from(RUN)?) {
        let mut rows = Vec::with_capacity(run.len());
        for ts in run {
            seq += 1;
            let event = event(app, org.org_id, *ts, seq, &mut dice);
            if seq > events / 2 && sample.is_none() && !event.detections.is_empty() {
                sample = Some(event.event_id.to_string());
            }
            rows.push(row(seq, &event)?);
        }
        let mut tx = app.store.audit().begin(org.org_id).await?;
        let mut head = tx.lock(org.org_id).await?;
        head.size = seq;
        tx.append(rows).await?;
        tx.save(org.org_id, head).await?;
        tx.commit().await?;
    }
    register(app, &org, now).await?;
    let weeks = now.checked_sub(SignedDuration::from_hours(21 * 24))?;
    Ok(Sample {
        agent: AGENTS[0].to_owned(),
        event: sample.context("no call had a finding")?,
        deep: cursor_after(seq / 2),
        past: rfc3339(weeks),
    })
}

/// So that pages and previews find the agent.
async fn register(app: &App, org: &Org, now: Timestamp) -> Result<()> {
    for agent_id in AGENTS {
        let agent = tappass_store::Agent {
            agent_uuid: app.ids.uuid(),
            org_id: org.org_id,
            agent_id: agent_id.to_owned(),
            name: agent_id.to_owned(),
            description: String::new(),
            framework: None,
            owner_email: None,
            status: tappass_store::AgentStatus::Active,
            settings: tappass_model::AgentSettings { pipeline: "starter".to_owned(), ..Default::default() },
            spiffe_id: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        app.store.agents().create(&agent).await?;
    }
    Ok(())
}

/// More by day than by night, and little at weekends.
fn times(now: Timestamp, events: u64, dice: &mut Dice) -> Vec<Timestamp> {
    let span = u64::try_from(DAYS * 86_400).unwrap_or_default();
    let mut times = Vec::new();
    while (times.len() as u64) < events {
        let back = i64::try_from(dice.below(span)).unwrap_or_default();
        let Ok(ts) = now.checked_sub(SignedDuration::from_secs(back)) else { continue };
        let at = ts.to_zoned(TimeZone::UTC);
        let weekend = at.weekday().to_monday_zero_offset() >= 5;
        let busy = match at.hour() {
            7..=17 => 10,
            18..=21 => 4,
            _ => 2,
        };
        if dice.below(10) < if weekend { 1 } else { busy } {
            times.push(ts);
        }
    }
    times
}

fn event(app: &App, org_id: Uuid, ts: Timestamp, seq: u64, dice: &mut Dice) -> Event {
    let mut event = Event::new(EventType::LlmCall, org_id, &*app.ids, &*app.clock);
    event.ts = ts;
    if seq.is_multiple_of(200) {
        event.event_type = if seq.is_multiple_of(400) { EventType::Signin } else { EventType::ConfigChanged };
        event.user = Some("ciso@figures.example".to_owned());
        event.details = json!({"setting": "allowlist", "version": seq});
        return event;
    }
    // The first agents call more than the last.
    let agent = usize::try_from(dice.below(20).min(dice.below(20))).unwrap_or_default();
    let (model, provider, price) = MODELS[(agent + usize::from(dice.below(5) == 0)) % MODELS.len()];
    let enforced = agent % 4 == 0;
    event.agent_id = Some(AGENTS[agent].to_owned());
    event.session_id = Some(format!("s-{}", dice.below(50_000)));
    event.turn_index = Some(u32::try_from(dice.below(9)).unwrap_or_default() + 1);
    event.model = Some(model.to_owned());
    event.mode = Some(if enforced { Mode::Enforce } else { Mode::Observe });
    event.classification = Some(Classification::Internal);
    let hits: Vec<_> = FINDS.iter().filter(|find| dice.below(find.2) == 0).collect();
    let stopping = hits.iter().find(|find| find.3);
    let score = 0.5 + dice.below(50) as f64 / 100.0;
    event.detections = hits
        .iter()
        .map(|(step, kind, ..)| Detection {
            step: (*step).to_owned(),
            kind: (*kind).to_owned(),
            count: 1 + dice.below(3),
            sample: "j…u".to_owned(),
            score,
        })
        .collect();
    let blocked = stopping.filter(|_| enforced);
    event.verdict = Some(if stopping.is_some() {
        Action::Block
    } else if hits.is_empty() {
        Action::Allow
    } else {
        Action::Log
    });
    event.action = Some(if blocked.is_some() {
        Action::Block
    } else if hits.is_empty() {
        Action::Allow
    } else {
        Action::Log
    });
    event.blocked_by = blocked.map(|find| find.0.to_owned());
    event.steps = STEPS
        .iter()
        .map(|step| {
            let detected = hits.iter().any(|find| find.0 == *step);
            StepRow {
                step: (*step).into(),
                action: if detected { Action::Log } else { Action::Allow },
                detected,
                message: if detected { "1 × found".into() } else { "".into() },
                duration_us: 5 + dice.below(90),
            }
        })
        .collect();
    let explained: Vec<_> = hits
        .iter()
        .map(|(step, kind, _, blocks)| {
            json!({"step": step, "detected": true, "did": "log", "would": if *blocks { "block" } else { "log" },
                "score": score, "threshold": 0.5,
                "found": [{"family": "pii", "kind": kind, "at": "/messages/0/content", "span": [5, 24], "score": score, "sample": "j…u"}],
                "remedies": [format!("`{step}.threshold` above {score}"), "the text on the allowlist"]})
        })
        .collect();
    event.details = json!({"request_id": format!("r-{seq}"), "stream": false, "authentication": "key"});
    if !explained.is_empty() {
        event.details["explain"] = json!(explained);
    }
    event.latency = Some(Latency { gateway_us: 400 + dice.below(1_500), upstream_us: 0 });
    if let Some(find) = blocked {
        event.event_type = EventType::LlmCallBlocked;
        event.blocked_by = Some(find.0.to_owned());
        return event;
    }
    if let Some(find) = stopping {
        event.details["would_block"] = json!([{"step": find.0, "reason": "1 × found"}]);
    }
    let usage = Usage { prompt_tokens: 200 + dice.below(3_000), completion_tokens: 20 + dice.below(900) };
    event.provider = Some(provider.to_owned());
    event.tokens = Some(usage);
    event.cost_usd = Some(usage.total() as f64 * price);
    event.latency =
        Some(Latency { gateway_us: 400 + dice.below(1_500), upstream_us: 200_000 + dice.below(4_000_000) });
    event.pipeline = Some(PipelineRef { name: "starter".to_owned(), version: 0, hash: "0".repeat(64) });
    event.request_hash = Some("1".repeat(64));
    event.response_hash = Some("2".repeat(64));
    event
}

/// As the writer keeps it. The chain is not made: no figure reads it.
fn row(seq: u64, event: &Event) -> Result<AuditRow> {
    Ok(AuditRow {
        org_id: event.org_id,
        seq,
        event_id: event.event_id,
        ts: event.ts,
        agent_id: event.agent_id.clone(),
        session_id: event.session_id.clone(),
        event_type: event.event_type.as_str().to_owned(),
        action: event.action.map(|action| action.as_str().to_owned()),
        hash: format!("{seq:064x}"),
        body: serde_json::to_string(event)?,
    })
}
