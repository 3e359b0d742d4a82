//! Every provider behind the front door, each answering in its own documented form: texts, streams, tools, pictures,
//! errors, streams that break.

mod vault;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use tappass_testkit::Reply;

use crate::{
    client::{Answer, request, send},
    scripted::{Scripted, events},
};

const PIXEL: &str = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
const ENV: [(&str, &str); 14] = [
    ("GOOGLE_API_KEY", "google-key"),
    ("GEMINI_BASE_URL", "{origin}/v1beta"),
    ("MISTRAL_API_KEY", "mistral-key"),
    ("MISTRAL_BASE_URL", "{base}"),
    ("OLLAMA_HOST", "{origin}"),
    ("VLLM_BASE_URL", "{base}"),
    ("VLLM_API_KEY", "vllm-key"),
    ("LMSTUDIO_BASE_URL", "{base}"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
    ("AWS_SESSION_TOKEN", "aws-token"),
    ("AWS_REGION", "eu-central-1"),
    ("BEDROCK_BASE_URL", "{origin}"),
    ("TAPPASS_PROVIDER_IDLE_TIMEOUT", "1"),
];

/// A provider: how it is asked, and how it says things.
struct Form {
    model: &'static str,
    path: &'static str,
    stream_path: &'static str,
    /// The header with the key, and how its value begins.
    auth: Option<(&'static str, &'static str)>,
    /// Where the picture's payload stands in the request.
    picture: &'static str,
    /// Where the result of a tool stands in the request.
    returned: &'static str,
    says: fn(&str) -> Reply,
    streams: fn(&[&str]) -> Reply,
    calls: fn() -> Reply,
    streams_call: fn() -> Reply,
    error: fn(u16, &str) -> Reply,
}

#[expect(clippy::needless_pass_by_value, reason = "reads better with json! at the call")]
fn gemini(parts: &Value, reason: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 6, "totalTokenCount": 10},
        "modelVersion": "gemini-x", "responseId": "r-1"})
}

fn gemini_pieces(pieces: &[&str]) -> Vec<Value> {
    let last = pieces.len() - 1;
    let reason = |i| if i == last { json!("STOP") } else { Value::Null };
    pieces.iter().enumerate().map(|(i, text)| gemini(&json!([{"text": text}]), reason(i))).collect()
}

fn gemini_call() -> Value {
    gemini(
        &json!([{"functionCall": {"name": "weather", "args": {"place": "Ghent"}}, "thoughtSignature": "c2ln"}]),
        json!("STOP"),
    )
}

fn converse(content: &Value, reason: &str) -> Value {
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason,
        "usage": {"inputTokens": 4, "outputTokens": 6, "totalTokens": 10}, "metrics": {"latencyMs": 7}})
}

fn converse_end(reason: &str) -> [(&'static str, Value); 2] {
    [
        ("messageStop", json!({"stopReason": reason})),
        (
            "metadata",
            json!({"usage": {"inputTokens": 4, "outputTokens": 6, "totalTokens": 10}, "metrics": {"latencyMs": 7}}),
        ),
    ]
}

fn chat_call() -> Value {
    json!([{"index": 0, "id": "a1b2c3d4e", "type": "function", "function": {"name": "weather", "arguments": "{\"place\": \"Ghent\"}"}}])
}

#[expect(clippy::needless_pass_by_value, reason = "reads better with json! at the call")]
fn chat_with(message: Value, reason: &str) -> Reply {
    Reply::answer(json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}}))
}

