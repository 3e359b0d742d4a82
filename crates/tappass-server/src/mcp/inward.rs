//! What a server sends to an agent: judged, and written anew from what may go on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tappass_model::Denial;
use tappass_provider::dialects::mcp;

use super::{
    govern::{self, Objection, Verdict},
    link::Link,
    methods::{self, Kind, REVISIONS},
};
use crate::error::ApiError;
use tappass_provider::jsonrpc::{Message, REFUSED, UPSTREAM};

/// The requests that wait for an answer, by id: their methods, and the tools they call.
#[derive(Default)]
pub struct Expected(BTreeMap<String, (String, Option<String>)>);

impl Expected {
    /// A request goes out.
    pub fn ask(&mut self, id: &Value, method: &str, tool: Option<String>) {
        self.0.insert(id.to_string(), (method.to_owned(), tool));
    }

    fn answered(&mut self, id: &Value) -> Option<(String, Option<String>)> {
        self.0.remove(&id.to_string())
    }

    /// Whether a message answers one of them.
    #[must_use]
    pub fn expects(&self, message: &Message) -> bool {
        matches!(message, Message::Answer { id, .. } if self.0.contains_key(&id.to_string()))
    }

    /// Whether any of them waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Errors in place of the answers that will not come.
    pub fn fail(&mut self, message: &str, data: &Value) -> Vec<Message> {
        let ids = std::mem::take(&mut self.0).into_keys();
        // Ids are numbers and strings, written as JSON.
        let ids = ids.map(|id| serde_json::from_str(&id).unwrap_or_default());
        ids.map(|id| Message::error(id, UPSTREAM, message, data.clone())).collect()
    }
}

/// What becomes of a message.
pub enum Inward {
    /// It goes on.
    Go(Message),
    /// It does not, and the server is told so.
    Back(Message),
    /// It goes nowhere, and nobody waits for an answer.
    Drop,
}

/// Judges one message.
///
/// # Errors
/// What keeps it from being judged or recorded.
pub async fn inward(link: &Link, message: Message, expected: &mut Expected) -> Result<Inward, ApiError> {
    Ok(match message {
        Message::Answer { id, outcome } => {
            // A stream that is taken up again answers what was asked before.
            let (method, tool) = expected.answered(&id).unwrap_or_else(|| (by_shape(&outcome), None));
            Inward::Go(answer(link, id, &method, tool.as_deref(), outcome).await?)
        }
        Message::Request { id, method, params } => match told(link, &method, params).await? {
            Ok(params) => Inward::Go(Message::Request { id, method, params }),
            Err(()) => {
                let what = format!("The gateway did not let `{method}` pass.");
                Inward::Back(Message::error(id, REFUSED, &what, Value::Null))
            }
        },
        Message::Notification { method, params } => match told(link, &method, params).await? {
            Ok(params) => Inward::Go(Message::Notification { method, params }),
            Err(()) => Inward::Drop,
        },
    })
}

fn by_shape(outcome: &Result<Value, Value>) -> String {
    match outcome {
        Ok(result) if result["tools"].is_array() => "tools/list",
        Ok(result) if !result["serverInfo"].is_null() => "initialize",
        _ => "answer",
    }
    .to_owned()
}

async fn told(link: &Link, method: &str, params: Value) -> Result<Result<Value, ()>, ApiError> {
    let objection = (methods::from_server(method) == Kind::Unknown).then(|| Objection {
        rule: "mcp.unknown_method",
        reason: format!("the method `{method}` is not one that this version knows"),
        denial: Denial::Policy,
        always: false,
    });
    let body = mcp::message(&link.server.name, method, true, None, params);
    Ok(match govern::message(link, body, objection).await? {
        Verdict::Passes(params) => Ok(params),
        Verdict::Refused(_) => Err(()),
    })
}

