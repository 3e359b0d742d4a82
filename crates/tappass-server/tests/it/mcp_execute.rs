//! Tools of MCP servers, run without a client that speaks MCP.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    client::ask,
    mcp::{EMAIL, Mcp, refused, text},
    mcp_upstream::Say,
};

fn spoken() -> Say {
    Say::Result(
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}),
    )
}

#[tokio::test]
async fn a_tool_runs_without_a_client_that_speaks_mcp() {
    let it = Mcp::enforced(json!({"detect_pii": {"on_detection": "redact"}})).await;
    let run =
        async |body: Value| ask(&it.s.gateway, &it.s.key, Method::POST, "/v1/tools/execute", body).await;
    it.upstream.say(spoken());
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
    it.upstream
        .say(Say::Events(vec![progress, json!({"jsonrpc": "2.0", "id": 1, "result": text(EMAIL)})], false));
    let ran = run(json!({"server": "tickets", "tool": "find", "arguments": {"who": EMAIL}})).await;
    assert_eq!(
        ran.json(),
        json!({"server": "tickets", "tool": "find", "result": text("[EMAIL]")}),
        "{ran:?}"
    );
    let heard = it.upstream.heard();
    let asked: Vec<&str> =
        heard.iter().map(|h| h.body["method"].as_str().unwrap_or(h.method.as_str())).collect();
    assert_eq!(asked, ["initialize", "notifications/initialized", "tools/call", "DELETE"]);
    assert_eq!(heard[2].headers["mcp-session-id"], "upstream-7");
    assert_eq!(heard[2].headers["mcp-protocol-version"], "2025-06-18");
    assert_eq!(heard[2].body["params"], json!({"name": "find", "arguments": {"who": "[EMAIL]"}}));
    // A server of the newest revision has no sessions to begin.
    it.upstream
        .say(Say::Json(json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}})));
    it.upstream.say(Say::Result(text("new")));
    let ran = run(json!({"server": "tickets", "tool": "find"})).await.json();
    assert_eq!(ran["result"], text("new"), "{ran}");
    let heard = it.upstream.heard();
    assert_eq!(heard[1].headers["mcp-name"], "find");
    assert_eq!(heard[1].body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");

    it.admin(Method::PATCH, "/agents/agent", json!({"tools": {"deny": ["pay"]}})).await;
    let stopped = run(json!({"server": "tickets", "tool": "pay"})).await.json();
    assert!(refused(&stopped["result"]).contains("may not use"), "{stopped}");
    assert!(it.upstream.heard().is_empty(), "nothing is begun for it");
    assert_eq!(run(json!({"server": "nothing", "tool": "x"})).await.status, 404);
    assert_eq!(run(json!({"server": "tickets", "tool": " "})).await.status, 422);
    it.upstream.say(spoken());
    it.upstream.say(Say::Json(
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no such tool"}}),
    ));
    let unknown = run(json!({"server": "tickets", "tool": "x"})).await;
    assert!(unknown.status == 422 && unknown.text.contains("no such tool"), "{unknown:?}");
    it.upstream.say(Say::Raw(500, vec![], String::new()));
    assert_eq!(run(json!({"server": "tickets", "tool": "x"})).await.status, 502);
}

#[tokio::test]
async fn the_stored_call_runs_after_approval() {
    let it = Mcp::enforced(
        json!({"policy": {"require_human_approval": [{"tool": "pay"}, {"tool": "resources/read"}]}}),
    )
    .await;
    let approved = async |result: &Value| {
        let id = result["approval_id"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
        it.admin(Method::POST, &format!("/admin/approvals/{id}/decide"), json!({"decision": "approve"}))
            .await;
        let resume = format!("/v1/me/approvals/{id}/resume");
        ask(&it.s.gateway, &it.s.key, Method::POST, &resume, json!({})).await
    };
    let waits = it.tool("pay", json!({"eur": 5})).await;
    it.upstream.say(spoken());
    it.upstream.say(Say::Result(text("paid")));
    let resumed = approved(&waits["_meta"]["tappass"]).await;
    assert_eq!(resumed.json()["result"], text("paid"), "{resumed:?}");
    assert_eq!(it.upstream.heard()[2].body["params"], json!({"name": "pay", "arguments": {"eur": 5}}));
    assert!(refused(&it.tool("pay", json!({"eur": 5})).await).contains("Waits"), "it is used");
    // What belongs to a session is sent again in it.
    let read = |uri: &str| json!({"uri": uri});
    let waits = it.ask("resources/read", read("a:b")).await;
    let resumed = approved(&waits["error"]["data"]).await;
    assert_eq!(
        (resumed.status, &resumed.json()["error"]["code"]),
        (StatusCode::CONFLICT, &json!("send_again"))
    );
    let other = it.ask("resources/read", read("a:c")).await;
    assert_eq!(other["error"]["data"]["decision"], "approval_required", "another resource");
    it.upstream.say(Say::Result(json!({"contents": []})));
    assert_eq!(it.ask("resources/read", read("a:b")).await["result"], json!({"contents": []}));
}
