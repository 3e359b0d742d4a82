//! The tools of a request, as far as the dialects have them alike.

use serde_json::Value;
use tappass_model::{ToolCall, Unread};

/// The definitions on offer, each with its name.
pub fn definitions(body: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let items = |key: &str| body[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |definition| Some((name(definition)?, definition));
    items("tools").iter().chain(items("functions")).filter_map(named)
}

/// A tool's name: of a definition, a choice or a call. What has none of its own is called by its kind, without its version.
pub(super) fn name(tool: &Value) -> Option<&str> {
    let own = [&tool["function"]["name"], &tool["custom"]["name"], &tool["name"]]
        .into_iter()
        .find_map(Value::as_str);
    own.or_else(|| match tool["type"].as_str()? {
        "function" | "custom" | "mcp" | "mcp_toolset" => None,
        kind => Some(FAMILIES.into_iter().find(|family| kind.starts_with(family)).unwrap_or(kind)),
    })
}

/// Kinds of tool that have a version in their name.
const FAMILIES: [&str; 2] = ["web_search", "computer"];

/// Kinds of tool that the agent runs, beside its own; those of Anthropic have a version behind.
const AGENTS: [&str; 8] =
    ["apply_patch", "bash", "computer", "custom", "function", "local_shell", "memory", "text_editor"];

/// The tools that the provider runs by itself, by name: nobody can judge what they are called with before it happens.
pub(super) fn provider_runs(body: &Value) -> Vec<String> {
    let run = |tool: &&Value| match tool["type"].as_str() {
        // Both run it: where the agent does, the definition says so.
        Some("shell") => tool["environment"]["type"] != "local",
        Some(kind) => !AGENTS.iter().any(|agents| kind.starts_with(agents)),
        None => false,
    };
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let search = body["web_search_options"].is_object().then(|| "web_search".to_owned());
    tools.iter().filter(run).filter_map(name).map(str::to_owned).chain(search).collect()
}

/// Why the tools of servers that the provider reaches by itself cannot be judged.
pub(super) fn tools_of_servers(place: impl Into<String>) -> Unread {
    Unread {
        place: place.into(),
        why: "is an MCP server that the provider reaches by itself, so nothing can judge what it is asked and what it returns",
        remedy: "its tools, offered as functions that the agent runs",
    }
}

/// The tool whose definition a segment's pointer leads into.
#[must_use]
pub fn definition_at<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    let mut parts = pointer.split('/').skip(1);
    let key = parts.next().filter(|key| matches!(*key, "tools" | "functions"))?;
    name(body[key].get(parts.next()?.parse::<usize>().ok()?)?)
}

/// A tool call of the history, with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastCall {
    /// The index of the message that asked for it.
    pub message: usize,
    /// The call.
    pub call: ToolCall,
    /// The text of its result, as far as the history has one.
    pub result: Option<String>,
}

/// What a request tells of the conversation before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The tool calls, in order, with their results.
    pub calls: Vec<PastCall>,
    /// The index of the last message in which the user says something.
    pub user_spoke: Option<usize>,
    /// Whether the last message reports what tools returned.
    pub answered: bool,
    /// The tool whose result is all that the request is about.
    pub reported: Option<String>,
    /// Whether all of it is from outside, whatever the tool is called.
    pub external: bool,
}

impl History {
    /// The calls of the last message that asked for any.
    pub fn last_round(&self) -> impl Iterator<Item = &PastCall> {
        let round = self.calls.last().map(|past| past.message);
        self.calls.iter().filter(move |past| Some(past.message) == round)
    }
}

/// The text of a result: a string, or the texts of its parts.
pub(super) fn result_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
