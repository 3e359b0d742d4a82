//! The built-in model: deterministic, without a network, for demonstrations and tests.
//!
//! It answers to the last user message. What that begins with decides the answer:
//! - `say: TEXT` says exactly TEXT (so that the scanning of answers can be shown);
//! - `think: TEXT` reasons TEXT visibly, then says so;
//! - `call NAME {JSON}` calls the tool NAME, if the request offers it;
//! - `repeat N: TEXT` says TEXT N times (at most 10,000), for long streams;
//! - anything else is acknowledged and repeated. After a tool's result, that result is repeated.
//!
//! With `response_format` JSON the answer is an object: of the schema's shape where there is one. `n`, `stop` and
//! `max_tokens` are kept to. Vectors of texts are made of their words. Tokens are estimated: four bytes are one token, rounded up.

mod embed;
mod schema;

use async_trait::async_trait;
use futures_util::stream;
use serde_json::{Value, json};

use tappass_model::Dialect;

use crate::{Provider, ProviderCall, ProviderError, ProviderReply, dialects::messages::to_chat};

/// The model's name in answers.
pub const MODEL: &str = "builtin";
const MOST_REPEATS: usize = 10_000;

/// The provider of the built-in model. Any model name is answered by the same one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Builtin;

#[async_trait]
impl Provider for Builtin {
    fn id(&self) -> &str {
        "builtin"
    }

    fn host(&self) -> Option<String> {
        None
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiEmbeddings | Dialect::AnthropicTokens)
    }

    async fn send(&self, call: ProviderCall) -> Result<ProviderReply, ProviderError> {
        let unsupported = |feature| ProviderError::Unsupported { provider: "builtin".to_owned(), feature };
        if call.dialect == Dialect::OpenAiEmbeddings {
            return Ok(ProviderReply::Whole(embed::answer(&call.body).map_err(unsupported)?));
        }
        if call.dialect == Dialect::AnthropicTokens {
            let chat = to_chat(&call.body).map_err(unsupported)?;
            return Ok(ProviderReply::Whole(json!({"input_tokens": Reply::to(&chat).prompt_tokens})));
        }
        for feature in ["logprobs", "audio"] {
            if !matches!(call.body.get(feature), None | Some(Value::Null | Value::Bool(false))) {
                return Err(unsupported(feature.to_owned()));
            }
        }
        let reply = Reply::to(&call.body);
        Ok(if call.stream {
            ProviderReply::Stream(Box::pin(stream::iter(reply.chunks().into_iter().map(Ok))))
        } else {
            ProviderReply::Whole(reply.whole())
        })
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(vec!["echo".to_owned()])
    }
}

/// What the model answers, before it takes a shape.
#[derive(Debug, PartialEq, Default)]
struct Reply {
    text: String,
    reasoning: Option<String>,
    tool: Option<(String, String)>,
    finish: &'static str,
    choices: u64,
    prompt_tokens: u64,
}

impl Reply {
    fn to(body: &Value) -> Self {
        let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut reply = Self {
            finish: "stop",
            choices: body["n"].as_u64().unwrap_or(1),
            prompt_tokens: messages.iter().map(|m| tokens(&content(m).0)).sum(),
            ..Self::default()
        };
        let last = messages.iter().rev().find(|m| m["role"] == "user" || m["role"] == "tool");
        let (asked, media) = last.map(content).unwrap_or_default();
        if last.is_some_and(|m| m["role"] == "tool") {
            reply.text = format!("The tool answered: {asked}");
        } else {
            reply.command(body, asked.trim(), media);
        }
        reply.limit(body);
        reply
    }

