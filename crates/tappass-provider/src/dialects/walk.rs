//! Every text that leaves with a body, in its order, with its origin and its place.
//!
//! One walk over the whole value, so that a field nobody thought of is no hole. No segment is made of: words of
//! the dialect (`KEYS`, and those words as a `type` or a `role`), the model's name (held to model-name letters by
//! the check), numbers of up to six characters, and the payload of base64 media (a picture is no text; the media
//! type before it stays a segment). Keys that are not the dialect's own are texts like any other.

use serde_json::{Map, Value};
use tappass_model::{Origin, Segment};

use super::place;

/// Numbers this long or longer may be a card, a phone, an account: they are scanned as text.
const LONG_NUMBER: usize = 7;
/// Base64 shorter than this is scanned as the text it may well be.
const MIN_PAYLOAD: usize = 128;

/// A walk in progress: where it stands and what it found.
#[derive(Default)]
pub struct Walk {
    /// The texts so far.
    pub segments: Vec<Segment>,
    /// The pointer of the value under the walk.
    pub pointer: String,
}

impl Walk {
    /// A value of any shape under `key`.
    pub fn value(&mut self, key: &str, value: &Value, origin: Origin) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() >= LONG_NUMBER {
                    self.push(origin, text);
                }
            }
            Value::String(text) if matches!(key, "type" | "role") && is_word(text) => {}
            Value::String(text) => {
                let origin = match (key, origin) {
                    ("arguments" | "input", Origin::Parameter | Origin::Answer) => Origin::ToolArguments,
                    _ => origin,
                };
                let payload = match origin {
                    // What goes to and from tools is no medium, whatever it is called.
                    Origin::ToolArguments | Origin::ToolDefinition => None,
                    _ => payload_start(key, text),
                };
                match payload {
                    Some(0) => {}
                    Some(start) => self.push(origin, text[..start].to_owned()),
                    None => self.push(origin, text.clone()),
                }
            }
            Value::Array(items) => self.items(items, |walk, item| walk.value(key, item, origin)),
            Value::Object(object) => {
                // A document's text stands where a picture's payload would.
                let plain = is_plain(object);
                let visit = |walk: &mut Self, key: &str, value: &Value| match key {
                    "data" if plain => walk.value("text", value, origin),
                    _ => walk.value(key, value, origin),
                };
                self.members(object, visit, origin);
            }
        }
    }

    /// A value that names or counts something: its strings are texts only where they are more than a word.
    pub fn names(&mut self, value: &Value, origin: Origin) {
        let first = self.segments.len();
        self.value("", value, origin);
        let all = self.segments.split_off(first);
        self.segments.extend(all.into_iter().filter(|segment| is_phrase(&segment.text)));
    }

    /// Takes back the outermost keys, which are the provider's own: words, as long as they are.
    pub fn forget_own_keys(&mut self) {
        let own = |s: &Segment| s.pointer.ends_with('#') && s.pointer.matches('/').count() == 1;
        self.segments.retain(|segment| !own(segment) || is_phrase(&segment.text));
    }

    /// Adds a text, unless it is empty, at the place where the walk stands.
    pub fn push(&mut self, origin: Origin, text: String) {
        if text.is_empty() {
            return;
        }
        self.segments.push(Segment { origin, pointer: self.pointer.clone(), text });
    }

    /// Visits the items of an array.
    pub fn items(&mut self, items: &[Value], mut visit: impl FnMut(&mut Self, &Value)) {
        let length = self.pointer.len();
        for (i, item) in items.iter().enumerate() {
            place::push_index(&mut self.pointer, i);
            visit(self, item);
            self.pointer.truncate(length);
        }
    }

    /// Visits the members of an object. A key that is no word of the dialect is a text of its own.
    pub fn members(
        &mut self,
        object: &Map<String, Value>,
        mut visit: impl FnMut(&mut Self, &str, &Value),
        origin: Origin,
    ) {
        let length = self.pointer.len();
        for (i, (key, value)) in object.iter().enumerate() {
            if is_word(key) {
                place::push_word(&mut self.pointer, key);
            } else {
                place::push_key(&mut self.pointer, i);
                self.push(origin, key.clone());
                self.pointer.truncate(length);
                place::push_member(&mut self.pointer, i);
            }
            visit(self, key, value);
            self.pointer.truncate(length);
        }
    }
}

/// Whether a text is more than a word, and so no name whatever it is called.
pub(super) fn is_phrase(text: &str) -> bool {
    text.trim().contains(char::is_whitespace)
}

/// Whether `data` is text: the object says so, or names a type that is no medium's.
fn is_plain(object: &Map<String, Value>) -> bool {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    text("type") == Some("text") || text("media_type").is_some_and(|media| !is_binary(media))
}

fn is_binary(media: &str) -> bool {
    let media = media.to_ascii_lowercase();
    ["image/", "audio/", "video/", "application/pdf", "application/octet-stream"]
        .iter()
        .any(|kind| media.starts_with(kind))
}

/// Where the base64 payload of a medium begins in `text`: after the comma of a `data:` URL, or at 0 where the
/// whole is payload (`input_audio.data`, `file_data`, what a provider has encrypted or signed). `None` where the text is to be scanned whole: no medium,
/// a text type, or something that only looks like base64.
pub(super) fn payload_start(key: &str, text: &str) -> Option<usize> {
    let start = match text.get(..5) {
        Some(scheme) if scheme.eq_ignore_ascii_case("data:") => {
            let comma = text.find(',')?;
            let media = text[5..comma].to_ascii_lowercase();
            if !media.ends_with(";base64") || !is_binary(&media) {
                return None;
            }
            comma + 1
        }
        _ if matches!(
            key,
            "data" | "file_data" | "signature" | "thought_signature" | "encrypted_content"
        ) =>
        {
            0
        }
        _ => return None,
    };
    let payload = text[start..].trim_end_matches('=').as_bytes();
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    // Digits alone are base64 too, and no picture.
    let letters = payload.iter().take(MIN_PAYLOAD).filter(|b| b.is_ascii_alphabetic()).count();
    (payload.len() >= MIN_PAYLOAD && letters > MIN_PAYLOAD / 2 && payload.iter().all(base64)).then_some(start)
}

