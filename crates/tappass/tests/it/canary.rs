//! Promise 27: a secret put into any input shows up in no log, metric, error, export, or file of the gateway's.
//!
//! Each input gets a word of its own, so that a failure names the place that leaks. Names are no secrets (agents,
//! sessions, end users, tools, models): the audit log is there to tell them. What comes back to the very caller
//! whose word was refused (an unknown flag, a malformed line) may name the word; nothing that is kept may.

mod people;

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tappass_testkit::{Reply, ScriptedProvider};

use crate::{
    gateway::{Gateway, events, random},
    support::Home,
};

/// The words that were planted, and where.
struct Canaries {
    planted: Vec<(&'static str, String)>,
    /// Those that may come back to the caller who sent them.
    named: Vec<String>,
}

impl Canaries {
    const fn new() -> Self {
        Self { planted: Vec::new(), named: Vec::new() }
    }

    /// A word for this place that stands nowhere else.
    fn plant(&mut self, place: &'static str) -> String {
        self.plant_as(place, &format!("zq{:016x}", random()))
    }

    fn plant_as(&mut self, place: &'static str, word: &str) -> String {
        self.planted.push((place, word.to_owned()));
        word.to_owned()
    }

    /// A word that an error may name to its sender.
    fn plant_named(&mut self, place: &'static str) -> String {
        let word = self.plant(place);
        self.named.push(word.clone());
        word
    }

    /// Which of the words stand in these bytes, each with what stands before it.
    fn found(&self, bytes: &[u8]) -> Vec<(&'static str, String)> {
        let text = String::from_utf8_lossy(bytes);
        let before = |at: usize| text[text.floor_char_boundary(at.saturating_sub(80))..at].to_owned();
        let found = |(place, word): &(&'static str, String)| Some((*place, before(text.find(word)?)));
        self.planted.iter().filter_map(found).collect()
    }

    fn assert_absent(&self, from: &str, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "{from} is empty: nothing was looked at");
        assert!(self.found(bytes).is_empty(), "{from} holds the words of: {:?}", self.found(bytes));
    }

