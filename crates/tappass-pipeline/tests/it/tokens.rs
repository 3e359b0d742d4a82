//! Personal data goes out as tokens and comes back as itself: whole, streamed in any chunks, in tool calls.

use proptest::prelude::*;
use serde_json::{Value, json};
use tappass_model::{Answer, Mode};
use tappass_pipeline::{Call, Halt, StreamGuard, tokens::is_token};
use tappass_provider::dialects::chat;

use crate::{
    common::{call, pipeline},
    streaming::{chunk, cut, runtime, streamed, whole},
};

const STEPS: &str = "{pii_tokenize: {}, pii_restore: {}, scan_output: {on_detection: redact}}";
const TEXT: &str = "Write to jan.peeters@acme.eu or an.maes@acme.eu about it.";

fn forwarded(call: &Call) -> String {
    call.exchange.request.body["messages"][0]["content"].as_str().expect("a text").to_owned()
}

/// The tokens that stand in what was forwarded.
fn tokens(text: &str) -> Vec<String> {
    text.split([' ', '.']).filter(|word| word.starts_with("EMAIL_")).map(str::to_owned).collect()
}

/// A call whose request has been admitted.
async fn admitted(mode: Mode, text: &str) -> Call {
    let mut c = call(&pipeline(STEPS), mode, "", text);
    c.admit().await.expect("a token is no block");
    c
}

#[tokio::test]
async fn what_leaves_is_tokens_and_what_comes_back_is_values() {
    let mut c = admitted(Mode::Enforce, TEXT).await;
    let sent = forwarded(&c);
    assert!(!sent.contains("acme") && tokens(&sent).len() == 2, "{sent}");
    let (text, blocked) = whole(&mut c, &format!("Done: {sent} Not {}!", "zed@evil.io")).await;
    assert_eq!(text, format!("Done: {TEXT} Not [EMAIL]!"), "only what the model adds itself is a leak");
    assert!(blocked.is_none());
    assert_eq!(c.trace.findings.iter().filter(|f| f.step == "scan_output").count(), 1);
}

#[tokio::test]
async fn observe_changes_nothing_and_a_block_leaves_no_trace_in_the_session() {
    let c = admitted(Mode::Observe, TEXT).await;
    assert_eq!(forwarded(&c), TEXT);
    let p = pipeline("{pii_tokenize: {}, pii_restore: {}, detect_pii: {on_detection: block}}");
    let mut c = call(&p, Mode::Enforce, "", TEXT);
    assert!(matches!(c.admit().await, Err(Halt::Blocked(b)) if b.step == "detect_pii"));
    c.settle().await;
    let mut next = call(&p, Mode::Enforce, "", "hello");
    next.services = c.services.clone();
    next.admit().await.expect("clean");
    assert!(next.exchange.session_memory.tokenised.is_empty());
}

#[tokio::test]
async fn detect_pii_may_redact_too_and_the_flag_can_leave_it_all() {
    let mut c = call(&pipeline(STEPS), Mode::Enforce, "pii=mask", TEXT);
    c.admit().await.expect("a mask is no block");
    assert_eq!(tokens(&forwarded(&c)).len(), 2, "{}", forwarded(&c));
    let mut c = call(&pipeline(STEPS), Mode::Enforce, "pii=off", TEXT);
    c.admit().await.expect("off");
    assert_eq!(forwarded(&c), TEXT);
}

#[tokio::test]
async fn the_next_turn_has_the_same_tokens_and_another_user_none_of_them() {
    let first = {
        let mut c = admitted(Mode::Enforce, TEXT).await;
        c.settle().await;
        c
    };
    let theirs = tokens(&forwarded(&first));
    let again = |user: Option<&str>, text: &str| {
        let mut c = call(&pipeline(STEPS), Mode::Enforce, "", text);
        c.services = first.services.clone();
        c.exchange.end_user = user.map(str::to_owned);
        c
    };
    let mut same = again(None, TEXT);
    same.admit().await.expect("admitted");
    assert_eq!(tokens(&forwarded(&same)), theirs);
    for (user, request) in [(Some("eve"), "Who is it?".to_owned()), (None, format!("Who is {}?", theirs[0]))]
    {
        let mut c = again(user, &request);
        c.admit().await.expect("admitted");
        let (text, _) = whole(&mut c, &format!("It is {}", theirs[0])).await;
        assert_eq!(text, format!("It is {}", theirs[0]), "{user:?} {request}");
    }
}

