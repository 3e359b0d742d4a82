//! In what servers of the chat dialect differ from its inventor's, as data.

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use crate::ProviderReply;

/// What a server wants otherwise. A request is changed before it leaves, an answer when it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Parameters that have another name there.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Parameters that it does not know and refuses. Left out, they change nothing that an answer says.
    pub unknown: &'static [&'static str],
    /// Parameters that it cannot honour, though they would change the answer: refused by name.
    pub unsupported: &'static [&'static str],
    /// It tells the usage of a stream without being asked, and refuses the question.
    pub tells_usage: bool,
    /// `developer` is `system` there.
    pub only_system: bool,
    /// Ids of tool calls have nine letters and digits.
    pub short_ids: bool,
}

impl Quirks {
    /// None.
    pub const NONE: Self = Self {
        renamed: &[],
        unknown: &[],
        unsupported: &[],
        tells_usage: false,
        only_system: false,
        short_ids: false,
    };

    /// Mistral: <https://docs.mistral.ai/api/endpoint/chat>. It refuses every parameter that it does not know.
    pub const MISTRAL: Self = Self {
        renamed: &[("max_completion_tokens", "max_tokens"), ("seed", "random_seed")],
        unknown: &[
            "stream_options",
            "user",
            "safety_identifier",
            "store",
            "service_tier",
            "prompt_cache_key",
            "prompt_cache_retention",
            "verbosity",
        ],
        unsupported: &[
            "logprobs",
            "top_logprobs",
            "logit_bias",
            "audio",
            "web_search_options",
            "functions",
            "function_call",
        ],
        tells_usage: true,
        only_system: true,
        short_ids: true,
    };

    /// Model servers of one's own (Ollama, vLLM, LM Studio): their models' templates know `system` only, and older
    /// versions the older name of the limit.
    pub const LOCAL: Self =
        Self { renamed: &[("max_completion_tokens", "max_tokens")], only_system: true, ..Self::NONE };

    /// Changes a request. The error names what the server cannot do.
    pub fn ask(&self, body: &mut Value) -> Result<(), String> {
        let Some(body) = body.as_object_mut() else { return Ok(()) };
        let nothing = |value: &Value| {
            matches!(value, Value::Null | Value::Bool(false))
                || *value == 0
                || *value == json!({})
                || *value == json!([])
        };
        if let Some(key) =
            self.unsupported.iter().find(|key| body.get(**key).is_some_and(|value| !nothing(value)))
        {
            return Err((*key).to_owned());
        }
        for key in self.unknown.iter().chain(self.unsupported) {
            body.shift_remove(*key);
        }
        for (ours, theirs) in self.renamed {
            if let Some(value) = body.shift_remove(*ours) {
                body.entry(*theirs).or_insert(value);
            }
        }
        for message in body.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
            if self.only_system && message["role"] == "developer" {
                message["role"] = "system".into();
            }
            if self.short_ids {
                let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
                calls.for_each(|call| shorten(&mut call["id"]));
                if message.get("tool_call_id").is_some() {
                    shorten(&mut message["tool_call_id"]);
                }
            }
        }
        Ok(())
    }
}

/// An id in nine letters and digits: itself where it is that already, else made from it, always the same.
fn shorten(id: &mut Value) {
    let Some(text) = id.as_str() else { return };
    if text.len() != 9 || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let hash = digest(&SHA256, text.as_bytes());
        let letters = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let short: String = hash.as_ref()[..9]
            .iter()
            .map(|byte| char::from(letters[usize::from(*byte) % letters.len()]))
            .collect();
        *id = short.into();
    }
}

/// A reply as the dialect's inventor would tell it: content in parts (`thinking`, `text`) as two texts, and the reasons for
/// an end in its words.
pub fn plain(reply: ProviderReply) -> ProviderReply {
    match reply {
        ProviderReply::Whole(mut answer) => {
            choices(&mut answer, "message");
            ProviderReply::Whole(answer)
        }
        ProviderReply::Stream(chunks) => ProviderReply::Stream(Box::pin(chunks.map(|chunk| {
            let mut chunk = chunk?;
            choices(&mut chunk, "delta");
            Ok(chunk)
        }))),
    }
}

fn choices(body: &mut Value, key: &str) {
    for choice in body.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        if choice["finish_reason"] == "model_length" {
            choice["finish_reason"] = "length".into();
        }
        if let Some(message) = choice.get_mut(key).and_then(Value::as_object_mut) {
            join_parts(message);
        }
    }
}

fn join_parts(message: &mut Map<String, Value>) {
    let Some(Value::Array(parts)) = message.get("content") else { return };
    let (mut text, mut thought) = (String::new(), String::new());
    for part in parts {
        match (part["type"].as_str(), &part["thinking"]) {
            (Some("text"), _) => text.push_str(part["text"].as_str().unwrap_or_default()),
            (Some("thinking"), Value::String(all)) => thought.push_str(all),
            (Some("thinking"), list) => {
                let texts = list.as_array().into_iter().flatten().filter_map(|one| one["text"].as_str());
                texts.for_each(|one| thought.push_str(one));
            }
            // A part of another kind stays, and all with it.
            _ => return,
        }
    }
    message.insert("content".to_owned(), text.into());
    if !thought.is_empty() {
        message.insert("reasoning_content".to_owned(), thought.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistral_gets_what_it_knows_and_refuses_what_it_cannot() {
        let mut body = json!({"model": "m", "max_completion_tokens": 5, "seed": 7, "user": "u", "store": true,
            "stream_options": {"include_usage": true}, "logprobs": false, "messages": [
                {"role": "developer", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": "call_abcdefghij"}, {"id": "abcDEF123"}]},
                {"role": "tool", "tool_call_id": "call_abcdefghij", "content": "y"}]});
        Quirks::MISTRAL.ask(&mut body).expect("supported");
        let id = body["messages"][1]["tool_calls"][0]["id"].clone();
        assert!(id.as_str().is_some_and(|id| id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_eq!(
            body,
            json!({"model": "m", "messages": [
                {"role": "system", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": id}, {"id": "abcDEF123"}]},
                {"role": "tool", "tool_call_id": id, "content": "y"}], "max_tokens": 5, "random_seed": 7})
        );
        assert_eq!(Quirks::MISTRAL.ask(&mut json!({"logprobs": true})), Err("logprobs".to_owned()));
        let mut untouched = json!({"max_completion_tokens": 5, "messages": [{"role": "developer"}]});
        let before = untouched.clone();
        Quirks::NONE.ask(&mut untouched).expect("nothing to refuse");
        assert_eq!(untouched, before);
    }

    #[test]
    fn thinking_in_parts_is_reasoning() {
        let said = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]);
        let answer = json!({"choices": [{"message": {"content": said}, "finish_reason": "model_length"}]});
        let ProviderReply::Whole(answer) = plain(ProviderReply::Whole(answer)) else {
            unreachable!("a whole answer")
        };
        assert_eq!(
            answer["choices"][0],
            json!({"message": {"content": "so", "reasoning_content": "hm"}, "finish_reason": "length"})
        );
    }
}
