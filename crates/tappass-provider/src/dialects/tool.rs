//! What is judged without a model: `POST /v1/govern` asks about a tool call, `POST /v1/govern/execution` reports its
//! result, and `POST /hooks` tells, beside these, what a person says to a coding agent.
//!
//! They go through the gateway as a call does, so that the same steps judge them: what an agent is about to do stands
//! where a model's answer would, and what a tool returned where a request's texts stand.

use serde_json::{Map, Value, json};
use tappass_model::{Answer, Dialect, ModelRequest, Origin, Segment, ToolCall};

use super::{
    FromChat, History, RequestError, Shape, Voice, chat,
    check::{Object, optional, wrong},
};
use crate::ProviderCall;

/// What an agent may be about to do, each with the tool's name where it gives none.
const KINDS: [(&str, &str); 5] = [
    ("TOOL_CALL", ""),
    ("LLM_CALL", "llm_call"),
    ("CODE_EXEC", "code_exec"),
    ("CREDENTIAL_ACCESS", "credential_access"),
    ("SYSTEM_OF_RECORD_WRITE", "system_of_record_write"),
];
/// Longest name of a tool or a server, in bytes.
const MAX_NAME: usize = 200;
/// Where the arguments stand.
const ARGUMENTS: &str = "/payload/arguments";

/// `POST /v1/govern`.
#[derive(Debug, Clone, Copy)]
pub struct Calls;

/// `POST /v1/govern/execution`.
#[derive(Debug, Clone, Copy)]
pub struct Results;

/// A prompt, of `POST /hooks`.
#[derive(Debug, Clone, Copy)]
pub struct Prompts;

fn object(body: &Value) -> Result<&Object, RequestError> {
    match body.as_object() {
        Some(object) => Ok(object),
        None => wrong("", "a JSON object"),
    }
}

/// A name goes into records and rules: short, and without control characters.
pub(super) fn name(at: &str, value: &Value) -> Result<Option<String>, RequestError> {
    match value {
        Value::Null => Ok(None),
        Value::String(name)
            if !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control) =>
        {
            Ok(Some(name.clone()))
        }
        _ => wrong(at, "a name: at most 200 bytes, not blank, without control characters"),
    }
}

fn request(dialect: Dialect, body: Value, bytes: usize) -> ModelRequest {
    ModelRequest {
        dialect,
        model: String::new(),
        stream: false,
        body,
        bytes,
        segments: Vec::new(),
        tools: Vec::new(),
        provider_tools: Vec::new(),
        messages: 0,
        unknown: None,
    }
}

/// A question, read as the answer of a model that wants this call.
pub(super) fn call_answer(body: &Value) -> Answer {
    let text = body["payload"]["arguments"].to_string();
    Answer {
        body: body.clone(),
        tool_calls: vec![ToolCall {
            id: String::new(),
            name: body["payload"]["tool"].as_str().unwrap_or_default().to_owned(),
            arguments: text.clone(),
        }],
        segments: vec![Segment { origin: Origin::ToolArguments, pointer: ARGUMENTS.to_owned(), text }],
        ..Answer::default()
    }
}

