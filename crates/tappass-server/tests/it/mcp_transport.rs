//! MCP's transport through the gateway: sessions, streams, revisions, faults.

use axum::body::Body;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::{
    client::{request, send},
    mcp::{EMAIL, Mcp, secret, sse, text},
    mcp_upstream::Say,
};

#[tokio::test]
async fn a_session_belongs_to_its_agent() {
    let it = Mcp::enforced(json!({})).await;
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
    let begin = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
    let speaks = json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}});
    it.upstream.say(Say::Result(speaks.clone()));
    let began = it.send(Method::POST, &[], &begin).await;
    assert_eq!(began.json()["result"], speaks, "{began:?}");
    let session = began.header("mcp-session-id").to_owned();
    assert!(!session.is_empty() && !session.contains("upstream-7"));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let with = |id: &str| {
        let headers = [("mcp-session-id".to_owned(), id.to_owned())];
        let it = &it;
        let ping = ping.clone();
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            it.send(Method::POST, &headers, &ping).await
        }
    };
    it.upstream.heard();
    assert_eq!(with(&session).await.status, 200);
    assert_eq!(it.upstream.heard()[0].headers["mcp-session-id"], "upstream-7");
    for wrong in ["upstream-7", "nothing", &session[..session.len() - 4]] {
        let answer = with(wrong).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (404, &json!("unknown_session")),
            "{wrong}"
        );
    }
    let other = it.admin(Method::POST, "/agents/register", json!({"agent_id": "other"})).await;
    let stolen = request(Method::POST, "/mcp/tickets")
        .header("authorization", format!("Bearer {}", other["api_key"].as_str().expect("a key")))
        .header("content-type", "application/json")
        .header("mcp-session-id", &session)
        .body(Body::from(ping.to_string()));
    assert_eq!(send(&it.s.gateway, stolen.expect("a request")).await.status, 404);
    assert!(it.upstream.heard().is_empty());
    // The server has ended it.
    it.upstream.say(Say::Raw(404, vec![], String::new()));
    assert_eq!(with(&session).await.status, 404);
    it.upstream.heard();
    it.upstream.say(Say::Raw(200, vec![], String::new()));
    let ended = it.send(Method::DELETE, &[("mcp-session-id", &session)], &Value::Null).await;
    assert_eq!(ended.status, 204, "{ended:?}");
    let heard = it.upstream.heard();
    assert_eq!(heard[0].method, Method::DELETE);
    assert_eq!(heard[0].headers["mcp-session-id"], "upstream-7");
    assert_eq!(it.send(Method::DELETE, &[], &Value::Null).await.status, 400);
}

#[tokio::test]
async fn a_server_is_there_for_those_who_may_reach_it() {
    let it = Mcp::observed(json!({}), json!({"agents": ["other*"]})).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let status = async || it.post(ping.clone()).await.status.as_u16();
    assert_eq!(status().await, 404);
    it.admin(Method::PATCH, "/admin/mcp/servers/tickets", json!({"agents": ["ag?nt"]})).await;
    assert_eq!(status().await, 200);
    it.admin(Method::PATCH, "/admin/mcp/servers/tickets", json!({"enabled": false})).await;
    assert_eq!(status().await, 404);
    it.admin(Method::PATCH, "/admin/mcp/servers/tickets", json!({"enabled": true})).await;
    for (origin, expected) in [("https://evil.example", 403), ("null", 403), ("http://localhost:1", 403)] {
        let answer = it.send(Method::POST, &[("origin", origin)], &ping).await;
        assert_eq!(answer.status, expected, "{origin}");
    }
    let base = it.s.gateway.app().base_url();
    assert_eq!(it.send(Method::POST, &[("origin", &base)], &ping).await.status, 200);
    let unknown = it.send(Method::POST, &[("mcp-protocol-version", "2099-01-01")], &ping).await;
    assert_eq!(
        (unknown.status, &unknown.json()["code"]),
        (StatusCode::BAD_REQUEST, &json!("unknown_protocol_version"))
    );
    let narrow = it.send(Method::POST, &[("accept", "application/json")], &ping).await;
    assert_eq!(narrow.status, 406);
}