fn chat_stream_of(deltas: Vec<Value>, reason: &str) -> Reply {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut chunks: Vec<Value> = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    let mut last = chunk(json!({"content": ""}), json!(reason));
    last["usage"] = json!({"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10});
    chunks.push(last);
    Reply::stream(chunks, std::time::Duration::ZERO)
}

const CHAT: Form = Form {
    model: "vllm/m",
    path: "/v1/chat/completions",
    stream_path: "/v1/chat/completions",
    auth: Some(("authorization", "Bearer vllm-key")),
    picture: "/messages/0/content/1/image_url/url",
    returned: "/messages/2/content",
    says: |text| chat_with(json!({"role": "assistant", "content": text}), "stop"),
    streams: |pieces| chat_stream_of(pieces.iter().map(|piece| json!({"content": piece})).collect(), "stop"),
    calls: || {
        chat_with(json!({"role": "assistant", "content": null, "tool_calls": chat_call()}), "tool_calls")
    },
    streams_call: || chat_stream_of(vec![json!({"tool_calls": chat_call()})], "tool_calls"),
    error: |status, message| Reply::status(status, message),
};

fn forms() -> [Form; 6] {
    [
        Form {
            model: "gemini/gemini-x",
            path: "/v1beta/models/gemini-x:generateContent",
            stream_path: "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
            auth: Some(("x-goog-api-key", "google-key")),
            picture: "/contents/0/parts/1/inlineData/data",
            returned: "/contents/2/parts/0/functionResponse/response/result",
            says: |text| Reply::answer(gemini(&json!([{"text": text}]), json!("STOP"))),
            streams: |pieces| Reply::stream(gemini_pieces(pieces), std::time::Duration::ZERO),
            calls: || Reply::answer(gemini_call()),
            streams_call: || Reply::stream(vec![gemini_call()], std::time::Duration::ZERO),
            error: |status, message| {
                let error =
                    json!({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}});
                Reply::answer(error).status_code(status)
            },
        },
        Form {
            model: "bedrock/anthropic.claude-x-v1:0",
            path: "/model/anthropic.claude-x-v1%3A0/converse",
            stream_path: "/model/anthropic.claude-x-v1%3A0/converse-stream",
            auth: Some(("authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")),
            picture: "/messages/0/content/1/image/source/bytes",
            returned: "/messages/2/content/0/toolResult/content/0/text",
            says: |text| Reply::answer(converse(&json!([{"text": text}]), "end_turn")),
            streams: |pieces| {
                let mut events = vec![("messageStart", json!({"role": "assistant"}))];
                events.extend(pieces.iter().map(|piece| {
                    ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": piece}}))
                }));
                events.push(("contentBlockStop", json!({"contentBlockIndex": 0})));
                events.extend(converse_end("end_turn"));
                Reply::frames(&events)
            },
            calls: || {
                let call =
                    json!({"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"place": "Ghent"}}});
                Reply::answer(converse(&json!([call]), "tool_use"))
            },
            streams_call: || {
                let mut events = vec![
                    ("messageStart", json!({"role": "assistant"})),
                    (
                        "contentBlockStart",
                        json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}}),
                    ),
                    (
                        "contentBlockDelta",
                        json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{\"place\""}}}),
                    ),
                    (
                        "contentBlockDelta",
                        json!({"contentBlockIndex": 0, "delta": {"toolUse": {"input": ": \"Ghent\"}"}}}),
                    ),
                    ("contentBlockStop", json!({"contentBlockIndex": 0})),
                ];
                events.extend(converse_end("tool_use"));
                Reply::frames(&events)
            },
            error: |status, message| Reply::answer(json!({"message": message})).status_code(status),
        },
        Form {
            model: "mistral/mistral-x",
            auth: Some(("authorization", "Bearer mistral-key")),
            says: |text| {
                let thought = json!({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]});
                chat_with(
                    json!({"role": "assistant", "content": [thought, {"type": "text", "text": text}]}),
                    "stop",
                )
            },
            error: |status, message| {
                let error = json!({"object": "error", "message": message, "type": "invalid_request_error", "code": null});
                Reply::answer(error).status_code(status)
            },
            ..CHAT
        },
        Form { model: "ollama/llama", auth: None, ..CHAT },
        CHAT,
        Form { model: "lmstudio/qwen", auth: None, ..CHAT },
    ]
}

fn ask(key: &str, form: &Form, more: &Value) -> Request<Body> {
    let mut body = json!({"model": form.model, "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request(Method::POST, "/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

async fn say(s: &Scripted, form: &Form, more: &Value) -> Answer {
    send(&s.gateway, ask(&s.key, form, more)).await
}

fn offered() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}])
}

