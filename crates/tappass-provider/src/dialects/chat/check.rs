//! What a chat request must have before anything looks at its content.

use serde_json::Value;
use tappass_model::Unread;

use crate::dialects::check::{Object, RequestError, messages, model, optional, required_text, wrong};

/// Most choices one request may ask for, as the dialect's inventor has it.
const MAX_CHOICES: u64 = 128;

/// The kinds of part that a message can have.
const PARTS: &[&str] = &["file", "image_url", "input_audio", "refusal", "text", "thinking", "video_url"];

/// Checks the request; the model, the number of messages and the first part of a kind that cannot be read come back.
pub fn request(body: &Value) -> Result<(String, usize, Option<Unread>), RequestError> {
    let Some(body) = body.as_object() else {
        return wrong("", "a JSON object with `model` and `messages`");
    };
    let model = model(body)?;
    let messages = messages(body)?;
    for (i, one) in messages.iter().enumerate() {
        message(&format!("messages[{i}]"), one)?;
    }
    optional(body, "", "stream", Value::is_boolean, "true or false")?;
    optional(body, "", "stream_options", Value::is_object, "an object, such as {\"include_usage\": true}")?;
    optional(
        body,
        "",
        "n",
        |n| n.as_u64().is_some_and(|n| (1..=MAX_CHOICES).contains(&n)),
        "a whole number from 1 to 128",
    )?;
    for key in ["max_tokens", "max_completion_tokens"] {
        optional(body, "", key, |n| n.as_u64().is_some_and(|n| n > 0), "a whole number above 0")?;
    }
    for key in ["temperature", "top_p", "frequency_penalty", "presence_penalty"] {
        optional(body, "", key, Value::is_number, "a number")?;
    }
    optional(body, "", "response_format", |v| v["type"].is_string(), "an object with a `type`")?;
    tools(body)?;
    let parts = messages.iter().enumerate().flat_map(|(i, one)| {
        let parts = one["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        parts.iter().enumerate().map(move |(j, part)| (i, j, part))
    });
    let unknown = |part: &Value| !part["type"].as_str().is_some_and(|kind| PARTS.contains(&kind));
    let unknown = parts
        .into_iter()
        .find(|(.., part)| unknown(part))
        .map(|(i, j, _)| Unread::kind(format!("messages[{i}].content[{j}]")));
    Ok((model, messages.len(), unknown))
}

/// The kind of a tool call that this version cannot read, in an answer or a chunk of one.
pub fn unknown_call(call: &Value) -> bool {
    let known = ["function", "custom"];
    !(call["type"].is_null()
        || call["type"].as_str().is_some_and(|kind| kind.is_empty() || known.contains(&kind)))
}

fn message(at: &str, value: &Value) -> Result<(), RequestError> {
    let Some(message) = value.as_object() else {
        return wrong(at, "an object with `role` and `content`");
    };
    let role = match message.get("role").and_then(Value::as_str) {
        Some(role @ ("system" | "developer" | "user" | "assistant" | "tool" | "function")) => role,
        Some(_) => {
            return wrong(format!("{at}.role"), "system, developer, user, assistant, tool or function");
        }
        None => return wrong(format!("{at}.role"), "given: system, developer, user, assistant or tool"),
    };
    match message.get("content") {
        Some(Value::String(_)) => {}
        Some(Value::Array(parts)) => {
            for (i, one) in parts.iter().enumerate() {
                part(&format!("{at}.content[{i}]"), one)?;
            }
        }
        None | Some(Value::Null) if role == "assistant" || role == "function" => {}
        None | Some(Value::Null) => return wrong(format!("{at}.content"), "a string or a list of parts"),
        Some(_) => return wrong(format!("{at}.content"), "a string, a list of parts or null"),
    }
    optional(message, at, "name", Value::is_string, "a string")?;
    if role == "tool" && !message.get("tool_call_id").is_some_and(Value::is_string) {
        return wrong(format!("{at}.tool_call_id"), "the id of the tool call that this message answers");
    }
    match message.get("tool_calls") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(calls)) => calls
            .iter()
            .enumerate()
            .try_for_each(|(i, call)| tool_call(&format!("{at}.tool_calls[{i}]"), call)),
        Some(_) => wrong(format!("{at}.tool_calls"), "a list of tool calls"),
    }
}

