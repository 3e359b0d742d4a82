//! The questions, and what a policy is told to answer each.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::Value;
use tappass_model::{Action, Classification, Mode};
use uuid::Uuid;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// May this agent make this call at all?
    Authz,
    /// May it use these tools, with these arguments?
    Tools,
    /// May it go to this provider?
    Routing,
    /// What follows from all that the steps of a phase found?
    Guardrails,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Authz, Self::Tools, Self::Routing, Self::Guardrails];

    /// The name in paths: `policies/<name>/`, `PUT /policies/{name}`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authz => "authz",
            Self::Tools => "tools",
            Self::Routing => "routing",
            Self::Guardrails => "guardrails",
        }
    }

    /// The Rego package.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Authz => "tappass.authz",
            Self::Tools => "tappass.tools",
            Self::Routing => "tappass.routing",
            Self::Guardrails => "tappass.guardrails",
        }
    }

    /// The question of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|q| q.name() == name)
    }

    /// The JSON Schema of its input.
    #[must_use]
    pub fn schema(self) -> Schema {
        match self {
            Self::Authz => schema_for!(Authz),
            Self::Tools => schema_for!(Tools),
            Self::Routing => schema_for!(Routing),
            Self::Guardrails => schema_for!(Guardrails),
        }
    }
}

/// What every question tells about the call. Never a text of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CallView {
    /// The organisation.
    pub org_id: Uuid,
    /// The agent, as it was registered.
    pub agent: String,
    /// The person on whose behalf, as the agent says.
    pub user: Option<String>,
    /// The session.
    pub session: String,
    /// 1 for the first call of the session.
    pub turn: u32,
    /// How strictly the call is governed.
    pub mode: Mode,
    /// The model as the caller named it.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The highest level established so far.
    pub classification: Classification,
    /// When the call came, RFC 3339, UTC.
    pub time: String,
}

/// The input of `tappass.authz`, asked when the `before` steps have run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Authz {
    /// The call.
    #[serde(flatten)]
    pub call: CallView,
    /// Names of the tools on offer.
    pub tools: Vec<String>,
}

/// The input of `tappass.tools`, asked of the tools that a request offers, and again of the calls that a model wants.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Tools {
    /// The call.
    #[serde(flatten)]
    pub call: CallView,
    /// Names of the tools on offer.
    pub tools: Vec<String>,
    /// The calls that the model wants; empty while the request is looked at.
    pub calls: Vec<ToolCallView>,
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ToolCallView {
    /// The tool.
    pub tool: String,
    /// Its arguments; `null` where they are not JSON.
    pub arguments: Value,
}

/// The input of `tappass.routing`, asked before the `call` steps.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Routing {
    /// The call.
    #[serde(flatten)]
    pub call: CallView,
    /// The provider that the model's name leads to.
    pub provider: String,
}

/// The input of `tappass.guardrails`, asked at the end of the `before` and of the `after` phase.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Guardrails {
    /// The call.
    #[serde(flatten)]
    pub call: CallView,
    /// `before` or `after`.
    pub phase: &'static str,
    /// The strictest of what the steps decided.
    pub action: Action,
    /// What they found.
    pub findings: Vec<FindingView>,
}

/// A finding, without what was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FindingView {
    /// The step.
    pub step: &'static str,
    /// What it is: `EMAIL`, `AWS_ACCESS_KEY` …
    pub kind: String,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Who put the text there (`user`, `tool_result` …); `null` for a finding about the call as a whole.
    pub origin: Option<tappass_model::Origin>,
}
