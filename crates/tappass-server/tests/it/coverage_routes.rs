//! How a text is planted on each route, in each direction.

use std::time::Duration;

use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::coverage::Direction;

/// A request, and what the provider, or the MCP server, answers it.
#[derive(Default)]
pub struct Planted {
    pub body: Value,
    pub reply: Option<Reply>,
    pub result: Option<Value>,
    /// How many records the call leaves, where it is more than one.
    pub records: usize,
}

/// A route, and how a sample is planted there; or why it cannot be.
pub struct Route {
    pub path: &'static str,
    pub streams: bool,
    pub plant: fn(Direction, bool, &str) -> Result<Planted, &'static str>,
}

pub const ROUTES: &[Route] = &[
    Route { path: "/v1/chat/completions", streams: true, plant: chat },
    Route { path: "/v1/responses", streams: true, plant: responses },
    Route { path: "/v1/messages", streams: true, plant: messages },
    Route { path: "/v1/messages/count_tokens", streams: false, plant: tokens },
    Route { path: "/v1/embeddings", streams: false, plant: embeddings },
    Route { path: "/v1/govern", streams: false, plant: govern },
    Route { path: "/v1/govern/execution", streams: false, plant: execution },
    Route { path: "/mcp/tickets", streams: false, plant: mcp },
    Route { path: "/hooks", streams: false, plant: hooks },
];

fn chat(direction: Direction, stream: bool, sample: &str) -> Result<Planted, &'static str> {
    let user = json!({"role": "user", "content": "hello"});
    let called = |arguments: &str| json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "note", "arguments": arguments}}]);
    let mut body = json!({"model": "gpt-4o", "messages": [user], "stream": stream});
    let mut message = json!({"role": "assistant", "content": "ok"});
    match direction {
        Direction::Prompt => body["messages"][0]["content"] = sample.into(),
        Direction::ToolDefinition => {
            body["tools"] = json!([{"type": "function", "function": {"name": "note",
            "description": sample, "parameters": {"type": "object", "properties": {}}}}]);
        }
        Direction::ToolResult => {
            body["messages"] = json!([user, {"role": "assistant", "content": null, "tool_calls": called("{}")},
                {"role": "tool", "tool_call_id": "c1", "content": sample}]);
        }
        Direction::EarlierArgument => {
            body["messages"] = json!([user, {"role": "assistant", "content": null,
                "tool_calls": called(&json!({"text": sample}).to_string())},
                {"role": "tool", "tool_call_id": "c1", "content": "done"}]);
        }
        Direction::ToolArgument => message["tool_calls"] = called(&json!({"text": sample}).to_string()),
        Direction::Answer => message["content"] = sample.into(),
        Direction::Reasoning => message["reasoning_content"] = sample.into(),
    }
    let reason = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    let reply = if stream {
        let chunk = |delta: Value, reason: Value| {
            json!({"id": "c1", "object": "chat.completion.chunk", "created": 1,
                "model": "scripted", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        };
        Reply::stream(vec![chunk(message, Value::Null), chunk(json!({}), reason.into())], Duration::ZERO)
    } else {
        Reply::answer(json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}))
    };
    Ok(Planted { body, reply: Some(reply), ..Planted::default() })
}

fn responses(direction: Direction, stream: bool, sample: &str) -> Result<Planted, &'static str> {
    let user = json!({"role": "user", "content": "hello"});
    let called = |arguments: &Value| {
        json!({"type": "function_call", "id": "f1", "call_id": "c1", "name": "note",
            "arguments": arguments.to_string(), "status": "completed"})
    };
    let came = |output: &str| json!({"type": "function_call_output", "call_id": "c1", "output": output});
    let said = |text: &str| {
        json!({"type": "message", "id": "m1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]})
    };
    let mut body = json!({"model": "gpt-4o", "input": [user], "stream": stream});
    let mut item = said("ok");
    match direction {
        Direction::Prompt => body["input"][0]["content"] = sample.into(),
        Direction::ToolDefinition => {
            body["tools"] = json!([{"type": "function", "name": "note", "description": sample,
                "parameters": {"type": "object", "properties": {}}}]);
        }
        Direction::ToolResult => body["input"] = json!([user, called(&json!({})), came(sample)]),
        Direction::EarlierArgument => {
            body["input"] = json!([user, called(&json!({"text": sample})), came("done")]);
        }
        Direction::ToolArgument => item = called(&json!({"text": sample})),
        Direction::Answer => item = said(sample),
        Direction::Reasoning => {
            item = json!({"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": sample}]});
        }
    }
    let response = |output: Value, status: &str| {
        json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "scripted",
            "output": output, "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}})
    };
    let whole = response(json!([item]), "completed");
    let reply = if stream {
        let mut events =
            vec![json!({"type": "response.created", "response": response(json!([]), "in_progress")})];
        events.extend(parts(&item));
        events.push(json!({"type": "response.completed", "response": whole}));
        for (i, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = i.into();
        }
        Reply::stream(events, Duration::ZERO)
    } else {
        Reply::answer(whole)
    };
    Ok(Planted { body, reply: Some(reply), ..Planted::default() })
}

