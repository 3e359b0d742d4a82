//! What `generateContent` answers, as a chat completion: whole, and piece by piece.

use serde_json::{Value, json};

/// Translates a whole answer. `created` is in Unix seconds: the API tells no time.
pub fn whole(answer: &Value, created: i64) -> Value {
    let id = id_of(answer);
    let candidates = answer["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut choices: Vec<Value> = candidates
        .iter()
        .zip(0..)
        .map(|(candidate, position)| {
            let index = candidate["index"].as_u64().unwrap_or(position);
            let Said { text, thought, calls } = Said::of(candidate, &format!("{id}_{index}"), 0);
            let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
            let mut message = json!({"role": "assistant", "content": content, "refusal": null});
            if !thought.is_empty() {
                message["reasoning_content"] = thought.into();
            }
            let reason = finish_reason(&candidate["finishReason"], !calls.is_empty());
            if !calls.is_empty() {
                message["tool_calls"] = calls.into();
            }
            json!({"index": index, "message": message, "logprobs": null, "finish_reason": reason.unwrap_or("stop")})
        })
        .collect();
    if choices.is_empty() {
        // The prompt was refused; the API says so beside, and answers nothing.
        choices.push(json!({"index": 0, "message": {"role": "assistant", "content": "", "refusal": null},
            "logprobs": null, "finish_reason": "content_filter"}));
    }
    json!({"id": id, "object": "chat.completion", "created": created, "model": answer["modelVersion"],
        "choices": choices, "usage": usage(&answer["usageMetadata"])})
}

/// What a candidate, or a piece of one, says.
struct Said {
    text: String,
    thought: String,
    calls: Vec<Value>,
}

impl Said {
    /// `first` is the number of the first call among all of its candidate.
    fn of(candidate: &Value, id: &str, first: usize) -> Self {
        let mut said = Self { text: String::new(), thought: String::new(), calls: Vec::new() };
        for part in candidate["content"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default() {
            if let Some(text) = part["text"].as_str() {
                if part["thought"] == true { said.thought.push_str(text) } else { said.text.push_str(text) }
            }
            let call = &part["functionCall"];
            if call.is_object() {
                let arguments =
                    if call["args"].is_object() { call["args"].to_string() } else { "{}".to_owned() };
                let own = call["id"].as_str().map(str::to_owned);
                let id = own.unwrap_or_else(|| format!("call_{id}_{}", first + said.calls.len()));
                let mut told = json!({"id": id, "type": "function",
                    "function": {"name": call["name"], "arguments": arguments}});
                if part["thoughtSignature"].is_string() {
                    told["extra_content"] =
                        json!({"google": {"thought_signature": part["thoughtSignature"]}});
                }
                said.calls.push(told);
            }
        }
        said
    }
}

fn id_of(answer: &Value) -> String {
    answer["responseId"].as_str().unwrap_or("gemini").to_owned()
}

/// Why an answer ended, in the chat dialect's words; `None` while it has not.
fn finish_reason(reason: &Value, calls: bool) -> Option<&'static str> {
    Some(match reason.as_str()? {
        "MAX_TOKENS" => "length",
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => "content_filter",
        _ if calls => "tool_calls",
        _ => "stop",
    })
}

/// Tokens in the chat dialect's words: what was thought was written too.
fn usage(usage: &Value) -> Value {
    let count = |key: &str| usage[key].as_u64().unwrap_or(0);
    let thought = count("thoughtsTokenCount");
    let (prompt, completion) = (count("promptTokenCount"), count("candidatesTokenCount") + thought);
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": count("cachedContentTokenCount")},
        "completion_tokens_details": {"reasoning_tokens": thought}})
}

/// The pieces of an answer as chat chunks.
pub struct Translation {
    created: i64,
    id: String,
    model: Value,
    /// How many calls each candidate has made.
    calls: Vec<usize>,
    usage: Value,
    begun: bool,
    ended: bool,
}

impl Translation {
    /// `created` is in Unix seconds.
    pub fn new(created: i64) -> Self {
        let (id, model, usage) = (String::new(), Value::Null, Value::Null);
        Self { created, id, model, calls: Vec::new(), usage, begun: false, ended: false }
    }

