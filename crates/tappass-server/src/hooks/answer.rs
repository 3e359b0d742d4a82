//! From a decision to what an agent's hook prints, and back.

use serde_json::{Map, Value, json};

use super::{CodingAgent, Event, What};

/// What is to happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// Go on. An agent's own rules and questions stay as they are; the note is shown where an agent can.
    Allow(Option<String>),
    /// Do not, or do not listen to it: why.
    Deny(String),
    /// Go on with this instead of the arguments, or hear this instead of the result.
    Replace(Value),
}

/// Why something is refused that only had to be masked.
pub const UNMASKED: &str =
    "it holds what must be masked, and this hook cannot change it: take it out, and try again";
const MASKED: &str = "TapPass masked what must not leave in the arguments.";

/// The JSON that an agent's hook prints for a ruling. An agent that cannot replace what is to be replaced is denied it.
#[must_use]
pub fn answer(event: &Event, ruling: &Ruling) -> Value {
    match event.agent {
        CodingAgent::ClaudeCode | CodingAgent::Codex => claude(event, ruling),
        CodingAgent::Cursor => cursor(event, ruling),
        CodingAgent::Windsurf => windsurf(event, ruling),
    }
}

fn claude(event: &Event, ruling: &Ruling) -> Value {
    let codex = event.agent == CodingAgent::Codex;
    let specific = |members: Value| {
        let mut all = Map::from_iter([("hookEventName".to_owned(), json!(event.name))]);
        all.extend(members.as_object().cloned().unwrap_or_default());
        json!({"hookSpecificOutput": all})
    };
    match (&event.what, ruling) {
        // No "allow": that would answer the agent's own question to its user.
        (_, Ruling::Allow(None)) | (What::Other, _) => json!({}),
        (_, Ruling::Allow(Some(note))) => json!({"systemMessage": note}),
        (What::Call(_) | What::Read(..), Ruling::Deny(why)) => {
            specific(json!({"permissionDecision": "deny", "permissionDecisionReason": why}))
        }
        // Codex takes other arguments with "allow" only, which answers no question of its own.
        (What::Call(_) | What::Read(..), Ruling::Replace(args)) => specific(json!({
            "permissionDecision": if codex { "allow" } else { "ask" },
            "permissionDecisionReason": MASKED, "updatedInput": args,
        })),
        (What::Prompt(_), Ruling::Deny(why)) => json!({"decision": "block", "reason": why}),
        (What::Prompt(_), Ruling::Replace(_)) => json!({"decision": "block", "reason": UNMASKED}),
        (What::Result { result, .. }, Ruling::Deny(why)) => {
            let mut said = json!({"decision": "block", "reason": why});
            if !codex {
                said["hookSpecificOutput"] =
                    specific(json!({"updatedToolOutput": withheld(result, why)}))["hookSpecificOutput"]
                        .take();
            }
            said
        }
        (What::Result { .. }, Ruling::Replace(other)) if codex => {
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            json!({"decision": "block", "reason": format!("TapPass masked the result: {text}")})
        }
        (What::Result { .. }, Ruling::Replace(other)) => specific(json!({"updatedToolOutput": other})),
    }
}

/// The messages stand in both spellings: Cursor 1.7 read the one, later versions read the other.
fn cursor(event: &Event, ruling: &Ruling) -> Value {
    let why = why_not(event, ruling);
    match &event.what {
        What::Prompt(_) => match why {
            None => json!({"continue": true}),
            Some(why) => json!({"continue": false, "user_message": why, "userMessage": why}),
        },
        What::Call(_) | What::Read(..) => match (why, ruling) {
            (Some(why), _) => json!({"permission": "deny", "user_message": why, "userMessage": why,
                "agent_message": why, "agentMessage": why}),
            (None, Ruling::Replace(args)) => {
                json!({"permission": "allow", "updated_input": args, "agent_message": MASKED})
            }
            (None, _) => json!({"permission": "allow"}),
        },
        // What a tool has returned cannot be taken back here; the session carries what was found in it.
        What::Result { .. } | What::Other => json!({}),
    }
}

fn windsurf(event: &Event, ruling: &Ruling) -> Value {
    match why_not(event, ruling) {
        Some(why) if event.asks() => json!({"decision": "block", "reason": why}),
        _ => json!({}),
    }
}

/// Why an agent that replaces arguments at best must not go on.
fn why_not(event: &Event, ruling: &Ruling) -> Option<String> {
    match ruling {
        Ruling::Allow(_) => None,
        Ruling::Deny(why) => Some(why.clone()),
        Ruling::Replace(_) if event.replaceable() => None,
        Ruling::Replace(_) => Some(UNMASKED.to_owned()),
    }
}

/// A result of the same form in which no text is left: an agent drops what is not in its tool's own form.
fn withheld(result: &Value, why: &str) -> Value {
    match result {
        Value::String(text) if text.is_empty() => json!(""),
        Value::String(_) => json!(format!("[withheld] {why}")),
        Value::Array(items) => items.iter().map(|item| withheld(item, why)).collect(),
        Value::Object(members) => {
            // Names that say what kind of part it is belong to the form.
            let form = |key: &str, value: &Value| {
                matches!(key, "type" | "mode") && value.as_str().is_some_and(|word| word.len() < 40)
            };
            let part = |(key, value): (&String, &Value)| {
                (key.clone(), if form(key, value) { value.clone() } else { withheld(value, why) })
            };
            Value::Object(members.iter().map(part).collect())
        }
        Value::Number(_) => json!(0),
        other => other.clone(),
    }
}

