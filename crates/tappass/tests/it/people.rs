//! People at the terminal: invited, given roles, reset; and their personal tokens.

use std::{io::Write as _, path::Path, process::Stdio};

use crate::support::{Home, PASSWORD};

/// Runs the program for somebody else, at a home of their own: exit code, stdout, stderr.
fn at(home: &Home, other: &Path, arguments: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let mut child =
        home.command(arguments).env("HOME", other).stdin(Stdio::piped()).spawn().expect("it runs");
    // A command that fails early does not read.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    let ended = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

#[test]
fn someone_comes_in_changes_and_goes() {
    let home = Home::signed_in();
    let dir = tempfile::tempdir().expect("a directory");
    let bob = |arguments: &[&str], stdin: &str| at(&home, dir.path(), arguments, stdin);

    let invited = home.ok(&["people", "invite", "bob@client.example", "--role", "developer"]);
    let token = invited.stdout.trim_end().to_owned();
    assert!(token.starts_with("tpi_") && token.lines().count() == 1, "{invited:?}");
    assert_eq!(home.json(&["people", "list", "--invited"])[0]["email"], "bob@client.example");
    let joined = bob(&["login", "--invitation"], &format!("{token}\n{PASSWORD}"));
    assert_eq!(joined.0, Some(0), "{joined:?}");
    assert!(!joined.1.contains("tps_") && !joined.2.contains("tps_"), "{joined:?}");
    let again = bob(&["login", "--invitation"], &format!("{token}\n{PASSWORD}"));
    assert_eq!(again.0, Some(4), "{again:?}");

    let made = bob(&["tokens", "new", "script", "--role", "auditor", "--days", "7"], "");
    let personal = made.1.trim_end().to_owned();
    assert!(made.0 == Some(0) && personal.starts_with("tp_pat_"), "{made:?}");
    let acts = |arguments: &[&str]| home.run_in(&[("TAPPASS_TOKEN", &personal)], arguments).code;
    assert_eq!(acts(&["people", "list"]), 0);
    assert_eq!(acts(&["agents", "add", "x"]), 4, "an auditor changes nothing");
    assert_eq!(acts(&["tokens", "list"]), 4, "a token does not manage its person's account");
    let above = bob(&["tokens", "new", "more", "--role", "org_admin"], "");
    assert_eq!(above.0, Some(4), "{above:?}");
    let listed = bob(&["tokens", "list", "--json"], "");
    let listed: serde_json::Value = serde_json::from_str(&listed.1).expect("JSON");
    let id = listed[0]["token_id"].as_str().expect("an id");
    assert_eq!(bob(&["tokens", "revoke", id], "").0, Some(0));
    assert_eq!(acts(&["people", "list"]), 4);

    home.ok(&["people", "role", "Bob@client.example", "auditor"]);
    let roles = home.ok(&["people", "list"]).stdout;
    assert!(roles.lines().any(|l| l.contains("bob@client.example") && l.contains("auditor")), "{roles}");
    let last = home.run(&["people", "role", "ciso@client.example", "member"]);
    assert!(last.code == 1 && last.stderr.contains("org_admin"), "{last:?}");
    assert!(home.ok(&["people", "sessions", "bob@client.example"]).stdout.contains("127.0.0.1"));
    home.ok(&["people", "sessions", "bob@client.example", "--end"]);
    assert_eq!(bob(&["people", "list"], "").0, Some(4), "signed out");

    let link = home.ok(&["people", "reset", "bob@client.example"]).stdout;
    let new = "another horse battery staple";
    let stdin = format!("{}\n{new}\n{new}\n", link.trim_end());
    let reset = bob(&["login", "--reset", "--email", "bob@client.example"], &stdin);
    assert_eq!(reset.0, Some(0), "{reset:?}");
    assert_eq!(bob(&["people", "list"], "").0, Some(0));
    home.ok(&["people", "remove", "bob@client.example", "--yes"]);
    assert_eq!(bob(&["people", "list"], "").0, Some(4));
    assert_eq!(home.run(&["people", "remove", "bob@client.example", "--yes"]).code, 1, "nobody");
}

#[test]
fn keys_are_rotated_and_bound() {
    let home = Home::signed_in();
    home.agent("claims-processor");
    let id = home.json(&["agents", "keys", "claims-processor"])[0]["key_id"].clone();
    let keys = ["agents", "keys", "claims-processor"];
    let rotated =
        home.ok(&[&keys[..], &["--rotate", id.as_str().expect("an id"), "--overlap", "60"]].concat());
    assert!(rotated.stdout.starts_with("tp_") && rotated.stderr.contains("goes on until"), "{rotated:?}");
    let own = home.ok(&[&keys[..], &["--developer", "--days", "1"]].concat());
    assert!(own.stdout.starts_with("tp_dev_"), "{own:?}");
    let all = home.json(&keys);
    assert_eq!(all[2]["email"], "ciso@client.example");
    assert!(all[0]["expires_at"].is_string() && all[1]["expires_at"].is_null(), "{all}");
}
