//! What reaches a terminal, a pipe, a shell.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
};

use serde_json::json;

use crate::support::Home;

/// A server that answers every request with this body.
fn answering(body: &serde_json::Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let body = body.to_string();
    drop(std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut reader = BufReader::new(&socket);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = (&socket).write_all((head + &body).as_bytes());
        }
    }));
    url
}

const HOSTILE: &str = "claims\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{9b}31m\u{202e}x";

#[test]
fn a_hostile_name_moves_nothing() {
    let home = Home::new();
    let agent = json!({"agent_id": HOSTILE, "name": HOSTILE, "status": "active", "mode": "observe"});
    let event =
        json!({"seq": 1, "ts": HOSTILE, "event_type": "llm_call", "agent_id": HOSTILE, "model": HOSTILE});
    let lists = answering(&json!({"items": [agent, event], "next_cursor": null}));
    let one = answering(&agent);
    let question =
        json!({"approval_id": "x", "agent_id": HOSTILE, "summary": HOSTILE, "request": {"a": HOSTILE}});
    let question = answering(&question);
    let reads: [(&str, &[&str]); 6] = [
        (&lists, &["agents", "list"]),
        (&lists, &["agents", "list", "--json"]),
        (&lists, &["logs"]),
        (&lists, &["logs", "--json"]),
        (&one, &["agents", "show", "x"]),
        (&question, &["approvals", "show", "x"]),
    ];
    for (url, arguments) in reads {
        let printed =
            home.run_in(&[("TAPPASS_URL", url), ("TAPPASS_TOKEN", "t"), ("CLICOLOR_FORCE", "1")], arguments);
        assert_eq!(printed.code, 0, "{printed:?}");
        let text = printed.stdout + &printed.stderr;
        assert!(text.contains("claims"), "{text}");
        // Colours of our own are the only escapes: ESC [ digits m.
        for after in text.split('\u{1b}').skip(1) {
            let end = after.find('m').expect("a colour");
            assert!(
                after[1..end].bytes().all(|b| b.is_ascii_digit() || b == b';') && after.starts_with('['),
                "{after:?}"
            );
        }
        let others = text.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\u{1b}'));
        assert_eq!(others.count(), 0, "{text:?}");
        assert!(!text.contains('\u{202e}') && !text.contains("\u{1b}[2J"), "{text:?}");
    }
    let refused = home.run_in(&[("TAPPASS_URL", &one)], &["agents", "add", "--name", "x"]);
    assert!(!refused.stdout.contains('\u{1b}') && !refused.stderr.contains('\u{1b}'), "{refused:?}");
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let home = Home::new();
    let url = answering(&json!({"items": [{"agent_id": "a", "status": "active"}], "next_cursor": null}));
    let colours = |variables: &[(&str, &str)]| {
        let all = [&[("TAPPASS_URL", url.as_str()), ("TAPPASS_TOKEN", "t")], variables].concat();
        let printed = home.run_in(&all, &["agents", "list"]);
        assert_eq!(printed.code, 0, "{printed:?}");
        let failed = home.run_in(&[("TAPPASS_URL", "http://127.0.0.1:1"), variables[0]], &["agents", "list"]);
        (printed.stdout.contains('\u{1b}'), failed.stderr.contains('\u{1b}'))
    };
    assert_eq!(colours(&[("TERM", "xterm")]), (false, false), "a pipe");
    assert_eq!(colours(&[("CLICOLOR_FORCE", "1")]), (true, true));
    assert_eq!(colours(&[("NO_COLOR", "1"), ("TERM", "xterm")]), (false, false));
}

#[test]
fn a_stranger_on_the_port_is_told_apart() {
    let home = Home::new();
    let url = answering(&json!("hello"));
    let list = home.run_in(&[("TAPPASS_URL", &url), ("TAPPASS_TOKEN", "t")], &["agents", "list"]);
    assert_eq!(list.code, 5, "{list:?}");
    assert!(list.stderr.contains("does not answer as TapPass does"), "{list:?}");
}

#[test]
fn completions_for_the_shells() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.ok(&["completions", shell]).stdout;
        for word in ["reactivate", "checkpoint", "storage"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(home.run(&["completions", "csh"]).code, 2);
}

#[test]
fn version_and_help_are_data() {
    let home = Home::new();
    assert_eq!(home.ok(&["--version"]).stdout, format!("tappass {}\n", env!("CARGO_PKG_VERSION")));
    assert!(home.ok(&["--help"]).stdout.contains("Exit codes"));
    assert!(home.ok(&["gov", "--help"]).stdout.contains("enforce"));
    let nothing = home.run(&[]);
    assert!(nothing.code == 2 && nothing.stdout.is_empty(), "{nothing:?}");
}