fn part(at: &str, value: &Value) -> Result<(), RequestError> {
    let Some(part) = value.as_object() else {
        return wrong(at, "an object with a `type`, such as {\"type\": \"text\", \"text\": \"…\"}");
    };
    match part.get("type").and_then(Value::as_str) {
        None => wrong(format!("{at}.type"), "given: text, image_url, input_audio, file or refusal"),
        Some("text") => required_text(part, at, "text"),
        Some("refusal") => required_text(part, at, "refusal"),
        Some("image_url") => match part.get("image_url") {
            Some(Value::Object(image)) => required_text(image, &format!("{at}.image_url"), "url"),
            _ => wrong(format!("{at}.image_url"), "an object with a `url`"),
        },
        // A kind that came after this version passes when observed, and its texts are scanned all the same.
        Some(_) => Ok(()),
    }
}

fn tool_call(at: &str, value: &Value) -> Result<(), RequestError> {
    let Some(call) = value.as_object() else {
        return wrong(at, "an object with `id`, `type` and `function`");
    };
    match call.get("function") {
        Some(Value::Object(function)) => {
            required_text(function, &format!("{at}.function"), "name")?;
            required_text(function, &format!("{at}.function"), "arguments")
        }
        Some(_) => wrong(format!("{at}.function"), "an object with `name` and `arguments`"),
        None if call.contains_key("custom") => Ok(()),
        None => wrong(format!("{at}.function"), "given: an object with `name` and `arguments`"),
    }
}

fn tools(body: &Object) -> Result<(), RequestError> {
    let list = match body.get("tools") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(_) => return wrong("tools", "a list of tools"),
    };
    for (i, tool) in list.iter().enumerate() {
        let at = format!("tools[{i}]");
        if !tool["type"].is_string() {
            return wrong(format!("{at}.type"), "given: function or custom");
        }
        if tool["type"] == "function" && !tool["function"]["name"].is_string() {
            return wrong(format!("{at}.function.name"), "the tool's name");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(message: &Value) -> Value {
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}, message]})
    }

    #[test]
    fn takes_what_clients_send() {
        for message in [
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}),
            json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]}),
            json!({"role": "tool", "tool_call_id": "c", "content": "done"}),
            json!({"role": "user", "content": [{"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}}, {"type": "novel", "x": 1}]}),
            json!({"role": "user", "content": ""}),
        ] {
            let read =
                request(&with(&message)).map(|(model, messages, unread)| (model, messages, unread.is_some()));
            let odd = message["content"][2].is_object();
            assert_eq!(read, Ok(("m".to_owned(), 2, odd)), "{message}");
        }
        assert!(
            request(&json!({"model": "a", "messages": [{"role": "user", "content": "x"}],
            "n": null, "stream": null, "unknown": {"x": 1}}))
            .is_ok()
        );
    }

    #[test]
    fn says_what_and_where() {
        let cases = [
            (json!([]), ""),
            (json!({"messages": []}), "model"),
            (json!({"model": " "}), "model"),
            (json!({"model": 3}), "model"),
            (json!({"model": "my name is\nBob"}), "model"),
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": []}), "messages"),
            (json!({"model": "m", "messages": "hi"}), "messages"),
            (with(&json!("hi")), "messages[1]"),
            (with(&json!({"content": "x"})), "messages[1].role"),
            (with(&json!({"role": "robot", "content": "x"})), "messages[1].role"),
            (with(&json!({"role": "user"})), "messages[1].content"),
            (with(&json!({"role": "user", "content": 3})), "messages[1].content"),
            (with(&json!({"role": "user", "content": ["x"]})), "messages[1].content[0]"),
            (with(&json!({"role": "user", "content": [{"text": "x"}]})), "messages[1].content[0].type"),
            (with(&json!({"role": "user", "content": [{"type": "text"}]})), "messages[1].content[0].text"),
            (
                with(&json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]})),
                "messages[1].content[0].image_url.url",
            ),
            (with(&json!({"role": "tool", "content": "x"})), "messages[1].tool_call_id"),
            (with(&json!({"role": "assistant", "tool_calls": {}})), "messages[1].tool_calls"),
            (
                with(
                    &json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}),
                ),
                "messages[1].tool_calls[0].function.arguments",
            ),
        ];
        for (body, param) in cases {
            let error = request(&body).expect_err(param);
            assert_eq!(error.param, param, "{body}");
            assert!(error.message.contains("must be"), "{}", error.message);
        }
        for (key, bad) in [
            ("stream", json!("yes")),
            ("n", json!(0)),
            ("n", json!(1.5)),
            ("n", json!(1000)),
            ("max_tokens", json!(-1)),
            ("temperature", json!("hot")),
            ("tools", json!({})),
            ("response_format", json!("json")),
        ] {
            let mut body = with(&json!({"role": "user", "content": "x"}));
            body[key] = bad;
            assert_eq!(request(&body).expect_err(key).param, key);
        }
    }
}