async fn answer(
    link: &Link,
    id: Value,
    method: &str,
    tool: Option<&str>,
    outcome: Result<Value, Value>,
) -> Result<Message, ApiError> {
    let (ok, mut said) = match outcome {
        Ok(said) => (true, said),
        Err(error) => (false, error),
    };
    // What the gateway says of a call nobody else says.
    if let Some(meta) = said.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.shift_remove("tappass");
    }
    if ok && let Some(wrong) = spoken(method, &mut said) {
        return Ok(Message::error(id, UPSTREAM, &wrong, json!({"code": "upstream_revision"})));
    }
    let judged = if ok && method == "tools/list" {
        offered(link, said).await?
    } else if ok && mcp::describes(method) {
        govern::described(link, method, said).await?
    } else {
        let body = mcp::message(&link.server.name, method, true, tool, said);
        govern::message(link, body, None).await?
    };
    Ok(match judged {
        Verdict::Passes(said) if ok => Message::Answer { id, outcome: Ok(said) },
        Verdict::Passes(error) => Message::Answer { id, outcome: Err(error) },
        Verdict::Refused(refusal) => refusal.answer(link, method, id),
    })
}

/// A server speaks a revision that the gateway knows, or nothing is said with it.
fn spoken(method: &str, said: &mut Value) -> Option<String> {
    let known = |v: &Value| v.as_str().is_some_and(|v| REVISIONS.contains(&v));
    match method {
        "initialize" if !known(&said["protocolVersion"]) => {
            let theirs: String =
                said["protocolVersion"].as_str().unwrap_or("none").chars().take(40).collect();
            Some(format!("The server speaks MCP {theirs}; the gateway knows {}.", REVISIONS.join(", ")))
        }
        "server/discover" => {
            if let Some(versions) = said["supportedVersions"].as_array_mut() {
                versions.retain(known);
            }
            None
        }
        _ => None,
    }
}

/// The tools that a server offers, without those that are not for here.
async fn offered(link: &Link, mut said: Value) -> Result<Verdict, ApiError> {
    let Value::Array(tools) = said["tools"].take() else {
        said["tools"] = json!([]);
        return govern::offer(link, said, &[]).await;
    };
    let mut names = BTreeSet::new();
    // One name, said in one place, once.
    let plain = |tool: &Value| tool.get("function").is_none() && tool.get("custom").is_none();
    let kept: Vec<Value> = tools
        .into_iter()
        .filter(|tool| {
            let name = tool["name"].as_str().filter(|name| !name.is_empty() && link.offers(name));
            plain(tool) && name.is_some_and(|name| names.insert(name.to_owned()))
        })
        .collect();
    let told: Vec<(&str, &Value)> =
        kept.iter().filter_map(|tool| Some((tool["name"].as_str()?, tool))).collect();
    let apart = link.app.mcp.pin(&link.server, &told, link.app.clock.now()).await?;
    let quarantined: Vec<String> = apart.into_keys().collect();
    said["tools"] = Value::Array(kept);
    govern::offer(link, said, &quarantined).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_expected_once_and_failed_by_their_ids() {
        let mut expected = Expected::default();
        expected.ask(&json!(1), "tools/call", Some("read".to_owned()));
        expected.ask(&json!("1"), "ping", None);
        assert_eq!(expected.answered(&json!(1)).map(|(m, _)| m).as_deref(), Some("tools/call"));
        assert_eq!(expected.answered(&json!(1)), None);
        let failed = expected.fail("late", &Value::Null);
        assert_eq!(failed, [Message::error(json!("1"), UPSTREAM, "late", Value::Null)]);
        assert!(expected.is_empty());
    }

    #[test]
    fn a_revision_that_nobody_knows_is_said() {
        let mut said = json!({"protocolVersion": "2099-01-01"});
        assert!(spoken("initialize", &mut said).is_some_and(|what| what.contains("2099-01-01")));
        assert!(spoken("initialize", &mut json!({"protocolVersion": "2025-06-18"})).is_none());
        let mut discovered = json!({"supportedVersions": ["2099-01-01", "2026-07-28"]});
        assert!(spoken("server/discover", &mut discovered).is_none());
        assert_eq!(discovered["supportedVersions"], json!(["2026-07-28"]));
    }
}