#[tokio::test]
async fn each_is_asked_in_its_own_form_with_its_own_key() {
    let s = Scripted::new(&ENV).await;
    for form in forms() {
        for (stream, path) in [(false, form.path), (true, form.stream_path)] {
            s.provider.always(if stream {
                (form.streams)(&["Hello ", "there."])
            } else {
                (form.says)("Hello there.")
            });
            let answer = say(&s, &form, &json!({"stream": stream, "max_tokens": 9})).await;
            assert_eq!(answer.status, 200, "{}: {}", form.model, answer.text);
            let (text, tappass) = if stream {
                let events = events(&answer.text);
                let text =
                    events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
                (text, events.last().expect("events")["tappass"].clone())
            } else {
                let body = answer.json();
                (
                    body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned(),
                    body["tappass"].clone(),
                )
            };
            assert_eq!(text, "Hello there.", "{}", form.model);
            assert_eq!(
                (&tappass["blocked"], &tappass["total_tokens"]),
                (&json!(false), &json!(10)),
                "{}",
                form.model
            );
            let got = s.provider.last_request().expect("a request");
            assert_eq!(got.path, path, "{}", form.model);
            match form.auth {
                Some((name, start)) => {
                    assert!(got.header(name).is_some_and(|v| v.starts_with(start)), "{got:?}");
                }
                None => assert_eq!(got.header("authorization"), None),
            }
            let all = format!("{got:?}");
            let keys = [
                "google-key",
                "mistral-key",
                "vllm-key",
                "AKIDEXAMPLE",
                "sk-scripted",
                "ant-scripted",
                s.key.as_str(),
            ];
            let others = keys.iter().filter(|key| form.auth.is_none_or(|(_, start)| !start.contains(**key)));
            others.for_each(|key| assert!(!all.contains(key), "{}: {key}", form.model));
            assert!(!all.contains("aws-secret") && !got.path.contains("key"), "{all}");
            let event = s.last_call().await.expect("recorded");
            assert_eq!(event["provider"], form.model.split('/').next().expect("a prefix"));
            assert_eq!(
                event["tokens"],
                json!({"prompt_tokens": 4, "completion_tokens": 6}),
                "{}",
                form.model
            );
        }
    }
}

