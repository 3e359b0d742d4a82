//! Promise 1 through the front door: whenever the server is killed, every call it had answered is in its log.

use std::{
    collections::{HashMap, HashSet},
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Instant,
};

use reqwest::RequestBuilder;
use serde_json::json;
use tappass_testkit::TempPostgres;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    gateway::{Gateway, events, pause, random},
    support::DEADLINE,
};

const TASKS: usize = 16;

/// Mode of the agent, and whether the answer was streamed.
type Kind = (&'static str, bool);

/// Makes a call and reads all of its answer. `None` when the connection ended before.
async fn acknowledged(call: RequestBuilder, stream: bool) -> Option<()> {
    let answer = call.send().await.ok()?;
    let status = answer.status();
    let text = answer.text().await.ok()?;
    assert_eq!(status, 200, "{text}");
    let whole = match stream {
        true => text.ends_with("data: [DONE]\n\n") && text.contains(r#""finished":true"#),
        false => text.ends_with('}') && text.contains(r#""finish_reason":"stop""#),
    };
    assert!(whole, "an answer that ends in order has all of its parts: {text}");
    Some(())
}

/// Calls from many tasks until the server is killed at a random moment; gives the calls it had answered.
async fn round(gateway: &mut Gateway, keys: &[(&'static str, String)], round: u32) -> HashMap<String, Kind> {
    let killed = Arc::new(AtomicBool::new(false));
    let (said, mut answered) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (mode, key) = &keys[task % keys.len()];
        let (mode, said, killed) = (*mode, said.clone(), Arc::clone(&killed));
        let stream = task % 4 < 2;
        let text = if stream { "repeat 30: a word" } else { "say: hello" };
        let call = gateway.chat(key, text, &json!({"stream": stream}));
        tasks.spawn(async move {
            for n in 0.. {
                let id = format!("{round}-{task}-{n}");
                let call = call.try_clone().expect("a body in memory").header("x-request-id", &id);
                if acknowledged(call, stream).await.is_none() {
                    assert!(killed.load(SeqCst), "a call failed before the kill");
                    return;
                }
                said.send((id, (mode, stream))).expect("heard");
            }
        });
    }
    drop(said);
    let enough = 1 + usize::try_from(random() % 150).expect("small");
    let mut calls = HashMap::new();
    while let Some((id, kind)) = answered.recv().await {
        calls.insert(id, kind);
        if calls.len() == enough {
            killed.store(true, SeqCst);
            gateway.kill(); // what it had sent before is still read
        }
    }
    tasks.join_all().await;
    assert!(calls.len() >= enough, "the server ended by itself");
    calls
}

/// Waits until every answered call is in the log (what was spooled is written soon after the start), and gives the
/// export that shows it.
async fn all_in_log(gateway: &Gateway, answered: &HashMap<String, Kind>) -> String {
    let begun = Instant::now();
    loop {
        let export = gateway.export();
        let mut in_log = HashSet::new();
        for event in events(&export).iter().filter(|e| e["event_type"] == "llm_call") {
            let id = event["details"]["request_id"].as_str().expect("a request id").to_owned();
            assert!(in_log.insert(id.clone()), "{id} stands twice");
        }
        let missing: Vec<_> = answered.iter().filter(|(id, _)| !in_log.contains(*id)).collect();
        if missing.is_empty() {
            return export;
        }
        let (some, all) = (missing.len(), answered.len());
        assert!(begun.elapsed() < DEADLINE, "{some} of {all} answered calls are not in the log: {missing:?}");
        pause().await;
    }
}

/// The verifier that shares no code with the program.
fn verified_elsewhere(gateway: &Gateway, export: &str, key: &str) {
    let file = gateway.home.path("export.jsonl");
    fs::write(&file, export).expect("written");
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/verify_audit.py");
    let said = Command::new("python3").arg(tool).arg(&file).args(["--public-key", key]).output();
    let said = said.expect("python3 runs");
    assert_eq!(said.status.code(), Some(0), "{said:?}");
}

async fn survives_kills(rounds: u32, arguments: &[&str], environment: &[(&str, &str)]) {
    let mut gateway = Gateway::signed_up(arguments, environment).await;
    let mut keys = Vec::new();
    for mode in ["enforce", "observe"] {
        keys.push((mode, gateway.agent(&format!("{mode}s"), mode).await));
    }
    let mut answered = HashMap::new();
    for n in 0..rounds {
        answered.extend(round(&mut gateway, &keys, n).await);
        gateway.restart();
        all_in_log(&gateway, &answered).await;
        gateway.verified().await;
    }
    for kind in [("enforce", true), ("enforce", false), ("observe", true), ("observe", false)] {
        assert!(answered.values().any(|k| *k == kind), "no call of the kind {kind:?} was answered");
    }
    let export = all_in_log(&gateway, &answered).await;
    let verdict = gateway.verified().await;
    verified_elsewhere(&gateway, &export, verdict["public_key"].as_str().expect("a key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_on_disk_keeps_every_answered_call() {
    survives_kills(6, &["--storage", "local"], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_every_answered_call() {
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let url = postgres.database().await.expect("a database");
    survives_kills(3, &["--storage", "postgres"], &[("DATABASE_URL", &url)]).await;
}
