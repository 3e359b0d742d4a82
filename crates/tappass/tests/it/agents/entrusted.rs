//! Scopes, the keys that sign, credentials, the vault and the licence, from the terminal.

use std::fs;

use serde_json::json;

use crate::support::Home;

#[test]
fn what_tokens_may_cover_and_the_keys_that_sign_them() {
    let home = Home::signed_in();
    home.agent("claims");
    assert!(home.json(&["agents", "scope", "claims"]).is_null());
    home.ok(&["agents", "scope", "claims", "--tools", "read_*, search", "--max-level", "confidential"]);
    home.ok(&["agents", "scope", "claims", "--tools", "pay"]);
    let scope = json!({"tools": ["pay"], "max_level": "CONFIDENTIAL"});
    assert_eq!(home.json(&["agents", "scope", "claims"]), scope, "what is not named stays");
    assert_eq!(home.json(&["agents", "show", "claims"])["scope"], scope);
    let wrong = home.run(&["agents", "scope", "claims", "--max-level", "SECRET"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("CONFIDENTIAL"), "{wrong:?}");
    home.ok(&["agents", "scope", "claims", "--clear"]);
    assert!(home.json(&["agents", "scope", "claims"]).is_null());

    let refused = home.run(&["keys", "rotate", "--yes"]);
    assert_eq!(refused.code, 4, "the platform's, not the organisation's: {refused:?}");
    home.ok(&["logout"]);
    let made = home.json(&["keys", "generate", "--purpose", "token"]);
    let signs = home.json(&["keys", "rotate", "--yes"]);
    assert_eq!((&signs["key_id"], &signs["state"]), (&made["key_id"], &json!("signing")));
    assert!(home.ok(&["keys", "list"]).stdout.contains("signing"));
    assert_eq!(home.run(&["keys", "rotate"]).code, 2, "nobody is there to confirm it");
}

#[test]
fn a_key_goes_in_and_does_not_come_out() {
    const KEY: &str = "sk-own-Zk4WvT9rQx2LmB7cYd1HsN8pGf3J";
    let home = Home::signed_in();
    let set = home.run_with(&["credentials", "set", "openai"], &format!("{KEY}\n"));
    assert_eq!(set.code, 0, "{set:?}");
    home.run_with(&["credentials", "set", "shared"], &format!("{KEY}\n"));
    home.ok(&["credentials", "set", "mistral", "--from", "vault:shared"]);
    assert_eq!(home.run(&["credentials", "set", "mistral", "--from", "env:HOME"]).code, 4);
    let listed = home.json(&["credentials", "list"]);
    let names: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(names, ["mistral", "openai", "shared"]);
    let rotated = home.json(&["vault", "rotate", "--yes"]);
    assert_eq!(rotated, json!({"version": 2, "resealed": 3}));
    home.ok(&["credentials", "remove", "openai", "--yes"]);
    let log = home.ok(&["logs", "--limit", "50", "--json"]);
    for told in [set.stdout, set.stderr, listed.to_string(), log.stdout] {
        assert!(!told.contains(KEY), "{told}");
    }
}

#[test]
fn a_licence_is_issued_verified_and_shown() {
    let home = Home::signed_in();
    let pem = home.path("key.pem");
    let key = "MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g";
    fs::write(&pem, format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"))
        .expect("written");
    let (pem, file) = (pem.display().to_string(), home.path("license.txt"));
    let issue = [
        "license",
        "issue",
        "--customer",
        "Client NV",
        "--plan",
        "Team",
        "--agents",
        "7",
        "--features",
        "a,b",
    ];
    let issued = home.ok(&[&issue[..], &["--expires", "2099-12-31", "--key", &pem]].concat());
    assert!(!issued.stderr.contains(key) && issued.stdout.starts_with("ey"), "{issued:?}");
    let public = issued.stderr.split_whitespace().find(|word| word.ends_with("=,")).expect("the public key");
    fs::write(&file, &issued.stdout).expect("written");
    let file = file.display().to_string();
    let read = home.json(&["license", "verify", &file, "--public-key", public.trim_end_matches(',')]);
    let said = json!({"customer": "Client NV", "plan": "Team", "agents": 7, "features": ["a", "b"],
        "expires_at": "2100-01-01T00:00:00Z"});
    assert_eq!(read, said);
    let other = home.run(&["license", "verify", &file]);
    assert!(other.code == 1 && other.stderr.contains("no licence"), "another key's: {other:?}");
    let over = home.run(&[&issue[..], &["--expires", "2020-01-01", "--key", &pem]].concat());
    assert_eq!(over.code, 2, "{over:?}");

    assert_eq!(home.run(&["license", "show"]).code, 4, "the operator's");
    home.ok(&["logout"]);
    let shown = home.json(&["license", "show"]);
    assert_eq!((&shown["standing"], &shown["plan"]), (&json!("valid"), &json!("tests")));
    let status = home.json(&["status"]);
    let row =
        status["checks"].as_array().expect("checks").iter().find(|c| c["check"] == "license").expect("a row");
    assert_eq!(row["state"], "pass");
}