/// Whether a key, or the value of a `type` or `role`, is a word of the dialect or of JSON Schema. Such a word
/// carries nothing of the caller's.
pub(super) fn is_word(word: &str) -> bool {
    KEYS.binary_search(&word).is_ok()
}

/// Sorted.
const KEYS: &[&str] = &[
    "$defs",
    "$ref",
    "$schema",
    "_meta",
    "action",
    "additionalProperties",
    "allOf",
    "allowed_domains",
    "annotations",
    "any",
    "anyOf",
    "apply_patch",
    "apply_patch_call",
    "apply_patch_call_output",
    "approval_request_id",
    "approve",
    "approximate",
    "arguments",
    "array",
    "assistant",
    "audience",
    "audio",
    "auto",
    "background",
    "base64",
    "blob",
    "blocked_domains",
    "boolean",
    "budget_tokens",
    "cache_control",
    "call_id",
    "capabilities",
    "choices",
    "citations",
    "cited_text",
    "clientCapabilities",
    "clientInfo",
    "code",
    "code_interpreter",
    "code_interpreter_call",
    "command",
    "commands",
    "completion",
    "computer_call",
    "computer_call_output",
    "computer_screenshot",
    "const",
    "container",
    "container_id",
    "content",
    "contents",
    "context",
    "context_management",
    "conversation",
    "created",
    "custom",
    "custom_tool_call",
    "custom_tool_call_output",
    "data",
    "default",
    "definitions",
    "delta",
    "description",
    "destructiveHint",
    "detail",
    "developer",
    "dimensions",
    "disable_parallel_tool_use",
    "disabled",
    "document",
    "effort",
    "embedding",
    "enabled",
    "encoding",
    "encoding_format",
    "encrypted_content",
    "enum",
    "environment",
    "ephemeral",
    "error",
    "examples",
    "execution",
    "extra_content",
    "file",
    "file_data",
    "file_id",
    "file_search",
    "file_search_call",
    "file_url",
    "filename",
    "finish_reason",
    "format",
    "frequency_penalty",
    "function",
    "function_call",
    "function_call_output",
    "functions",
    "google",
    "grammar",
    "icons",
    "id",
    "idempotentHint",
    "image",
    "image_generation",
    "image_generation_call",
    "image_url",
    "include",
    "include_usage",
    "incomplete_details",
    "index",
    "input",
    "inputSchema",
    "input_audio",
    "input_file",
    "input_image",
    "input_schema",
    "input_text",
    "instructions",
    "integer",
    "isError",
    "is_error",
    "item_reference",
    "items",
    "json_object",
    "json_schema",
    "lastModified",
    "level",
    "listChanged",
    "local_shell",
    "local_shell_call",
    "local_shell_call_output",
    "logger",
    "logit_bias",
    "logprobs",
    "maxItems",
    "maxLength",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "max_uses",
    "maximum",
    "mcp",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "mcp_servers",
    "media_type",
    "message",
    "messages",
    "metadata",
    "mimeType",
    "minItems",
    "minLength",
    "minimum",
    "modalities",
    "model",
    "n",
    "name",
    "nextCursor",
    "none",
    "null",
    "number",
    "object",
    "oneOf",
    "openWorldHint",
    "operation",
    "output",
    "outputSchema",
    "output_text",
    "output_tokens",
    "outputs",
    "parallel_tool_calls",
    "parameters",
    "pattern",
    "patternProperties",
    "phase",
    "prediction",
    "presence_penalty",
    "previous_response_id",
    "priority",
    "progress",
    "progressToken",
    "prompt_cache_key",
    "prompts",
    "properties",
    "protocolVersion",
    "queries",
    "query",
    "readOnlyHint",
    "reasoning",
    "reasoning_content",
    "reasoning_effort",
    "reasoning_text",
    "redacted_thinking",
    "refusal",
    "requestId",
    "requestedSchema",
    "required",
    "resource",
    "resourceTemplates",
    "resource_link",
    "resources",
    "response_format",
    "result",
    "resultType",
    "results",
    "role",
    "safety_identifier",
    "schema",
    "search_context_size",
    "search_result",
    "seed",
    "serverInfo",
    "server_tool_use",
    "service_tier",
    "session_id",
    "shell",
    "shell_call",
    "shell_call_output",
    "signature",
    "size",
    "source",
    "status",
    "stop",
    "stop_sequences",
    "store",
    "stream",
    "stream_options",
    "strict",
    "string",
    "structuredContent",
    "subscribe",
    "summary",
    "summary_text",
    "system",
    "taskSupport",
    "temperature",
    "text",
    "thinking",
    "thought_signature",
    "timezone",
    "title",
    "tool",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tool_result",
    "tool_use",
    "tool_use_id",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "total",
    "truncation",
    "ttl",
    "type",
    "uniqueItems",
    "uri",
    "uriTemplate",
    "url",
    "usage",
    "user",
    "user_id",
    "user_location",
    "values",
    "verbosity",
    "version",
    "web_search",
    "web_search_call",
    "web_search_options",
    "web_search_preview",
    "websiteUrl",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted() {
        assert!(KEYS.is_sorted());
    }
}
