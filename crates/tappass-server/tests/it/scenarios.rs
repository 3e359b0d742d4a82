//! Runs `tests/scenarios/*.yaml`: a request, what the provider would answer, what must come of it.

use std::{fs, path::Path};

use axum::body::Body;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tappass_server::Gateway;
use tappass_testkit::{Reply, ScriptedProvider};

use crate::{
    client::{Answer, ask, request, send},
    scripted::{Scripted, events},
};

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    about: String,
    #[serde(default)]
    agent: Option<Map<String, Value>>,
    #[serde(default)]
    overrides: Option<Value>,
    /// What the organisation locks.
    #[serde(default)]
    org_flags: Option<Value>,
    #[serde(default)]
    flags: Option<String>,
    /// Calls of the same kind that come first.
    #[serde(default)]
    before: usize,
    /// Other requests that come first, one after the other.
    #[serde(default)]
    earlier: Vec<Map<String, Value>>,
    /// Headers of every request.
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    dialect: Dialect,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    request: Map<String, Value>,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default)]
    answer: Option<Value>,
    expect: Expect,
}

/// Which route is called.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Dialect {
    #[default]
    Chat,
    Messages,
    Responses,
    Embeddings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Map<String, Value>,
    /// The last event of a stream.
    #[serde(default)]
    last: Map<String, Value>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    text_without: Vec<String>,
    #[serde(default)]
    forwarded: Vec<String>,
    #[serde(default)]
    not_forwarded: Option<Value>,
    #[serde(default)]
    audit: Map<String, Value>,
    #[serde(default)]
    also_audited: Vec<String>,
    #[serde(default)]
    detections: Vec<String>,
}

/// Planted samples, made here so that no scanner takes the scenarios for a leak.
fn plant(yaml: &str) -> String {
    yaml.replace("${github}", concat!("ghp", "_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq"))
        .replace("${card}", "4111 1111 1111 1111")
        .replace("${email}", "jan.peeters@acme.eu")
        .replace("${iban}", "BE68 5390 0754 7034")
}

/// `…` stands for any text.
fn fits(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(pattern), Value::String(text)) if pattern.contains('…') => {
            let mut rest = text.as_str();
            let pieces: Vec<&str> = pattern.split('…').collect();
            pieces.iter().enumerate().all(|(i, piece)| match rest.find(piece) {
                Some(at) if i > 0 || at == 0 => {
                    rest = &rest[at + piece.len()..];
                    i + 1 < pieces.len() || piece.is_empty() || rest.is_empty()
                }
                _ => false,
            })
        }
        _ => expected == found,
    }
}

fn all_fit(expected: &Map<String, Value>, found: &Value) {
    for (pointer, value) in expected {
        let there = found.pointer(pointer).unwrap_or(&Value::Null);
        assert!(fits(value, there), "{pointer}: expected {value}, found {there} in {found:#}");
    }
}

async fn run(scenario: Scenario) {
    let Scripted { gateway, provider, admin, key } = Scripted::new(&[]).await;
    provider.always(reply(&scenario));
    prepare(&gateway, &admin, &scenario).await;

    for request in &scenario.earlier {
        call(&gateway, &key, &scenario, request).await;
    }
    for _ in 0..scenario.before {
        call(&gateway, &key, &scenario, &scenario.request).await;
    }
    let answer = call(&gateway, &key, &scenario, &scenario.request).await;
    let expect = &scenario.expect;
    assert_eq!(answer.status.as_u16(), expect.status, "{}", answer.text);
    for (name, value) in &expect.headers {
        assert!(fits(value, &json!(answer.header(name))), "{name}: {:?}", answer.header(name));
    }
    let streamed = events(&answer.text);
    if streamed.is_empty() {
        all_fit(&expect.body, &answer.json());
    } else {
        let done = answer.text.ends_with("data: [DONE]\n\n");
        assert_eq!(done, scenario.dialect == Dialect::Chat, "only chat says so");
        all_fit(&expect.last, streamed.last().expect("an event"));
    }
    let text = match scenario.dialect {
        Dialect::Chat => text_of(&answer, &streamed),
        Dialect::Messages => text_of_message(&answer, &streamed),
        Dialect::Responses => text_of_response(&answer, &streamed),
        Dialect::Embeddings => String::new(),
    };
    if let Some(expected) = &expect.text {
        assert!(fits(&json!(expected), &json!(text)), "expected {expected:?}, read {text:?}");
    }
    for absent in &expect.text_without {
        assert!(!text.contains(absent.as_str()), "{text:?}");
    }
    forwarded(expect, &provider);
    audited(expect, &gateway, &admin).await;
}

