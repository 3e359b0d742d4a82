//! Mode, `on_detection`, flags and failures, over whole calls.

use serde_json::Value;
use tappass_model::{Action, Classification, Denial, Mode};
use tappass_pipeline::{Call, Halt};
use tappass_provider::{ProviderReply, dialects::chat};

use crate::common::{call, pipeline};

const MAIL: &str = "Write to jan.peeters@acme.eu about it.";

fn secret() -> String {
    // Built at run time, so that no scanner takes this file for a leak.
    format!("my key is gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq")
}

fn content(call: &Call) -> &str {
    call.exchange.request.body["messages"][0]["content"].as_str().expect("a text")
}

async fn answer(call: &mut Call) -> Value {
    match call.forward().await.expect("answers") {
        ProviderReply::Whole(body) => body,
        ProviderReply::Stream(_) => unreachable!("did not ask for a stream"),
    }
}

#[tokio::test]
async fn observe_lets_through_and_says_what_enforce_would_do() {
    let mut c = call(&pipeline("{}"), Mode::Observe, "", &secret());
    c.admit().await.expect("observe blocks nothing");
    let would = c.trace.would_block();
    assert_eq!(would.len(), 1);
    assert_eq!(would[0].step, "detect_secrets");
    assert_eq!((c.trace.verdict(), c.trace.action()), (Action::Block, Action::Log));
    assert_eq!(content(&c), secret(), "observe changes nothing");
}

#[tokio::test]
async fn enforce_blocks_and_the_later_steps_say_why_they_did_not_run() {
    let mut c = call(&pipeline("{}"), Mode::Enforce, "", &secret());
    let Err(Halt::Blocked(blocked)) = c.admit().await else { panic!("must block") };
    assert_eq!((blocked.step, blocked.denial), ("detect_secrets", Denial::Policy));
    assert_eq!(c.exchange.classification, Classification::Restricted, "a block does not hide the level");
    c.skip_rest("not run");
    assert_eq!(c.trace.rows.len(), 11);
    assert_eq!(c.trace.rows.last().map(|r| (r.step, r.action)), Some(("cost_tracking", Action::Skip)));
    assert!(c.trace.would_block().is_empty(), "it was blocked, so it is not a would-have-been");
}

#[tokio::test]
async fn redact_masks_what_leaves_and_only_in_a_mode_that_acts() {
    for (mode, expected) in [(Mode::Enforce, "Write to [EMAIL] about it."), (Mode::Observe, MAIL)] {
        let mut c = call(&pipeline("{}"), mode, "pii=mask", MAIL);
        c.admit().await.expect("a mask is no block");
        assert_eq!(content(&c), expected, "{mode}");
        assert_eq!(c.trace.verdict(), Action::Redact);
    }
}

#[tokio::test]
async fn lockdown_blocks_on_any_hit() {
    let mut c = call(&pipeline("{}"), Mode::Lockdown, "", MAIL);
    let Err(Halt::Blocked(blocked)) = c.admit().await else { panic!("must block") };
    assert_eq!(blocked.step, "detect_pii");
}

#[tokio::test]
async fn a_whole_call_answers_and_is_priced() {
    let mut c = call(&pipeline("{}"), Mode::Enforce, "", "say: good morning");
    c.admit().await.expect("clean");
    let body = answer(&mut c).await;
    let read = chat::read_answer(&body);
    c.examine(tappass_model::Answer { body, ..read }).await.expect("clean");
    assert_eq!(c.trace.steps_run(), 11);
    assert_eq!(c.exchange.cost_usd, Some(0.0), "the builtin model is free");
    assert!(c.trace.rows.iter().all(|row| row.action == Action::Allow), "{:?}", c.trace.rows);
}

#[tokio::test]
async fn an_answer_is_masked_too() {
    let mut c =
        call(&pipeline("{scan_output: {on_detection: redact}}"), Mode::Enforce, "", &format!("say: {MAIL}"));
    c.admit().await.expect("personal data in the request is only logged");
    let body = answer(&mut c).await;
    let read = chat::read_answer(&body);
    c.examine(tappass_model::Answer { body, ..read }).await.expect("a mask is no block");
    let answer = c.exchange.answer.expect("an answer");
    assert_eq!(answer.body["choices"][0]["message"]["content"], "Write to [EMAIL] about it.");
}

#[tokio::test]
async fn a_rate_limit_is_told_as_one() {
    let p = pipeline("{rate_limit: {max_calls: 1}}");
    let mut first = call(&p, Mode::Enforce, "", "hi");
    first.admit().await.expect("the first call passes");
    let mut second = call(&p, Mode::Enforce, "", "hi");
    second.services = first.services.clone();
    let Err(Halt::Blocked(blocked)) = second.admit().await else { panic!("must be limited") };
    assert!(matches!(blocked.denial, Denial::RateLimited { .. }));
}
