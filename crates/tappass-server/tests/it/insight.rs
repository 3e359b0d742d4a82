//! The figures behind the dashboard, from real calls: counted once, read by window, marked, and acted on.

use http::Method;
use serde_json::{Value, json};
use tappass_server::insight::fold_all;
use tappass_store::PageRequest;
use tappass_testkit::Reply;

use crate::{
    client::{Answer, ask},
    scripted::Scripted,
};

/// No real key; in two parts, so that no scanner takes it for one.
const KEY: &str = concat!("ghp", "_k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");

async fn call(world: &Scripted, text: &str) -> Answer {
    world.provider.always(Reply::says("Done."));
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]});
    ask(&world.gateway, &world.key, Method::POST, "/v1/chat/completions", body).await
}

async fn get(world: &Scripted, uri: &str) -> Value {
    let answer = ask(&world.gateway, &world.admin, Method::GET, uri, Value::Null).await;
    assert_eq!(answer.status, 200, "{uri}: {answer:?}");
    answer.json()
}

async fn put_mark(world: &Scripted, event: &str, body: Value) -> Answer {
    ask(&world.gateway, &world.admin, Method::PUT, &format!("/insight/marks/{event}"), body).await
}

/// Sends what a proposal says, as a page or a person would.
async fn accept(world: &Scripted, proposal: &Value) {
    for request in proposal["requests"].as_array().expect("requests") {
        let method = request["method"].as_str().expect("a method").parse().expect("a method");
        let path = request["path"].as_str().expect("a path");
        let body = match &request["body"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| request["body"].clone()),
            other => other.clone(),
        };
        let mut built =
            crate::client::request(method, path).header("authorization", format!("Bearer {}", world.admin));
        if let Some(tag) = request["if_match"].as_str() {
            built = built.header("if-match", tag);
        }
        let (kind, text) = match body {
            Value::String(text) => ("application/yaml", text),
            other => ("application/json", other.to_string()),
        };
        let request = built.header("content-type", kind).body(text.into()).expect("a request");
        let answer = crate::client::send(&world.gateway, request).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn calls_are_counted_by_agent_model_and_step_beside_the_window_before() {
    let world = Scripted::new(&[]).await;
    for text in ["Hello", "Write to jan.peeters@acme.eu", &format!("use {KEY}")] {
        assert_eq!(call(&world, text).await.status, 200);
    }
    fold_all(world.gateway.app()).await.expect("folds");
    fold_all(world.gateway.app()).await.expect("folds again");
    let all = get(&world, "/insight/overview?window=24h").await;
    let totals = &all["totals"];
    assert_eq!(
        (&totals["calls"], &totals["would_block"], &totals["blocked"]),
        (&json!(3), &json!(1), &json!(0))
    );
    assert_eq!(totals["flagged"], 2, "{totals}");
    assert!(totals["gateway_ms"]["p50"].as_f64().is_some_and(|ms| ms > 0.0), "{totals}");
    assert!(totals["tokens_in"].as_u64().is_some_and(|n| n > 0), "{totals}");
    let series = all["series"].as_array().expect("points");
    assert_eq!(series.len(), 24);
    assert_eq!(series.iter().map(|p| p["calls"].as_u64().expect("a number")).sum::<u64>(), 3);
    assert_eq!((&all["agents"][0]["name"], &all["agents"][0]["calls"]), (&json!("agent"), &json!(3)));
    assert_eq!(all["models"][0]["name"], "gpt-4o");
    let steps = all["steps"].as_array().expect("steps");
    let secrets = steps.iter().find(|s| s["step"] == "detect_secrets").expect("a step");
    assert_eq!((&secrets["would_block"], &secrets["findings"]), (&json!(1), &json!(1)));
    assert_eq!(all["new"]["agents"], json!(["agent"]));
    assert!(all["new"]["kinds"].to_string().contains("EMAIL"), "{}", all["new"]);
    assert_eq!((&all["before"]["calls"], &all["uncounted"]), (&json!(0), &json!(0)));
    // Of another agent there is nothing; 30 days come in days.
    let none = get(&world, "/insight/overview?window=30d&agent_id=nobody").await;
    assert_eq!(none["totals"]["calls"], 0);
    // The window ends with the hour: in the last one of a day it is made of whole days, else of one more, in parts.
    assert!(matches!(none["series"].as_array().map(Vec::len), Some(30 | 31)), "{none}");
    for wrong in ["0h", "91d", "7", "d", "-1d"] {
        let uri = format!("/insight/overview?window={wrong}");
        let answer = ask(&world.gateway, &world.admin, Method::GET, &uri, Value::Null).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }

    // In enforce the same is refused, and counted as that.
    world.enforce().await;
    assert_eq!(call(&world, &format!("use {KEY}")).await.status, 403);
    fold_all(world.gateway.app()).await.expect("folds");
    let totals = get(&world, "/insight/overview?window=24h").await["totals"].clone();
    assert_eq!(
        (&totals["calls"], &totals["would_block"], &totals["blocked"]),
        (&json!(4), &json!(1), &json!(1))
    );
    let ready = get(&world, "/insight/readiness").await;
    let rule = &ready["rules"][0];
    assert_eq!((&rule["would_block"], &rule["blocked"]), (&json!(1), &json!(1)), "{rule:#}");
}

#[tokio::test]
async fn a_false_alarm_is_marked_and_what_it_proposes_lets_it_pass() {
    let world = Scripted::new(&[]).await;
    let first = call(&world, &format!("use {KEY}")).await.json();
    let event = first["tappass"]["task_id"].as_str().expect("an id").to_owned();
    call(&world, &format!("again {KEY}")).await;
    fold_all(world.gateway.app()).await.expect("folds");
    let ready = get(&world, "/insight/readiness?window=7d").await;
    let rule = &ready["rules"][0];
    assert_eq!((&rule["step"], &rule["would_block"]), (&json!("detect_secrets"), &json!(2)), "{ready:#}");
    let examples = rule["agents"][0]["examples"].as_array().expect("examples");
    assert_eq!(examples.len(), 2);
    assert_eq!(examples[1]["event_id"], json!(event), "the newest first");
    assert!(!ready.to_string().contains(KEY), "samples are masked");
    assert_eq!(rule["precision"]["precision"], Value::Null);

    let wrong = put_mark(&world, &event, json!({"step": "detect_injection", "mark": "right"})).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    let done = put_mark(
        &world,
        &event,
        json!({"step": "detect_secrets", "mark": "false_alarm", "note": "a test key"}),
    )
    .await;
    assert_eq!(done.status, 200, "{done:?}");
    let done = done.json();
    let proposals = done["proposals"].as_array().expect("proposals");
    let proposal = |change: &str| proposals.iter().find(|p| p["change"] == change).expect("a proposal");
    assert_eq!(proposal("allowlist")["complete"], "/text");
    let threshold = proposal("threshold");
    assert_eq!(
        threshold["difference"],
        "+preset: starter\n+overrides:\n+  detect_secrets:\n+    threshold: 0.98"
    );
    assert_eq!(threshold["lets_pass"], 2);

    let rule = get(&world, "/insight/readiness").await["rules"][0].clone();
    assert_eq!(
        rule["precision"],
        json!({"right": 0, "false_alarms": 1, "precision": 0.0, "low": 0.0, "high": 0.793})
    );
    assert_eq!(rule["agents"][0]["examples"][1]["mark"]["note"], "a test key");
    let log = get(&world, "/audit?event_type=config_changed&limit=1").await;
    assert_eq!(log["items"][0]["details"]["marked"]["mark"], "false_alarm", "{log:#}");

    // Enforce would stop both calls; after the threshold is accepted, it stops neither.
    let preview = get(&world, "/insight/readiness/agent/enforce").await;
    assert_eq!(
        (&preview["calls"], &preview["would_stop"], &preview["mode"]),
        (&json!(2), &json!(2), &json!("observe"))
    );
    accept(&world, threshold).await;
    world.enforce().await;
    assert_eq!(call(&world, &format!("use {KEY}")).await.status, 200);

    // The next one raises the threshold in the text that is there now.
    let marked = get(&world, &format!("/insight/marks/{event}")).await;
    let again = marked["items"][0]["proposals"].to_string();
    assert!(!again.contains("-preset"), "{again}");

    // An allowlist entry works too, with the text that only a person knows.
    let back = json!({"pipeline": "starter"});
    ask(&world.gateway, &world.admin, Method::PUT, "/agents/agent/pipeline", back).await;
    assert_eq!(call(&world, &format!("use {KEY}")).await.status, 403);
    let mut entry = proposal("allowlist").clone();
    entry["requests"][0]["body"]["text"] = json!(KEY);
    accept(&world, &entry).await;
    assert_eq!(call(&world, &format!("use {KEY}")).await.status, 200);

    let unmark = async || {
        ask(
            &world.gateway,
            &world.admin,
            Method::DELETE,
            &format!("/insight/marks/{event}?step=detect_secrets"),
            Value::Null,
        )
        .await
        .status
    };
    assert_eq!(
        (unmark().await, unmark().await),
        (204.try_into().expect("a status"), 404.try_into().expect("a status"))
    );
}

#[tokio::test]
async fn the_preview_says_what_enforce_does_and_its_request_does_it() {
    let world = Scripted::new(&[]).await;
    call(&world, &format!("use {KEY}")).await;
    call(&world, "Hello").await;
    fold_all(world.gateway.app()).await.expect("folds");
    let preview = get(&world, "/insight/readiness/agent/enforce").await;
    assert_eq!((&preview["calls"], &preview["would_stop"]), (&json!(2), &json!(1)), "{preview:#}");
    accept(&world, &json!({"requests": [preview["request"]]})).await;
    let agent = get(&world, "/agents/agent").await;
    assert_eq!((&agent["mode"], &agent["floor"]), (&json!("enforce"), &json!("enforce")));
    assert_eq!(call(&world, &format!("use {KEY}")).await.status, 403);
}

async fn page(world: &Scripted, token: &str, uri: &str) -> String {
    let answer = ask(&world.gateway, token, Method::GET, uri, Value::Null).await;
    assert_eq!(answer.status, 200, "{uri}: {answer:?}");
    answer.text
}

#[tokio::test]
async fn the_overview_tells_a_newcomer_what_to_do_and_then_what_happened() {
    let world = Scripted::new(&[]).await;
    let empty = page(&world, &world.admin, "/app").await;
    assert!(empty.contains("OPENAI_BASE_URL=") && empty.contains("No calls in this time"), "{empty}");
    assert_eq!(call(&world, &format!("use {KEY}")).await.status, 200);
    fold_all(world.gateway.app()).await.expect("folds");
    for window in ["24h", "7d", "30d"] {
        let told = page(&world, &world.admin, &format!("/app?window={window}")).await;
        assert!(told.contains("detect_secrets") && told.contains("Would be refused"), "{told}");
        assert!(told.contains("gpt-4o"), "{told}");
        assert_eq!(told.matches(r#"<svg class="chart""#).count(), 4);
    }
    let answer = ask(&world.gateway, &world.admin, Method::GET, "/app?window=1y", Value::Null).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn the_review_shows_what_there_is_to_decide_and_the_paper_says_which_log_it_came_from() {
    let world = Scripted::new(&[]).await;
    assert!(page(&world, &world.admin, "/app/readiness").await.contains("Nothing to judge by"));
    let call = call(&world, &format!("use {KEY}")).await.json();
    let event = call["tappass"]["task_id"].as_str().expect("an id");
    fold_all(world.gateway.app()).await.expect("folds");
    let told = page(&world, &world.admin, "/app/readiness").await;
    assert!(
        told.contains(&format!(r#"data-api="PUT /insight/marks/{event}""#))
            && told.contains(r#"data-key="f""#),
        "{told}"
    );
    assert!(!told.contains("Enforce now"), "that is for one agent");
    let reader = json!({"name": "reads", "role": "auditor"});
    let reader = ask(&world.gateway, &world.admin, Method::POST, "/auth/tokens", reader).await.json();
    let reader = reader["token"].as_str().expect("a token");
    let read = page(&world, reader, "/app/readiness?agent_id=agent").await;
    assert!(
        read.contains(event) && !read.contains("PUT /insight") && !read.contains("Enforce now"),
        "{read}"
    );
    let of_agent = page(&world, &world.admin, "/app/readiness?agent_id=agent").await;
    assert!(
        of_agent.contains("Enforce now") && of_agent.contains(r#"data-if-match="&quot;v1&quot;""#),
        "{of_agent}"
    );
    assert_eq!(
        ask(&world.gateway, &world.admin, Method::GET, "/app/readiness?agent_id=nobody", Value::Null)
            .await
            .status,
        404
    );

    put_mark(&world, event, json!({"step": "detect_secrets", "mark": "false_alarm", "note": "<img src=x>"}))
        .await;
    let told = page(&world, &world.admin, "/app/readiness").await;
    assert!(
        told.contains(&format!("DELETE /insight/marks/{event}")) && told.contains("0 % right of 1 marked"),
        "{told}"
    );
    let piece =
        page(&world, &world.admin, &format!("/app/readiness/proposals/{event}?step=detect_secrets")).await;
    assert!(
        piece.contains("+    threshold: 0.98") && piece.contains(r#"data-api="POST /allowlist""#),
        "{piece}"
    );
    assert!(piece.contains("data-requests=") && !piece.contains("<html"), "{piece}");

    ask(&world.gateway, &world.admin, Method::POST, "/audit/checkpoint", Value::Null).await;
    let paper = page(&world, &world.admin, "/app/readiness?print=1").await;
    let sealed = world.gateway.app().store.audit();
    let orgs = world.gateway.app().store.orgs().list(&PageRequest::default()).await.expect("a page");
    let org = orgs.items[0].org_id;
    let root = sealed.last_checkpoint(org).await.expect("an answer").expect("a checkpoint").root;
    for wanted in ["Client", "ciso@client.example", event, "false alarm", &root] {
        assert!(paper.contains(wanted), "{wanted}: {paper}");
    }
    assert!(!paper.contains(KEY) && !paper.contains("<form") && !paper.contains("<img src=x"), "{paper}");
    assert!(paper.contains("&#60;img src=x") && told.contains("&#60;img src=x"), "a note is text");
}
