//! The texts of a call: every string that a model or an agent will read, with where it stands in the body.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who put a text into the conversation. Steps judge by it: an instruction is expected from a user,
/// suspect in a tool's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A system or developer message.
    System,
    /// A user message.
    User,
    /// An earlier answer of the model, sent along as context.
    Assistant,
    /// What a tool returned.
    ToolResult,
    /// Name, description or schema of a tool on offer.
    ToolDefinition,
    /// Arguments of a tool call, JSON in a string.
    ToolArguments,
    /// Any other string that leaves with the request (`user`, `metadata`, `stop`, a schema, a prediction …).
    Parameter,
    /// The model's answer.
    Answer,
    /// The model's visible reasoning.
    Reasoning,
}

/// One text of a request or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Who put it there.
    pub origin: Origin,
    /// Where it stands in the body: a JSON Pointer (RFC 6901), e.g. `/messages/0/content`.
    /// Keys that are content are named by position (`/metadata/~@0`), and are texts themselves (`/metadata/~@0#`):
    /// resolve it with the dialect's `get_text` and `set_text`.
    pub pointer: String,
    /// The text as it came in.
    pub text: String,
}