fn reply(scenario: &Scenario) -> Reply {
    match &scenario.answer {
        None => Reply::says("ok"),
        Some(Value::String(text)) if scenario.stream => {
            // Cut where it hurts: every few characters.
            let chars: Vec<char> = text.chars().collect();
            let pieces: Vec<String> = chars.chunks(3).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            match scenario.provider_dialect() {
                Dialect::Chat | Dialect::Embeddings => Reply::chat_stream(&pieces),
                Dialect::Messages => Reply::message_stream(&pieces),
                Dialect::Responses => Reply::response_stream(&pieces),
            }
        }
        Some(Value::String(text)) => Reply::says(text),
        Some(items) if items.is_array() && scenario.provider_dialect() == Dialect::Responses => {
            Reply::response_of(items.clone())
        }
        Some(content) if content.is_array() => Reply::message_of(content.clone()),
        Some(message) => {
            let reason = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
            Reply::answer(json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "scripted",
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}))
        }
    }
}

async fn prepare(gateway: &Gateway, admin: &str, scenario: &Scenario) {
    if let Some(overrides) = &scenario.overrides {
        let file = json!({"preset": "starter", "overrides": overrides});
        let put = ask(gateway, admin, Method::PUT, "/pipelines/own", file).await;
        assert!(put.status.is_success(), "{put:?}");
        let assigned =
            ask(gateway, admin, Method::PUT, "/agents/agent/pipeline", json!({"pipeline": "own"})).await;
        assert!(assigned.status.is_success(), "{assigned:?}");
    }
    if let Some(flags) = &scenario.org_flags {
        let locked = ask(gateway, admin, Method::PUT, "/settings/flags", flags.clone()).await;
        assert!(locked.status.is_success(), "{locked:?}");
    }
    if let Some(settings) = &scenario.agent {
        let changed = ask(gateway, admin, Method::PATCH, "/agents/agent", json!(settings)).await;
        assert!(changed.status.is_success(), "{changed:?}");
    }
}

async fn call(gateway: &Gateway, key: &str, scenario: &Scenario, fields: &Map<String, Value>) -> Answer {
    let mut body = fields.clone();
    let (path, model) = match scenario.dialect {
        Dialect::Chat => ("/v1/chat/completions", "gpt-4o"),
        Dialect::Messages => {
            body.entry("max_tokens").or_insert(json!(100));
            ("/v1/messages", "claude-x")
        }
        Dialect::Responses => ("/v1/responses", "gpt-4o"),
        Dialect::Embeddings => ("/v1/embeddings", "text-embedding-3-small"),
    };
    body.entry("model").or_insert(json!(model));
    if scenario.stream {
        body.insert("stream".into(), true.into());
    }
    let body = scenario.raw.clone().unwrap_or_else(|| Value::Object(body).to_string());
    let mut built = request(Method::POST, path).header("content-type", "application/json");
    built = match scenario.dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Embeddings => {
            built.header("authorization", format!("Bearer {key}"))
        }
        Dialect::Messages => built.header("x-api-key", key),
    };
    if let Some(flags) = &scenario.flags {
        built = built.header("x-tappass-flags", flags);
    }
    for (name, value) in &scenario.headers {
        built = built.header(name, value.as_str().expect("headers are texts"));
    }
    send(gateway, built.body(Body::from(body)).expect("a request")).await
}

impl Scenario {
    /// What the provider of its model speaks.
    fn provider_dialect(&self) -> Dialect {
        let model = self.request.get("model").and_then(Value::as_str);
        match (self.dialect, model) {
            (Dialect::Messages, None) => Dialect::Messages,
            (_, Some(model)) if model.starts_with("claude") => Dialect::Messages,
            (Dialect::Responses, model) if model.is_none_or(|model| model != "builtin") => Dialect::Responses,
            _ => Dialect::Chat,
        }
    }
}

