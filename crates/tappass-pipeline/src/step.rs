//! What a step is: metadata, parameters, one method. The runner does the rest.

use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tappass_model::{Change, Dialect, Exchange, Family, Match, OnDetection, Outcome, Scope, ToolCall};
use tappass_provider::ProviderError;

use crate::{arguments::Objection, runner::Call};

/// Where in a call a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Decide whether the call may leave.
    Before,
    /// Route it and run it.
    Call,
    /// Decide what may come back.
    After,
}

/// What a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Structure and sensitivity.
    ClassifyAndPrepare,
    /// Who may do how much.
    AccessControl,
    /// What must not leave.
    DataProtection,
    /// What must not get in.
    ThreatDetection,
    /// Where it goes.
    RouteAndExecute,
    /// What may come back.
    ResponseSafety,
    /// What is counted.
    Tracking,
}

impl Phase {
    /// The name in YAML, the API and the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Call => "call",
            Self::After => "after",
        }
    }
}

impl Category {
    /// The name in YAML, the API and the documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClassifyAndPrepare => "classify_and_prepare",
            Self::AccessControl => "access_control",
            Self::DataProtection => "data_protection",
            Self::ThreatDetection => "threat_detection",
            Self::RouteAndExecute => "route_and_execute",
            Self::ResponseSafety => "response_safety",
            Self::Tracking => "tracking",
        }
    }
}

/// What never changes about a step.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// The name in YAML, the API, the audit log and the file that holds it.
    pub id: &'static str,
    /// Its place in the order of a call.
    pub position: u16,
    /// When it runs.
    pub phase: Phase,
    /// What it is about.
    pub category: Category,
    /// What it decides, in one line.
    pub summary: &'static str,
    /// What it defends against: OWASP LLM 2025 (`LLM01` …), OWASP Agentic (`ASI02` …), MITRE ATLAS (`AML.T0051` …).
    pub threats: &'static [&'static str],
    /// What a hit does unless the configuration says otherwise.
    pub on_detection: OnDetection,
}

/// What of a call a step is about. Where a dialect has none of it, the step does not run, and its row says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum About {
    /// The call, whatever it holds.
    #[default]
    Call,
    /// A conversation, and the tools in it.
    Conversation,
    /// What the answer says, or the tools that it calls.
    Answer,
}

/// What happens when a step itself fails: panics, times out, cannot reach what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The call is refused in enforce; recorded in observe.
    #[default]
    Block,
    /// Recorded; the call goes on. An admin's explicit choice, never a default.
    Continue,
}

/// The parameters that every step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Common {
    /// What a hit does.
    pub on_detection: OnDetection,
    /// What a failure does.
    pub on_error: OnError,
}

/// A step's fixed side. The type that implements it *is* the step's parameters; its doc comment is the step's
/// documentation, under the headings *What it does*, *Why*, *On a hit* and *Limits*.
pub trait Define: Serialize + DeserializeOwned + JsonSchema + Default + Send + Sync + 'static {
    /// What never changes.
    const META: Meta;

    /// What of a call it is about.
    const ABOUT: About = About::Call;

    /// Checks the parameters and makes ready what the call path needs. Runs when a pipeline is compiled.
    ///
    /// # Errors
    /// A sentence that names the parameter and what it may be.
    fn prepare(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// The detectors whose hits it reads. The one scan runs the union of what the steps ask for.
    fn families(&self) -> &'static [Family] {
        &[]
    }

    /// Whose memory it reads or adds to. What no step of a pipeline names is not looked up.
    fn remembers(&self) -> &'static [Scope] {
        &[]
    }
}

/// A step without I/O: from the exchange so far to an outcome. Most steps are.
pub trait Pure: Send + Sync {
    /// Looks and says what it found.
    fn run(&self, exchange: &Exchange) -> Outcome;

    /// Whether the step can judge an answer while it streams; the others see it when it is complete.
    fn streams(&self) -> bool {
        false
    }

    /// Whether one hit in the answer counts, given the hits before it in the same text. Asked of steps that
    /// [`streams`](Self::streams), hit by hit as they become certain.
    fn counts(&self, _hit: &Match, _text: &str, _before: &[Match]) -> bool {
        false
    }

    /// Whether its verdict on a streamed answer needs all of it: where a hit would block, nothing of the answer goes
    /// out before its end.
    fn holds(&self) -> bool {
        false
    }

    /// Whether a step of the `before` phase also decides about the tool calls of the answer.
    fn judges_answers(&self) -> bool {
        false
    }

    /// Its second look, once the answer is there and before the steps after the provider call.
    fn judge_answer(&self, _exchange: &Exchange) -> Outcome {
        Outcome::pass()
    }

    /// Whether a step of the `call` or the `after` phase judges a tool call, or its result, that comes without a model's
    /// call. The steps after the provider's call all see the tool call.
    fn without_model(&self, _dialect: Dialect) -> bool {
        false
    }