    /// Sends a request. An error's head and body hold no word but the ones it may name.
    async fn send(&self, request: RequestBuilder) -> StatusCode {
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let head = format!("{:?}", answer.headers());
        let text = answer.text().await.expect("a body");
        assert!(
            self.found(head.as_bytes()).is_empty(),
            "headers with the words of: {:?}",
            self.found(head.as_bytes())
        );
        if !status.is_success() {
            let named = |word: &String| self.named.contains(word);
            let leaked: Vec<_> =
                self.planted.iter().filter(|(_, word)| text.contains(word) && !named(word)).collect();
            assert!(leaked.is_empty(), "{status} with {leaked:?}: {text}");
        }
        status
    }
}

/// A made-up token in the form of a real one.
fn token(seed: u64) -> String {
    let alphabet = b"k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWqXtVy";
    let letters = (0..36).map(|i| alphabet[(seed.rotate_left(i * 7) % 40) as usize] as char);
    format!("ghp_{}", letters.collect::<String>())
}

/// A call with a word in every place of its body and head that is not a name.
fn full_call(gateway: &Gateway, key: &str, canaries: &mut Canaries, more: &Value) -> RequestBuilder {
    let mut plant = |place| canaries.plant(place);
    let tool = json!({"type": "function", "function": {"name": "lookup", "description": plant("tool description"),
        "parameters": {"type": "object", "properties": {plant("parameter"): {"type": "string", "description": plant("parameter's description")}}}}});
    let arguments = json!({"q": plant("tool arguments")}).to_string();
    let messages = json!([
        {"role": "system", "content": plant("system prompt")},
        {"role": "user", "content": [{"type": "text", "text": plant("earlier part")}]},
        {"role": "assistant", "content": plant("earlier answer"), "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": plant("tool result")},
        {"role": "user", "content": format!("{} and jan.{}@acme.eu", plant("prompt"), plant("e-mail address"))},
    ]);
    let mut body = json!({"messages": messages, "tools": [tool], "metadata": {"note": plant("metadata")},
        "user": plant("user field"), "stop": [plant("stop")], plant("unknown field"): plant("unknown value")});
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    let path = format!("/v1/chat/completions?api_key={}", plant("query"));
    gateway
        .request(Method::POST, &path)
        .bearer_auth(key)
        .json(&body)
        .header("x-note", plant("header"))
        .header("cookie", plant("cookie"))
        .header("user-agent", plant("user agent"))
        .header("referer", plant("referer"))
        .header("openai-organization", plant("client's header"))
        .header("traceparent", plant("traceparent"))
        .header("tracestate", plant("tracestate"))
        .header("idempotency-key", plant("idempotency key"))
        .header("x-forwarded-for", plant("forwarded for"))
}

/// Calls that pass, are blocked, and fail, whole and streamed.
async fn calls(gateway: &Gateway, provider: &ScriptedProvider, canaries: &mut Canaries, key: &str) {
    for stream in [false, true] {
        for model in ["openai/m", "builtin/echo"] {
            let more = json!({"model": model, "stream": stream});
            let call = full_call(gateway, key, canaries, &more);
            if model == "openai/m" {
                let answer = canaries.plant("answer");
                provider.push(Reply::says(&format!("So be it: {answer}, {}.", token(random()))));
            }
            assert_eq!(canaries.send(call).await, 200);
        }
        // A tool call of the model's.
        let arguments = json!({"q": canaries.plant("the model's arguments")});
        let tool = json!([{"type": "function", "function": {"name": "lookup", "parameters": {}}}]);
        let call =
            gateway.chat(key, &format!("call lookup {arguments}"), &json!({"tools": tool, "stream": stream}));
        assert_eq!(canaries.send(call).await, 200);
        // Secrets and personal data in their own forms: found, masked in what is kept.
        let secret = canaries.plant_as("detected secret", &token(random()));
        canaries.plant_as("part of a detected secret", &secret[8..32]);
        let iban = canaries.plant_as("detected account number", "BE68 5390 0754 7034");
        for flags in ["secrets=block", "secrets=redact", "pii=block"] {
            let call =
                gateway.chat(key, &format!("push with {secret} and pay {iban}"), &json!({"stream": stream}));
            canaries.send(call.header("x-tappass-flags", flags)).await;
        }
        // Providers that fail, with what they were told in their mouth.
        let echoed = canaries.plant_named("prompt that the provider quotes");
        let key_of_provider = canaries.planted[0].1.clone();
        let quoted = format!("I cannot make sense of {echoed} under {key_of_provider}");
        for reply in [
            Reply::status(400, &quoted),
            Reply::status(401, &quoted),
            Reply::answer(json!({"error": {"message": quoted, "type": echoed, "code": echoed}}))
                .status_code(422),
            Reply::wrong_content_type(),
            Reply::answer(json!({"choices": echoed})).header("x-echo", &echoed),
            Reply::redirect(&format!("http://127.0.0.1:1/{echoed}")),
            Reply::malformed_sse(),
            Reply::says(&format!("one {echoed} three four")).cut_after(2),
        ] {
            provider.push(reply);
            canaries.send(gateway.chat(key, &echoed, &json!({"model": "openai/m", "stream": stream}))).await;
        }
    }
}

/// Calls in the other dialects that pass, are blocked, and fail.
async fn other_dialects(gateway: &Gateway, provider: &ScriptedProvider, canaries: &mut Canaries, key: &str) {
    let post = |path: &str, body: &Value| gateway.request(Method::POST, path).bearer_auth(key).json(body);
    for (model, stream) in
        [("openai/m", false), ("openai/m", true), ("builtin/echo", false), ("builtin/echo", true)]
    {
        let mut plant = |place| canaries.plant(place);
        let last = format!("{} and jan.{}@acme.eu", plant("last block"), plant("address in a block"));
        let messages = json!([
            {"role": "user", "content": [{"type": "text", "text": plant("text block")}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t1", "name": "lookup", "input": {"q": plant("tool input")}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": plant("result block")},
                {"type": "text", "text": last}]},
        ]);
        let tool = json!({"name": "lookup", "description": plant("description in messages"),
            "input_schema": {"type": "object", "properties": {plant("property"): {"type": "string"}}}});
        let body = json!({"model": model, "max_tokens": 50, "stream": stream, "messages": messages,
            "tools": [tool], "system": plant("system of messages")});
        let texts = json!([plant("embedded text"), format!("jan.{}@acme.eu", plant("embedded address"))]);
        let embed = json!({"model": model, "input": texts, "user": plant("user of embeddings")});
        let said = format!("{} and jan.{}@acme.eu", plant("input text"), plant("address in an item"));
        let respond = json!({"model": model, "stream": stream, "instructions": plant("instructions"), "input": [
            {"role": "user", "content": [{"type": "input_text", "text": said}]},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": plant("summary")}]},
            {"type": "function_call", "call_id": "c1", "name": "lookup", "arguments": json!({"q": plant("call")}).to_string()},
            {"type": "function_call_output", "call_id": "c1", "output": plant("output")}],
            "tools": [{"type": "function", "name": "lookup", "description": plant("description in responses")}]});
        if model == "openai/m" {
            provider.push(Reply::says(&format!("So be it: {}.", plant("answer in messages"))));
        }
        assert_eq!(canaries.send(post("/v1/messages", &body)).await, 200);
        assert_eq!(canaries.send(post("/v1/embeddings", &embed)).await, 200);
        if model == "openai/m" {
            let answer = canaries.plant("answer in responses");
            provider.push(Reply::says(&format!("So be it: {answer}.")));
        }
        assert_eq!(canaries.send(post("/v1/responses", &respond)).await, 200);
        let secret = canaries.plant_as("secret in another dialect", &token(random()));
        let echoed = canaries.plant_named("text that the provider quotes");
        for (text, reply) in [
            (&secret, Reply::says("ok")),
            (&echoed, Reply::status(400, &format!("what is {echoed}?"))),
            (&echoed, Reply::answer(json!({"data": [{"embedding": echoed}], "choices": echoed}))),
        ] {
            let asked = json!([{"role": "user", "content": text}]);
            let ask = json!({"model": model, "max_tokens": 9, "stream": stream, "messages": asked});
            let respond = json!({"model": model, "stream": stream, "input": asked_items(text)});
            for (path, body) in [
                ("/v1/messages", ask),
                ("/v1/responses", respond),
                ("/v1/responses", json!({"model": model, "input": "x", "previous_response_id": text})),
                ("/v1/embeddings", json!({"model": model, "input": [text]})),
            ] {
                provider.always(reply.clone());
                canaries.send(post(path, &body)).await;
            }
        }
        provider.always(Reply::says("ok"));
    }
}

