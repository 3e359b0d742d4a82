//! Anthropic's dialect (`POST /v1/messages` and `/v1/messages/count_tokens`): reading a request, an answer, a stream;
//! by way of the chat dialect where the provider speaks no other.
//!
//! The model's reasoning is signed, and a provider takes it back only as it was signed. So it is never rewritten: a mask
//! that belongs there refuses the call or ends the answer instead, and no value is put back into it.

mod check;
mod flow;
mod from_chat;
mod texts;
mod to_chat;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tappass_model::{Answer, Dialect, ModelRequest};

use super::{
    Failure, Flow, FromChat, History, Ids, RequestError, Shape, Voice, Wants, definitions, frame,
    tools::provider_runs,
};
use crate::ProviderCall;

pub(crate) use to_chat::request as to_chat;

/// `POST /v1/messages`.
#[derive(Debug, Clone, Copy)]
pub struct Messages;

/// `POST /v1/messages/count_tokens`: the same request, and a number for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Tokens;

/// Which version of the API, and what of it that is not for everyone.
const PASSES: &[&str] = &["anthropic-version", "anthropic-beta"];

fn read(dialect: Dialect, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
    let generates = dialect == Dialect::AnthropicMessages;
    let checked = check::request(&body, generates)?;
    Ok(ModelRequest {
        dialect,
        model: checked.model,
        stream: generates && body["stream"].as_bool().unwrap_or(false),
        bytes,
        segments: texts::request(&body),
        tools: definitions(&body).map(|(name, _)| name.to_owned()).collect(),
        provider_tools: provider_runs(&body),
        messages: checked.messages,
        unknown: checked.unknown,
        body,
    })
}

impl Shape for Messages {
    fn path(&self) -> &'static str {
        "/messages"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        read(Dialect::AnthropicMessages, body, bytes)
    }

    fn read_answer(&self, body: &Value) -> Answer {
        texts::answer(body)
    }

    fn history(&self, body: &Value) -> History {
        tools::history(body)
    }

    fn remove_tools(&self, body: &mut Value, removed: &dyn Fn(&str) -> bool) {
        tools::remove_tools(body, removed);
    }

    fn ceiling(&self, body: &Value, unsaid: u64) -> u64 {
        body["max_tokens"].as_u64().unwrap_or(unsaid)
    }

    fn seals_reasoning(&self) -> bool {
        true
    }

    fn passes(&self) -> &'static [&'static str] {
        PASSES
    }

    fn voice(&self) -> &'static dyn Voice {
        &Self
    }

    fn to_chat(&self, call: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        let body = to_chat::request(&call.body)?;
        let call = ProviderCall { dialect: Dialect::OpenAiChat, body, passed: Vec::new(), ..call };
        Ok((call, Box::new(from_chat::Back::default())))
    }
}

impl Voice for Messages {
    fn flow(&self, wants: Wants) -> Box<dyn Flow> {
        Box::new(flow::MessageFlow::new(wants))
    }

    /// Each event is named by its type. The last one has the ids, beside the gateway's own object.
    fn frame(&self, mut event: Value, ids: &Ids) -> Bytes {
        let kind = event["type"].as_str().filter(|kind| kind.bytes().all(|b| b.is_ascii_graphic()));
        let kind = kind.unwrap_or("error").to_owned();
        frame::event(Some(&kind), |out| match event.as_object_mut() {
            Some(object) if object.contains_key("tappass") => {
                let ours = object.shift_remove("tappass").unwrap_or_default();
                ids.write(out, object, ("tappass", &ours));
            }
            _ => {
                // Writing a value into a Vec cannot fail.
                let _ = serde_json::to_writer(out, &event);
            }
        })
    }

    fn error(&self, failure: &Failure<'_>) -> Map<String, Value> {
        let mut error = match failure.theirs {
            // What another dialect's provider says by `type` means nothing here.
            Some(theirs) if is_type(&theirs["type"]) => json!({"type": theirs["type"]}),
            _ => json!({"type": type_of(failure.status)}),
        };
        error["message"] = failure.message.into();
        if failure.theirs.is_none() {
            error["code"] = failure.code.into();
        }
        for (key, value) in failure.more {
            error[*key] = (*value).into();
        }
        Map::from_iter([("type".to_owned(), "error".into()), ("error".to_owned(), error)])
    }
}

impl Shape for Tokens {
    fn path(&self) -> &'static str {
        "/messages/count_tokens"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        read(Dialect::AnthropicTokens, body, bytes)
    }

    fn read_answer(&self, body: &Value) -> Answer {
        Answer { body: body.clone(), ..Answer::default() }
    }

    fn answers_in_words(&self) -> bool {
        false
    }

    fn history(&self, body: &Value) -> History {
        Messages.history(body)
    }

    fn remove_tools(&self, body: &mut Value, removed: &dyn Fn(&str) -> bool) {
        Messages.remove_tools(body, removed);
    }

    fn ceiling(&self, _: &Value, _: u64) -> u64 {
        0
    }

    fn seals_reasoning(&self) -> bool {
        true
    }

    fn passes(&self) -> &'static [&'static str] {
        PASSES
    }

    fn voice(&self) -> &'static dyn Voice {
        &Messages
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("counting tokens".to_owned())
    }
}

/// The types of errors, each with its status (the last three are told in streams too).
const TYPES: [(u16, &str); 10] = [
    (400, "invalid_request_error"),
    (401, "authentication_error"),
    (402, "billing_error"),
    (403, "permission_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (429, "rate_limit_error"),
    (500, "api_error"),
    (504, "timeout_error"),
    (529, "overloaded_error"),
];

fn is_type(kind: &Value) -> bool {
    TYPES.iter().any(|(_, name)| *kind == *name)
}

fn type_of(status: u16) -> &'static str {
    let exact = TYPES.iter().find(|(code, _)| *code == status).map(|(_, name)| *name);
    exact.unwrap_or(if status < 500 { "invalid_request_error" } else { "api_error" })
}

/// The status that an error of this type would have had outside a stream.
#[must_use]
pub(crate) fn status_of(kind: &str) -> u16 {
    TYPES.iter().find(|(_, name)| *name == kind).map_or(500, |(code, _)| *code)
}