#[tokio::test]
async fn tools_go_there_and_back() {
    let s = Scripted::new(&ENV).await;
    s.enforce().await;
    for form in forms() {
        for stream in [false, true] {
            s.provider.always(if stream { (form.streams_call)() } else { (form.calls)() });
            let answer = say(&s, &form, &json!({"stream": stream, "tools": offered()})).await;
            assert_eq!(answer.status, 200, "{}: {}", form.model, answer.text);
            let (call, reason) = if stream {
                let events = events(&answer.text);
                let call = events.iter().find_map(|e| e["choices"][0]["delta"]["tool_calls"].get(0).cloned());
                let reason =
                    events.iter().find_map(|e| e["choices"][0]["finish_reason"].as_str().map(str::to_owned));
                (call.expect("a call"), reason.expect("a reason"))
            } else {
                let choice = answer.json()["choices"][0].take();
                (
                    choice["message"]["tool_calls"][0].clone(),
                    choice["finish_reason"].as_str().expect("a reason").to_owned(),
                )
            };
            assert_eq!(
                (&call["function"]["name"], reason.as_str()),
                (&json!("weather"), "tool_calls"),
                "{}",
                form.model
            );
            let arguments = call["function"]["arguments"].as_str().expect("a text");
            assert_eq!(serde_json::from_str::<Value>(arguments).expect("JSON"), json!({"place": "Ghent"}));
            s.provider.always((form.says)("Rain."));
            let messages = json!([{"role": "user", "content": "And?"},
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": "rain"}]);
            let answer = say(&s, &form, &json!({"messages": messages, "tools": offered()})).await;
            assert_eq!(answer.status, 200, "{}: {}", form.model, answer.text);
            let got = s.provider.last_request().expect("a request").json();
            assert_eq!(got.pointer(form.returned), Some(&json!("rain")), "{}: {got:#}", form.model);
            if form.model.starts_with("gemini") {
                assert_eq!(got["contents"][1]["parts"][0]["thoughtSignature"], "c2ln");
            }
        }
    }
}

#[tokio::test]
async fn a_picture_reaches_each_in_its_own_place() {
    let s = Scripted::new(&ENV).await;
    let url = format!("data:image/gif;base64,{PIXEL}");
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": url}}]}]);
    for form in forms() {
        s.provider.always((form.says)("Seen."));
        let answer = say(&s, &form, &json!({"messages": messages})).await;
        assert_eq!(answer.status, 200, "{}: {}", form.model, answer.text);
        let got = s.provider.last_request().expect("a request").json();
        let there = got.pointer(form.picture).and_then(Value::as_str).unwrap_or_default();
        assert!(there.ends_with(PIXEL), "{}: {got:#}", form.model);
    }
}

#[tokio::test]
async fn errors_pass_on_with_status_and_message_and_no_key() {
    let s = Scripted::new(&ENV).await;
    for form in forms() {
        for (theirs, ours) in [(400, 400), (401, 502), (429, 429), (500, 500)] {
            for stream in [false, true] {
                s.provider.always((form.error)(theirs, "no: google-key mistral-key vllm-key AKIDEXAMPLE"));
                let answer = say(&s, &form, &json!({"stream": stream})).await;
                assert_eq!(answer.status.as_u16(), ours, "{}: {}", form.model, answer.text);
                let body = answer.json();
                let message = body["error"]["message"].as_str().expect("a message");
                assert!(message.starts_with("no: "), "{}: {body}", form.model);
                let own =
                    form.auth.map_or("", |(_, start)| start.rsplit([' ', '=']).next().unwrap_or_default());
                let own = own.trim_end_matches('/');
                assert!(own.is_empty() || !message.contains(own), "{}: {message}", form.model);
                assert_eq!(answer.header("x-should-retry"), "", "no policy decision");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error() {
    let s = Scripted::new(&ENV).await;
    for form in forms() {
        let stream = || (form.streams)(&["one ", "two ", "three"]);
        let broken = [
            stream().cut_after(2),
            stream().stall_after(2),
            stream().half_close_after(2),
            Reply::wrong_content_type(),
        ];
        for reply in broken {
            s.provider.always(reply);
            let answer = say(&s, &form, &json!({"stream": true})).await;
            // What is no stream at all is refused before one begins.
            let last = events(&answer.text).pop().unwrap_or_else(|| answer.json());
            assert!(
                last["error"]["message"].is_string() && last["tappass"].is_object(),
                "{}: {last}",
                form.model
            );
            assert!(s.last_call().await.expect("recorded")["details"]["provider_error"].is_string());
        }
    }
    let thrown = json!({"message": "Too many tokens per minute."});
    for (kind, status) in
        [("throttlingException", 429), ("validationException", 400), ("internalServerException", 500)]
    {
        s.provider
            .always(Reply::frames(&[("messageStart", json!({"role": "assistant"})), (kind, thrown.clone())]));
        let answer = say(&s, &forms()[1], &json!({"stream": true})).await;
        let last =
            events(&answer.text).pop().unwrap_or_else(|| panic!("{kind}: {} {}", answer.status, answer.text));
        assert_eq!(last["error"]["message"], "Too many tokens per minute.", "{last}");
        assert_eq!(
            s.last_call().await.expect("recorded")["details"]["provider_error"],
            format!("bedrock answered {status}")
        );
    }
    let error = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    s.provider.always(Reply::stream(
        vec![gemini(&json!([{"text": "one"}]), Value::Null), error],
        std::time::Duration::ZERO,
    ));
    let answer = say(&s, &forms()[0], &json!({"stream": true})).await;
    assert_eq!(events(&answer.text).pop().expect("an event")["error"]["message"], "overloaded");
}

#[tokio::test]
async fn what_one_cannot_do_is_named_before_a_byte_leaves() {
    let s = Scripted::new(&ENV).await;
    for (at, more, named) in [
        (0, json!({"logprobs": true}), "gemini does not support `logprobs`"),
        (1, json!({"response_format": {"type": "json_object"}}), "bedrock does not support response_format"),
        (2, json!({"logit_bias": {"1": 1}}), "mistral does not support logit_bias"),
    ] {
        let answer = say(&s, &forms()[at], &more).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(
            answer.json()["error"]["message"].as_str().is_some_and(|m| m.starts_with(named)),
            "{}",
            answer.text
        );
    }
    assert_eq!(s.provider.connections(), 0);
}

#[tokio::test]
async fn safety_and_structured_answers_are_told_in_the_dialect() {
    let s = Scripted::new(&ENV).await;
    let form = &forms()[0];
    s.provider
        .always(Reply::answer(json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}})));
    let refused = say(&s, form, &json!({})).await.json();
    assert_eq!(refused["choices"][0]["finish_reason"], "content_filter");
    s.provider.always((form.says)("{\"a\": 1}"));
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    let answer = say(&s, form, &json!({"response_format": schema, "reasoning_effort": "low"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let config = s.provider.last_request().expect("a request").json()["generationConfig"].take();
    assert_eq!(
        (&config["responseJsonSchema"], &config["thinkingConfig"]["thinkingBudget"]),
        (&json!({"type": "object"}), &json!(1024))
    );
    // Any dialect in front of any provider.
    s.provider.always((forms()[1].says)("Hello."));
    let body = json!({"model": "bedrock/m", "input": "hi"});
    let built = request(Method::POST, "/v1/responses").header("authorization", format!("Bearer {}", s.key));
    let built = built.header("content-type", "application/json").body(Body::from(body.to_string()));
    let answer = send(&s.gateway, built.expect("a request")).await.json();
    assert_eq!(answer["output"][0]["content"][0]["text"], "Hello.");
}
