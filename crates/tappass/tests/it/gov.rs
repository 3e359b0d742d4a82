//! Pipelines under version control, the allowlist, and why a call was decided so.

use std::fs;

use crate::support::Home;

#[test]
fn a_file_is_linted_without_a_server() {
    let home = Home::new();
    let file = home.path("claims.yaml");
    fs::write(&file, "preset: starter\noverrides:\n  rate_limit: {max_calls: 5}\n").expect("written");
    let file = file.to_str().expect("a path");
    assert_eq!(home.run(&["gov", "lint", file]).code, 0);
    fs::write(file, "preset: starter\noverrides:\n  rate_limit:\n    max_call: 5\n  detect_pi: {}\n")
        .expect("written");
    let bad = home.run(&["gov", "lint", file]);
    assert_eq!(bad.code, 3, "{bad:?}");
    assert!(bad.stdout.contains("claims.yaml:4:5: error: `rate_limit.max_call`"), "{bad:?}");
    assert!(bad.stdout.contains("claims.yaml:5:3: error: unknown step `detect_pi`"), "{bad:?}");
    let json: serde_json::Value =
        serde_json::from_str(&home.run(&["gov", "lint", file, "--json"]).stdout).expect("JSON");
    assert_eq!((&json[0]["line"], &json[0]["column"], &json[1]["line"]), (&4.into(), &5.into(), &5.into()));
    assert_eq!(home.run(&["gov", "lint", "/nonexistent.yaml"]).code, 2);
    assert_eq!(home.run_with(&["gov", "lint", "-"], "preset: finance\n").code, 0);
}

#[test]
fn a_pipeline_lives_in_a_file() {
    let home = Home::signed_in();
    let file = home.path("claims.yaml");
    let path = file.to_str().expect("a path");
    let write = |text: &str| fs::write(&file, text).expect("written");
    write("preset: starter\noverrides: {rate_limit: {max_calls: 5}}\n");
    assert_eq!(home.run(&["gov", "diff", path]).code, 3, "it is not there yet");
    let asked = home.run(&["gov", "apply", path]);
    assert_eq!(asked.code, 2, "nobody is there to confirm: {asked:?}");
    home.ok(&["gov", "apply", path, "--yes"]);
    let same = home.ok(&["gov", "diff", path]);
    assert!(same.stdout.is_empty() && same.stderr.contains("the same as version 1"), "{same:?}");
    write("preset: starter\noverrides: {rate_limit: {max_calls: 7}, call_tool: {enabled: false}}\n");
    let changed = home.run(&["gov", "diff", path]);
    assert_eq!(changed.code, 3);
    assert!(
        changed.stdout.contains("- call_tool") && changed.stdout.contains("max_calls: 5 → 7"),
        "{changed:?}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&home.run(&["gov", "diff", path, "--json"]).stdout).expect("JSON");
    assert_eq!((&json["same"], &json["changes"][1]["parameter"]), (&false.into(), &"max_calls".into()));
    home.ok(&["gov", "import", path]);
    assert_eq!(home.json(&["gov", "pipeline", "claims"])["version"], 2);
    assert!(home.ok(&["gov", "export", "claims"]).stdout.contains("max_calls: 7"));
    let copy = home.path("copy.yaml");
    home.ok(&["gov", "export", "claims", "--to", copy.to_str().expect("a path")]);
    home.ok(&["gov", "diff", copy.to_str().expect("a path"), "--name", "claims"]);
    write("preset: starter\noverrides: {rate_limits: {}}\n");
    for command in [["diff", path], ["import", path]] {
        let wrong = home.run(&[["gov"].as_slice(), &command].concat());
        assert!(wrong.code == 2 && wrong.stderr.contains("did you mean `rate_limit`"), "{wrong:?}");
    }
}

#[test]
fn the_allowlist_and_an_explanation() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    let ask = || home.run_in(&[("TAPPASS_API_KEY", &key)], &["chat", "mail jan.peeters@acme.eu", "--json"]);
    let told = |answer: crate::support::Ended| {
        let answer: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
        let call = answer["tappass"]["task_id"].as_str().expect("an id").to_owned();
        (home.ok(&["gov", "explain", &call]).stdout, home.json(&["gov", "explain", &call]))
    };
    let (text, json) = told(ask());
    assert!(
        text.contains("EMAIL (pii) at /messages/0/content 5–24") && text.contains("would change it:"),
        "{text}"
    );
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(11));
    home.ok(&["gov", "allowlist", "add", "Jan.Peeters@acme.eu", "--note", "public"]);
    assert!(home.ok(&["gov", "allowlist", "list"]).stdout.contains("Jan.Peeters@acme.eu"));
    assert!(told(ask()).0.contains("allowlisted (organisation): EMAIL (pii)"));
    home.ok(&["gov", "allowlist", "remove", "Jan.Peeters@acme.eu"]);
    assert!(!told(ask()).0.contains("allowlisted"));
    assert_eq!(home.run(&["gov", "allowlist", "remove", "nothing"]).code, 1);
    assert_eq!(home.run(&["gov", "allowlist", "add", "*", "--pattern"]).code, 2);
    assert_eq!(home.run(&["gov", "explain", "nonsense"]).code, 1);
}

