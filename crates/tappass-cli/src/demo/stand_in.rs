//! What stands in for the providers: it answers under their names what the scenario says, from this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream;
use serde_json::{Value, json};
use tappass_model::Dialect;
use tappass_provider::{Provider, ProviderCall, ProviderError, ProviderReply, Providers, builtin::Builtin};

/// What to answer to one call.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The message.
    pub message: Value,
    /// Tokens read and written, as it says.
    pub tokens: [u64; 2],
    /// How long it takes.
    pub takes: Duration,
}

/// The answers that wait for their calls, by trace.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<Mutex<HashMap<String, Answer>>>);

impl Answers {
    /// For the call with this `traceparent`.
    pub fn expect(&self, traceparent: &str, answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(traceparent.to_owned(), answer);
    }

    /// Taken once; also what no call has fetched, because it was blocked.
    pub fn take(&self, traceparent: &str) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(traceparent)
    }

    /// Providers under the names that the scenario's models belong to.
    #[must_use]
    pub fn providers(&self) -> Providers {
        let one = |id| -> (&'static str, Arc<dyn Provider>) {
            (id, Arc::new(StandIn { id, answers: self.clone() }))
        };
        Providers::of(["openai", "anthropic"].map(one), "openai")
    }
}

struct StandIn {
    id: &'static str,
    answers: Answers,
}

#[async_trait]
impl Provider for StandIn {
    fn id(&self) -> &str {
        self.id
    }

    fn host(&self) -> Option<String> {
        None
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        Builtin.speaks(dialect)
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let expected = call.traceparent.as_deref().and_then(|trace| self.answers.take(trace));
        // Whoever tries an agent's key gets the built-in model.
        let Some(answer) = expected.filter(|_| call.dialect == Dialect::OpenAiChat) else {
            return Builtin.send(call).await;
        };
        tokio::time::sleep(answer.takes).await;
        let wants_tool = !answer.message["tool_calls"].is_null();
        let finish = if wants_tool { "tool_calls" } else { "stop" };
        let usage = json!({"prompt_tokens": answer.tokens[0], "completion_tokens": answer.tokens[1],
            "total_tokens": answer.tokens[0] + answer.tokens[1]});
        let frame = |object: &str, choices: Value| json!({"id": "chatcmpl-demo", "object": object, "created": 0, "model": call.model, "choices": choices});
        if !call.stream {
            let choice =
                json!({"index": 0, "message": answer.message, "finish_reason": finish, "logprobs": null});
            let mut whole = frame("chat.completion", json!([choice]));
            whole["usage"] = usage;
            return Ok(ProviderReply::Whole(whole));
        }
        let text = answer.message["content"].as_str().unwrap_or_default();
        let delta = |delta: Value, end: Value| {
            frame("chat.completion.chunk", json!([{"index": 0, "delta": delta, "finish_reason": end}]))
        };
        let mut chunks: Vec<Value> = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
        chunks.extend(text.split_inclusive(' ').map(|piece| delta(json!({"content": piece}), Value::Null)));
        chunks.push(delta(json!({}), json!(finish)));
        let mut last = frame("chat.completion.chunk", json!([]));
        last["usage"] = usage;
        chunks.push(last);
        Ok(ProviderReply::Stream(Box::pin(stream::iter(chunks.into_iter().map(Ok)))))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}
