//! What an agent sends to a server: judged, and written anew from what may go on.

use serde_json::{Map, Value, json};
use tappass_model::Denial;
use tappass_provider::dialects::mcp;

use super::{
    govern::{self, Objection, Verdict},
    inward::Expected,
    link::Link,
    methods::{self, Kind, NEWEST_WITH_SESSIONS, REVISIONS, STATELESS},
};
use crate::error::ApiError;
use tappass_provider::jsonrpc::{INVALID_PARAMS, Message, REFUSED};

/// The longest token of progress that goes on as it is, in bytes.
const LONGEST_TOKEN: usize = 64;
/// The longest name of a tool, in bytes.
const LONGEST_NAME: usize = 200;

/// What becomes of a message.
pub enum Outward {
    /// It goes on.
    Go(Message),
    /// The gateway answers it.
    Answer(Message),
    /// It goes nowhere, and nobody waits for an answer.
    Drop,
}

/// Judges one message.
///
/// # Errors
/// What keeps it from being judged or recorded.
pub async fn outward(link: &Link, message: Message, expected: &mut Expected) -> Result<Outward, ApiError> {
    match message {
        Message::Request { id, method, params } => request(link, id, method, params, expected).await,
        Message::Notification { method, params } => {
            let kind = match methods::to_server(&method) {
                Kind::Tool => Kind::Unknown,
                kind => kind,
            };
            Ok(match asked(link, kind, &method, params).await? {
                Ok(params) => Outward::Go(Message::Notification { method, params }),
                Err(_) => Outward::Drop,
            })
        }
        Message::Answer { id, outcome } => answer(link, id, outcome).await,
    }
}

async fn request(
    link: &Link,
    id: Value,
    method: String,
    mut params: Value,
    expected: &mut Expected,
) -> Result<Outward, ApiError> {
    if method == "initialize" {
        params = offered(params);
    }
    let kind = methods::to_server(&method);
    let (tool, judged) = match kind {
        Kind::Tool => match tool_call(link, params).await? {
            Ok((tool, judged)) => (Some(tool), judged),
            Err(what) => return Ok(Outward::Answer(Message::error(id, INVALID_PARAMS, what, Value::Null))),
        },
        _ => (None, asked(link, kind, &method, params).await?),
    };
    Ok(match judged {
        Ok(params) => {
            expected.ask(&id, &method, tool);
            Outward::Go(Message::Request { id, method, params })
        }
        Err(refused) => Outward::Answer(refused.answer(link, &method, id)),
    })
}

/// A revision that the gateway does not know, or that has no `initialize`, is offered as the newest that it knows.
fn offered(mut params: Value) -> Value {
    let known = params["protocolVersion"].as_str().is_some_and(|v| REVISIONS.contains(&v) && v < STATELESS);
    if params.is_object() && !known {
        params["protocolVersion"] = NEWEST_WITH_SESSIONS.into();
    }
    params
}

type Judged = Result<Value, govern::Refusal>;

/// `tools/call`: the tool's name, and its parameters as they may go on.
async fn tool_call(link: &Link, params: Value) -> Result<Result<(String, Judged), &'static str>, ApiError> {
    let Value::Object(params) = params else { return Ok(Err("`params` needs `name` and `arguments`")) };
    let (mut rest, token) = without_token(params);
    let Some(Value::String(tool)) = rest.shift_remove("name") else {
        return Ok(Err("`name` must be a string"));
    };
    if tool.trim().is_empty() || tool.len() > LONGEST_NAME || tool.chars().any(char::is_control) {
        return Ok(Err("`name` must be 1 to 200 bytes, not blank, without control characters"));
    }
    let given = rest.shift_remove("arguments");
    let arguments = match &given {
        None | Some(Value::Null) => json!({}),
        Some(arguments @ Value::Object(_)) => arguments.clone(),
        Some(_) => return Ok(Err("`arguments` must be an object")),
    };
    let objection = objection(link, &tool).await?;
    let body = mcp::call(&link.server.name, "tools/call", &tool, arguments, Value::Object(rest));
    let judged = match govern::call(link, body, objection).await? {
        Verdict::Refused(refusal) => Err(refusal),
        Verdict::Passes(mut body) => {
            let mut params = Map::from_iter([("name".to_owned(), Value::from(tool.as_str()))]);
            if given.is_some() {
                params.insert("arguments".to_owned(), body["payload"]["arguments"].take());
            }
            if let Value::Object(beside) = body["beside"].take() {
                params.extend(beside);
            }
            Ok(with_token(params, token))
        }
    };
    Ok(Ok((tool, judged)))
}

