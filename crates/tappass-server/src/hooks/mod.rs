//! Coding agents run a command at their hooks: it gets an event as JSON and answers whether to go on. What their events
//! say and how their answers look is here; what is decided is the pipeline's business.
//!
//! Written from the agents' own references: Claude Code (code.claude.com/docs/en/hooks), Codex
//! (developers.openai.com/codex/hooks), Cursor (cursor.com/docs/agent/hooks), Windsurf
//! (docs.windsurf.com/windsurf/cascade/hooks).

pub mod answer;
mod read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use answer::{Ruling, answer, denial};
pub use read::read;

/// The shell command that is refused in every mode, so that a refusal proves the way from the agent to the gateway. No
/// program has this name; where no hook is in the way, the shell says so.
pub const CANARY: &str = "tappass-canary";
/// Begins the reason of the canary's refusal.
pub const CANARY_SAYS: &str = "the canary was seen";

/// A coding agent with hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CodingAgent {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// `OpenAI`'s Codex.
    Codex,
    /// The editor Cursor.
    Cursor,
    /// Cascade, of the editor Windsurf.
    Windsurf,
}

impl CodingAgent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ClaudeCode, Self::Codex, Self::Cursor, Self::Windsurf];

    /// The name on the command line, in queries and in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Cursor => "cursor",
            Self::Windsurf => "windsurf",
        }
    }
}

/// What happened, or is about to.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A person said something.
    Prompt(String),
    /// A tool is about to be called.
    Call(ToolUse),
    /// A file is about to be read: the call, and what the agent would get.
    Read(ToolUse, String),
    /// A tool has returned something.
    Result {
        /// Its name.
        tool: String,
        /// What it returned.
        result: Value,
        /// Whether it failed.
        failed: bool,
    },
    /// Anything else: recorded, never refused.
    Other,
}

/// A tool call, as the pipeline's steps read it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolUse {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub args: Map<String, Value>,
    /// The MCP server that has it.
    pub server: Option<String>,
}

/// An event of a coding agent's hook.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Whose it is.
    pub agent: CodingAgent,
    /// Its name, as the agent writes it.
    pub name: String,
    /// The agent's own id of the conversation.
    pub session: Option<String>,
    /// What it tells.
    pub what: What,
}

impl Event {
    /// Whether an answer can keep from happening what it tells of, or from being heard.
    #[must_use]
    pub const fn refusable(&self) -> bool {
        !matches!(self.what, What::Other)
    }

    /// Whether it is before the fact.
    #[must_use]
    pub const fn asks(&self) -> bool {
        matches!(self.what, What::Prompt(_) | What::Call(_) | What::Read(..))
    }

    /// Whether an answer can put something else in the place of what it tells of.
    #[must_use]
    pub fn replaceable(&self) -> bool {
        match (&self.what, self.agent) {
            (What::Call(_), CodingAgent::ClaudeCode | CodingAgent::Codex) => true,
            (What::Call(_), CodingAgent::Cursor) => self.name == "preToolUse",
            (What::Result { .. }, agent) => matches!(agent, CodingAgent::ClaudeCode | CodingAgent::Codex),
            _ => false,
        }
    }

    /// Whether it is the [`CANARY`] and nothing else.
    #[must_use]
    pub fn is_canary(&self) -> bool {
        let What::Call(call) = &self.what else { return false };
        let command = call.args.get("command").or_else(|| call.args.get("command_line"));
        command.and_then(Value::as_str).is_some_and(|command| command.trim() == CANARY)
    }
}