/// What coding agents' hooks tell.
async fn hooks(gateway: &Gateway, canaries: &mut Canaries, key: &str) {
    let secret = canaries.plant_as("secret of a hook", &token(random()));
    let mut plant = |place| canaries.plant(place);
    let event = |name: &str, more: Value| {
        let mut event = json!({"session_id": "s", "hook_event_name": name, "tool_name": "Write"});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("members").clone());
        event
    };
    let events = [
        event(
            "UserPromptSubmit",
            json!({"prompt": plant("prompt of a hook"), "cwd": plant("folder of a hook")}),
        ),
        event("UserPromptSubmit", json!({"prompt": secret})),
        event("PreToolUse", json!({"tool_input": {"content": plant("input of a hook")}})),
        event("PreToolUse", json!({"tool_input": {"content": secret}})),
        event(
            "PostToolUse",
            json!({"tool_response": {"text": plant("result of a hook"), plant("key of a hook"): 1}}),
        ),
        event("PostToolUse", json!({"tool_response": secret})),
        event("Stop", json!({"last_assistant_message": plant("last message of a hook")})),
    ];
    let told = json!({"event_type": "task_started", "details": {plant("key of an event"): plant("details of an event")}});
    for event in &events {
        let request = gateway.request(Method::POST, "/hooks").bearer_auth(key).json(event);
        assert_eq!(canaries.send(request).await, 200);
    }
    let batch = gateway.request(Method::POST, "/hooks/batch").bearer_auth(key).json(&events);
    assert_eq!(canaries.send(batch).await, 200);
    for (path, body) in [("/v1/events", told.clone()), ("/v1/audit/batch", json!([told]))] {
        let request = gateway.request(Method::POST, path).bearer_auth(key).json(&body);
        assert_eq!(canaries.send(request).await, 202);
    }
}

fn asked_items(text: &str) -> Value {
    json!([{"role": "user", "content": [{"type": "input_text", "text": text}]}])
}

