//! MCP servers from the terminal: added, looked at, changed, a definition approved, removed.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{gateway::Gateway, support::Ended};

/// A server whose one tool says something else of itself each time it is asked.
fn fickle() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).expect("a header");
                let line = line.trim().to_ascii_lowercase();
                length =
                    line.strip_prefix("content-length: ").map_or(length, |n| n.parse().expect("a length"));
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            let asked: Value = serde_json::from_slice(&body).expect("JSON");
            let tool = json!({"name": "read_ticket", "description": format!("Reads a ticket, as of {n}.")});
            let answer =
                json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"tools": [tool]}}).to_string();
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ";
            write!(stream.get_mut(), "{head}{}\r\n\r\n{answer}", answer.len()).expect("it listens");
        }
    });
    url
}

#[tokio::test]
async fn a_server_from_the_first_day_to_the_last() {
    let gateway =
        Gateway::signed_up(&["--storage", "memory"], &[("TAPPASS_EGRESS_ALLOW", "127.0.0.1")]).await;
    let run = |stdin: &str, arguments: &[&str]| -> Ended {
        let mut command = gateway.home.command(arguments);
        command.env("TAPPASS_TOKEN", &gateway.admin).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    };
    let ok = |arguments: &[&str]| -> Ended {
        let ended = run("", arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended
    };
    assert!(ok(&["mcp", "list"]).stderr.contains("tappass mcp add"));
    let url = fickle();
    let add = [
        "mcp",
        "add",
        "tickets",
        &url,
        "--bearer",
        "--agent",
        "agent-*",
        "--deny",
        "drop_*",
        "--timeout",
        "9",
    ];
    let added = run("s3cret-of-the-server\n", &add);
    assert!(added.code == 0 && added.stdout.trim().ends_with("/mcp/tickets"), "{added:?}");
    assert_eq!(run("x\n", &add).code, 1, "it is there already");
    let shown: Value = serde_json::from_str(&ok(&["mcp", "show", "tickets", "--json"]).stdout).expect("JSON");
    assert_eq!(
        (&shown["credential"], &shown["agents"], &shown["tools"]["deny"], &shown["timeout_seconds"]),
        (&json!("authorization"), &json!(["agent-*"]), &json!(["drop_*"]), &json!(9))
    );
    for read in [ok(&["mcp", "show", "tickets"]).stdout, ok(&["mcp", "list"]).stdout] {
        assert!(read.contains(&url) && !read.contains("s3cret"), "{read}");
    }

    let agent = gateway.ask(Method::POST, "/agents/register", json!({"agent_id": "agent-7"})).await;
    for _ in 0..2 {
        let asked = gateway
            .request(Method::POST, "/mcp/tickets")
            .bearer_auth(agent["api_key"].as_str().expect("a key"))
            .json(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
        assert!(asked.send().await.expect("an answer").status().is_success());
    }
    let quarantined = ok(&["mcp", "show", "tickets"]);
    for said in ["quarantined", "- Reads a ticket, as of 0.", "+ Reads a ticket, as of 1."] {
        assert!(quarantined.stdout.contains(said), "{said}: {quarantined:?}");
    }
    assert!(quarantined.stderr.contains("tappass mcp approve tickets read_ticket"), "{quarantined:?}");
    assert_eq!(
        run("", &["mcp", "approve", "tickets", "read_ticket"]).code,
        2,
        "nobody is there to confirm it"
    );
    let approved = ok(&["mcp", "approve", "tickets", "read_ticket", "--yes"]);
    assert!(approved.stdout.contains("/description") && approved.stderr.contains("out of quarantine"));
    assert_eq!(run("", &["mcp", "approve", "tickets", "read_ticket", "--yes"]).code, 1, "it is approved");

    ok(&["mcp", "set", "tickets", "--disable", "--no-credential", "--description", "Tickets"]);
    let shown: Value = serde_json::from_str(&ok(&["mcp", "show", "tickets", "--json"]).stdout).expect("JSON");
    assert_eq!(
        (&shown["enabled"], &shown["credential"], &shown["description"]),
        (&json!(false), &Value::Null, &json!("Tickets"))
    );
    assert_eq!(run("", &["mcp", "set", "tickets"]).code, 2, "nothing is to be changed");
    let inside = run("", &["mcp", "add", "inside", "https://10.0.0.1/mcp"]);
    assert!(inside.code != 0 && inside.stderr.contains("TAPPASS_EGRESS_ALLOW"), "{inside:?}");
    assert_eq!(run("", &["mcp", "remove", "tickets"]).code, 2);
    ok(&["mcp", "remove", "tickets", "--yes"]);
    assert_eq!(run("", &["mcp", "show", "tickets"]).code, 1);
}
