//! People, agents and keys; and what the exit codes tell a script.

mod entrusted;

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{Home, PASSWORD};

#[test]
fn on_a_laptop_nobody_has_to_sign_in() {
    let home = Home::with_server();
    let nobody = home.run(&["agents", "add", "--name", "claims-processor"]);
    assert!(nobody.code == 1 && nobody.stderr.contains("tappass signup"), "no organisation yet: {nobody:?}");
    home.run_with(&["signup", "--email", "ciso@client.example"], PASSWORD);
    home.ok(&["logout"]);
    let added = home.ok(&["agents", "add", "--name", "Claims Processor"]);
    assert!(added.stderr.contains("using this machine's admin key"), "{added:?}");
    assert!(added.stdout.starts_with("tp_") && added.stdout.lines().count() == 1, "{added:?}");
    // The admin key is for the server that holds the data directory's lock, not for whoever listens.
    let port = crate::support::free_port();
    let other = home.run(&["--server", &format!("http://127.0.0.1:{port}"), "agents", "list"]);
    assert!(other.code == 5 && !other.stderr.contains("admin key"), "{other:?}");
}

#[test]
fn a_session_is_kept_private_and_ends() {
    let home = Home::signed_in();
    let file = home.path(".tappass/config.toml");
    assert_eq!(fs::metadata(&file).expect("kept").permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).expect("kept");
    let token =
        token.lines().find_map(|l| l.strip_prefix("token = ")).expect("a token").trim_matches('"').to_owned();
    assert_eq!(home.run_in(&[("TAPPASS_TOKEN", &token)], &["agents", "list"]).code, 0);
    home.ok(&["logout"]);
    assert!(!fs::read_to_string(&file).expect("kept").contains(&token));
    assert_eq!(
        home.run_in(&[("TAPPASS_TOKEN", &token)], &["agents", "list"]).code,
        4,
        "ended on the server too"
    );

    let wrong = home.run_with(&["login", "--email", "ciso@client.example"], "not the password\n");
    assert_eq!(wrong.code, 4, "{wrong:?}");
    let right = home.run_with(&["login", "--email", "ciso@client.example"], PASSWORD);
    assert_eq!(right.code, 0, "{right:?}");
    assert!(right.stdout.is_empty() && !right.stderr.contains("tps_"), "{right:?}");
}

