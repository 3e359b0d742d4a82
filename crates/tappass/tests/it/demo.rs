//! `tappass demo`: a week to look around in, and nothing of it stays.

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
};

use serde_json::Value;

use crate::support::{Home, Running};

#[test]
fn a_week_is_there_and_its_log_is_whole() {
    let mut home = Home::new();
    let temp = home.path("tmp");
    std::fs::create_dir(&temp).expect("made");
    let mut command = home.command(&["demo", "--port", "0", "--still"]);
    let mut demo = Running(command.env("TMPDIR", &temp).spawn().expect("it runs"));
    let mut lines = BufReader::new(demo.0.stdout.take().expect("a pipe")).lines();
    let mut told = |what: &str| {
        let line =
            lines.by_ref().map(|line| line.expect("a line")).find(|line| line.trim_start().starts_with(what));
        line.expect("it says so").split_whitespace().last().expect("a word").to_owned()
    };
    let (page, email, password, key) = (told("open"), told("e-mail"), told("password"), told("an agent"));
    home.url = page.trim_end_matches("/app").to_owned();
    let signed_in = home.run_with(&["login", "--email", &email], &format!("{password}\n"));
    assert_eq!(signed_in.code, 0, "{signed_in:?}");
    let agents = home.json(&["agents", "list"]);
    let of_mode =
        |mode: &str| agents.as_array().expect("agents").iter().filter(|a| a["mode"] == mode).count();
    assert_eq!((of_mode("enforce"), of_mode("observe")), (1, 4), "{agents}");
    assert_eq!(home.ok(&["audit", "verify"]).code, 0);
    let waiting = home.json(&["approvals", "list"]);
    let waiting = waiting.as_array().expect("approvals");
    assert_eq!(waiting.iter().filter(|a| a["state"] == "pending").count(), 2, "{waiting:?}");

    let export = home.path("audit.jsonl");
    home.ok(&["audit", "export", "-o", export.to_str().expect("UTF-8")]);
    let log = std::fs::read_to_string(&export).expect("exported");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event"].take());
    let events: Vec<Value> = lines.filter(|event| !event.is_null()).collect();
    let calls: Vec<&Value> = events
        .iter()
        .filter(|e| e["event_type"].as_str().is_some_and(|t| t.starts_with("llm_call")))
        .collect();
    assert!(calls.len() > 600, "{}", calls.len());
    let days: std::collections::BTreeSet<&str> =
        calls.iter().filter_map(|e| e["ts"].as_str()?.get(..10)).collect();
    assert!(days.len() >= 7, "{days:?}");
    let cost: f64 = calls.iter().filter_map(|e| e["cost_usd"].as_f64()).sum();
    assert!(cost > 1.0, "{cost}");
    for step in [
        "detect_injection",
        "detect_secrets",
        "detect_pii",
        "detect_code_exec",
        "detect_tool_poison",
        "detect_exfiltration",
        "scan_tool_calls",
    ] {
        let blocks = |e: &&&Value| {
            let would = e["details"]["would_block"].as_array().into_iter().flatten();
            e["blocked_by"] == step || would.into_iter().any(|w| w["step"] == step)
        };
        assert!(calls.iter().any(|e| blocks(&e)), "nothing for {step} to object to");
    }
    // Its calls can be tried on another pipeline, and its agents called.
    let replayed = home.run(&[
        "gov",
        "replay",
        "--pipeline",
        "regulated",
        "--agent",
        "support-assistant",
        "--limit",
        "200",
    ]);
    assert_eq!(replayed.code, 3, "{replayed:?}");
    let answer = home.run_in(&[("TAPPASS_API_KEY", &key)], &["chat", "Hello"]);
    assert!(answer.code == 0 && answer.stdout.contains("Hello"), "{answer:?}");

    let pid = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it runs").success());
    assert!(demo.0.wait().expect("it ends").success());
    assert_eq!(std::fs::read_dir(&temp).expect("a folder").count(), 0, "nothing stays");
}

#[test]
fn a_public_address_is_refused() {
    let refused = Home::new().run(&["demo", "--host", "0.0.0.0"]);
    assert!(refused.code == 2 && refused.stderr.contains("tappass up"), "{refused:?}");
}