/// Requests that are refused before they become a call.
async fn refused(gateway: &Gateway, canaries: &mut Canaries, key: &str) {
    let chat = || gateway.request(Method::POST, "/v1/chat/completions").bearer_auth(key);
    let json =
        |request: RequestBuilder, body: String| request.header("content-type", "application/json").body(body);
    let said = |canaries: &mut Canaries, place| canaries.plant_named(place);
    let word = said(canaries, "malformed JSON");
    for body in [
        format!("{{\"messages\": [{word}"),
        format!("{{\"messages\": [], \"{word}\": 1, \"{word}\": 2}}"),
        json!({"model": "m", "messages": [{"role": word, "content": "x"}]}).to_string(),
        json!({"model": "m", "messages": word}).to_string(),
        json!({"model": "m", "messages": [{"role": "user", "content": {"x": word}}]}).to_string(),
        json!({"model": format!("nobody/{word}\n"), "messages": [{"role": "user", "content": "x"}]})
            .to_string(),
    ] {
        assert!(canaries.send(json(chat(), body)).await.is_client_error());
    }
    for flags in ["mode=", "", "tools=", "pii=mask,pii="] {
        let flags = format!("{flags}{}", said(canaries, "flags"));
        let call = gateway.chat(key, "x", &json!({})).header("x-tappass-flags", flags);
        assert_eq!(canaries.send(call).await, 422);
    }
    let kind = chat().header("content-type", format!("text/{}", said(canaries, "content type"))).body("{}");
    assert!(canaries.send(kind).await.is_client_error());
    let name = canaries.plant("a session's name that is too long").repeat(20);
    let call = gateway.chat(key, "x", &json!({})).header("x-tappass-session", name);
    assert_eq!(canaries.send(call).await, 422);

    for (place, scheme) in [("wrong key", "Bearer tp_"), ("wrong token", "Bearer tps_"), ("no scheme", "")] {
        let header = format!("{scheme}{}", canaries.plant(place));
        for path in ["/v1/chat/completions", "/agents/register"] {
            let request =
                gateway.request(Method::POST, path).header("authorization", &header).json(&json!({}));
            assert_eq!(canaries.send(request).await, 401);
        }
    }
    let request = gateway.request(Method::GET, "/agents").header("x-api-key", canaries.plant("x-api-key"));
    assert_eq!(canaries.send(request).await, 401);
    let path = format!("/v1/{}", said(canaries, "path"));
    assert!(canaries.send(gateway.request(Method::POST, &path).bearer_auth(key)).await.is_client_error());
    let path = format!("/audit?event_type={}", said(canaries, "query of a list"));
    assert_eq!(canaries.send(gateway.request(Method::GET, &path).bearer_auth(&gateway.admin)).await, 400);
}

/// Calls and tool calls that wait for a person: what was asked is kept, and sealed.
async fn questions(gateway: &Gateway, canaries: &mut Canaries) {
    let key = gateway.agent("asks", "enforce").await;
    let pipeline =
        json!({"preset": "starter", "overrides": {"require_approval": {"when": [{"tool": "lookup"}]}}});
    gateway.ask(Method::PUT, "/pipelines/asking", pipeline).await;
    gateway.ask(Method::PUT, "/agents/asks/pipeline", json!({"pipeline": "asking"})).await;
    let call = full_call(gateway, &key, canaries, &json!({"model": "builtin/echo"}));
    assert_eq!(canaries.send(call).await, 403, "its history has a call that nobody approved");
    let arguments = json!({"q": canaries.plant("arguments that wait")});
    let tools = json!([{"type": "function", "function": {"name": "lookup", "parameters": {}}}]);
    let call = gateway.chat(&key, &format!("call lookup {arguments}"), &json!({"tools": tools}));
    assert_eq!(canaries.send(call).await, 403);
    let list = gateway.ask(Method::GET, "/admin/approvals", Value::Null).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{list}");
    let path = format!("/admin/approvals/{}", list["items"][0]["approval_id"].as_str().expect("an id"));
    let whole = gateway.ask(Method::GET, &path, Value::Null).await.to_string();
    assert!(canaries.found(whole.as_bytes()).iter().any(|(place, _)| *place == "arguments that wait"));
}