#[tokio::test]
async fn arguments_of_tool_calls_are_restored_as_json() {
    let request = "My name is Anna O\u{2019}Neil, mail jan.peeters@acme.eu";
    for streams in [false, true] {
        let mut c = admitted(Mode::Enforce, request).await;
        c.exchange.request.tools = vec!["send".into()];
        let token = tokens(&forwarded(&c)).remove(0);
        // A value with everything that JSON escapes, put in the place of the address.
        let memory = std::sync::Arc::make_mut(&mut c.exchange.session_memory);
        let entry = memory.tokenised.iter_mut().find(|t| t.token == token).expect("remembered");
        entry.value = "a\"b\\c\nd".into();
        let arguments = format!("{{\"to\":\"{token}\"}}");
        let told = if streams {
            let mut guard = StreamGuard::new(&c, false);
            for piece in cut(&arguments, &[5]) {
                let delta = json!({"tool_calls": [{"index": 0, "id": "t", "type": "function",
                    "function": {"name": "send", "arguments": piece}}]});
                assert!(guard.push(&c, chunk(&delta, None)).expect("clean").is_empty());
            }
            let tail = guard.finish(&c).expect("clean");
            c.examine(guard.take_answer()).await.expect("clean");
            tail[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].clone()
        } else {
            let body = json!({"model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "t", "type": "function",
                    "function": {"name": "send", "arguments": arguments}}]}}]});
            let read = chat::read_answer(&body);
            c.examine(Answer { body, ..read }).await.expect("clean");
            let answer = c.exchange.answer.as_ref().expect("an answer");
            answer.body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].clone()
        };
        let read: Value = serde_json::from_str(told.as_str().expect("a text")).expect("still JSON");
        assert_eq!(read["to"], "a\"b\\c\nd");
    }
}

#[test]
fn a_token_is_no_leak_wherever_it_stands() {
    let scanner = tappass_detect::Scanner::new(&tappass_model::Family::ALL, &[]).expect("compiles");
    let templates = [
        "Dear §,",
        "My name is §.",
        "Mr. § said so.",
        "Write to § or call ¤.",
        "Contact: § (mailto:¤)",
        "password: §",
        "api_key = \"§\"",
        "IBAN: §",
        "Patient §, born ¤",
        "§ lives at ¤, 1000 Brussels.",
        "{\"name\":\"§\",\"mail\":\"¤\"}",
        "SSN §",
        "Je m'appelle §.",
        "Kind regards,\nT\nU",
    ];
    let mut wrong = Vec::new();
    for kind in ["PERSON", "EMAIL", "IBAN", "PHONE", "ADDRESS", "US_SSN", "CREDIT_CARD"] {
        for n in 1..20_usize {
            let (t, u) = (
                tappass_pipeline::tokens::token(kind, n, b"s"),
                tappass_pipeline::tokens::token("EMAIL", n, b"u"),
            );
            for template in templates {
                let text = template.replace('§', &t).replace('¤', &u);
                // A verdict on the text as a whole is about no value in it.
                for hit in scanner.scan(&text).iter().filter(|hit| !tappass_detect::is_model_verdict(hit)) {
                    let found = &text[hit.start..hit.end];
                    // A password that is a token is found, and is no leak.
                    if (found.contains(&t) || found.contains(&u)) && !is_token(found) {
                        wrong.push(format!("{} {found:?}", hit.kind));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

/// Parts of answers: `T` and `U` stand for the tokens, `t` for the beginning of one.
fn parts() -> impl Strategy<Value = Vec<String>> {
    let part = prop_oneof![
        Just("T".to_owned()),
        Just("U".to_owned()),
        (1usize..14).prop_map(|n| format!("t{n}")),
        "[a-zé ]{0,8}".prop_map(|s| format!("-{s}")),
        Just("-zed@evil.io".to_owned()),
        Just("-zed@evil".to_owned()),
        Just("-4111 1111 1111 1111".to_owned()),
        Just("-My name is ".to_owned()),
        Just("-password: ".to_owned()),
    ];
    proptest::collection::vec(part, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_restored_stream_reads_as_the_restored_whole(parts in parts(), sizes in proptest::collection::vec(1usize..9, 1..6)) {
        let (streamed, whole) = runtime().block_on(async {
            let mut c = admitted(Mode::Enforce, TEXT).await;
            let sent = tokens(&forwarded(&c));
            let text: String = parts.iter().map(|part| match part.as_bytes() {
                b"T" => sent[0].clone(),
                b"U" => sent[1].clone(),
                [b't', n @ ..] => sent[0][..std::str::from_utf8(n).expect("digits").parse::<usize>().expect("a number")].to_owned(),
                _ => part[1..].to_owned(),
            }).collect();
            // The same call twice: the tokens are the same, since the id of the call is.
            let streamed = streamed(&mut c, &cut(&text, &sizes)).await;
            let mut again = admitted(Mode::Enforce, TEXT).await;
            assert_eq!(tokens(&forwarded(&again)), sent);
            (streamed, whole(&mut again, &text).await)
        });
        prop_assert_eq!(streamed.0, whole.0);
    }
}
