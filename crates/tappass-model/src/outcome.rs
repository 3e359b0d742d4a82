//! What a step says: its findings and their consequences, before the runner applies mode and `on_detection`.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::{Change, Classification, Family, Scope};

/// Where a finding stands: a byte range of one text of the request or the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Index into the request's or the answer's segments.
    pub segment: usize,
    /// First byte in the segment's original text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One thing a step found. Safe to log and to show: never holds the text itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The id of the step.
    pub step: &'static str,
    /// The family of detectors that found it; `None` for what is no hit of the scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// What it is: `EMAIL`, `AWS_ACCESS_KEY`, `TOOL_NOT_ALLOWED` …
    pub kind: Cow<'static, str>,
    /// Where, when it stands in a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// How sure, 0 to 1.
    pub score: f32,
    /// A masked sample that a person can recognise and no one can use: `4111…1111`.
    pub sample: String,
    /// Whether a placeholder in its place makes the text safe. Not so for an injection.
    #[serde(skip)]
    pub maskable: bool,
    /// What is put in its place instead of a placeholder, where it is masked.
    #[serde(skip)]
    pub replacement: Option<String>,
}

impl Finding {
    /// A finding about the call as a whole, such as a tool that may not be used.
    #[must_use]
    pub fn about(step: &'static str, kind: &'static str, sample: String) -> Self {
        Self {
            step,
            family: None,
            kind: Cow::Borrowed(kind),
            span: None,
            score: 1.0,
            sample,
            maskable: false,
            replacement: None,
        }
    }
}

/// A score held against a threshold: what decided whether a scored step had a hit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scored {
    /// The highest score found, 0 to 1.
    pub score: f32,
    /// From where on it is a hit, as it held in this call ([`crate::Exchange::threshold`]).
    pub threshold: f32,
}

/// A fact a step established. It holds in every mode; what changes the call (its tools, where it goes) waits for a
/// mode that acts.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The call is at least this sensitive (it never falls).
    Classify(Classification),
    /// What the call cost in USD, or that the price is unknown.
    Cost(Option<f64>),
    /// What is left of a limit, for the answer's headers.
    Rate(RateLimit),
    /// Keep a trace of the call for support.
    Keep {
        /// For so many days.
        days: u16,
    },
    /// Something to remember. Steps that come later in the same call see it too.
    Remember(Scope, Change),
    /// The thresholds of later scored steps are lowered by at least this share, 0 to 1.
    Tighten(f32),
    /// These tools, by name, are taken out of the request when its phase ends, if the step's action is to redact.
    RemoveTools(Vec<String>),
    /// The call goes to this model, named with its provider's prefix, instead of the one asked for.
    Route(String),
}

/// The state of a rate limit after this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls per window.
    pub limit: u32,
    /// Calls left now.
    pub remaining: u32,
    /// The window.
    pub window: Duration,
    /// Until the whole limit is there again.
    pub reset: Duration,
}

/// How a refusal is told to the client, when the step's detection becomes one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Denial {
    /// A policy block: 403, never retried.
    #[default]
    Policy,
    /// A rate limit: 429 with `Retry-After`.
    RateLimited {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// A person decides first: 403, never retried by itself. Once approved, the same call passes once.
    Approval {
        /// What to wait for.
        approval_id: Uuid,
        /// Until when it can be decided.
        expires_at: Timestamp,
    },
    /// A tool is not what it was when it was first seen: 403, never retried.
    Integrity {
        /// The tool.
        tool: String,
        /// What is wrong with it: `definition_changed`.
        violation: &'static str,
    },
}

/// What a step found. The runner turns it into an action.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Whether this is a hit: `on_detection` applies.
    pub detected: bool,
    /// One sentence for the trace and, when the call is refused, for the caller. Holds no content.
    pub message: Cow<'static, str>,
    /// What was found. May be non-empty without `detected` (below a threshold).
    pub findings: Vec<Finding>,
    /// Facts that hold whatever the mode.
    pub effects: Vec<Effect>,
    /// How a refusal would be told.
    pub denial: Denial,
    /// Of a step that scores: what decided.
    pub scored: Option<Scored>,
    /// What would have changed the decision, as far as only the step knows it (`allow: [pay]`, `max_calls above 30`).
    /// Thresholds, allowlists and `on_detection` are added by whoever explains the call. Holds no content.
    pub remedy: Cow<'static, str>,
}

impl Outcome {
    /// Nothing found.
    #[must_use]
    pub fn pass() -> Self {
        Self::default()
    }

    /// Nothing found, and why or what was looked at.
    #[must_use]
    pub fn pass_with(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A hit.
    #[must_use]
    pub fn hit(message: impl Into<Cow<'static, str>>, findings: Vec<Finding>) -> Self {
        Self { detected: true, message: message.into(), findings, ..Self::default() }
    }

    /// With the score that decided, and what it was held against. Of several findings: the highest score.
    #[must_use]
    pub fn scored(mut self, score: f32, threshold: f32) -> Self {
        self.scored = Some(Scored { score, threshold });
        self
    }

    /// As [`Outcome::scored`], of a step whose findings each reached the threshold by themselves.
    #[must_use]
    pub fn each_above(self, threshold: f32) -> Self {
        let highest = self.findings.iter().map(|f| f.score).fold(0.0, f32::max);
        self.scored(highest, threshold)
    }

    /// With what would have changed the decision: one phrase, that an admin can act upon.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// With a fact.
    #[must_use]
    pub fn with(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
}
