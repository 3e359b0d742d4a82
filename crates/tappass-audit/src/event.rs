//! What happened, as one record: plain data with public fields, filled in by whoever knows them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_model::{Action, Classification, Clock, Finding, Ids, Mode, Usage, clock::rfc3339};
use uuid::Uuid;

/// What an event tells of. The names stand in records, filters and exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A model call that was let through.
    LlmCall,
    /// A model call that was refused.
    LlmCallBlocked,
    /// A tool call that was let through.
    ToolCall,
    /// A tool call that was refused.
    ToolCallBlocked,
    /// What an agent reported of itself beside its calls; `details` says what.
    AgentEvent,
    /// Personal data was seen.
    PiiDetected,
    /// Personal data was replaced.
    PiiRedacted,
    /// A secret was seen.
    SecretDetected,
    /// A person is asked to decide.
    ApprovalRequested,
    /// A person has decided, or time has.
    ApprovalDecided,
    /// A new agent.
    AgentRegistered,
    /// A new key.
    KeyCreated,
    /// A key that no longer works.
    KeyRevoked,
    /// A pipeline was made, changed or assigned.
    PipelineChanged,
    /// A policy was changed.
    PolicyChanged,
    /// Another setting was changed; `details` says which.
    ConfigChanged,
    /// What calls said was read, where it is kept; `details` says how many and what for.
    PayloadsRead,
    /// Someone signed in.
    Signin,
    /// Someone did not get in.
    SigninFailed,
    /// A caller asked for less than an admin has fixed.
    FlagLooseningRefused,
    /// Events were lost; `details.lost` says how many.
    AuditGap,
    /// A checkpoint was asked for.
    Checkpoint,
}

impl EventType {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 22] = [
        Self::LlmCall,
        Self::LlmCallBlocked,
        Self::ToolCall,
        Self::ToolCallBlocked,
        Self::AgentEvent,
        Self::PiiDetected,
        Self::PiiRedacted,
        Self::SecretDetected,
        Self::ApprovalRequested,
        Self::ApprovalDecided,
        Self::AgentRegistered,
        Self::KeyCreated,
        Self::KeyRevoked,
        Self::PipelineChanged,
        Self::PolicyChanged,
        Self::ConfigChanged,
        Self::PayloadsRead,
        Self::Signin,
        Self::SigninFailed,
        Self::FlagLooseningRefused,
        Self::AuditGap,
        Self::Checkpoint,
    ];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LlmCall => "llm_call",
            Self::LlmCallBlocked => "llm_call_blocked",
            Self::ToolCall => "tool_call",
            Self::ToolCallBlocked => "tool_call_blocked",
            Self::AgentEvent => "agent_event",
            Self::PiiDetected => "pii_detected",
            Self::PiiRedacted => "pii_redacted",
            Self::SecretDetected => "secret_detected",
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalDecided => "approval_decided",
            Self::AgentRegistered => "agent_registered",
            Self::KeyCreated => "key_created",
            Self::KeyRevoked => "key_revoked",
            Self::PipelineChanged => "pipeline_changed",
            Self::PolicyChanged => "policy_changed",
            Self::ConfigChanged => "config_changed",
            Self::PayloadsRead => "payloads_read",
            Self::Signin => "signin",
            Self::SigninFailed => "signin_failed",
            Self::FlagLooseningRefused => "flag_loosening_refused",
            Self::AuditGap => "audit_gap",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// How often one step found one kind of thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The step's id.
    pub step: String,
    /// `EMAIL`, `AWS_ACCESS_KEY` …
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The first one, masked.
    pub sample: String,
    /// The highest score, 0 to 1.
    pub score: f64,
}

impl Detection {
    /// Findings grouped by step and kind, in the order of their first appearance.
    #[must_use]
    pub fn summarise(findings: &[Finding]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for f in findings {
            // A float of 32 bits is not a short decimal; three digits are what a score can mean.
            let score = (f64::from(f.score) * 1000.0).round() / 1000.0;
            match groups.iter_mut().find(|g| g.step == f.step && g.kind == f.kind) {
                Some(group) => {
                    group.count += 1;
                    group.score = group.score.max(score);
                }
                None => groups.push(Self {
                    step: f.step.to_owned(),
                    kind: f.kind.to_string(),
                    count: 1,
                    sample: f.sample.clone(),
                    score,
                }),
            }
        }
        groups
    }
}