    fn command(&mut self, body: &Value, asked: &str, media: usize) {
        if let Some(text) = asked.strip_prefix("say:") {
            self.text = text.trim_start().to_owned();
        } else if let Some(tool) = asked.strip_prefix("call ").and_then(|rest| tool_call(body, rest)) {
            self.tool = Some(tool);
            self.finish = "tool_calls";
        } else if let Some(text) = json_answer(body, asked) {
            self.text = text;
        } else if let Some(text) = asked.strip_prefix("think:") {
            self.reasoning = Some(text.trim_start().to_owned());
            "I have thought about it.".clone_into(&mut self.text);
        } else if let Some((times, text)) =
            asked.strip_prefix("repeat ").and_then(|rest| rest.split_once(':'))
            && let Ok(times) = times.trim().parse::<usize>()
        {
            self.text = format!("{} ", text.trim()).repeat(times.min(MOST_REPEATS)).trim_end().to_owned();
        } else {
            let seen = match media {
                0 => String::new(),
                n => format!(" Attachments: {n}."),
            };
            self.text = format!("This is the built-in model of TapPass. You said: {asked}{seen}");
        }
    }

    fn limit(&mut self, body: &Value) {
        let stops = match &body["stop"] {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            stop => stop.as_str().into_iter().collect::<Vec<_>>(),
        };
        let stop = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| self.text.find(stop)).min();
        self.text.truncate(stop.unwrap_or(usize::MAX));
        let most = body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64());
        if let Some(most) = most.and_then(|n| usize::try_from(n).ok()).map(|n| n.saturating_mul(4))
            && self.text.len() > most
        {
            self.text.truncate(self.text.floor_char_boundary(most));
            self.finish = "length";
        }
    }

    fn usage(&self) -> Value {
        let said =
            [Some(self.text.as_str()), self.reasoning.as_deref(), self.tool.as_ref().map(|t| t.1.as_str())];
        let completion = said.into_iter().flatten().map(tokens).sum::<u64>() * self.choices;
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion})
    }

    fn tool_call(&self) -> Option<Value> {
        self.tool.as_ref().map(|(name, arguments)| {
            json!({"id": "call_builtin_1", "type": "function", "function": {"name": name, "arguments": arguments}})
        })
    }

    fn whole(&self) -> Value {
        let mut message = json!({"role": "assistant", "content": self.text, "refusal": null});
        if let Some(reasoning) = &self.reasoning {
            message["reasoning_content"] = reasoning.as_str().into();
        }
        if let Some(call) = self.tool_call() {
            message["content"] = Value::Null;
            message["tool_calls"] = json!([call]);
        }
        let choices: Vec<Value> = (0..self.choices)
            .map(|i| json!({"index": i, "message": message, "finish_reason": self.finish, "logprobs": null}))
            .collect();
        let mut body = frame("chat.completion", &choices);
        body["usage"] = self.usage();
        body
    }

    fn chunks(&self) -> Vec<Value> {
        let mut deltas = vec![json!({"role": "assistant", "content": ""})];
        let pieces = |text: &str| text.split_inclusive(' ').map(str::to_owned).collect::<Vec<_>>();
        deltas.extend(
            pieces(self.reasoning.as_deref().unwrap_or_default())
                .iter()
                .map(|p| json!({"reasoning_content": p})),
        );
        deltas.extend(pieces(&self.text).iter().map(|p| json!({"content": p})));
        if let Some((mut call, (_, arguments))) = self.tool_call().zip(self.tool.as_ref()) {
            call["index"] = 0.into();
            call["function"]["arguments"] = "".into();
            deltas.push(json!({"tool_calls": [call]}));
            deltas.extend(
                pieces(arguments)
                    .iter()
                    .map(|p| json!({"tool_calls": [{"index": 0, "function": {"arguments": p}}]})),
            );
        }
        let mut chunks = Vec::with_capacity(deltas.len() + 2);
        for index in 0..self.choices {
            chunks.extend(deltas.iter().map(|delta| {
                frame(
                    "chat.completion.chunk",
                    &[json!({"index": index, "delta": delta, "finish_reason": null})],
                )
            }));
            let end = json!({"index": index, "delta": {}, "finish_reason": self.finish});
            chunks.push(frame("chat.completion.chunk", &[end]));
        }
        let mut last = frame("chat.completion.chunk", &[]);
        last["usage"] = self.usage();
        chunks.push(last);
        chunks
    }
}