/// Passwords: right, wrong, refused.
async fn accounts(gateway: &Gateway, canaries: &mut Canaries) {
    let account =
        |email: &str, password: &str| json!({"email": email, "password": password, "org_name": "Other"});
    let post = |path: &str, body: &Value| gateway.request(Method::POST, path).json(body);
    let password = canaries.plant("password");
    assert_eq!(canaries.send(post("/auth/signup", &account("second@client.example", &password))).await, 201);
    let right = json!({"email": "second@client.example", "password": password});
    assert_eq!(canaries.send(post("/auth/login", &right)).await, 200);
    let wrong = json!({"email": "second@client.example", "password": canaries.plant("wrong password")});
    assert_eq!(canaries.send(post("/auth/login", &wrong)).await, 401);
    let taken = account("second@client.example", &canaries.plant("password of a second sign-up"));
    assert!(canaries.send(post("/auth/signup", &taken)).await.is_client_error());
    let mut odd = account("third@client.example", "x");
    odd["password"] = json!([canaries.plant("password of a wrong type")]);
    assert!(canaries.send(post("/auth/signup", &odd)).await.is_client_error());
    let long = canaries.plant("password beyond its length").repeat(200);
    assert!(
        canaries.send(post("/auth/signup", &account("third@client.example", &long))).await.is_client_error()
    );
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn assert_no_file_holds(canaries: &Canaries, dir: &Path) {
    let mut database = false;
    for file in files(dir) {
        let bytes = fs::read(&file).expect("readable");
        let found = canaries.found(&bytes);
        assert!(found.is_empty(), "{} holds the words of: {found:?}", file.display());
        database |= String::from_utf8_lossy(&bytes).contains("enforces");
    }
    assert!(database, "no file holds the agent's name: this is not where the data is");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_word_of_any_input_is_kept_or_told() {
    let provider = ScriptedProvider::start().await;
    let mut canaries = Canaries::new();
    let provider_key = canaries.plant("the provider's key");
    let other_key = canaries.plant("another provider's key");
    let base = provider.base_url();
    let mut long =
        |place| canaries.plant_as(place, &format!("zq{:016x}{:016x}{:016x}", random(), random(), random()));
    let (client_secret, google_secret) = (long("an issuer's client secret"), long("Google's client secret"));
    let smtp_password = long("the mail server's password");
    let (admin_key, session_secret) = (long("the admin key"), long("the sessions' secret"));
    let mut gateway = Gateway::signed_up(
        &[],
        &[
            ("OPENAI_BASE_URL", &base),
            ("OPENAI_API_KEY", &provider_key),
            ("ANTHROPIC_API_KEY", &other_key),
            ("TAPPASS_ADMIN_API_KEY", &admin_key),
            ("TAPPASS_JWT_SECRET", &session_secret),
            ("TAPPASS_LOG", "trace"),
            ("TAPPASS_OIDC_ISSUER", "http://127.0.0.1:1"),
            ("TAPPASS_OIDC_CLIENT_ID", "gateway"),
            ("TAPPASS_OIDC_CLIENT_SECRET", &client_secret),
            ("GOOGLE_CLIENT_ID", "gateway"),
            ("GOOGLE_CLIENT_SECRET", &google_secret),
            ("TAPPASS_EGRESS_ALLOW", "127.0.0.1"),
            ("TAPPASS_SMTP_URL", "smtp://gateway@127.0.0.1:1"),
            ("TAPPASS_SMTP_PASSWORD", &smtp_password),
            ("TAPPASS_SMTP_FROM", "gateway@client.example"),
            ("TAPPASS_BASE_URL", "http://127.0.0.1"),
        ],
    )
    .await;
    let admin = gateway.admin.clone();
    canaries.plant_as("the admin's session", &admin);
    for mode in ["enforce", "observe"] {
        let key = gateway.agent(&format!("{mode}s"), mode).await;
        canaries.plant_as("an agent's key", &key);
        calls(&gateway, &provider, &mut canaries, &key).await;
        other_dialects(&gateway, &provider, &mut canaries, &key).await;
        hooks(&gateway, &mut canaries, &key).await;
        refused(&gateway, &mut canaries, &key).await;
        people::mcp(&gateway, &mut canaries, &key, &format!("away-{mode}")).await;
    }
    people::sign_ins(&gateway, &mut canaries).await;
    people::ways_in(&gateway, &mut canaries).await;
    questions(&gateway, &mut canaries).await;
    accounts(&gateway, &mut canaries).await;
    // The words did arrive where they belong.
    let sent: String = provider.requests().iter().map(|r| r.json().to_string()).collect();
    for place in ["prompt", "last block", "embedded text"] {
        let words = canaries.planted.iter().filter(|(there, word)| *there == place && sent.contains(word));
        assert_eq!(words.count(), 4, "{place}: two modes, whole and streamed");
    }
    assert!(
        provider
            .requests()
            .iter()
            .all(|r| r.header("authorization") == Some(&format!("Bearer {provider_key}")))
    );

    let org_id = gateway.verified().await["org_id"].as_str().expect("an id").to_owned();
    for path in ["/metrics", "/admin/metrics", "/admin/status", "/audit?limit=500", "/api/providers"] {
        let asked =
            gateway.request(Method::GET, path).bearer_auth(&admin_key).header("x-tappass-org", &org_id);
        let answer = asked.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        canaries.assert_absent(path, &answer.bytes().await.expect("a body"));
    }
    let export = gateway.export();
    canaries.assert_absent("the export", export.as_bytes());
    assert!(events(&export).len() > 60, "one for each call at least");
    let data = gateway.home.path(".tappass/data");
    assert_no_file_holds(&canaries, &data);
    gateway.terminate();
    assert!(gateway.ended().await.success());
    assert_no_file_holds(&canaries, &data);
    let log = fs::read(gateway.log()).expect("a log");
    assert!(String::from_utf8_lossy(&log).contains("\"level\":\"TRACE\""), "all levels are on");
    canaries.assert_absent("the log", &log);
}

#[test]
fn a_server_that_does_not_start_tells_no_secret() {
    let mut canaries = Canaries::new();
    let home = Home::new();
    let mut refuse = |place, arguments: &[&str], name: &str, value: &dyn Fn(&str) -> String| {
        let value = value(&canaries.plant(place));
        let started = home.run_in(
            &[(name, &value), ("TAPPASS_LOG", "trace")],
            &[&["up", "--defaults", "--port", "0"], arguments].concat(),
        );
        assert_ne!(started.code, 0, "{place}: {started:?}");
        canaries.assert_absent(place, (started.stdout + &started.stderr).as_bytes());
    };
    let postgres = ["--storage", "postgres"];
    refuse("database's password", &postgres, "DATABASE_URL", &|w| format!("postgres://u:{w}@127.0.0.1:1/d"));
    refuse("a database's address that is none", &postgres, "DATABASE_URL", &|w| {
        format!("postgres:/u:{w}@h:x/d")
    });
    refuse("vault key", &[], "TAPPASS_VAULT_KEY", &str::to_owned);
    refuse("weak admin key", &["--host", "0.0.0.0"], "TAPPASS_ADMIN_API_KEY", &|w| w[..6].to_owned());
    refuse("address with a password", &[], "OPENAI_BASE_URL", &|w| format!("http://u:{w}@127.0.0.1/v1"));
    refuse("provider's key no header can carry", &[], "OPENAI_API_KEY", &|w| format!("{w}\n{w}"));
}

#[test]
fn a_configuration_that_cannot_be_read_tells_no_secret() {
    let mut canaries = Canaries::new();
    let home = Home::new();
    let file = home.path("config.toml");
    for rest in ["", "\"\nport = 99999999", "\"\nprt = 1", "\" x"] {
        let word = canaries.plant("database's password");
        let text = format!("[server]\ndatabase_url = \"postgres://u:{word}@h/d{rest}\n");
        fs::write(&file, text).expect("written");
        let started = home.run(&["up", "--defaults", "--config", file.to_str().expect("UTF-8")]);
        assert_eq!(started.code, 2, "{started:?}");
        canaries.assert_absent("the error", (started.stdout + &started.stderr).as_bytes());
        assert!(started.stderr.contains("line "), "{}", started.stderr);
    }
    let kept = home.path(".tappass/config.toml");
    fs::create_dir(home.path(".tappass")).expect("made");
    fs::write(&kept, format!("[client]\ntoken = \"{}\n", canaries.plant("a session"))).expect("written");
    for arguments in [&["agents", "list"][..], &["login", "--email", "a@b.example"], &["logout"]] {
        let refused = home.run(arguments);
        assert_ne!(refused.code, 0, "{refused:?}");
        canaries.assert_absent("the error", (refused.stdout + &refused.stderr).as_bytes());
    }
    fs::remove_file(kept).expect("removed");
}