/// What the gateway itself has against a call of a tool.
async fn objection(link: &Link, tool: &str) -> Result<Option<Objection>, ApiError> {
    if !link.offers(tool) {
        let reason = format!("the tool `{tool}` of the server `{}` is not offered here", link.server.name);
        return Ok(Some(Objection {
            rule: "mcp.server_tools",
            reason,
            denial: Denial::Policy,
            always: true,
        }));
    }
    let known = link.app.store.mcp_servers().tool(link.server.org_id, &link.server.name, tool).await?;
    let quarantined = known.is_some_and(|known| known.changed.is_some());
    Ok(quarantined.then(|| Objection {
        rule: "mcp.quarantine",
        reason: format!(
            "the definition of `{tool}` has changed since it was first seen, and no admin has approved it"
        ),
        denial: Denial::Integrity { tool: tool.to_owned(), violation: "definition_changed" },
        always: false,
    }))
}

/// Anything else that is asked or told, by its parameters.
async fn asked(link: &Link, kind: Kind, method: &str, params: Value) -> Result<Judged, ApiError> {
    let nothing = params.is_null();
    let Value::Object(params) = (if nothing { json!({}) } else { params }) else {
        return Ok(Ok(Value::Null));
    };
    let (mut rest, token) = without_token(params);
    let server = &link.server.name;
    let judged = match kind {
        Kind::Message => {
            let body = mcp::message(server, method, false, None, Value::Object(rest));
            govern::message(link, body, None).await?
        }
        Kind::Tool | Kind::Call | Kind::Unknown => {
            let meta = rest.shift_remove("_meta");
            let objection = (kind == Kind::Unknown).then(|| Objection {
                rule: "mcp.unknown_method",
                reason: format!("the method `{method}` is not one that this version knows"),
                denial: Denial::Policy,
                always: false,
            });
            let mut beside = named(&mut rest);
            if let Some(meta) = meta {
                beside.insert("_meta".to_owned(), meta);
            }
            let body = mcp::call(server, method, method, Value::Object(rest), Value::Object(beside));
            match govern::call(link, body, objection).await? {
                Verdict::Passes(mut body) => {
                    let mut said = body["payload"]["arguments"].take();
                    if let (Some(said), Value::Object(beside)) = (said.as_object_mut(), body["beside"].take())
                    {
                        said.extend(beside);
                    }
                    Verdict::Passes(said)
                }
                refused => refused,
            }
        }
    };
    Ok(match judged {
        Verdict::Refused(refusal) => Err(refusal),
        Verdict::Passes(Value::Object(said)) if !nothing => Ok(with_token(said, token)),
        Verdict::Passes(_) => Ok(Value::Null),
    })
}

/// What names a part of the server: it is no address that anybody fetches, and is not held against what addresses may be.
/// (It is looked at, and an approval is bound to it, like everything beside the arguments.)
fn named(params: &mut Map<String, Value>) -> Map<String, Value> {
    let fetched =
        |uri: &str| ["http:", "https:"].iter().any(|s| uri.trim().to_ascii_lowercase().starts_with(s));
    let uri = params.get("uri").and_then(Value::as_str).is_some_and(|uri| !fetched(uri));
    let names = [("uri", uri), ("ref", params.contains_key("ref"))];
    let aside = names.into_iter().filter(|(_, aside)| *aside);
    aside.filter_map(|(name, _)| Some((name.to_owned(), params.shift_remove(name)?))).collect()
}