    /// The chunk that a piece makes; `None` where the chat dialect has nothing to say.
    pub fn chunk(&mut self, piece: &Value) -> Option<Value> {
        if !self.begun {
            self.id = id_of(piece);
            self.model = piece["modelVersion"].clone();
        }
        if piece["usageMetadata"].is_object() {
            self.usage = piece["usageMetadata"].clone();
        }
        let refused = piece["promptFeedback"]["blockReason"].is_string();
        let candidates = piece["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
        if candidates.is_empty() && !refused {
            return None;
        }
        let mut choices = Vec::new();
        for (candidate, position) in candidates.iter().zip(0..) {
            let index = candidate["index"].as_u64().unwrap_or(position);
            choices.push(self.choice(candidate, index));
        }
        if candidates.is_empty() {
            self.ended = true;
            choices.push(json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}));
        }
        self.begun = true;
        Some(self.frame(&choices.into()))
    }

    fn choice(&mut self, candidate: &Value, index: u64) -> Value {
        let at = usize::try_from(index).unwrap_or(0).min(127);
        if self.calls.len() <= at {
            self.calls.resize(at + 1, 0);
        }
        let said = Said::of(candidate, &format!("{}_{index}", self.id), self.calls[at]);
        let mut delta = json!({});
        if !self.begun {
            delta["role"] = "assistant".into();
            delta["content"] = "".into();
        }
        if !said.thought.is_empty() {
            delta["reasoning_content"] = said.thought.into();
        }
        if !said.text.is_empty() {
            delta["content"] = said.text.into();
        }
        if !said.calls.is_empty() {
            let from = self.calls[at];
            self.calls[at] += said.calls.len();
            let numbered = said.calls.into_iter().zip(from..).map(|(mut call, number)| {
                call["index"] = number.into();
                call
            });
            delta["tool_calls"] = numbered.collect();
        }
        let reason = finish_reason(&candidate["finishReason"], self.calls[at] > 0);
        self.ended |= reason.is_some();
        json!({"index": index, "delta": delta, "finish_reason": reason})
    }

    /// The last chunk: what it all cost. `None` where the answer has not said why it ended.
    pub fn last(&self) -> Option<Value> {
        self.ended.then(|| {
            let mut chunk = self.frame(&json!([]));
            chunk["usage"] = usage(&self.usage);
            chunk
        })
    }

    fn frame(&self, choices: &Value) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::chat::{Accumulator, read_answer};

    #[expect(clippy::needless_pass_by_value, reason = "reads better with json! at the call")]
    fn piece(parts: Value, reason: Value) -> Value {
        json!({"responseId": "r1", "modelVersion": "gemini-x", "candidates": [
            {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": reason}]})
    }

    #[test]
    fn a_stream_says_what_the_whole_says() {
        let counted = json!({"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 2, "cachedContentTokenCount": 3});
        let call = |name: &str| json!({"functionCall": {"name": name, "args": {"a": 1}}});
        let mut last = piece(json!([call("g")]), json!("STOP"));
        last["usageMetadata"] = counted.clone();
        let pieces = [
            piece(json!([{"text": "h", "thought": true}]), Value::Null),
            piece(json!([{"text": "m", "thought": true}]), Value::Null),
            piece(json!([{"text": "I "}]), Value::Null),
            json!({"usageMetadata": {"promptTokenCount": 5}}),
            piece(json!([{"text": "look."}, call("f")]), Value::Null),
            last,
        ];
        let mut state = Translation::new(0);
        let mut folded = Accumulator::default();
        assert_eq!(state.last(), None);
        pieces.iter().filter_map(|piece| state.chunk(piece)).for_each(|chunk| folded.push(&chunk));
        folded.push(&state.last().expect("it has ended"));
        let mut all = piece(
            json!([{"text": "hm", "thought": true}, {"text": "I look."}, call("f"), call("g")]),
            json!("STOP"),
        );
        all["usageMetadata"] = counted;
        let whole = whole(&all, 0);
        let (read, answer) = (read_answer(&whole), folded.answer());
        assert_eq!((answer.segments, answer.tool_calls), (read.segments, read.tool_calls.clone()));
        assert_eq!((answer.usage, answer.model), (read.usage, read.model));
        assert_eq!((read.usage.prompt_tokens, read.usage.completion_tokens), (5, 9));
        assert_eq!(
            read.tool_calls.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(),
            ["call_r1_0_0", "call_r1_0_1"]
        );
        assert_eq!(folded.finish_reason(0), Some("tool_calls"));
        let mut signed = call("f");
        signed["thoughtSignature"] = "c2ln".into();
        let chunk = Translation::new(0).chunk(&piece(json!([signed]), json!("STOP"))).expect("a chunk");
        let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(call["extra_content"]["google"]["thought_signature"], "c2ln");
    }

    #[test]
    fn why_it_ended() {
        for (theirs, ours) in [
            ("STOP", "stop"),
            ("MAX_TOKENS", "length"),
            ("SAFETY", "content_filter"),
            ("PROHIBITED_CONTENT", "content_filter"),
            ("OTHER", "stop"),
        ] {
            let answer = piece(json!([{"text": "x"}]), json!(theirs));
            assert_eq!(whole(&answer, 0)["choices"][0]["finish_reason"], ours);
            let mut state = Translation::new(0);
            assert_eq!(state.chunk(&answer).expect("a chunk")["choices"][0]["finish_reason"], ours);
        }
        let refused =
            json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}});
        assert_eq!(whole(&refused, 0)["choices"][0]["finish_reason"], "content_filter");
        let mut state = Translation::new(0);
        assert_eq!(state.chunk(&refused).expect("a chunk")["choices"][0]["finish_reason"], "content_filter");
        assert_eq!(state.last().expect("ended")["usage"]["prompt_tokens"], 4);
    }
}
