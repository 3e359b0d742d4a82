//! OpenAI's chat dialect (`POST /v1/chat/completions`): reading a request, an answer, a stream; writing a mask back.

mod accumulate;
mod answer;
mod check;
mod collect;
mod place;
mod stream;
mod tools;

use serde_json::Value;
use tappass_model::{Dialect, ModelRequest};

pub use accumulate::Accumulator;
pub use answer::read_answer;
pub use check::RequestError;
pub use place::{get_text, set_text};
pub use stream::{Channel, ChannelKind, deltas, is_usage_only, set_delta};
pub use tools::{PastCall, definition_at, definitions, past_calls, remove_tools};

/// Reads a chat request: checks what it must have, and collects every text that would leave with it.
/// Unknown fields are kept, and their texts are collected too.
///
/// # Errors
/// [`RequestError`]: what is wrong, where, and what would be right.
pub fn read_request(body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
    let (model, messages) = check::request(&body)?;
    let segments = collect::request(&body);
    Ok(ModelRequest {
        dialect: Dialect::OpenAiChat,
        model,
        stream: body["stream"].as_bool().unwrap_or(false),
        bytes,
        segments,
        tools: tool_names(&body),
        messages,
        body,
    })
}

/// Whether the client asked for the usage of a stream (`stream_options.include_usage`). The gateway always asks
/// the provider for it; a client that did not gets no chunk for which [`is_usage_only`] holds.
#[must_use]
pub fn wants_usage(body: &Value) -> bool {
    body["stream_options"]["include_usage"].as_bool().unwrap_or(false)
}

fn tool_names(body: &Value) -> Vec<String> {
    definitions(body).map(|(name, _)| name.to_owned()).collect()
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
        assert!(wants_usage(&body));
        assert_eq!(request.body, body);
    }
}
