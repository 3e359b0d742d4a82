//! OpenAI's chat dialect (`POST /v1/chat/completions`): reading a request, an answer, a stream; writing a mask back.

mod accumulate;
mod answer;
mod check;
mod collect;
mod flow;
mod stream;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tappass_model::{Answer, Dialect, ModelRequest};

use super::{
    Failure, Flow, FromChat, History, Ids, RequestError, Shape, Voice, Wants, definitions, frame,
    tools::provider_runs,
};
use crate::ProviderCall;

pub use accumulate::Accumulator;
pub use answer::read_answer;
pub use stream::{deltas, is_usage_only, set_delta};

#[cfg(test)]
pub(super) use collect::request as request_texts;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct Chat;

impl Shape for Chat {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        read_request(body, bytes)
    }

    fn read_answer(&self, body: &Value) -> Answer {
        read_answer(body)
    }

    /// The gateway always asks the provider for it (`stream_options.include_usage`); a client that did not gets no
    /// chunk for which [`is_usage_only`] holds.
    fn wants_usage(&self, body: &Value) -> bool {
        body["stream_options"]["include_usage"].as_bool().unwrap_or(false)
    }

    fn history(&self, body: &Value) -> History {
        tools::history(body)
    }

    fn remove_tools(&self, body: &mut Value, removed: &dyn Fn(&str) -> bool) {
        tools::remove_tools(body, removed);
    }

    fn ceiling(&self, body: &Value, unsaid: u64) -> u64 {
        let number = |key: &str| body[key].as_u64();
        let answer = number("max_completion_tokens").or_else(|| number("max_tokens")).unwrap_or(unsaid);
        answer.saturating_mul(number("n").unwrap_or(1).max(1))
    }

    fn voice(&self) -> &'static dyn Voice {
        &Self
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("the chat dialect".to_owned())
    }
}

impl Voice for Chat {
    fn flow(&self, wants: Wants) -> Box<dyn Flow> {
        Box::new(flow::ChatFlow::new(wants))
    }

    /// Each chunk also has its text and the ids at the top level.
    fn frame(&self, mut event: Value, ids: &Ids) -> Bytes {
        let text = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
        let text = Value::from(text);
        frame::event(None, |out| match event.as_object_mut() {
            Some(object) if !object.contains_key("error") => ids.write(out, object, ("content", &text)),
            _ => {
                // Writing a value into a Vec cannot fail.
                let _ = serde_json::to_writer(out, &event);
            }
        })
    }

    fn end(&self) -> Option<&'static [u8]> {
        Some(b"data: [DONE]\n\n")
    }

    fn error(&self, failure: &Failure<'_>) -> Map<String, Value> {
        let error = match failure.theirs {
            Some(theirs) => theirs.clone(),
            None => {
                let mut error = json!({"message": failure.message, "type": failure.kind, "code": failure.code,
                    "param": null});
                for (key, value) in failure.more {
                    error[*key] = (*value).into();
                }
                error
            }
        };
        Map::from_iter([("error".to_owned(), error)])
    }
}

/// Reads a chat request: checks what it must have, and collects every text that would leave with it.
/// Unknown fields are kept, and their texts are collected too.
///
/// # Errors
/// [`RequestError`]: what is wrong, where, and what would be right.
pub fn read_request(body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
    let (model, messages, unknown) = check::request(&body)?;
    let segments = collect::request(&body);
    Ok(ModelRequest {
        dialect: Dialect::OpenAiChat,
        model,
        stream: body["stream"].as_bool().unwrap_or(false),
        bytes,
        segments,
        tools: definitions(&body).map(|(name, _)| name.to_owned()).collect(),
        provider_tools: provider_runs(&body),
        messages,
        unknown,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_the_pipeline_needs() {
        let body = json!({
            "model": "anthropic/claude-sonnet-4-5", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": {"name": "search"}}, {"type": "custom", "custom": {"name": "sql"}}],
            "functions": [{"name": "old"}],
        });
        let request = read_request(body.clone(), 77).expect("valid");
        assert_eq!(request.model, "anthropic/claude-sonnet-4-5");
        assert_eq!((request.stream, request.bytes, request.messages), (true, 77, 1));
        assert_eq!(request.tools, ["search", "sql", "old"]);
        assert!(Chat.wants_usage(&body));
        assert_eq!(request.body, body);
    }

    #[test]
    fn a_frame_has_each_key_once_and_the_ids_are_ours() {
        let Value::Object(map) = json!({"session_id": "s", "task_id": "t\""}) else {
            unreachable!("an object")
        };
        let ids = Ids::new(map);
        let chunk = json!({"id": "c", "content": "theirs", "session_id": "theirs",
            "choices": [{"delta": {"content": "a \"b\"\n"}}]});
        let bytes = Chat.frame(chunk, &ids);
        let text =
            std::str::from_utf8(&bytes).expect("UTF-8").strip_prefix("data: ").expect("data").trim_end();
        let read = tappass_model::json::parse_strict(text.as_bytes()).expect("no key stands twice");
        assert_eq!(
            read,
            json!({"id": "c", "choices": [{"delta": {"content": "a \"b\"\n"}}],
            "content": "a \"b\"\n", "session_id": "s", "task_id": "t\""})
        );
        let bare = Chat.frame(json!({}), &ids);
        assert!(tappass_model::json::parse_strict(&bare[6..]).is_ok());
        assert_eq!(Chat.frame(json!({"error": {}}), &ids), "data: {\"error\":{}}\n\n");
    }
}
