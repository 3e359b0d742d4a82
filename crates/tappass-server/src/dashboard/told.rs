//! An event of the audit log in one line for people.

use jiff::Timestamp;
use serde_json::Value;
use tappass_audit::{Event, EventType};
use tappass_model::Action;
use tappass_store::AuditRow;

use super::format;

/// How a line is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// A class of `.chip`.
    pub class: &'static str,
    /// An icon.
    pub icon: &'static str,
    /// The word.
    pub word: &'static str,
}

const fn mark(class: &'static str, icon: &'static str, word: &'static str) -> Mark {
    Mark { class, icon, word }
}

/// One event, told.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its id.
    pub event_id: String,
    /// Its number in the log.
    pub seq: u64,
    /// When.
    pub ts: Timestamp,
    /// Who: the agent, else the person.
    pub who: String,
    /// What kind of thing happened.
    pub kind: String,
    /// What came of it.
    pub mark: Option<Mark>,
    /// The rest of the sentence.
    pub text: String,
    /// What it took or cost, where it is a call.
    pub number: String,
}

impl Told {
    /// What a row of the log says. A row that cannot be read is told as that.
    #[must_use]
    pub fn of(row: &AuditRow) -> Self {
        match serde_json::from_str::<Event>(&row.body) {
            Ok(event) => Self::event(row.seq, &event),
            Err(_) => Self {
                event_id: row.event_id.to_string(),
                seq: row.seq,
                ts: row.ts,
                who: row.agent_id.clone().unwrap_or_default(),
                kind: format::words(&row.event_type),
                mark: Some(mark("bad", "warn", "unreadable")),
                text: "This record cannot be read: verify the log.".to_owned(),
                number: String::new(),
            },
        }
    }

    fn event(seq: u64, event: &Event) -> Self {
        let took = event.latency.map(|latency| format::micros(&latency.gateway_us));
        Self {
            event_id: event.event_id.to_string(),
            seq,
            ts: event.ts,
            who: event.agent_id.clone().or_else(|| event.user.clone()).unwrap_or_default(),
            kind: kind(event),
            mark: outcome(event),
            text: text(event),
            number: took.unwrap_or_default(),
        }
    }
}

fn kind(event: &Event) -> String {
    match event.event_type {
        EventType::LlmCall | EventType::LlmCallBlocked => {
            event.model.clone().unwrap_or_else(|| "model call".to_owned())
        }
        EventType::ToolCall | EventType::ToolCallBlocked => match event.details["tool"].as_str() {
            Some(tool) => format!("tool {tool}"),
            None => "tool call".to_owned(),
        },
        other => format::words(other.as_str()),
    }
}

/// What came of a call, or how grave another event is.
#[must_use]
pub fn outcome(event: &Event) -> Option<Mark> {
    match event.event_type {
        EventType::LlmCall | EventType::LlmCallBlocked | EventType::ToolCall | EventType::ToolCallBlocked => {
        }
        EventType::SigninFailed | EventType::AuditGap => return Some(mark("bad", "warn", "look")),
        EventType::FlagLooseningRefused => return Some(mark("warn", "warn", "refused")),
        EventType::ApprovalRequested => return Some(mark("ask", "ask", "asks")),
        _ => return None,
    }
    let (did, would) = (event.action?, event.verdict.unwrap_or(Action::Allow));
    Some(if did == Action::Error {
        mark("bad", "warn", "failed")
    } else if did >= Action::Block {
        mark("bad", "block", "blocked")
    } else if would >= Action::Block {
        mark("warn", "flag", "would block")
    } else if did >= Action::Redact {
        mark("info", "mask", "masked")
    } else if would >= Action::Redact {
        mark("info", "flag", "would mask")
    } else if !event.detections.is_empty() {
        mark("info", "info", "noted")
    } else {
        mark("ok", "allow", "passed")
    })
}

fn text(event: &Event) -> String {
    let details = &event.details;
    if let Some(step) = &event.blocked_by {
        return format!("{step}: {}", sentence_of(event, step));
    }
    if let Some(would) = details["would_block"].as_array().and_then(|all| all.first()) {
        return format!("{}: {}", plain(&would["step"]), plain(&would["reason"]));
    }
    if let Some(error) = details["provider_error"].as_object() {
        let status = error.get("status").map(plain).unwrap_or_default();
        return format!("provider error {status}");
    }
    if !event.detections.is_empty() {
        let found: Vec<String> =
            event.detections.iter().take(4).map(|d| format!("{} × {}", d.count, d.kind)).collect();
        return found.join(", ");
    }
    match event.event_type {
        EventType::LlmCall | EventType::LlmCallBlocked => String::new(),
        EventType::ToolCall | EventType::ToolCallBlocked => String::new(),
        _ => members(details),
    }
}

fn sentence_of(event: &Event, step: &str) -> String {
    let row = event.steps.iter().find(|row| row.step == step);
    row.map(|row| row.message.to_string()).unwrap_or_default()
}

/// The first few members of an object: `role: auditor · email: a@b.example`.
fn members(details: &Value) -> String {
    let Some(object) = details.as_object() else { return String::new() };
    let told = object.iter().filter(|(_, v)| !v.is_null() && !v.is_object()).take(4);
    told.map(|(k, v)| format!("{}: {}", format::words(k), plain(v))).collect::<Vec<_>>().join(" · ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