#[test]
fn an_agents_life() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    let listed = home.json(&["agents", "list"]);
    assert_eq!((&listed[0]["mode"], &listed[0]["floor"]), (&"observe".into(), &"observe".into()));
    assert!(!listed.to_string().contains(&key));

    home.ok(&["agents", "suspend", "claims-processor"]);
    assert_eq!(home.json(&["agents", "show", "claims-processor"])["status"], "suspended");
    home.ok(&["agents", "reactivate", "claims-processor"]);
    assert_eq!(home.json(&["agents", "show", "claims-processor"])["status"], "active");

    let second = home.ok(&["agents", "keys", "claims-processor", "--new"]);
    assert!(second.stdout.starts_with("tp_") && second.stdout.trim_end() != key, "{second:?}");
    let keys = home.json(&["agents", "keys", "claims-processor"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    let id = keys[1]["key_id"].as_str().expect("an id");
    home.ok(&["agents", "keys", "claims-processor", "--revoke", id]);
    let keys = home.json(&["agents", "keys", "claims-processor"]);
    let revoked = keys.as_array().expect("keys").iter().filter(|k| !k["revoked_at"].is_null()).count();
    assert_eq!(revoked, 1, "{keys}");

    home.ok(&["gov", "enforce", "claims-processor", "--yes"]);
    let shown = home.json(&["agents", "show", "claims-processor"]);
    assert_eq!((&shown["mode"], &shown["floor"]), (&"enforce".into(), &"enforce".into()));
    home.ok(&["gov", "observe", "claims-processor", "--yes"]);
    let shown = home.json(&["agents", "show", "claims-processor"]);
    assert_eq!((&shown["mode"], &shown["floor"]), (&"observe".into(), &"observe".into()));
    home.ok(&["gov", "assign", "claims-processor", "--pipeline", "starter"]);

    home.ok(&["agents", "remove", "claims-processor", "--yes"]);
    assert_eq!(home.run(&["agents", "show", "claims-processor"]).code, 1);
    let list = home.ok(&["agents", "list"]);
    assert!(list.stdout.is_empty() && list.stderr.contains("tappass agents add"), "{list:?}");
}

#[test]
fn pipelines_are_shown_step_by_step() {
    let home = Home::signed_in();
    let names = home.json(&["gov", "pipelines"]);
    assert!(names.as_array().is_some_and(|all| all.iter().any(|p| p["name"] == "starter")), "{names}");
    let steps = home.ok(&["gov", "pipeline", "starter"]).stdout;
    for step in ["detect_pii", "detect_secrets", "call_llm"] {
        assert!(steps.lines().any(|l| l.contains(step) && l.contains("yes")), "{step}: {steps}");
    }
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    let code = |arguments: &[&str]| home.run(arguments).code;
    assert_eq!(code(&["agents", "show", "nobody"]), 1);
    assert_eq!(code(&["agents", "add", "claims-processor"]), 1, "taken");
    assert_eq!(code(&["agents", "frobnicate"]), 2);
    assert_eq!(code(&["agents", "add"]), 2);
    assert_eq!(code(&["agents", "add", "Not An Id"]), 2);
    assert_eq!(code(&["agents", "add", "x", "--preset", "nothing"]), 2);
    assert_eq!(code(&["logs", "--since", "whenever"]), 2);
    assert_eq!(code(&["--server", "nonsense", "agents", "list"]), 2);
    assert_eq!(code(&["agents", "remove", "claims-processor"]), 2, "nobody is there to confirm");
    assert_eq!(code(&["gov", "enforce", "claims-processor"]), 2);
    assert_eq!(code(&["audit", "verify", "--export", "/nonexistent"]), 2);
    assert_eq!(code(&["chat", "hello"]), 4, "no agent's key");
    assert_eq!(home.run_in(&[("TAPPASS_TOKEN", &key)], &["agents", "list"]).code, 4, "an agent's key");
    assert_eq!(home.run_in(&[("TAPPASS_TOKEN", "made-up")], &["agents", "list"]).code, 4);
    assert_eq!(home.run_in(&[("TAPPASS_URL", "http://127.0.0.1:1")], &["agents", "list"]).code, 5);
    let nobody = home.run_in(&[("TAPPASS_API_KEY", &key)], &["agents", "list"]);
    assert_eq!(nobody.code, 0, "an agent's key does not get in the way of a session: {nobody:?}");
}

#[test]
fn a_program_finds_the_gateway() {
    let home = Home::signed_in();
    let key = home.agent("claims-processor");
    let around = [("TAPPASS_API_KEY", key.as_str()), ("ANTHROPIC_AUTH_TOKEN", "another")];
    let printed = home.run_in(&around, &["run", "env"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    for wanted in [
        format!("OPENAI_BASE_URL={}/v1", home.url),
        format!("OPENAI_API_KEY={key}"),
        format!("ANTHROPIC_BASE_URL={}", home.url),
        format!("ANTHROPIC_API_KEY={key}"),
    ] {
        assert!(printed.stdout.lines().any(|l| l == wanted), "{wanted}: {printed:?}");
    }
    assert!(!printed.stdout.contains("ANTHROPIC_AUTH_TOKEN"), "two credentials that differ are refused");
    assert_eq!(home.run_in(&[("TAPPASS_API_KEY", &key)], &["run", "sh", "-c", "exit 7"]).code, 7);
}

#[test]
fn of_several_organisations_one_is_named() {
    let home = Home::signed_in();
    home.agent("first");
    home.run_with(&["signup", "--email", "ciso@other.example"], PASSWORD);
    home.agent("second");
    let org = home.json(&["agents", "show", "second"])["org_id"].as_str().expect("an id").to_owned();
    home.ok(&["logout"]);
    let which = home.run(&["agents", "list"]);
    assert!(which.code == 2 && which.stderr.contains("--org"), "{which:?}");
    let status = home.ok(&["status"]);
    assert!(status.stdout.contains("--org"), "{status:?}");
    let named = home.json(&["agents", "list", "--org", &org]);
    assert_eq!((named.as_array().map(Vec::len), &named[0]["agent_id"]), (Some(1), &"second".into()));
}
