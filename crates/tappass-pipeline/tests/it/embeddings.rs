//! Embeddings through a pipeline: what is scanned, and which steps have nothing to look at.

use std::sync::Arc;

use serde_json::{Value, json};
use tappass_model::{Action, Answer, Mode};
use tappass_pipeline::{Call, Halt, Pipeline, registry::STEPS};
use tappass_provider::dialects::{Shape, embeddings::Embeddings};

use crate::common::{call, pipeline};

const SECRET: &str = concat!("gh", "p_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
const CONVERSATION: [&str; 8] = [
    "tool_permissions",
    "filter_tools",
    "tool_constraints",
    "user_tool_scopes",
    "loop_guard",
    "detect_tool_poison",
    "verify_tool_governance",
    "scan_tool_results",
];
const ANSWER: [&str; 10] = [
    "scan_tool_calls",
    "call_tool",
    "scan_output",
    "content_safety",
    "output_constraints",
    "output_dedup",
    "detect_exfiltration",
    "detect_memory_poison",
    "verify_artifacts",
    "pii_restore",
];

fn asking(p: &Arc<Pipeline>, mode: Mode, flags: &str, body: Value) -> Call {
    let mut call = call(p, mode, flags, "hi");
    call.exchange.request = Embeddings.read_request(body, 0).expect("a valid request");
    call
}

fn input(input: &Value) -> Value {
    json!({"model": "builtin", "input": input})
}

/// With every step that needs no settings of its own.
fn all_steps() -> Arc<Pipeline> {
    let named: Vec<String> = STEPS
        .iter()
        .filter(|entry| !["llm_judge", "require_approval"].contains(&entry.meta.id))
        .map(|entry| format!("{}: {{on_detection: log}}", entry.meta.id))
        .collect();
    pipeline(&format!("{{{}}}", named.join(", ")))
}

async fn answered(call: &mut Call, body: &Value) {
    call.admit().await.expect("may leave");
    call.forward().await.expect("goes");
    let answer = Embeddings.read_answer(body);
    call.examine(Answer { body: body.clone(), ..answer }).await.expect("comes back");
}

#[tokio::test]
async fn every_string_is_scanned_masked_or_stopped() {
    let p = pipeline("{detect_secrets: {on_detection: block}}");
    for input in [json!(SECRET), json!(["fine", SECRET]), json!([{"text": SECRET}])] {
        let refused =
            asking(&p, Mode::Enforce, "", json!({"model": "builtin", "input": input})).admit().await;
        let step = if input[0].is_object() { "validate_input" } else { "detect_secrets" };
        assert!(matches!(refused, Err(Halt::Blocked(b)) if b.step == step), "{input}");
    }
    let p = pipeline("{detect_pii: {on_detection: redact}}");
    for (asked, sent) in [
        (json!("I am jan.peeters@acme.eu"), json!("I am [EMAIL]")),
        (json!(["fine", "I am jan.peeters@acme.eu"]), json!(["fine", "I am [EMAIL]"])),
    ] {
        let mut call = asking(&p, Mode::Enforce, "", input(&asked));
        call.admit().await.expect("masked");
        assert_eq!(call.exchange.request.body["input"], sent);
    }
}

#[tokio::test]
async fn token_ids_are_told_when_observed_and_refused_when_enforced() {
    let p = pipeline("{}");
    for (ids, at) in [(json!([1, 2, 3]), "`input`"), (json!([[1, 2], [3]]), "`input[0]`")] {
        let mut observed = asking(&p, Mode::Observe, "", input(&ids));
        observed.admit().await.expect("goes on");
        let would = observed.trace.would_block();
        assert!(would[0].step == "validate_input" && would[0].reason.starts_with(at), "{would:?}");
        assert!(would[0].reason.contains("token ids instead of a text"), "{would:?}");
        let refused = asking(&p, Mode::Enforce, "", input(&ids)).admit().await;
        assert!(matches!(refused, Err(Halt::Blocked(b)) if b.step == "validate_input"));
    }
}

#[tokio::test]
async fn what_has_nothing_to_look_at_says_so_and_the_rest_runs() {
    let mut call = asking(&all_steps(), Mode::Enforce, "", input(&json!(["one", "two"])));
    let body = json!({"object": "list", "model": "builtin", "data": [{"embedding": [1.0]}, {"embedding": [0.5]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3}});
    answered(&mut call, &body).await;
    for row in &call.trace.rows {
        let expected = if CONVERSATION.contains(&row.step) {
            "does not apply: the request is no conversation"
        } else if ANSWER.contains(&row.step) {
            "does not apply: the answer has no text"
        } else {
            assert_ne!(row.action, Action::Skip, "{row:?}");
            continue;
        };
        assert!(row.action == Action::Skip && row.message.starts_with(expected), "{row:?}");
    }
    assert!(call.trace.rows.len() > 40, "one row for each step");
    assert_eq!(call.exchange.answer.as_ref().map(|a| (a.usage.total(), &a.body)), Some((3, &body)));
    assert_eq!(call.exchange.cost_usd, Some(0.0));
}

#[tokio::test]
async fn words_that_do_not_belong_into_an_answer_are_looked_at_all_the_same() {
    let p = pipeline("{scan_output: {on_detection: redact}}");
    let mut call = asking(&p, Mode::Enforce, "", input(&json!("one")));
    let body = json!({"data": [{"embedding": [1.0], "note": format!("take {SECRET}")}]});
    answered(&mut call, &body).await;
    let answer = call.exchange.answer.expect("an answer");
    assert!(!answer.body.to_string().contains(SECRET), "{}", answer.body);
    assert_eq!(answer.body["data"][0]["embedding"], json!([1.0]));
}
