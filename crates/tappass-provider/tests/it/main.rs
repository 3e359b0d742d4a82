//! The providers against a server that does as it is told.

#![expect(clippy::panic, reason = "helpers of tests fail by it")]

mod anthropic;
mod chat;
mod embeddings;
mod faults;
mod routing;
mod tls;

use std::{collections::HashMap, time::Duration};

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tappass_model::{Answer, Dialect};
use tappass_provider::{
    Provider, ProviderCall, ProviderError, ProviderReply,
    dialects::chat::{Accumulator, read_answer},
    http::{Deadlines, HttpConfig, Limits},
    openai::OpenAi,
};
use tappass_testkit::ScriptedProvider;

/// Short where a test waits for it, long everywhere else.
fn config(change: impl FnOnce(&mut Deadlines)) -> HttpConfig {
    let long = Duration::from_secs(20);
    let mut deadlines = Deadlines { connect: long, first_byte: long, answer: long, idle: long, total: long };
    change(&mut deadlines);
    HttpConfig { deadlines, limits: Limits { answer: 4 << 20, event: 256 << 10 }, ca_file: None }
}

fn openai(server: &ScriptedProvider) -> OpenAi {
    openai_with(server, &config(|_| {}))
}

fn openai_with(server: &ScriptedProvider, config: &HttpConfig) -> OpenAi {
    OpenAi::new(&server.base_url(), Some("sk-secret-key-0001"), config).expect("good settings")
}

fn call(stream: bool) -> ProviderCall {
    let body =
        json!({"model": "openai/gpt-x", "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    ProviderCall {
        dialect: Dialect::OpenAiChat,
        model: "gpt-x".to_owned(),
        stream,
        body,
        traceparent: None,
        passed: Vec::new(),
        owner: None,
    }
}

/// Makes the call and reads all of what comes.
async fn ask(provider: &dyn Provider, call: ProviderCall) -> Result<Answer, ProviderError> {
    match provider.send(call).await? {
        ProviderReply::Whole(body) => Ok(read_answer(&body)),
        ProviderReply::Stream(stream) => {
            let chunks: Vec<Value> = stream.try_collect().await?;
            let mut folded = Accumulator::default();
            chunks.iter().for_each(|chunk| folded.push(chunk));
            Ok(folded.answer())
        }
    }
}

fn text(answer: &Answer) -> &str {
    answer.segments.first().map_or("", |segment| segment.text.as_str())
}

fn env(list: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    let map: HashMap<String, String> = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    move |name| map.get(name).cloned()
}
