//! The pilot week in a minute: sign up, register, call, see what would be blocked, enforce, be blocked, read the
//! log.

use serde_json::Value;

use crate::support::{Ended, Home};

/// A made-up token in the form of a real one, so that no scanner of this repository stops at it.
fn leak() -> String {
    format!("push with ghp_{}", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq")
}

fn chat(home: &Home, key: &str, more: &[&str]) -> Ended {
    home.run_in(&[("TAPPASS_API_KEY", key)], &[&["chat"], more].concat())
}

fn events(home: &Home, more: &[&str]) -> Vec<Value> {
    let printed = home.ok(&[&["logs", "--json"], more].concat());
    printed.stdout.lines().map(|l| serde_json::from_str(l).expect("NDJSON")).collect()
}

#[test]
fn from_observe_to_enforce() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");

    let hello = chat(&home, &key, &["say: hello"]);
    assert_eq!((hello.code, hello.stdout.as_str()), (0, "hello\n"), "{hello:?}");
    assert!(hello.stderr.contains("mode observe"), "{hello:?}");

    let observed = chat(&home, &key, &[&leak()]);
    assert_eq!(observed.code, 0, "{observed:?}");
    assert!(observed.stderr.contains("would block: detect_secrets"), "{observed:?}");
    let whole = chat(&home, &key, &["--json", &leak()]);
    let whole: Value = serde_json::from_str(&whole.stdout).expect("JSON");
    assert_eq!(whole["tappass"]["would_block"][0]["step"], "detect_secrets", "{whole}");

    home.ok(&["gov", "enforce", "claims-processor", "--yes"]);
    let blocked = chat(&home, &key, &[&leak()]);
    assert_eq!((blocked.code, blocked.stdout.as_str()), (1, ""), "{blocked:?}");
    assert!(blocked.stderr.contains("policy_block by detect_secrets"), "{blocked:?}");
    let loosened = chat(&home, &key, &["--flags", "mode=observe", &leak()]);
    assert_eq!(loosened.code, 1, "below the floor: {loosened:?}");
    assert_eq!(chat(&home, &key, &["--flags", "mode=lax", "say: x"]).code, 2, "an unknown flag");
    assert_eq!(chat(&home, "tp_made_up", &["say: x"]).code, 4);

    let blocks = events(&home, &["--agent", "claims-processor", "--action", "block"]);
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    assert!(
        blocks.iter().all(|e| e["event_type"] == "llm_call_blocked" && e["blocked_by"] == "detect_secrets")
    );
    let session = blocks[0]["session_id"].as_str().expect("a session");
    let calls = events(&home, &["--session", session]);
    assert!(calls.len() > blocks.len() && calls.iter().all(|e| e["session_id"] == session), "{calls:?}");
    assert!(events(&home, &["--session", "another"]).is_empty());
    let table = home.ok(&["logs", "--since", "1h"]).stdout;
    assert!(table.lines().any(|l| l.contains("llm_call_blocked") && l.contains("detect_secrets")), "{table}");
    assert!(
        table.lines().any(|l| l.contains("observe") && l.contains("block")),
        "what would have been: {table}"
    );
    assert_eq!(events(&home, &["--limit", "1"]).len(), 1);
    assert!(events(&home, &["--since", "2100-01-01"]).is_empty());
}

#[test]
fn a_suspended_agent_is_refused_at_once() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    assert_eq!(chat(&home, &key, &["say: x"]).code, 0);
    home.ok(&["agents", "suspend", "claims-processor"]);
    assert_eq!(chat(&home, &key, &["say: x"]).code, 4);
}