/// What every body of one answer begins with. The model has no clock.
fn frame(object: &str, choices: &[Value]) -> Value {
    json!({"id": "chatcmpl-builtin", "object": object, "created": 0, "model": MODEL, "choices": choices})
}

/// A message's text, and how many other parts it has.
fn content(message: &Value) -> (String, usize) {
    match &message["content"] {
        Value::String(text) => (text.clone(), 0),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            (texts.join("\n"), parts.len() - texts.len())
        }
        _ => (String::new(), 0),
    }
}

fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// `NAME {JSON}`, where the request offers NAME and the rest is JSON (`{}` where there is none).
fn tool_call(body: &Value, rest: &str) -> Option<(String, String)> {
    let (name, arguments) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), "{}"));
    let offered = body["tools"].as_array()?.iter().any(|tool| tool["function"]["name"] == name);
    let arguments = arguments.trim();
    serde_json::from_str::<Value>(arguments).ok().filter(|_| offered)?;
    Some((name.to_owned(), arguments.to_owned()))
}

fn json_answer(body: &Value, asked: &str) -> Option<String> {
    let format = &body["response_format"];
    match format["type"].as_str()? {
        "json_schema" => Some(schema::example(&format["json_schema"]["schema"]).to_string()),
        "json_object" => Some(json!({"answer": format!("You said: {asked}")}).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::chat::{Accumulator, read_answer};

    fn reply(body: &Value) -> Reply {
        Reply::to(body)
    }

    fn ask(text: &str) -> Value {
        json!({"messages": [{"role": "user", "content": text}]})
    }

    #[test]
    fn commands() {
        assert_eq!(reply(&ask("say: 4111 1111 1111 1111\nx ")).text, "4111 1111 1111 1111\nx");
        assert_eq!(reply(&ask("repeat 3: ab")).text, "ab ab ab");
        assert_eq!(reply(&ask("think: hm")).reasoning.as_deref(), Some("hm"));
        assert!(reply(&ask("hello there")).text.ends_with("You said: hello there"));
        let mut body = ask("call search {\"q\": \"x y\"}");
        assert!(reply(&body).tool.is_none(), "not offered");
        body["tools"] = json!([{"type": "function", "function": {"name": "search"}}]);
        assert_eq!(reply(&body).tool, Some(("search".to_owned(), "{\"q\": \"x y\"}".to_owned())));
        body["messages"] =
            json!([{"role": "user", "content": "call search"}, {"role": "tool", "content": "42"}]);
        assert_eq!(reply(&body).text, "The tool answered: 42");
    }

    #[test]
    fn keeps_to_limits_and_formats() {
        let mut body = ask("say: one two STOP three");
        body["stop"] = json!(["STOP"]);
        assert_eq!(reply(&body).text, "one two ");
        body["max_tokens"] = json!(1);
        assert_eq!((reply(&body).text.as_str(), reply(&body).finish), ("one ", "length"));
        let mut body = ask("hi");
        body["response_format"] = json!({"type": "json_object"});
        assert!(serde_json::from_str::<Value>(&reply(&body).text).is_ok_and(|v| v.is_object()));
    }

    #[test]
    fn the_stream_spells_the_whole() {
        let mut call = ask("call f {\"a\": \"b c d\"}");
        call["tools"] = json!([{"function": {"name": "f"}}]);
        let mut several = ask("think: so and so");
        several["n"] = json!(2);
        for body in [ask("hello there"), call, several] {
            let reply = reply(&body);
            let mut folded = Accumulator::default();
            reply.chunks().iter().for_each(|chunk| folded.push(chunk));
            let (whole, folded) = (read_answer(&reply.whole()), folded.answer());
            assert_eq!(folded.segments, whole.segments);
            assert_eq!(
                (folded.tool_calls, folded.usage, folded.model),
                (whole.tool_calls, whole.usage, whole.model)
            );
            assert!(whole.usage.completion_tokens > 0);
        }
    }
}