fn text_of_message(answer: &Answer, streamed: &[Value]) -> String {
    let text = |value: &Value| value["text"].as_str().unwrap_or_default().to_owned();
    if streamed.is_empty() {
        return answer.json()["content"].as_array().into_iter().flatten().map(text).collect();
    }
    streamed.iter().map(|event| text(&event["delta"])).collect()
}

fn text_of_response(answer: &Answer, streamed: &[Value]) -> String {
    let Some(last) = streamed.last() else { return text_of_items(&answer.json()["output"]) };
    let deltas = streamed.iter().filter(|event| event["type"] == "response.output_text.delta");
    let deltas: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
    if last["response"].is_object() {
        assert_eq!(
            text_of_items(&last["response"]["output"]),
            deltas,
            "the last event says what the deltas have said"
        );
    }
    deltas
}

fn text_of_items(items: &Value) -> String {
    let parts = items
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|item| item["content"].as_array().into_iter().flatten());
    parts.filter_map(|part| part["text"].as_str()).collect()
}

fn text_of(answer: &Answer, streamed: &[Value]) -> String {
    if streamed.is_empty() {
        return answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
    }
    let top: String = streamed.iter().filter_map(|e| e["content"].as_str()).collect();
    let deltas: String =
        streamed.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(top, deltas, "the text at the top of each event is the text of its delta");
    deltas
}

fn forwarded(expect: &Expect, provider: &ScriptedProvider) {
    let seen: Vec<String> =
        provider.requests().iter().map(|r| String::from_utf8_lossy(&r.body).into_owned()).collect();
    for text in &expect.forwarded {
        assert!(
            seen.iter().any(|body| body.contains(text.as_str())),
            "{text:?} did not reach the provider: {seen:?}"
        );
    }
    match &expect.not_forwarded {
        None => {}
        Some(Value::String(word)) if word == "nothing" => {
            assert_eq!(provider.connections(), 0, "not a byte may reach the provider");
        }
        Some(texts) => {
            for text in texts.as_array().expect("`nothing` or a list").iter().filter_map(Value::as_str) {
                assert!(!seen.iter().any(|body| body.contains(text)), "{text:?} reached the provider");
            }
        }
    }
}

async fn audited(expect: &Expect, gateway: &Gateway, admin: &str) {
    let log = ask(gateway, admin, Method::GET, "/audit?limit=50", Value::Null).await;
    let log = log.json();
    let items = log["items"].as_array().expect("events");
    let is_call = |event: &&Value| event["event_type"].as_str().is_some_and(|t| t.starts_with("llm_call"));
    if !expect.audit.is_empty() || !expect.detections.is_empty() {
        let event = items.iter().find(is_call).expect("the call is in the log");
        let found = json!({"event": event});
        let expected = expect.audit.iter().map(|(k, v)| (format!("/event/{k}"), v.clone())).collect();
        all_fit(&expected, &found);
        let detections: Vec<Value> = event["detections"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|d| {
                json!(format!("{}/{}", d["step"].as_str().unwrap_or(""), d["kind"].as_str().unwrap_or("")))
            })
            .collect();
        for expected in &expect.detections {
            assert!(detections.iter().any(|d| fits(&json!(expected), d)), "{expected}: {detections:?}");
        }
    }
    for kind in &expect.also_audited {
        assert!(items.iter().any(|e| e["event_type"] == kind.as_str()), "no {kind} in {log:#}");
    }
    let verified = ask(gateway, admin, Method::GET, "/audit/verify", Value::Null).await;
    assert_eq!(verified.json()["ok"], true, "{verified:?}");
}

#[tokio::test]
async fn every_scenario_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder is there").map(|f| f.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() > 20, "the scenarios are there");
    let mut failed = Vec::new();
    for file in files {
        let yaml = plant(&fs::read_to_string(&file).expect("reads"));
        let scenario: Scenario =
            serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let about = scenario.about.clone();
        // Each in a task of its own, so that one failure does not hide the others.
        let runs = tokio_util::task::TaskTracker::new();
        if let Err(error) = runs.spawn(run(scenario)).await {
            let panic = error.into_panic();
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            failed.push(format!("{}\n  {about}\n  {why}", file.display()));
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
