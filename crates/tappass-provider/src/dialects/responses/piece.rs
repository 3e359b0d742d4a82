//! Events of a stream that say a text piece by piece: where it stands, and which of an event's members say it.

use serde_json::{Value, json};

use crate::dialects::{ChannelKind, name};

/// An event that says a text in part, or all of it at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Its text.
    pub member: &'static str,
    /// It is a part.
    pub delta: bool,
}

impl Piece {
    /// Where the text stands in its item, what it is, and how the event says it.
    pub fn of(event: &Value) -> Option<(String, ChannelKind, Self)> {
        let (told, end) = event["type"].as_str()?.rsplit_once('.')?;
        let delta = match end {
            "delta" => true,
            "done" => false,
            _ => return None,
        };
        let content = |member| format!("/content/{}/{member}", number(event, "content_index"));
        let (at, kind, member) = match told {
            "response.output_text" => (content("text"), ChannelKind::Content, "text"),
            "response.refusal" => (content("refusal"), ChannelKind::Refusal, "refusal"),
            "response.reasoning_text" => (content("text"), ChannelKind::Reasoning, "text"),
            "response.reasoning_summary_text" => {
                (format!("/summary/{}/text", number(event, "summary_index")), ChannelKind::Reasoning, "text")
            }
            "response.function_call_arguments" | "response.mcp_call_arguments" => {
                ("/arguments".to_owned(), ChannelKind::ToolArguments(0), "arguments")
            }
            "response.custom_tool_call_input" => {
                ("/input".to_owned(), ChannelKind::ToolArguments(0), "input")
            }
            "response.code_interpreter_call_code" => {
                ("/code".to_owned(), ChannelKind::ToolArguments(0), "code")
            }
            _ => return None,
        };
        Some((at, kind, Self { member: if delta { "delta" } else { member }, delta }))
    }

    /// A delta for the text at this place, without its item and its text.
    pub fn event(at: &str, kind: &ChannelKind) -> Option<Value> {
        let (field, index) = match at.split('/').nth(1)? {
            "content" => ("content_index", at.split('/').nth(2)?.parse::<u64>().ok()),
            "summary" => ("summary_index", at.split('/').nth(2)?.parse::<u64>().ok()),
            _ => ("", None),
        };
        let told = match (kind, at) {
            (ChannelKind::Content, _) => "output_text",
            (ChannelKind::Refusal, _) => "refusal",
            (ChannelKind::Reasoning, _) if field == "summary_index" => "reasoning_summary_text",
            (ChannelKind::Reasoning, _) => "reasoning_text",
            (_, "/arguments") => "function_call_arguments",
            (_, "/input") => "custom_tool_call_input",
            (_, "/code") => "code_interpreter_call_code",
            _ => return None,
        };
        let mut event = json!({"type": format!("response.{told}.delta")});
        if let Some(index) = index {
            event[field] = index.into();
        }
        if *kind == ChannelKind::Content {
            event["logprobs"] = json!([]);
        }
        Some(event)
    }
}

pub(super) fn number(event: &Value, key: &str) -> u64 {
    // Nobody counts further, and what is counted on from here cannot run over.
    event[key].as_u64().unwrap_or(0).min(u32::MAX.into())
}

pub(super) fn index_of(event: &Value) -> u64 {
    number(event, "output_index")
}

/// Members that say a text.
const SAYS: [&str; 6] = ["delta", "text", "refusal", "arguments", "input", "code"];

/// Takes out of an event what no version of it has, and from its names what is more than a word.
pub(super) fn keep_known(event: &mut Value) {
    let piece = Piece::of(event).map(|(.., piece)| piece.member);
    let kind = event["type"].as_str().unwrap_or_default().to_owned();
    let Some(event) = event.as_object_mut() else { return };
    event.retain(|key, value| match key.as_str() {
        "type" => true,
        "logprobs" => piece.is_some(),
        "item" => kind.contains("output_item"),
        "part" => kind.contains("_part."),
        "annotation" => kind.contains("annotation"),
        // `response.created`, `response.completed`, and what is between.
        "response" => kind.matches('.').count() == 1,
        "item_id" | "output_index" | "content_index" | "summary_index" | "annotation_index" | "name"
        | "sequence_number" => name(value).is_some(),
        key => SAYS.contains(&key) && piece == Some(key),
    });
}

/// Where the part stands that an event is about.
pub(super) fn part_at(event: &Value) -> String {
    match event["summary_index"].as_u64() {
        Some(index) => format!("/summary/{index}"),
        None => format!("/content/{}", number(event, "content_index")),
    }
}
