//! One governed call, from the request to the answer: what the steps look at.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{AgentCaller, Classification, Flags, Match, Memory, Mode, Scope, Segment, ToolRules};

/// The shape of bodies a route speaks. The answer goes back in the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI's `POST /v1/chat/completions`.
    OpenAiChat,
    /// OpenAI's `POST /v1/responses`.
    OpenAiResponses,
    /// OpenAI's `POST /v1/embeddings`.
    OpenAiEmbeddings,
    /// Anthropic's `POST /v1/messages`.
    AnthropicMessages,
    /// Anthropic's `POST /v1/messages/count_tokens`.
    AnthropicTokens,
    /// `POST /v1/govern`: a tool call that an agent is about to make, without a model's answer.
    ToolCall,
    /// `POST /v1/govern/execution`: what such a call came to.
    ToolResult,
    /// What an agent asks of an MCP server, through `/mcp/{server}`.
    McpCall,
    /// Any other message between an agent and an MCP server.
    McpMessage,
    /// `POST /hooks`: what a person says to a coding agent. Keep it the last: [`Dialect::ALL`] counts by it.
    Prompt,
}

impl Dialect {
    /// Whether it is a tool call that an agent makes without a model's answer.
    #[must_use]
    pub const fn is_tool_call(self) -> bool {
        matches!(self, Self::ToolCall | Self::McpCall)
    }

    /// Whether it is what a tool returned, or another message that is there already and goes to no model.
    #[must_use]
    pub const fn is_report(self) -> bool {
        matches!(self, Self::ToolResult | Self::McpMessage)
    }

    /// All of them.
    pub const ALL: [Self; Self::Prompt as usize + 1] = [
        Self::OpenAiChat,
        Self::OpenAiEmbeddings,
        Self::AnthropicMessages,
        Self::AnthropicTokens,
        Self::ToolCall,
        Self::ToolResult,
        Self::OpenAiResponses,
        Self::Prompt,
        Self::McpCall,
        Self::McpMessage,
    ];
}

/// Which conversation a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRef {
    /// Given by the caller or minted.
    pub id: String,
    /// 1 for the first call of the session.
    pub turn_index: u32,
}

/// A tool call, wanted by the model or reported by the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's id for it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// JSON in a string, as the model wrote it.
    pub arguments: String,
}

/// Tokens as the provider counted them; 0 where it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

impl Usage {
    /// Read and written together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

/// A request, normalised: the body as it will be forwarded, and every text in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// The body's shape.
    pub dialect: Dialect,
    /// The model as the caller named it, with its prefix (`anthropic/claude-…`).
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The body. What is forwarded is written from this value, so what was scanned is what leaves.
    pub body: Value,
    /// How many bytes the body had.
    pub bytes: usize,
    /// Every text of the body, in its order. Their pointers lead into `body`.
    pub segments: Vec<Segment>,
    /// Names of the tools on offer.
    pub tools: Vec<String>,
    /// Names of those among them that the provider runs by itself.
    pub provider_tools: Vec<String>,
    /// How many messages the conversation has.
    pub messages: usize,
    /// The first part that cannot be read for certain. The texts that are seen in it are scanned all the same.
    pub unknown: Option<Unread>,
}

/// A part of a request that cannot be read for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Where it is: `messages[0].content[1]`.
    pub place: String,
    /// The rest of the sentence that begins with the place.
    pub why: &'static str,
    /// What could be sent instead.
    pub remedy: &'static str,
}

impl Unread {
    /// Of a kind that this version does not know, so that what the provider does with it is not known either.
    #[must_use]
    pub fn kind(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            why: "is of a kind that this version does not know",
            remedy: "a newer version, or a request without it",
        }
    }
}

/// An answer that is complete, or as much of it as came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The provider's body; `Null` for a stream.
    pub body: Value,
    /// Every text of it.
    pub segments: Vec<Segment>,
    /// Hits in `segments`, one list a segment.
    pub matches: Vec<Vec<Match>>,
    /// Tools the model wants called.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens.
    pub usage: Usage,
    /// The provider that answered: `openai`, `builtin` …
    pub provider: String,
    /// The model that the provider says answered.
    pub model: String,
    /// The first part whose kind this version does not know.
    pub unknown: Option<String>,
}

/// One governed call. Steps read it; only the runner changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// The call's id: `task_id` in bodies, `call` in `tappass gov explain`.
    pub task_id: Uuid,
    /// The request id, echoed or minted.
    pub request_id: String,
    /// Who calls.
    pub caller: Arc<AgentCaller>,
    /// The person on whose behalf, as the agent says (`X-TapPass-User`).
    pub end_user: Option<String>,
    /// The tenant, matter, client or engagement it is about, as the agent says (`X-TapPass-Context`).
    pub context: Option<String>,
    /// The conversation.
    pub session: SessionRef,
    /// The mode after flags and floor.
    pub mode: Mode,
    /// The flags after locks and defaults.
    pub flags: Flags,
    /// What the call's `tools` flag leaves, beside the agent's own rules.
    pub tools: Option<ToolRules>,
    /// What was asked.
    pub request: ModelRequest,
    /// Hits in `request.segments`, one list a segment: the one scan every step reads.
    pub matches: Vec<Vec<Match>>,
    /// What came back; `None` before the provider answered.
    pub answer: Option<Answer>,
    /// The highest level established so far.
    pub classification: Classification,
    /// Cost in USD, once known.
    pub cost_usd: Option<f64>,
    /// When the call came.
    pub now: Timestamp,
    /// What is remembered of the session; empty unless a step of the pipeline asks for it.
    pub session_memory: Arc<Memory>,
    /// What is remembered of the agent; empty unless a step of the pipeline asks for it.
    pub agent_memory: Arc<Memory>,
    /// How much lower the thresholds of scored steps are in this call, 0 to 1: see [`Exchange::threshold`].
    pub strictness: f32,
}

impl Exchange {
    /// What is remembered.
    #[must_use]
    pub fn memory(&self, scope: Scope) -> &Memory {
        match scope {
            Scope::Session => &self.session_memory,
            Scope::Agent => &self.agent_memory,
        }
    }

    /// A scored step's threshold in this call: the configured one, lowered by the call's strictness.
    #[must_use]
    pub fn threshold(&self, configured: f32) -> f32 {
        configured * (1.0 - self.strictness)
    }
}
