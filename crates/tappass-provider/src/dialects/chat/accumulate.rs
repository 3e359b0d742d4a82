//! Folding a stream into the answer it spells.

use std::collections::BTreeMap;

use serde_json::Value;
use tappass_model::{Answer, Segment, ToolCall, Usage};

use super::answer::read_usage;
use super::stream::{array, deltas, field, index_of};
use crate::dialects::{Channel, ChannelKind};

/// The place of a `function_call` among a choice's calls: after all that have an index.
const OLD: u64 = u64::MAX;

/// Folds chunks into an [`Answer`]. However the provider cut its answer into chunks, the result has the segments,
/// tool calls, usage and model that [`super::read_answer`] reads from the same answer sent whole; its body is null.
#[derive(Debug, Clone, Default)]
pub struct Accumulator {
    texts: BTreeMap<Channel, String>,
    calls: BTreeMap<(u64, u64), (String, String)>,
    /// Arguments of calls in the older form, by choice; their names stand in `calls` under [`OLD`].
    old: BTreeMap<u64, String>,
    finish: BTreeMap<u64, String>,
    usage: Usage,
    model: String,
}

impl Accumulator {
    /// Adds a chunk.
    pub fn push(&mut self, chunk: &Value) {
        for (channel, text) in deltas(chunk) {
            self.texts.entry(channel).or_default().push_str(text);
        }
        for (position, choice) in array(&chunk["choices"]).iter().enumerate() {
            let index = index_of(choice, position);
            if let Some(reason) = choice["finish_reason"].as_str() {
                self.finish.insert(index, reason.to_owned());
            }
            for (i, call) in array(&choice["delta"]["tool_calls"]).iter().enumerate() {
                let (id, name) = self.calls.entry((index, index_of(call, i))).or_default();
                let body = call.get("custom").unwrap_or(&call["function"]);
                for (known, said) in [(id, &call["id"]), (name, &body["name"])] {
                    if let Some(said) = said.as_str().filter(|_| known.is_empty()) {
                        said.clone_into(known);
                    }
                }
            }
            let old = &choice["delta"]["function_call"];
            if let Some(name) = old["name"].as_str() {
                self.calls.entry((index, OLD)).or_default().1.push_str(name);
            }
            if let Some(piece) = old["arguments"].as_str() {
                self.old.entry(index).or_default().push_str(piece);
            }
        }
        if chunk["usage"].is_object() {
            self.usage = read_usage(&chunk["usage"]);
        }
        if let Some(model) = chunk["model"].as_str().filter(|model| !model.is_empty()) {
            model.clone_into(&mut self.model);
        }
    }

    /// What a channel has said so far.
    #[must_use]
    pub fn text(&self, channel: &Channel) -> &str {
        self.texts.get(channel).map_or("", String::as_str)
    }

    /// Why a choice ended: `stop`, `length`, `tool_calls`, `content_filter`; `None` while it has not.
    #[must_use]
    pub fn finish_reason(&self, choice: u64) -> Option<&str> {
        self.finish.get(&choice).map(String::as_str)
    }

