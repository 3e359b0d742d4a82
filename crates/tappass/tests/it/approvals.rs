//! A person decides from the terminal.

use std::fs;

use crate::support::Home;

/// A call through the gateway: what it prints, and its exit code.
fn chat(home: &Home, key: &str, text: &str) -> (i32, String) {
    let ended = home.run_in(&[("TAPPASS_API_KEY", key)], &["chat", text]);
    (ended.code, ended.stdout + &ended.stderr)
}

#[test]
fn a_person_lists_looks_approves_and_denies() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    let file = home.path("strict.yaml");
    let yaml = "preset: starter\noverrides:\n  policy:\n    require_human_approval: [{classification: RESTRICTED}]\n";
    fs::write(&file, yaml).expect("written");
    home.ok(&["gov", "apply", file.to_str().expect("a path"), "--yes"]);
    home.ok(&["gov", "assign", "claims-processor", "--pipeline", "strict"]);
    home.ok(&["gov", "enforce", "claims-processor", "--yes"]);
    let none = home.ok(&["approvals", "list"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("nothing waits"), "{none:?}");

    let (code, said) = chat(&home, &key, "Strictly confidential: say: hello");
    assert!(code != 0 && said.contains("a person must approve this call first"), "{said}");
    let listed = home.json(&["approvals", "list"]);
    let id = listed[0]["approval_id"].as_str().expect("an id").to_owned();
    let table = home.ok(&["approvals", "list"]).stdout;
    assert!(table.contains(&id) && table.contains("claims-processor"), "{table}");
    let shown = home.ok(&["approvals", "show", &id]).stdout;
    assert!(shown.contains("Strictly confidential: say: hello") && shown.contains("RESTRICTED"), "{shown}");
    assert_eq!(home.json(&["approvals", "show", &id])["state"], "pending");

    let approved = home.ok(&["approvals", "approve", &id, "--reason", "seen the contract"]);
    assert!(approved.stdout.is_empty() && approved.stderr.contains("may go on, once"), "{approved:?}");
    assert_eq!(chat(&home, &key, "Strictly confidential: say: hello").0, 0);
    let again = home.run(&["approvals", "deny", &id]);
    assert!(again.code == 1 && again.stderr.contains("approved by ciso@client.example"), "{again:?}");

    chat(&home, &key, "Strictly confidential: say: goodbye");
    let other = home.json(&["approvals", "list"])[0]["approval_id"].as_str().expect("an id").to_owned();
    home.ok(&["approvals", "deny", &other, "--reason", "not this one"]);
    let (code, said) = chat(&home, &key, "Strictly confidential: say: goodbye");
    assert!(code != 0 && said.contains("not this one"), "{said}");
    let all = home.json(&["approvals", "list", "--state", "all"]);
    let states: Vec<&str> =
        all.as_array().expect("a list").iter().filter_map(|a| a["state"].as_str()).collect();
    assert_eq!(states, ["denied", "approved"]);

    assert_eq!(home.run(&["approvals", "show", "nothing"]).code, 1);
    assert_eq!(home.run(&["approvals", "list", "--state", "maybe"]).code, 2);
    assert_eq!(home.run_in(&[("TAPPASS_TOKEN", &key)], &["approvals", "list"]).code, 4, "an agent's key");
}
