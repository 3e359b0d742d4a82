//! From an agent's JSON to an [`Event`].

use serde_json::{Map, Value, json};
use tappass_model::json;

use super::{CodingAgent, Event, ToolUse, What};

/// Reads an event. Where the agent is not named, its form tells: `agent_action_name` is Windsurf's, a
/// `conversation_id` Cursor's, a `turn_id` Codex's.
///
/// # Errors
/// A sentence: what is missing, and where.
pub fn read(agent: Option<CodingAgent>, body: &Value) -> Result<Event, String> {
    let Some(event) = body.as_object() else { return Err("an event is a JSON object".into()) };
    let has = |key: &str| event.contains_key(key);
    let agent = agent.unwrap_or(match () {
        () if has("agent_action_name") => CodingAgent::Windsurf,
        () if has("conversation_id") || has("cursor_version") => CodingAgent::Cursor,
        () if has("turn_id") => CodingAgent::Codex,
        () => CodingAgent::ClaudeCode,
    });
    let name =
        text(event, if agent == CodingAgent::Windsurf { "agent_action_name" } else { "hook_event_name" })?;
    let what = match agent {
        CodingAgent::ClaudeCode | CodingAgent::Codex => claude(&name, event)?,
        CodingAgent::Cursor => cursor(&name, event)?,
        CodingAgent::Windsurf => windsurf(&name, event)?,
    };
    let session = ["session_id", "conversation_id", "trajectory_id"]
        .into_iter()
        .find_map(|key| event.get(key)?.as_str().filter(|id| !id.is_empty()));
    Ok(Event { agent, name, session: session.map(str::to_owned), what })
}

/// Claude Code's events, which Codex has too.
fn claude(name: &str, event: &Map<String, Value>) -> Result<What, String> {
    Ok(match name {
        "UserPromptSubmit" => What::Prompt(text(event, "prompt")?),
        "PreToolUse" => What::Call(called(event)?),
        "PostToolUse" => returned(event, "tool_response", false)?,
        "PostToolUseFailure" => returned(event, "error", true)?,
        _ => What::Other,
    })
}

fn cursor(name: &str, event: &Map<String, Value>) -> Result<What, String> {
    let read = |tool: &str| -> Result<What, String> {
        let args = Map::from_iter([("file_path".to_owned(), text(event, "file_path")?.into())]);
        let call = ToolUse { tool: tool.to_owned(), args, server: None };
        Ok(What::Read(call, event.get("content").and_then(Value::as_str).unwrap_or_default().to_owned()))
    };
    Ok(match name {
        "beforeSubmitPrompt" => What::Prompt(text(event, "prompt")?),
        "beforeShellExecution" => {
            let args = Map::from_iter([("command".to_owned(), text(event, "command")?.into())]);
            What::Call(ToolUse { tool: "Shell".to_owned(), args, server: None })
        }
        "beforeMCPExecution" => {
            let server = ["url", "command"].into_iter().find_map(|key| event.get(key)?.as_str());
            What::Call(ToolUse { server: server.map(short), ..called(event)? })
        }
        "preToolUse" => What::Call(called(event)?),
        "beforeReadFile" => read("Read")?,
        "beforeTabFileRead" => read("TabRead")?,
        "postToolUse" => returned(event, "tool_output", false)?,
        "postToolUseFailure" => returned(event, "error_message", true)?,
        "afterShellExecution" => {
            What::Result { tool: "Shell".to_owned(), result: given(event, "output"), failed: false }
        }
        "afterMCPExecution" => returned(event, "result_json", false)?,
        _ => What::Other,
    })
}

fn windsurf(name: &str, event: &Map<String, Value>) -> Result<What, String> {
    let none = Map::new();
    let info = event.get("tool_info").and_then(Value::as_object).unwrap_or(&none);
    // Where the agent happens to be is no argument.
    let args = || {
        info.iter()
            .filter(|(key, _)| *key != "cwd")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let call = |tool: &str| What::Call(ToolUse { tool: tool.to_owned(), args: args(), server: None });
    let mcp = || text(info, "mcp_tool_name").map_err(|e| format!("tool_info: {e}"));
    Ok(match name {
        "pre_user_prompt" => What::Prompt(text(info, "user_prompt").map_err(|e| format!("tool_info: {e}"))?),
        "pre_run_command" => call("run_command"),
        "pre_read_code" => call("read_code"),
        "pre_write_code" => call("write_code"),
        "pre_mcp_tool_use" => What::Call(ToolUse {
            tool: mcp()?,
            args: arguments(&given(info, "mcp_tool_arguments"))?,
            server: info.get("mcp_server_name").and_then(Value::as_str).map(short),
        }),
        "post_mcp_tool_use" => {
            What::Result { tool: mcp()?, result: given(info, "mcp_result"), failed: false }
        }
        _ => What::Other,
    })
}

/// `tool_name` and `tool_input`; the server of `mcp__server__tool`.
fn called(event: &Map<String, Value>) -> Result<ToolUse, String> {
    let tool = text(event, "tool_name")?;
    let server = tool.strip_prefix("mcp__").and_then(|rest| Some(rest.split_once("__")?.0)).map(short);
    Ok(ToolUse { args: arguments(&given(event, "tool_input"))?, server, tool })
}

fn returned(event: &Map<String, Value>, key: &str, failed: bool) -> Result<What, String> {
    Ok(What::Result { tool: text(event, "tool_name")?, result: given(event, key), failed })
}

/// Arguments as an object. JSON in a string is read; what is no object becomes one, so that nothing is left out.
fn arguments(input: &Value) -> Result<Map<String, Value>, String> {
    match input {
        Value::Null => Ok(Map::new()),
        Value::Object(args) => Ok(args.clone()),
        Value::String(text) if text.trim_start().starts_with('{') => {
            match json::parse_strict(text.as_bytes()).map_err(|e| format!("`tool_input`: {e}"))? {
                Value::Object(args) => Ok(args),
                other => Ok(Map::from_iter([("input".to_owned(), other)])),
            }
        }
        other => Ok(Map::from_iter([("input".to_owned(), other.clone())])),
    }
}

fn given(event: &Map<String, Value>, key: &str) -> Value {
    event.get(key).cloned().unwrap_or_else(|| json!(""))
}

fn text(event: &Map<String, Value>, key: &str) -> Result<String, String> {
    match event.get(key).and_then(Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("`{key}` must be given: a string")),
    }
}