/// What one step did: a row of the trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// The step's id.
    pub step: Cow<'static, str>,
    /// What was done.
    pub action: Action,
    /// Whether it was a hit.
    pub detected: bool,
    /// One sentence, without content; empty when there is nothing to say.
    pub message: Cow<'static, str>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// Where the time of a call went, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The gateway's own.
    pub gateway_us: u64,
    /// The provider's.
    pub upstream_us: u64,
}

/// The pipeline that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The hash of what was compiled.
    pub hash: String,
}

/// One record of the audit log. What is `None` or empty is left out of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// UUIDv7. Recording the same id twice records it once.
    pub event_id: Uuid,
    /// What it tells of.
    pub event_type: EventType,
    /// When it happened.
    #[serde(with = "micros")]
    pub ts: Timestamp,
    /// Whose log it stands in.
    pub org_id: Uuid,
    /// The agent, by its registered name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// 1 for the first call of a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_index: Option<u32>,
    /// The person: the end user of a call, the one who signed in or changed something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// With which model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The mode of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What the configured actions amount to, whatever the mode: what enforce would have done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Action>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The step that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// How sensitive the call was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detections: Vec<Detection>,
    /// What each step did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRow>,
    /// What the provider counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Usage>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Where the time went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The pipeline that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRef>,
    /// SHA-256 of the request as it was forwarded (or would have been), hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<String>,
    /// SHA-256 of the answer as it was given, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_hash: Option<String>,
    /// W3C trace id, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// What else belongs to this type of event. Numbers beyond 2^53 and nesting beyond 32 are recorded as strings.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

impl Event {
    /// An event that happens now, with nothing but its type and its organisation.
    #[must_use]
    pub fn new(event_type: EventType, org_id: Uuid, ids: &dyn Ids, clock: &dyn Clock) -> Self {
        Self {
            event_id: ids.uuid(),
            event_type,
            ts: clock.now(),
            org_id,
            agent_id: None,
            session_id: None,
            turn_index: None,
            user: None,
            provider: None,
            model: None,
            mode: None,
            verdict: None,
            action: None,
            blocked_by: None,
            classification: None,
            detections: Vec::new(),
            steps: Vec::new(),
            tokens: None,
            cost_usd: None,
            latency: None,
            pipeline: None,
            request_hash: None,
            response_hash: None,
            trace_id: None,
            details: Value::Null,
        }
    }
}

/// RFC 3339, UTC, six digits.
mod micros {
    use super::{Timestamp, rfc3339};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(ts: &Timestamp, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&rfc3339(*ts))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tappass_model::{SystemClock, SystemIds};

    #[test]
    fn names_are_those_of_the_records() {
        for t in EventType::ALL {
            assert_eq!(serde_json::to_value(t).expect("a name"), t.as_str());
        }
    }

    #[test]
    fn what_is_unknown_is_left_out_and_the_rest_reads_back() {
        let mut event = Event::new(EventType::Signin, Uuid::nil(), &SystemIds, &SystemClock);
        let text = serde_json::to_string(&event).expect("writes");
        assert_eq!(
            serde_json::from_str::<Value>(&text).expect("reads").as_object().map(serde_json::Map::len),
            Some(4)
        );

        event.ts = "2026-11-22T09:30:00.000001Z".parse().expect("a time");
        event.action = Some(Action::Redact);
        event.cost_usd = Some(0.000_125);
        event.details = serde_json::json!({"from": "127.0.0.1"});
        let text = serde_json::to_string(&event).expect("writes");
        assert!(
            text.contains(r#""ts":"2026-11-22T09:30:00.000001Z""#) && text.contains(r#""action":"redact""#)
        );
        assert_eq!(serde_json::from_str::<Event>(&text).expect("reads"), event);
    }

    #[test]
    fn findings_are_counted_by_step_and_kind() {
        let finding = |kind: &'static str, score, sample: &str| Finding {
            step: "detect_pii",
            family: None,
            kind: kind.into(),
            span: None,
            score,
            sample: sample.to_owned(),
            maskable: false,
            replacement: None,
        };
        let all = [finding("EMAIL", 0.9, "a…m"), finding("IBAN", 0.95, "D…1"), finding("EMAIL", 0.99, "b…m")];
        let groups = Detection::summarise(&all);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].count, groups[0].score, groups[0].sample.as_str()), (2, 0.99, "a…m"));
    }
}
