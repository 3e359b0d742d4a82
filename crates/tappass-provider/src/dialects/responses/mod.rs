//! OpenAI's Responses dialect (`POST /v1/responses`): reading a request, a response, a stream; by way of the chat dialect
//! where the provider speaks no other.
//!
//! A provider that speaks it keeps answers for who names them later. What names them is bound to the agent it was given to
//! ([`crate::kept`]).

mod check;
mod flow;
mod from_chat;
mod items;
mod judged;
mod piece;
mod texts;
mod to_chat;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tappass_model::{Answer, Dialect, ModelRequest};

use super::{
    Failure, Flow, FromChat, History, Ids, Kept, RequestError, Shape, Voice, Wants, chat::Chat, definitions,
    frame, tools::provider_runs,
};
use crate::ProviderCall;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub struct Responses;

impl Shape for Responses {
    fn path(&self) -> &'static str {
        "/responses"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let checked = check::request(&body)?;
        Ok(ModelRequest {
            dialect: Dialect::OpenAiResponses,
            model: checked.model,
            stream: body["stream"].as_bool().unwrap_or(false),
            bytes,
            segments: texts::request(&body),
            tools: definitions(&body).map(|(name, _)| name.to_owned()).collect(),
            provider_tools: provider_runs(&body),
            messages: checked.items,
            unknown: checked.unknown,
            body,
        })
    }

    fn read_answer(&self, body: &Value) -> Answer {
        texts::answer(body)
    }

    fn asked<'a>(&self, body: &'a Value) -> &'a Value {
        let items = body["input"].as_array();
        items.map_or(&body["input"], |items| items.last().unwrap_or(&Value::Null))
    }

    fn history(&self, body: &Value) -> History {
        tools::history(body)
    }

    fn remove_tools(&self, body: &mut Value, removed: &dyn Fn(&str) -> bool) {
        tools::remove_tools(body, removed);
    }

    fn ceiling(&self, body: &Value, unsaid: u64) -> u64 {
        body["max_output_tokens"].as_u64().unwrap_or(unsaid)
    }

    fn voice(&self) -> &'static dyn Voice {
        &Self
    }

    fn names_kept<'a>(&self, request: &'a mut Value) -> Vec<Kept<'a>> {
        let Some(body) = request.as_object_mut() else { return Vec::new() };
        let mut names = Vec::new();
        for (key, value) in body {
            match (key.as_str(), value) {
                ("previous_response_id", Value::String(id)) => names.push(Kept { id, alone: true }),
                ("input", Value::Array(list)) => {
                    for item in list {
                        // An item that is sent whole is no one else's, whatever it is called.
                        let alone = items::kind(item) == "item_reference";
                        if let Some(Value::String(id)) = item.get_mut("id") {
                            names.push(Kept { id, alone });
                        }
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn gives_names<'a>(&self, told: &'a mut Value) -> Vec<&'a mut String> {
        let mut names = Vec::new();
        let Some(body) = told.as_object_mut() else { return names };
        for (key, value) in body {
            match (key.as_str(), value) {
                ("id" | "item_id" | "previous_response_id", Value::String(id)) => names.push(id),
                ("output", Value::Array(list)) => {
                    names.extend(list.iter_mut().filter_map(|item| match item.get_mut("id") {
                        Some(Value::String(id)) => Some(id),
                        _ => None,
                    }));
                }
                ("response" | "item", inner) => names.extend(self.gives_names(inner)),
                _ => {}
            }
        }
        names
    }

    fn to_chat(&self, call: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        let body = to_chat::request(&call.body)?;
        let back = from_chat::Back::new(&call.body);
        let call = ProviderCall { dialect: Dialect::OpenAiChat, body, passed: Vec::new(), ..call };
        Ok((call, Box::new(back)))
    }
}

impl Voice for Responses {
    fn flow(&self, wants: Wants) -> Box<dyn Flow> {
        Box::new(flow::ResponseFlow::new(wants))
    }

    /// Each event is named by its type. The last one has the ids, beside the gateway's own object, which its response has
    /// too: that is what clients keep. An error is told as the API documents it and as it sends it.
    fn frame(&self, mut event: Value, ids: &Ids) -> Bytes {
        let ours = event.get("tappass").cloned();
        if let Some(ours) = &ours
            && event["response"].is_object()
        {
            event["response"]["tappass"] = ours.clone();
        }
        if event["error"].is_object() && !event["type"].is_string() {
            let error = event["error"].clone();
            event["type"] = "error".into();
            for key in ["code", "message", "param"] {
                event[key] = error[key].clone();
            }
        }
        let kind = event["type"].as_str().filter(|kind| kind.bytes().all(|b| b.is_ascii_graphic()));
        let kind = kind.unwrap_or("error").to_owned();
        frame::event(Some(&kind), |out| match (event.as_object_mut(), ours) {
            (Some(object), Some(ours)) => {
                object.shift_remove("tappass");
                ids.write(out, object, ("tappass", &ours));
            }
            _ => {
                // Writing a value into a Vec cannot fail.
                let _ = serde_json::to_writer(out, &event);
            }
        })
    }

    fn error(&self, failure: &Failure<'_>) -> Map<String, Value> {
        Chat.error(failure)
    }
}

/// Empties what a response repeats of its request: it was judged when it came, and is no word of the answer's.
pub(crate) fn forget_request(response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    for (key, value) in response {
        match (key.as_str(), &*value) {
            (
                "instructions" | "metadata" | "prompt" | "prompt_cache_key" | "safety_identifier" | "tools"
                | "user",
                _,
            ) => {
                *value = match value {
                    Value::Array(_) => json!([]),
                    Value::Object(_) if key == "metadata" => json!({}),
                    _ => Value::Null,
                };
            }
            ("text", text) => *value = json!({"format": {"type": text["format"]["type"]}}),
            ("tool_choice", Value::Object(choice)) => {
                *value = choice.get("type").cloned().map_or(Value::Null, |kind| json!({"type": kind}));
            }
            _ => {}
        }
    }
}

/// Whether a body is a whole response.
pub(crate) fn is_answer(body: &Value) -> bool {
    body["output"].is_array()
}

/// Whether an event is the last of its stream.
pub(crate) fn is_last(event: &Value) -> bool {
    ["response.completed", "response.incomplete", "response.failed"].iter().any(|kind| event["type"] == *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_something_kept_is_found() {
        let mut asked = json!({"previous_response_id": "resp_1", "input": [{"type": "item_reference", "id": "msg_1"},
            {"type": "reasoning", "id": "rs_1"}, {"role": "user", "content": "x"}]});
        let shown: Vec<_> =
            Responses.names_kept(&mut asked).into_iter().map(|k| (k.id.clone(), k.alone)).collect();
        let expected = [("resp_1", true), ("msg_1", true), ("rs_1", false)];
        assert_eq!(shown, expected.map(|(id, alone)| (id.to_owned(), alone)));
        let mut whole = json!({"id": "resp_2", "previous_response_id": "resp_1", "output": [{"id": "msg_2", "call_id": "c"}]});
        assert_eq!(Responses.gives_names(&mut whole), ["resp_2", "resp_1", "msg_2"]);
        let mut event = json!({"type": "x", "item_id": "m", "item": {"id": "i"}, "response": {"id": "r", "output": [{"id": "o"}]}});
        assert_eq!(Responses.gives_names(&mut event), ["m", "i", "r", "o"]);
    }
}