/// Why an answer to an event before the fact says no; `None` where it does not.
#[must_use]
pub fn denial(answer: &Value) -> Option<&str> {
    let text = |value: &'_ Value| value.is_string();
    let output = &answer["hookSpecificOutput"];
    let why = if output["permissionDecision"] == "deny" {
        &output["permissionDecisionReason"]
    } else if answer["permission"] == "deny" || answer["continue"] == false {
        &answer["user_message"]
    } else if answer["decision"] == "block" {
        &answer["reason"]
    } else {
        return None;
    };
    Some(why.as_str().filter(|_| text(why)).unwrap_or("denied"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::read;

    fn event(agent: CodingAgent, body: &Value) -> Event {
        read(Some(agent), body).expect("reads")
    }

    fn deny() -> Ruling {
        Ruling::Deny("no".into())
    }

    #[test]
    fn a_no_is_a_no_in_every_agents_words() {
        let claude = |name: &str| json!({"hook_event_name": name, "tool_name": "Bash", "prompt": "p", "tool_response": {"stdout": "s"}});
        let cursor = |name: &str| {
            json!({"hook_event_name": name, "command": "c", "tool_name": "t", "prompt": "p",
            "file_path": "f", "content": "x"})
        };
        let windsurf = |name: &str| {
            json!({"agent_action_name": name, "tool_info": {"user_prompt": "p",
            "command_line": "c", "mcp_tool_name": "t"}})
        };
        for (agent, body) in [
            (CodingAgent::ClaudeCode, claude("PreToolUse")),
            (CodingAgent::ClaudeCode, claude("UserPromptSubmit")),
            (CodingAgent::Codex, claude("PreToolUse")),
            (CodingAgent::Codex, claude("UserPromptSubmit")),
            (CodingAgent::Cursor, cursor("beforeShellExecution")),
            (CodingAgent::Cursor, cursor("beforeMCPExecution")),
            (CodingAgent::Cursor, cursor("beforeReadFile")),
            (CodingAgent::Cursor, cursor("beforeSubmitPrompt")),
            (CodingAgent::Cursor, cursor("preToolUse")),
            (CodingAgent::Windsurf, windsurf("pre_run_command")),
            (CodingAgent::Windsurf, windsurf("pre_user_prompt")),
            (CodingAgent::Windsurf, windsurf("pre_mcp_tool_use")),
        ] {
            let event = event(agent, &body);
            assert!(event.asks(), "{body}");
            assert_eq!(denial(&answer(&event, &deny())), Some("no"), "{body}");
            assert_eq!(denial(&answer(&event, &Ruling::Allow(None))), None, "{body}");
        }
    }

    #[test]
    fn an_allowed_call_leaves_claude_codes_own_questions_alone() {
        let call =
            event(CodingAgent::ClaudeCode, &json!({"hook_event_name": "PreToolUse", "tool_name": "Bash"}));
        assert_eq!(answer(&call, &Ruling::Allow(None)), json!({}));
        let said = answer(&call, &Ruling::Allow(Some("careful".into())));
        assert_eq!(said, json!({"systemMessage": "careful"}));
    }

    #[test]
    fn what_is_masked_replaces_what_was_there_or_is_refused() {
        let args = Ruling::Replace(json!({"command": "echo [EMAIL]"}));
        let body =
            json!({"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "c"}});
        let said = answer(&event(CodingAgent::ClaudeCode, &body), &args);
        assert_eq!(said["hookSpecificOutput"]["permissionDecision"], "ask");
        assert_eq!(said["hookSpecificOutput"]["updatedInput"]["command"], "echo [EMAIL]");
        let said = answer(&event(CodingAgent::Codex, &body), &args);
        assert_eq!(said["hookSpecificOutput"]["permissionDecision"], "allow");
        let shell = json!({"hook_event_name": "beforeShellExecution", "command": "c"});
        assert!(denial(&answer(&event(CodingAgent::Cursor, &shell), &args)).is_some());
        let any = json!({"hook_event_name": "preToolUse", "tool_name": "Write", "tool_input": {}});
        let said = answer(&event(CodingAgent::Cursor, &any), &args);
        assert_eq!(
            (&said["permission"], &said["updated_input"]["command"]),
            (&json!("allow"), &json!("echo [EMAIL]"))
        );
        let prompt = json!({"hook_event_name": "UserPromptSubmit", "prompt": "p"});
        assert!(denial(&answer(&event(CodingAgent::ClaudeCode, &prompt), &args)).is_some());
    }

    #[test]
    fn a_result_that_is_withheld_keeps_its_form() {
        let body = json!({"hook_event_name": "PostToolUse", "tool_name": "Bash",
            "tool_response": {"stdout": "secret", "lines": 3, "parts": [{"type": "text", "text": "secret"}], "ok": true, "stderr": ""}});
        let said = answer(&event(CodingAgent::ClaudeCode, &body), &deny());
        let output = &said["hookSpecificOutput"]["updatedToolOutput"];
        assert_eq!((&said["decision"], &output["parts"][0]["type"]), (&json!("block"), &json!("text")));
        assert!(
            !said.to_string().contains("secret")
                && output["stdout"] == "[withheld] no"
                && output["lines"] == 0
        );
        assert_eq!(output["stderr"], "");
        let said = answer(&event(CodingAgent::Codex, &body), &deny());
        assert_eq!(
            said,
            json!({"decision": "block", "reason": "no"}),
            "Codex takes no member that it does not know"
        );
        let said = answer(&event(CodingAgent::Codex, &body), &Ruling::Replace(json!({"stdout": "[X]"})));
        assert!(said["reason"].as_str().is_some_and(|why| why.contains("[X]")));
    }

    #[test]
    fn nothing_else_is_ever_refused() {
        let stop = json!({"hook_event_name": "Stop", "agent_action_name": "post_write_code"});
        for agent in CodingAgent::ALL {
            assert_eq!(answer(&event(agent, &stop), &deny()), json!({}));
        }
    }
}