/// The events of a response's only item.
fn parts(item: &Value) -> Vec<Value> {
    let at = |kind: &str, more: Value| {
        let mut event = json!({"type": kind, "item_id": item["id"], "output_index": 0});
        event.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        event
    };
    let mut begun = item.clone();
    let inner = match item["type"].as_str().unwrap_or_default() {
        "function_call" => {
            begun["arguments"] = "".into();
            let kind = "response.function_call_arguments";
            vec![
                at(&format!("{kind}.delta"), json!({"delta": item["arguments"]})),
                at(&format!("{kind}.done"), json!({"arguments": item["arguments"]})),
            ]
        }
        "reasoning" => {
            begun["summary"] = json!([]);
            let (part, kind) = (&item["summary"][0], "response.reasoning_summary");
            let empty = json!({"type": "summary_text", "text": ""});
            vec![
                at(&format!("{kind}_part.added"), json!({"summary_index": 0, "part": empty})),
                at(&format!("{kind}_text.delta"), json!({"summary_index": 0, "delta": part["text"]})),
                at(&format!("{kind}_text.done"), json!({"summary_index": 0, "text": part["text"]})),
                at(&format!("{kind}_part.done"), json!({"summary_index": 0, "part": part})),
            ]
        }
        _ => {
            begun["content"] = json!([]);
            let (part, kind) = (&item["content"][0], "response.output_text");
            let empty = json!({"type": "output_text", "text": "", "annotations": []});
            vec![
                at("response.content_part.added", json!({"content_index": 0, "part": empty})),
                at(&format!("{kind}.delta"), json!({"content_index": 0, "delta": part["text"]})),
                at(&format!("{kind}.done"), json!({"content_index": 0, "text": part["text"]})),
                at("response.content_part.done", json!({"content_index": 0, "part": part})),
            ]
        }
    };
    let item_event = |kind: &str, item: &Value| json!({"type": kind, "output_index": 0, "item": item});
    let mut events = vec![item_event("response.output_item.added", &begun)];
    events.extend(inner);
    events.push(item_event("response.output_item.done", item));
    events
}

