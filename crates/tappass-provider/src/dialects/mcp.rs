//! Messages of the Model Context Protocol, on their way between an agent and a server behind the gateway.
//!
//! What an agent asks a server to do is a tool call (`McpCall`); all else that passes, in both directions, is a message
//! with texts (`McpMessage`). The bodies are the gateway's own: it puts into them the parts of a JSON-RPC message that
//! carry something, and takes them out again when the steps have had their say.

use serde_json::{Map, Value};
use tappass_model::{Answer, Dialect, ModelRequest, Origin};

use super::{
    FromChat, History, RequestError, Shape, Voice, chat,
    check::wrong,
    tool::{self, call_answer},
    tools,
    walk::Walk,
};
use crate::ProviderCall;

/// What an agent asks of a server: `tools/call`, `resources/read`, `prompts/get` …
#[derive(Debug, Clone, Copy)]
pub struct Calls;

/// Any other message, and what a call came to.
#[derive(Debug, Clone, Copy)]
pub struct Messages;

/// What a server tells of itself and its parts: models read it as they read the definition of a tool.
const DESCRIBES: [&str; 8] = [
    "initialize",
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "skills/list",
    "resources/directory/read",
];

/// Whether the answer to a method tells of the server itself, or of its parts.
#[must_use]
pub fn describes(method: &str) -> bool {
    DESCRIBES.contains(&method)
}