#[tokio::test]
async fn a_stream_that_listens_is_governed_and_taken_up_where_it_ended() {
    let it = Mcp::enforced(json!({"detect_pii": {"on_detection": "redact"}})).await;
    let updated =
        json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": EMAIL}});
    it.upstream
        .say(Say::Events(vec![updated, json!({"jsonrpc": "2.0", "id": 3, "result": text(EMAIL)})], true));
    let answer = it.send(Method::GET, &[("last-event-id", "e41")], &Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(it.upstream.heard()[0].headers["last-event-id"], "e41");
    assert!(
        answer.text.contains("id: e1\n") && answer.text.contains("[EMAIL]") && !answer.text.contains(EMAIL)
    );
    it.upstream.say(Say::Raw(405, vec![], String::new()));
    assert_eq!(it.send(Method::GET, &[], &Value::Null).await.status, 405);
    it.upstream.say(Say::Raw(200, vec![("content-type", "text/html")], "<p>".to_owned()));
    assert_eq!(it.send(Method::GET, &[], &Value::Null).await.status, 502);
}

/// A server that gives its events ids keeps them: its client takes the stream up, when the server says.
#[tokio::test]
async fn a_stream_that_can_be_taken_up_ends_without_an_answer() {
    let it = Mcp::enforced(json!({})).await;
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "t"}});
    let kind = vec![("content-type", "text/event-stream")];
    it.upstream.say(Say::Raw(200, kind, "id: e0\nretry: 40\ndata:\n\n".to_owned()));
    assert_eq!(it.post(call.clone()).await.text, "id: e0\nretry: 40\ndata:\n\n");
    it.upstream.say(Say::BrokenOff("id: e0\ndata:\n\n"));
    assert_eq!(it.post(call.clone()).await.text, "id: e0\ndata:\n\n");
    it.upstream.say(Say::BrokenOff("data:\n\n"));
    let answer = it.post(call).await;
    let [.., failed] = &sse(&answer.text)[..] else { panic!("{answer:?}") };
    assert_eq!((&failed["id"], &failed["error"]["data"]["code"]), (&json!(7), &json!("upstream_cut_off")));
}

#[tokio::test]
async fn lists_of_messages_are_for_the_revision_that_has_them() {
    let it = Mcp::enforced(json!({})).await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "t", "arguments": {"key": secret()}}},
        {"jsonrpc": "2.0", "id": 3, "method": "novel/x"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]);
    let newer = it.post(batch.clone()).await;
    assert_eq!((newer.status.as_u16(), &newer.json()["error"]["code"]), (400, &json!(-32600)));
    it.admin(
        Method::PUT,
        "/pipelines/own",
        json!({"preset": "standard", "overrides": {"scan_output": {"on_detection": "block"}}}),
    )
    .await;
    it.upstream.say(Say::Json(json!([{"jsonrpc": "2.0", "id": 1, "result": {}}])));
    let answer = it.send(Method::POST, &[("mcp-protocol-version", "2025-03-26")], &batch).await.json();
    let mut ids: Vec<i64> =
        answer.as_array().expect("a list").iter().filter_map(|m| m["id"].as_i64()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3], "{answer}");
    let heard = it.upstream.heard();
    assert_eq!(heard[0].body.as_array().map(Vec::len), Some(2), "two of four went on");
}