fn messages(direction: Direction, stream: bool, sample: &str) -> Result<Planted, &'static str> {
    let user = json!({"role": "user", "content": "hello"});
    let mut body = json!({"model": "claude-x", "max_tokens": 100, "messages": [user], "stream": stream});
    let mut block = json!({"type": "text", "text": "ok"});
    match direction {
        Direction::Prompt => body["messages"][0]["content"] = sample.into(),
        Direction::ToolDefinition => {
            body["tools"] = json!([{"name": "note", "description": sample,
                "input_schema": {"type": "object", "properties": {}}}]);
        }
        Direction::ToolResult => {
            body["messages"] = json!([user,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "note", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": sample}]}]);
        }
        Direction::EarlierArgument => {
            body["messages"] = json!([user,
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "note", "input": {"text": sample}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done"}]}]);
        }
        Direction::ToolArgument => {
            block = json!({"type": "tool_use", "id": "t1", "name": "note", "input": {"text": sample}});
        }
        Direction::Answer => block["text"] = sample.into(),
        Direction::Reasoning => block = json!({"type": "thinking", "thinking": sample, "signature": "c2ln"}),
    }
    let reply = if stream {
        Reply::stream(blocks(&block), Duration::ZERO)
    } else {
        Reply::message_of(json!([block]))
    };
    Ok(Planted { body, reply: Some(reply), ..Planted::default() })
}

/// The events of a message of one block.
fn blocks(block: &Value) -> Vec<Value> {
    let (begin, delta) = match block["type"].as_str().unwrap_or_default() {
        "tool_use" => (
            json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}),
            json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}),
        ),
        "thinking" => (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            json!({"type": "thinking_delta", "thinking": block["thinking"]}),
        ),
        _ => (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": block["text"]})),
    };
    let reason = if block["type"] == "tool_use" { "tool_use" } else { "end_turn" };
    vec![
        json!({"type": "message_start", "message": {"id": "m1", "type": "message", "role": "assistant",
            "model": "scripted", "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 1, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": begin}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ]
}

fn tokens(direction: Direction, _: bool, sample: &str) -> Result<Planted, &'static str> {
    if matches!(direction, Direction::ToolArgument | Direction::Answer | Direction::Reasoning) {
        return Err("the answer is a number");
    }
    let Planted { mut body, .. } = messages(direction, false, sample)?;
    for key in ["max_tokens", "stream"] {
        body.as_object_mut().expect("an object").remove(key);
    }
    Ok(Planted { body, reply: Some(Reply::answer(json!({"input_tokens": 3}))), ..Planted::default() })
}

fn embeddings(direction: Direction, _: bool, sample: &str) -> Result<Planted, &'static str> {
    match direction {
        Direction::Prompt => {
            let body = json!({"model": "text-embedding-3-small", "input": [sample]});
            Ok(Planted { body, ..Planted::default() })
        }
        Direction::ToolDefinition
        | Direction::EarlierArgument
        | Direction::ToolArgument
        | Direction::ToolResult => Err("there are no tools in it"),
        Direction::Answer | Direction::Reasoning => Err("the answer is vectors"),
    }
}

fn govern(direction: Direction, _: bool, sample: &str) -> Result<Planted, &'static str> {
    match direction {
        Direction::ToolArgument => {
            let payload = json!({"tool": "note", "args": {"text": sample}});
            Ok(Planted { body: json!({"type": "TOOL_CALL", "payload": payload}), ..Planted::default() })
        }
        _ => Err("it asks about a tool call's arguments only"),
    }
}

fn execution(direction: Direction, _: bool, sample: &str) -> Result<Planted, &'static str> {
    match direction {
        Direction::ToolResult => {
            Ok(Planted { body: json!({"tool": "note", "result": sample}), ..Planted::default() })
        }
        _ => Err("it reports a tool's result only"),
    }
}

/// As Claude Code sends them.
fn hooks(direction: Direction, _: bool, sample: &str) -> Result<Planted, &'static str> {
    let tool = |event: &str, input: &str| {
        json!({"hook_event_name": event, "cwd": "/home/dev/app", "transcript_path": "/home/dev/t.jsonl",
            "permission_mode": "default", "tool_name": "Note", "tool_use_id": "t1", "tool_input": {"text": input}})
    };
    let mut body = match direction {
        Direction::Prompt => json!({"hook_event_name": "UserPromptSubmit", "cwd": "/home/dev/app",
            "transcript_path": "/home/dev/t.jsonl", "permission_mode": "default", "prompt": sample}),
        Direction::ToolArgument => tool("PreToolUse", sample),
        Direction::ToolResult => tool("PostToolUse", "x"),
        _ => return Err("a coding agent's hooks do not tell it"),
    };
    if direction == Direction::ToolResult {
        body["tool_response"] = json!({"content": sample});
    }
    Ok(Planted { body, ..Planted::default() })
}

fn mcp(direction: Direction, _: bool, sample: &str) -> Result<Planted, &'static str> {
    let ask =
        |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let call = |input: &str| ask("tools/call", json!({"name": "note", "arguments": {"text": input}}));
    let said = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    // What is asked is judged on its way there, and what comes of it on the way back; a list only then.
    let records = if direction == Direction::ToolDefinition { 1 } else { 2 };
    let (body, result) = match direction {
        Direction::ToolDefinition => {
            let tool = json!({"name": "note", "description": sample, "inputSchema": {"type": "object"}});
            (ask("tools/list", json!({})), json!({"tools": [tool]}))
        }
        Direction::ToolArgument => (call(sample), said("done")),
        Direction::ToolResult => (call("x"), said(sample)),
        Direction::Prompt => return Err("a prompt that a server offers is read as its results are"),
        _ => return Err("no message of the protocol holds it"),
    };
    Ok(Planted { body, result: Some(result), records, ..Planted::default() })
}