    /// What is put back into the answer once every mask is in: tokens with their values. Asked only in a mode that
    /// acts, of the steps after the provider call.
    fn restores(&self, _exchange: &Exchange) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What the step has against a tool call that the model wants. Asked by `scan_tool_calls`.
    fn objects(&self, _exchange: &Exchange, _call: &ToolCall) -> Option<Objection> {
        None
    }
}

/// A step that waits: for shared limits, a provider, a person.
#[async_trait::async_trait]
pub trait Waiting: Send + Sync {
    /// Does its part.
    ///
    /// # Errors
    /// [`StepError`]; the runner applies `on_error`.
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError>;

    /// How long it may take; `None` where its parts have deadlines of their own.
    fn deadline(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    /// What the step has against a tool call that the model wants. Asked by `scan_tool_calls`.
    fn objects(&self, _exchange: &Exchange, _call: &ToolCall) -> Option<Objection> {
        None
    }

    /// As [`Pure::without_model`].
    fn without_model(&self, _dialect: Dialect) -> bool {
        false
    }

    /// Whether a step of the `before` phase also decides about the tool calls of the answer.
    fn judges_answers(&self) -> bool {
        false
    }

    /// Its second look, once every other step has let the answer pass. Where the step can block, tool calls in a stream
    /// wait for it.
    ///
    /// # Errors
    /// [`StepError`]; the runner applies `on_error`.
    async fn judge_answer(&self, _call: &mut Call) -> Result<Outcome, StepError> {
        Ok(Outcome::pass())
    }

    /// What is to be remembered of the call when it has ended, however it ended: also when the step never came to run.
    fn at_the_end(&self, _call: &Call) -> Vec<(Scope, Change)> {
        Vec::new()
    }
}

/// Why a step could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The provider gave no answer: told to the caller as such, not as a policy decision.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Anything else. Logged; the caller hears that the step failed.
    #[error("{0}")]
    Failed(String),
}

/// A configured step, ready to run. The kind is visible here: pure steps don't pay for async.
pub enum Runnable {
    /// Synchronous.
    Pure(Box<dyn Pure>),
    /// Asynchronous.
    Waiting(Box<dyn Waiting>),
}

impl Runnable {
    /// Whether it judges a tool call, or its result, that comes without a model's call.
    #[must_use]
    pub fn without_model(&self, dialect: Dialect) -> bool {
        match self {
            Self::Pure(step) => step.without_model(dialect),
            Self::Waiting(step) => step.without_model(dialect),
        }
    }

    /// What the step has against a tool call.
    #[must_use]
    pub fn objects(&self, exchange: &Exchange, call: &ToolCall) -> Option<Objection> {
        match self {
            Self::Pure(step) => step.objects(exchange, call),
            Self::Waiting(step) => step.objects(exchange, call),
        }
    }
}

/// Made of a step's parameters: the step, the detectors it reads, and its parameters with all defaults filled in.
pub struct Built {
    /// The step.
    pub run: Runnable,
    /// The detectors it reads.
    pub families: &'static [Family],
    /// The memories it reads or adds to.
    pub remembers: &'static [Scope],
    /// What of a call it is about.
    pub about: About,
    /// Its parameters, complete.
    pub parameters: Value,
}

/// Why a step cannot be made of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// Keys and positions that lead to what is wrong; nothing when it is the parameters as a whole.
    pub path: Vec<String>,
    /// What is wrong.
    pub what: String,
}

/// A line of the registry.
pub struct Entry {
    /// What never changes.
    pub meta: Meta,
    /// Makes the step of its parameters (without the common ones).
    pub build: fn(Value) -> Result<Built, BuildError>,
    /// The JSON Schema of its parameters, with the documentation.
    pub schema: fn() -> Schema,
}

impl Entry {
    /// A pure step's line.
    #[must_use]
    pub const fn pure<S: Define + Pure>() -> Self {
        Self {
            meta: S::META,
            build: |v| make::<S>(v, |s| Runnable::Pure(Box::new(s))),
            schema: || schema_for!(S),
        }
    }

    /// A waiting step's line.
    #[must_use]
    pub const fn waiting<S: Define + Waiting>() -> Self {
        Self {
            meta: S::META,
            build: |v| make::<S>(v, |s| Runnable::Waiting(Box::new(s))),
            schema: || schema_for!(S),
        }
    }
}

fn make<S: Define>(parameters: Value, into: fn(S) -> Runnable) -> Result<Built, BuildError> {
    let whole = |what: String| BuildError { path: Vec::new(), what };
    let mut step: S = serde_path_to_error::deserialize(parameters).map_err(|e| {
        let path = e.path().iter().map(ToString::to_string);
        // A list's place is told as `[1]`.
        let path = path.map(|part| part.trim_matches(['[', ']']).to_owned()).filter(|part| part != "?");
        BuildError { path: path.collect(), what: e.inner().to_string() }
    })?;
    step.prepare().map_err(whole)?;
    let parameters = serde_json::to_value(&step).map_err(|e| whole(e.to_string()))?;
    let (families, remembers) = (step.families(), step.remembers());
    Ok(Built { families, remembers, about: S::ABOUT, parameters, run: into(step) })
}