impl Shape for Calls {
    fn path(&self) -> &'static str {
        "/govern"
    }

    /// What does not belong to the question is left out, so that the same question has the same body. Where `args` is
    /// absent, all of the payload beside `tool` and `server` is the arguments: nothing passes that no step has seen.
    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let asked = object(&body)?;
        let names = || KINDS.map(|(kind, _)| kind).join(", ");
        let kind = asked.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some((kind, unnamed)) = KINDS.into_iter().find(|(name, _)| *name == kind) else {
            return wrong("type", &format!("one of {}", names()));
        };
        optional(asked, "", "session_id", Value::is_string, "a string")?;
        let none = Map::new();
        let payload = match asked.get("payload") {
            Some(Value::Object(payload)) => payload,
            None | Some(Value::Null) if !unnamed.is_empty() => &none,
            _ => return wrong("payload", "an object with `tool` and `args`"),
        };
        let given = |key: &str| payload.get(key).unwrap_or(&Value::Null);
        let tool = match name("payload.tool", given("tool"))? {
            Some(tool) => tool,
            None if unnamed.is_empty() => return wrong("payload.tool", "given: the name of the tool"),
            None => unnamed.to_owned(),
        };
        let server = name("payload.server", given("server"))?;
        let arguments = match [given("args"), given("arguments")].into_iter().find(|v| !v.is_null()) {
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(_) => return wrong("payload.args", "an object"),
            None => {
                let beside = |key: &str| !matches!(key, "tool" | "server" | "args" | "arguments");
                let members = payload.iter().filter(|(key, _)| beside(key));
                members.map(|(key, value)| (key.clone(), value.clone())).collect()
            }
        };
        let payload = json!({"tool": tool, "arguments": arguments, "server": server});
        let body = json!({"type": kind, "payload": payload});
        Ok(ModelRequest { tools: vec![tool], ..request(Dialect::ToolCall, body, bytes) })
    }

    fn read_answer(&self, body: &Value) -> Answer {
        call_answer(body)
    }

    fn history(&self, _: &Value) -> History {
        History::default()
    }

    fn remove_tools(&self, _: &mut Value, _: &dyn Fn(&str) -> bool) {}

    fn ceiling(&self, _: &Value, _: u64) -> u64 {
        0
    }

    fn voice(&self) -> &'static dyn Voice {
        &chat::Chat
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("a tool call".to_owned())
    }
}

impl Shape for Results {
    fn path(&self) -> &'static str {
        "/govern/execution"
    }

    /// A result that is no string is one text, its JSON, as tools give it to models.
    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let told = object(&body)?;
        let given = |key: &str| told.get(key).unwrap_or(&Value::Null);
        optional(told, "", "session_id", Value::is_string, "a string")?;
        optional(told, "", "duration_ms", |v| v.as_f64().is_some_and(|ms| ms >= 0.0), "milliseconds")?;
        let Some(tool) = name("tool", given("tool"))? else {
            return wrong("tool", "given: the name of the tool");
        };
        let (mut kept, mut segments) = (Map::from_iter([("tool".to_owned(), tool.into())]), Vec::new());
        for key in ["result", "error"] {
            let text = match given(key) {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            kept.insert(key.to_owned(), text.as_str().into());
            if !text.is_empty() {
                segments.push(Segment { origin: Origin::ToolResult, pointer: format!("/{key}"), text });
            }
        }
        if kept.len() == 1 {
            return wrong("result", "given, or `error`");
        }
        Ok(ModelRequest { segments, ..request(Dialect::ToolResult, Value::Object(kept), bytes) })
    }

    fn read_answer(&self, _: &Value) -> Answer {
        Answer::default()
    }

    fn history(&self, body: &Value) -> History {
        History { reported: body["tool"].as_str().map(str::to_owned), ..History::default() }
    }

    fn remove_tools(&self, _: &mut Value, _: &dyn Fn(&str) -> bool) {}

    fn ceiling(&self, _: &Value, _: u64) -> u64 {
        0
    }

    fn voice(&self) -> &'static dyn Voice {
        &chat::Chat
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("a tool's result".to_owned())
    }
}