#[test]
fn readiness_tells_what_enforce_would_have_refused() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    let text = concat!("use ghp", "_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
    let answer = home.run_in(&[("TAPPASS_API_KEY", &key)], &["chat", text]);
    assert_eq!(answer.code, 0, "{answer:?}");
    // The server counts beside the calls.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let told = loop {
        let told = home.json(&["gov", "readiness", "claims-processor", "--since", "2w"]);
        if told["would_block"] == 1 {
            break told;
        }
        assert!(std::time::Instant::now() < deadline, "{told:#}");
        std::thread::yield_now();
    };
    assert_eq!((&told["calls"], &told["rules"][0]["step"]), (&1.into(), &"detect_secrets".into()));
    let text = home.ok(&["gov", "readiness"]).stdout;
    for wanted in
        ["all agents · the last 7d · 1 calls", "detect_secrets", "  claims-processor  would refuse 1"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert_eq!(home.run(&["gov", "readiness", "nobody"]).code, 1);
    assert_eq!(home.run(&["gov", "readiness", "--since", "soon"]).code, 2);
}

#[test]
fn policies_are_tested_without_a_server() {
    let home = Home::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
    let tested = home.run(&["gov", "test", shipped]);
    assert_eq!(tested.code, 0, "{tested:?}");
    assert!(tested.stdout.contains("ok      tappass.guardrails_test."), "{tested:?}");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("own_test.rego");
    fs::write(&file, "package own\nimport rego.v1\ntest_wrong if 1 == 2\n").expect("writes");
    let folder = dir.path().to_str().expect("a name");
    assert_eq!(home.run(&["gov", "test", folder]).code, 3);
    fs::write(&file, "package own\nimport rego.v1\ntest_wrong if {\n").expect("writes");
    let broken = home.run(&["gov", "test", folder]);
    assert!(broken.code == 2 && broken.stderr.contains("line"), "{broken:?}");
}

#[test]
fn past_calls_are_tried_on_a_changed_pipeline() {
    let home = Home::signed_in();
    let file = home.path("stricter.yaml");
    let path = file.to_str().expect("a path");
    fs::write(&file, "preset: starter\noverrides: {pii: {on_detection: block}}\n").expect("written");
    let nothing = home.ok(&["gov", "replay", "--pipeline", path]);
    assert!(nothing.stderr.contains("tappass gov payloads --keep-days 7"), "what to turn on: {nothing:?}");
    assert!(home.ok(&["gov", "payloads", "--keep-days", "7"]).stdout.contains("for 7 days"));
    let key = home.agent("claims-processor");
    home.run_in(&[("TAPPASS_API_KEY", &key)], &["chat", "mail jan.peeters@acme.eu"]);
    let kept = || home.json(&["gov", "payloads"])["kept"] == 1;
    assert!((0..200).any(|_| kept()), "it is written beside the call");
    let told = home.run(&["gov", "replay", "--pipeline", path, "--since", "1h"]);
    assert_eq!(told.code, 3, "{told:?}");
    assert!(told.stdout.contains("newly blocked") && told.stdout.contains("detect_pii"), "{told:?}");
    assert!(!told.stdout.contains("jan.peeters"), "{told:?}");
    let json = home.run(&["gov", "replay", "--pipeline", path, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(
        (&json["counts"]["newly_blocked"], &json["pipeline"]["name"]),
        (&1.into(), &"stricter".into())
    );
    let same = home.ok(&["gov", "replay", "--pipeline", "starter", "--agent", "claims-processor"]);
    assert!(same.stdout.contains("1 the same"), "{same:?}");
    assert_eq!(home.run(&["gov", "replay", "--pipeline", "nothing"]).code, 2);
    assert_eq!(home.run(&["gov", "replay", "--pipeline", path, "--since", "soon"]).code, 2);
    assert_eq!(home.ok(&["gov", "payloads", "--forget", "--yes"]).code, 0);
    assert_eq!(home.json(&["gov", "payloads"])["kept"], 0);
}