#[tokio::test]
async fn what_is_no_message_is_told_and_goes_nowhere() {
    let it = Mcp::enforced(json!({})).await;
    for (body, code) in [
        (json!({"id": 1, "method": "ping"}), -32600),
        (json!({"jsonrpc": "2.0", "id": {}, "method": "ping"}), -32600),
        (json!([]), -32600),
    ] {
        let answer = it.post(body.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (400, &json!(code)), "{body}");
    }
    for params in
        [json!({}), json!({"name": " "}), json!({"name": "t", "arguments": [1]}), json!({"name": 7})]
    {
        let answer = it.ask("tools/call", params.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{params}");
    }
    assert!(it.upstream.heard().is_empty());
}

#[tokio::test]
async fn each_fault_of_the_server_has_its_answer() {
    let it = Mcp::observed(json!({}), json!({"timeout_seconds": 1})).await;
    it.s.enforce().await;
    let raw = |status: u16, kind: &'static str, body: &str| {
        Say::Raw(status, vec![("content-type", kind)], body.to_owned())
    };
    let to = Say::Raw(307, vec![("location", "http://127.0.0.1:1/elsewhere")], String::new());
    for (say, code) in [
        (raw(200, "application/json", "{"), "upstream_garbled"),
        (
            raw(200, "application/json", "{\"jsonrpc\":\"2.0\",\"id\":7,\"id\":7,\"result\":{}}"),
            "upstream_garbled",
        ),
        (raw(200, "text/html", "<p>"), "upstream_garbled"),
        (raw(200, "text/event-stream", "data: {\n\n"), "upstream_garbled"),
        (raw(200, "text/event-stream", "data: \u{fffd}"), "upstream_cut_off"),
        (raw(200, "application/json", "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}"), "upstream_cut_off"),
        (raw(202, "text/plain", ""), "upstream_cut_off"),
        (raw(401, "text/plain", "no"), "upstream_refused_gateway"),
        (raw(403, "text/plain", "no"), "upstream_refused_gateway"),
        (raw(500, "text/plain", "oh"), "upstream_error"),
        (
            Say::Raw(
                200,
                vec![("content-type", "application/json"), ("content-encoding", "gzip")],
                "x".to_owned(),
            ),
            "upstream_garbled",
        ),
        (raw(200, "application/json", &"[".repeat((16 << 20) + 1)), "upstream_too_large"),
        (raw(200, "text/event-stream", &format!("data: {}", "x".repeat((4 << 20) + 1))), "upstream_garbled"),
        (to, "upstream_redirected"),
        (Say::Never, "upstream_timeout"),
        (Say::EventsThenSilence(vec![]), "upstream_timeout"),
    ] {
        let shown: String = format!("{say:?}").chars().take(120).collect();
        it.upstream.say(say);
        let answer = it.post(json!({"jsonrpc": "2.0", "id": 7, "method": "ping"})).await;
        assert_eq!(answer.status, 200, "{shown}: {answer:?}");
        let messages = if answer.header("content-type") == "text/event-stream" {
            sse(&answer.text)
        } else {
            vec![answer.json()]
        };
        let ours = messages.iter().find(|m| m["id"] == 7).unwrap_or_else(|| panic!("{shown}: {messages:?}"));
        assert_eq!(ours["error"]["data"]["code"], code, "{shown}: {ours}");
        assert_eq!(ours["error"]["code"], -32051);
    }
    // A status that says something about the protocol is the client's to hear.
    it.upstream.say(raw(
        400,
        "application/json",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32022,\"message\":\"no\"}}",
    ));
    let answer = it.post(json!({"jsonrpc": "2.0", "id": 7, "method": "server/discover"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (400, &json!(-32022)));
    it.admin(Method::PATCH, "/admin/mcp/servers/tickets", json!({"url": "http://127.0.0.1:9/mcp"})).await;
    let away = it.ask("ping", Value::Null).await;
    assert_eq!(away["error"]["data"]["code"], "upstream_unreachable");
    let told = it.post(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    assert_eq!(told.status, 502);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_server() {
    let it = Mcp::enforced(json!({})).await;
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
    it.upstream.say(Say::EventsThenSilence(vec![progress]));
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "t"}});
    let built = request(Method::POST, "/mcp/tickets")
        .header("authorization", format!("Bearer {}", it.s.key))
        .header("content-type", "application/json")
        .body(Body::from(call.to_string()));
    let response = it.s.gateway.call(built.expect("a request")).await;
    let mut body = response.into_body();
    let first = body.frame().await.expect("an event").expect("whole").into_data().expect("data");
    assert!(String::from_utf8_lossy(&first).contains("progress"));
    assert_eq!(it.upstream.left(), 0);
    drop(body);
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while it.upstream.left() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the server's stream ends");
}

#[tokio::test]
async fn the_newest_revision_has_its_headers_held_to_the_message() {
    let it = Mcp::enforced(json!({"detect_pii": {"on_detection": "redact"}})).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "find", "arguments": {"n": 3, "who": EMAIL}, "_meta": meta}});
    let new = ("mcp-protocol-version", "2026-07-28");
    it.upstream.say(Say::Result(text("found")));
    let params = [
        new,
        ("mcp-method", "tools/call"),
        ("mcp-name", "find"),
        ("mcp-param-who", EMAIL),
        ("mcp-param-n", "3"),
    ];
    let answer = it.send(Method::POST, &params, &call).await;
    assert_eq!(answer.json()["result"], text("found"), "{answer:?}");
    let heard = it.upstream.heard();
    for (name, value) in [
        ("mcp-method", "tools/call"),
        ("mcp-name", "find"),
        ("mcp-param-who", "[EMAIL]"),
        ("mcp-param-n", "3"),
    ] {
        assert_eq!(heard[0].headers[name], value, "{name}");
    }
    for wrong in [("mcp-method", "ping"), ("mcp-name", "other"), ("mcp-param-who", "somebody")] {
        let answer = it.send(Method::POST, &[new, wrong], &call).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["code"]),
            (400, &json!(-32020)),
            "{wrong:?}"
        );
    }
    // What a server asks back is looked at, and what the client answers too.
    let asks = |text: &str| {
        json!({"resultType": "input_required", "requestState": "s",
        "inputRequests": {"q": {"method": "elicitation/create", "params": {"message": text}}}})
    };
    it.upstream.say(Say::Result(asks(EMAIL)));
    assert_eq!(it.send(Method::POST, &[new], &call).await.json()["result"], asks("[EMAIL]"));
    let mut again = call.clone();
    again["params"]["inputResponses"] = json!({"q": {"action": "accept", "content": {"mail": EMAIL}}});
    again["params"]["requestState"] = "s".into();
    it.upstream.heard();
    it.upstream.say(Say::Result(text("done")));
    it.send(Method::POST, &[new], &again).await;
    let sent = &it.upstream.heard()[0].body["params"];
    assert_eq!(
        (&sent["inputResponses"]["q"]["content"]["mail"], &sent["requestState"]),
        (&json!("[EMAIL]"), &json!("s"))
    );
}