impl Shape for Prompts {
    fn path(&self) -> &'static str {
        "/hooks"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let Some(prompt) = object(&body)?.get("prompt").and_then(Value::as_str) else {
            return wrong("prompt", "a string");
        };
        let (prompt, pointer) = (prompt.to_owned(), "/prompt".to_owned());
        let body = json!({"prompt": prompt});
        let segments = vec![Segment { origin: Origin::User, pointer, text: prompt }];
        Ok(ModelRequest { segments, messages: 1, ..request(Dialect::Prompt, body, bytes) })
    }

    fn read_answer(&self, _: &Value) -> Answer {
        Answer::default()
    }

    fn converses(&self) -> bool {
        false
    }

    fn answers_in_words(&self) -> bool {
        false
    }

    fn asked<'a>(&self, body: &'a Value) -> &'a Value {
        &body["prompt"]
    }

    fn history(&self, _: &Value) -> History {
        History::default()
    }

    fn remove_tools(&self, _: &mut Value, _: &dyn Fn(&str) -> bool) {}

    fn ceiling(&self, _: &Value, _: u64) -> u64 {
        0
    }

    fn voice(&self) -> &'static dyn Voice {
        &chat::Chat
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("a prompt of a coding agent".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::place;

    fn ask(body: Value) -> Result<ModelRequest, RequestError> {
        Calls.read_request(body, 0)
    }

    #[test]
    fn the_same_question_has_the_same_body() {
        let one = json!({"type": "TOOL_CALL", "behavior_id": "b", "later": 1,
            "payload": {"tool": "pay", "args": {"eur": 5}, "server": null, "note": "x"}});
        let asked = ask(one).expect("reads");
        assert_eq!(asked.tools, ["pay"]);
        assert_eq!(ask(asked.body.clone()).expect("reads again").body, asked.body);
        let answer = Calls.read_answer(&asked.body);
        assert_eq!(answer.tool_calls[0].arguments, r#"{"eur":5}"#);
        let mut body = asked.body;
        assert!(place::set_text(&mut body, &answer.segments[0].pointer, r#"{"eur":"[X]"}"#.into()));
        assert_eq!(body["payload"]["arguments"], json!({"eur": "[X]"}));
    }

    #[test]
    fn what_is_not_called_arguments_is_judged_as_such() {
        let asked = ask(json!({"type": "CODE_EXEC", "payload": {"code": "rm -rf /"}})).expect("reads");
        assert_eq!(asked.tools, ["code_exec"]);
        assert_eq!(Calls.read_answer(&asked.body).segments[0].text, r#"{"code":"rm -rf /"}"#);
        assert_eq!(ask(json!({"type": "LLM_CALL"})).expect("reads").tools, ["llm_call"]);
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (body, param) in [
            (json!([]), ""),
            (json!({"type": "DANCE"}), "type"),
            (json!({"payload": {"tool": "t"}}), "type"),
            (json!({"type": "TOOL_CALL"}), "payload"),
            (json!({"type": "TOOL_CALL", "payload": {"tool": " "}}), "payload.tool"),
            (json!({"type": "TOOL_CALL", "payload": {"args": {}}}), "payload.tool"),
            (json!({"type": "TOOL_CALL", "payload": {"tool": "t", "args": [1]}}), "payload.args"),
            (json!({"type": "TOOL_CALL", "payload": {"tool": "t", "server": 1}}), "payload.server"),
            (json!({"type": "LLM_CALL", "session_id": 1}), "session_id"),
        ] {
            assert_eq!(ask(body.clone()).expect_err("malformed").param, param, "{body}");
        }
        for (body, param) in [
            (json!({"result": "x"}), "tool"),
            (json!({"tool": "t"}), "result"),
            (json!({"tool": "t", "result": 1, "duration_ms": "fast"}), "duration_ms"),
        ] {
            assert_eq!(Results.read_request(body, 0).expect_err("malformed").param, param);
        }
        assert_eq!(Prompts.read_request(json!({"prompt": 1}), 0).expect_err("malformed").param, "prompt");
    }

    #[test]
    fn a_result_is_one_text_and_names_its_tool() {
        let told = json!({"tool": "fetch", "result": {"mail": "a@b.example"}, "error": "late", "x": 1});
        let request = Results.read_request(told, 0).expect("reads");
        let texts: Vec<_> = request.segments.iter().map(|s| (s.pointer.as_str(), s.text.as_str())).collect();
        assert_eq!(texts, [("/result", r#"{"mail":"a@b.example"}"#), ("/error", "late")]);
        assert_eq!(Results.history(&request.body).reported.as_deref(), Some("fetch"));
    }

    #[test]
    fn a_prompt_is_a_persons_text() {
        let request = Prompts.read_request(json!({"prompt": "mend it", "cwd": "/x"}), 0).expect("reads");
        assert_eq!(
            (request.segments[0].origin, request.segments[0].text.as_str()),
            (Origin::User, "mend it")
        );
        assert_eq!(Prompts.asked(&request.body), "mend it");
    }
}