/// A server's name, as short as names are.
fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &Value) -> Event {
        read(None, body).expect("reads")
    }

    #[test]
    fn each_agent_is_known_by_its_form() {
        for (body, agent, session) in [
            (json!({"hook_event_name": "Stop", "session_id": "a"}), CodingAgent::ClaudeCode, "a"),
            (json!({"hook_event_name": "Stop", "session_id": "a", "turn_id": "1"}), CodingAgent::Codex, "a"),
            (json!({"hook_event_name": "stop", "conversation_id": "c"}), CodingAgent::Cursor, "c"),
            (
                json!({"agent_action_name": "post_write_code", "trajectory_id": "t"}),
                CodingAgent::Windsurf,
                "t",
            ),
        ] {
            let event = of(&body);
            assert_eq!(
                (event.agent, event.session.as_deref(), event.what),
                (agent, Some(session), What::Other)
            );
        }
    }

    #[test]
    fn tool_calls_are_read_alike() {
        for (body, tool, server, args) in [
            (
                json!({"hook_event_name": "PreToolUse", "tool_name": "mcp__crm__find", "tool_input": {"q": 1}}),
                ("mcp__crm__find"),
                Some("crm"),
                json!({"q": 1}),
            ),
            (
                json!({"hook_event_name": "beforeShellExecution", "conversation_id": "c", "command": "ls", "cwd": "/x"}),
                "Shell",
                None,
                json!({"command": "ls"}),
            ),
            (
                json!({"hook_event_name": "beforeMCPExecution", "conversation_id": "c", "tool_name": "find",
                    "tool_input": "{\"q\": 1}", "url": "https://crm"}),
                "find",
                Some("https://crm"),
                json!({"q": 1}),
            ),
            (
                json!({"agent_action_name": "pre_run_command", "tool_info": {"command_line": "ls", "cwd": "/x"}}),
                "run_command",
                None,
                json!({"command_line": "ls"}),
            ),
            (
                json!({"agent_action_name": "pre_mcp_tool_use", "tool_info": {"mcp_server_name": "crm",
                    "mcp_tool_name": "find", "mcp_tool_arguments": [1]}}),
                "find",
                Some("crm"),
                json!({"input": [1]}),
            ),
        ] {
            let What::Call(call) = of(&body).what else { panic!("{body}") };
            assert_eq!((call.tool.as_str(), call.server.as_deref()), (tool, server), "{body}");
            assert_eq!(Value::Object(call.args), args);
        }
    }

    #[test]
    fn the_canary_is_a_shell_command_and_nothing_else() {
        let call = |command: &str| json!({"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": command}});
        assert!(of(&call("tappass-canary")).is_canary());
        assert!(!of(&call("echo tappass-canary")).is_canary());
        let windsurf =
            json!({"agent_action_name": "pre_run_command", "tool_info": {"command_line": "tappass-canary"}});
        assert!(of(&windsurf).is_canary());
        assert!(!of(&json!({"hook_event_name": "UserPromptSubmit", "prompt": "tappass-canary"})).is_canary());
    }

    #[test]
    fn what_is_missing_is_named() {
        for (body, word) in [
            (json!([]), "object"),
            (json!({}), "hook_event_name"),
            (json!({"hook_event_name": "PreToolUse"}), "tool_name"),
            (json!({"hook_event_name": "UserPromptSubmit", "prompt": 1}), "prompt"),
            (json!({"agent_action_name": "pre_user_prompt"}), "tool_info: `user_prompt`"),
            (
                json!({"hook_event_name": "preToolUse", "conversation_id": "c", "tool_name": "x",
                    "tool_input": "{\"a\": 1, \"a\": 2}"}),
                "tool_input",
            ),
        ] {
            let error = read(None, &body).expect_err("incomplete");
            assert!(error.contains(word), "{body}: {error}");
        }
    }
}