    /// The tokens as far as the provider has said.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// The answer so far.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let segments = self.texts.iter().map(|(channel, text)| Segment {
            origin: channel.kind.origin(),
            pointer: self.pointer(channel),
            text: text.clone(),
        });
        let tool_calls = self.calls.iter().map(|((choice, index), (id, name))| ToolCall {
            id: id.clone(),
            name: name.clone(),
            arguments: match *index {
                OLD => self.old.get(choice).cloned().unwrap_or_default(),
                index => {
                    let kind = ChannelKind::ToolArguments(index);
                    self.text(&Channel { choice: *choice, kind }).to_owned()
                }
            },
        });
        Answer {
            segments: segments.collect(),
            tool_calls: tool_calls.collect(),
            usage: self.usage,
            model: self.model.clone(),
            ..Answer::default()
        }
    }

    /// Where the text would stand in the whole answer.
    fn pointer(&self, channel: &Channel) -> String {
        let choice = channel.choice;
        match &channel.kind {
            ChannelKind::ToolArguments(index) => {
                let position = self.calls.range((choice, 0)..(choice, *index)).count();
                format!("/choices/{choice}/message/tool_calls/{position}/function/arguments")
            }
            ChannelKind::Other(pointer) => pointer.replacen("/delta", "/message", 1),
            kind => format!("/choices/{choice}/message/{}", field(kind).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::chat::read_answer;
    use proptest::prelude::*;
    use serde_json::json;

    /// A text and where to cut it.
    fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(chars.len() + 1)).collect();
        at.extend([0, chars.len()]);
        at.sort_unstable();
        at.windows(2).map(|w| chars[w[0]..w[1]].iter().collect()).collect()
    }

    fn chunk(choice: usize, delta: &Value) -> Value {
        json!({"model": "m", "choices": [{"index": choice, "delta": delta, "finish_reason": null}]})
    }

    #[test]
    fn a_call_in_the_older_form_is_a_tool_call() {
        let mut folded = Accumulator::default();
        for delta in [
            json!({"role": "assistant", "function_call": {"name": "pay", "arguments": ""}}),
            json!({"function_call": {"arguments": "{\"eur\""}}),
            json!({"function_call": {"arguments": ": 5}"}}),
        ] {
            folded.push(&chunk(0, &delta));
        }
        let call = json!({"name": "pay", "arguments": "{\"eur\": 5}"});
        let whole = read_answer(&json!({"model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": null, "function_call": call}}]}));
        assert_eq!(whole.tool_calls[0].name, "pay");
        assert_eq!(whole.tool_calls[0].arguments, "{\"eur\": 5}");
        assert_eq!(folded.answer().tool_calls, whole.tool_calls);
    }

    proptest! {
        #[test]
        fn any_chunking_equals_the_whole(
            choices in prop::collection::vec(("\\PC{0,12}", "\\PC{0,24}", prop::collection::vec("\\PC{1,12}", 0..3)), 1..3),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut folded = Accumulator::default();
            let mut whole = Vec::new();
            for (i, (reasoning, content, calls)) in choices.iter().enumerate() {
                folded.push(&chunk(i, &json!({"role": "assistant", "content": ""})));
                for piece in cut(reasoning, &cuts) {
                    folded.push(&chunk(i, &json!({"reasoning_content": piece})));
                }
                for piece in cut(content, &cuts) {
                    folded.push(&chunk(i, &json!({"content": piece})));
                }
                for (c, arguments) in calls.iter().enumerate() {
                    folded.push(&chunk(i, &json!({"tool_calls": [{"index": c, "id": format!("c{c}"),
                        "type": "function", "function": {"name": "f", "arguments": ""}}]})));
                    for piece in cut(arguments, &cuts) {
                        folded.push(&chunk(i, &json!({"tool_calls": [{"index": c, "function": {"arguments": piece}}]})));
                    }
                }
                folded.push(&json!({"choices": [{"index": i, "delta": {}, "finish_reason": "stop"}]}));
                let calls: Vec<Value> = calls.iter().enumerate().map(|(c, arguments)| json!({"id": format!("c{c}"),
                    "type": "function", "function": {"name": "f", "arguments": arguments}})).collect();
                let mut message = json!({"role": "assistant", "content": content, "reasoning_content": reasoning});
                if !calls.is_empty() {
                    message["tool_calls"] = calls.into();
                }
                whole.push(json!({"index": i, "message": message, "finish_reason": "stop"}));
            }
            let usage = json!({"prompt_tokens": 5, "completion_tokens": 6});
            folded.push(&json!({"choices": [], "usage": usage}));
            let whole = read_answer(&json!({"model": "m", "choices": whole, "usage": usage}));
            let folded_answer = folded.answer();
            prop_assert_eq!(folded_answer.segments, whole.segments);
            prop_assert_eq!(folded_answer.tool_calls, whole.tool_calls);
            prop_assert_eq!(folded_answer.usage, whole.usage);
            prop_assert_eq!(folded_answer.model, whole.model);
            prop_assert_eq!(folded.finish_reason(0), Some("stop"));
        }
    }
}