/// An answer to what the server has asked: text that leaves, as a call of what was asked for. One that may not leave
/// becomes an error, so that the server does not wait for it.
async fn answer(link: &Link, id: Value, outcome: Result<Value, Value>) -> Result<Outward, ApiError> {
    let said = match &outcome {
        Ok(result) if result.as_object().is_some_and(Map::is_empty) => {
            return Ok(Outward::Go(Message::Answer { id, outcome }));
        }
        Ok(result) => json!({"result": result}),
        Err(error) => json!({"error": error}),
    };
    let body = mcp::call(&link.server.name, "answer", asked_for(&outcome), said, Value::Null);
    let message = match govern::call(link, body, None).await? {
        Verdict::Passes(mut body) => {
            let said = &mut body["payload"]["arguments"];
            let outcome = match outcome {
                Ok(_) => Ok(said["result"].take()),
                Err(_) => Err(said["error"].take()),
            };
            Message::Answer { id, outcome }
        }
        Verdict::Refused(_) => {
            Message::error(id, REFUSED, "The gateway did not let the answer pass.", Value::Null)
        }
    };
    Ok(Outward::Go(message))
}

/// What an answer is an answer to, by its members: the gateway keeps no list of what servers have asked.
fn asked_for(outcome: &Result<Value, Value>) -> &'static str {
    let Ok(result) = outcome else { return "client/error" };
    match result {
        _ if result.get("roots").is_some() => "roots/list",
        _ if result.get("action").is_some() => "elicitation/create",
        _ if result.get("model").is_some() || result.get("role").is_some() => "sampling/createMessage",
        _ => "client/answer",
    }
}

/// A token of progress counts calls: it is no part of what is judged, or the same call would never come twice. One that
/// could say something stays where it is.
fn without_token(mut params: Map<String, Value>) -> (Map<String, Value>, Option<Value>) {
    let simple = |token: &Value| match token {
        Value::Number(_) => true,
        Value::String(text) => {
            text.len() <= LONGEST_TOKEN
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        }
        _ => false,
    };
    let Some(meta) = params.get_mut("_meta").and_then(Value::as_object_mut) else { return (params, None) };
    let token = match meta.get("progressToken") {
        Some(token) if simple(token) => meta.shift_remove("progressToken"),
        _ => None,
    };
    if token.is_some() && meta.is_empty() {
        params.shift_remove("_meta");
    }
    (params, token)
}

fn with_token(mut params: Map<String, Value>, token: Option<Value>) -> Value {
    if let Some(token) = token {
        let meta = params.entry("_meta").or_insert_with(|| json!({}));
        if let Some(meta) = meta.as_object_mut() {
            meta.insert("progressToken".to_owned(), token);
        }
    }
    Value::Object(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_progress_is_set_aside_unless_it_says_something() {
        let aside = |params: Value| {
            let Value::Object(params) = params else { panic!("an object") };
            let (rest, token) = without_token(params);
            (Value::Object(rest.clone()), with_token(rest, token))
        };
        for token in [json!(7), json!("0198-ab_c.d:e")] {
            let params = json!({"name": "t", "_meta": {"progressToken": token}});
            assert_eq!(aside(params.clone()), (json!({"name": "t"}), params));
        }
        let more = json!({"_meta": {"x": 1, "progressToken": 7}});
        assert_eq!(aside(more.clone()), (json!({"_meta": {"x": 1}}), more));
        for params in [json!({"_meta": {"progressToken": "jan@acme.eu"}}), json!({"_meta": 7}), json!({})] {
            assert_eq!(aside(params.clone()), (params.clone(), params));
        }
    }

    #[test]
    fn an_unknown_revision_is_offered_as_one_that_is_known() {
        for (asked, told) in
            [("2025-06-18", "2025-06-18"), ("2026-07-28", "2025-11-25"), ("2099-01-01", "2025-11-25")]
        {
            assert_eq!(offered(json!({"protocolVersion": asked}))["protocolVersion"], told);
        }
    }
}