/// A call of `tool` with `arguments`; `beside` is what else goes with it.
#[must_use]
pub fn call(server: &str, method: &str, tool: &str, arguments: Value, beside: Value) -> Value {
    let payload = object([("tool", tool.into()), ("arguments", arguments), ("server", server.into())]);
    object([
        ("type", "TOOL_CALL".into()),
        ("method", method.into()),
        ("payload", payload),
        ("beside", beside),
    ])
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A message of a method, from the server or to it; `tool` is the one it is the result of.
#[must_use]
pub fn message(server: &str, method: &str, from_server: bool, tool: Option<&str>, said: Value) -> Value {
    let mut body = object([
        ("server", server.into()),
        ("method", method.into()),
        ("from_server", from_server.into()),
        ("tool", tool.into()),
        ("said", said),
    ]);
    // Where every dialect has them.
    if from_server
        && method == "tools/list"
        && let Some(said) = body["said"].as_object_mut()
        && let Some(tools) = said.shift_remove("tools")
    {
        body["tools"] = tools;
    }
    body
}

/// What was said, as the steps have left it.
#[must_use]
pub fn said(mut body: Value) -> Value {
    let mut said = body["said"].take();
    if let (Some(said), Some(tools)) = (said.as_object_mut(), body.get_mut("tools")) {
        // Where it stood: a list's tools are its first member.
        let rest = std::mem::take(said);
        said.insert("tools".to_owned(), tools.take());
        said.extend(rest);
    }
    said
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

/// Every text of a member of the body.
fn texts(walk: &mut Walk, body: &Value, key: &str, origin: Origin) {
    let length = walk.pointer.len();
    walk.pointer.push('/');
    walk.pointer.push_str(key);
    value(walk, key, &body[key], origin);
    walk.pointer.truncate(length);
}

/// As any value, but for `data` and `blob`: only the payload of a picture, of sound or of a film is no text.
fn value(walk: &mut Walk, key: &str, at: &Value, origin: Origin) {
    match at {
        Value::Array(items) => walk.items(items, |walk, item| value(walk, key, item, origin)),
        Value::Object(object) => {
            let medium = is_medium(object);
            let visit = |walk: &mut Walk, key: &str, inner: &Value| match key {
                "data" | "blob" => walk.value(if medium { "data" } else { "text" }, inner, origin),
                _ => value(walk, key, inner, origin),
            };
            walk.members(object, visit, origin);
        }
        _ => walk.value(key, at, origin),
    }
}

fn is_medium(object: &Map<String, Value>) -> bool {
    let media = object.get("mimeType").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    ["image/", "audio/", "video/"].iter().any(|kind| media.starts_with(kind)) && media != "image/svg+xml"
}

impl Shape for Calls {
    fn path(&self) -> &'static str {
        "/mcp"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let Some(name) = tool::name("name", &body["payload"]["tool"])? else {
            return wrong("name", "given: the name of the tool");
        };
        let mut walk = Walk::default();
        texts(&mut walk, &body, "beside", Origin::Parameter);
        Ok(ModelRequest {
            tools: vec![name],
            segments: walk.segments,
            ..request(Dialect::McpCall, body, bytes)
        })
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
        Err("a call of an MCP server".to_owned())
    }
}

impl Shape for Messages {
    fn path(&self) -> &'static str {
        "/mcp"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let method = body["method"].as_str().unwrap_or_default();
        let (origin, definitions) = match body["from_server"] == true {
            false => (Origin::Parameter, Origin::Parameter),
            true if describes(method) => (Origin::ToolDefinition, Origin::ToolDefinition),
            true => (Origin::ToolResult, Origin::ToolDefinition),
        };
        let mut walk = Walk::default();
        texts(&mut walk, &body, "tools", definitions);
        texts(&mut walk, &body, "said", origin);
        let tools = tools::definitions(&body).map(|(name, _)| name.to_owned()).collect();
        Ok(ModelRequest { tools, segments: walk.segments, ..request(Dialect::McpMessage, body, bytes) })
    }

    fn read_answer(&self, _: &Value) -> Answer {
        Answer::default()
    }

    fn history(&self, body: &Value) -> History {
        let from_server = body["from_server"] == true;
        let what = body["tool"].as_str().or_else(|| body["method"].as_str()).filter(|_| from_server);
        History { reported: what.map(str::to_owned), external: from_server, ..History::default() }
    }

    fn remove_tools(&self, body: &mut Value, removed: &dyn Fn(&str) -> bool) {
        if let Some(tools) = body.get_mut("tools").and_then(Value::as_array_mut) {
            tools.retain(|tool| tools::name(tool).is_none_or(|name| !removed(name)));
        }
    }

    fn ceiling(&self, _: &Value, _: u64) -> u64 {
        0
    }

    fn voice(&self) -> &'static dyn Voice {
        &chat::Chat
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("a message of an MCP server".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(method: &str, from_server: bool, of: Value) -> Vec<(Origin, String)> {
        let body = message("tickets", method, from_server, None, of);
        let request = Messages.read_request(body, 0).expect("reads");
        request.segments.into_iter().map(|s| (s.origin, s.text)).collect()
    }

    #[test]
    fn every_text_has_its_origin() {
        use Origin::{Parameter, ToolDefinition, ToolResult};
        let text = |origin, text: &str| vec![(origin, text.to_owned())];
        assert_eq!(
            read("initialize", true, json!({"instructions": "x"})).last(),
            text(ToolDefinition, "x").last()
        );
        assert_eq!(
            read("prompts/list", true, json!({"prompts": [{"name": "x"}]})).last(),
            text(ToolDefinition, "x").last()
        );
        assert_eq!(
            read("tools/call", true, json!({"content": [{"type": "text", "text": "x"}]})),
            text(ToolResult, "x")
        );
        assert_eq!(read("notifications/message", true, json!({"data": "x"})), text(ToolResult, "x"));
        assert_eq!(read("initialize", false, json!({"name": "x"})), text(Parameter, "x"));
    }

    #[test]
    fn media_are_no_text_and_everything_else_is() {
        let payload = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ".repeat(8);
        let texts = |mime: &str, key: &str| {
            let content = json!({"content": [{"mimeType": mime, key: payload}]});
            read("tools/call", true, content).iter().filter(|(_, text)| *text == payload).count()
        };
        assert_eq!((texts("image/png", "data"), texts("audio/wav", "blob")), (0, 0));
        for mime in ["text/plain", "image/svg+xml", "application/octet-stream", ""] {
            assert_eq!((texts(mime, "data"), texts(mime, "blob")), (1, 1), "{mime}");
        }
    }

    #[test]
    fn a_list_of_tools_is_what_it_was() {
        let list =
            json!({"tools": [{"name": "read", "description": "d"}, {"name": "pay"}], "nextCursor": "c"});
        let mut body = message("tickets", "tools/list", true, None, list.clone());
        assert_eq!(said(body.clone()), list);
        let request = Messages.read_request(body.clone(), 0).expect("reads");
        assert_eq!(request.tools, ["read", "pay"]);
        assert!(request.segments.iter().all(|s| s.origin == Origin::ToolDefinition));
        Messages.remove_tools(&mut body, &|name| name == "pay");
        assert_eq!(said(body), json!({"tools": [{"name": "read", "description": "d"}], "nextCursor": "c"}));
    }

    #[test]
    fn a_call_has_its_arguments_where_a_tool_call_has_them() {
        let body = call("tickets", "tools/call", "read", json!({"id": 7}), json!({"_meta": {"note": "x"}}));
        let request = Calls.read_request(body.clone(), 0).expect("reads");
        assert_eq!(request.tools, ["read"]);
        assert!(request.segments.iter().any(|s| s.text == "x" && s.origin == Origin::Parameter));
        assert_eq!(Calls.read_answer(&body).tool_calls[0].arguments, r#"{"id":7}"#);
        let unnamed = call("tickets", "tools/call", " ", json!({}), Value::Null);
        assert_eq!(Calls.read_request(unnamed, 0).expect_err("no name").param, "name");
    }
}
