//! Pipelines and allowlists as an organisation keeps them: written, guarded, effective at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};
use tappass_server::Gateway;

use crate::{
    client::{Answer, ask, request, send},
    scripted::Scripted,
};

const MAIL: &str = "Write to jan.peeters@acme.eu about it.";

async fn put(world: &Scripted, path: &str, tag: Option<&str>, yaml: &str) -> Answer {
    write(world, Method::PUT, path, tag, yaml).await
}

async fn write(world: &Scripted, method: Method, path: &str, tag: Option<&str>, yaml: &str) -> Answer {
    let mut built = request(method, path).header("authorization", format!("Bearer {}", world.admin));
    built = built.header("content-type", "application/yaml");
    if let Some(tag) = tag {
        built = built.header("if-match", tag);
    }
    send(&world.gateway, built.body(Body::from(yaml.to_owned())).expect("a request")).await
}

async fn get(world: &Scripted, path: &str) -> Answer {
    ask(&world.gateway, &world.admin, Method::GET, path, Value::Null).await
}

async fn call(gateway: &Gateway, key: &str, text: &str) -> Answer {
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]});
    ask(gateway, key, Method::POST, "/v1/chat/completions", body).await
}

async fn assign(world: &Scripted, pipeline: &str) {
    let body = json!({"pipeline": pipeline});
    let done = ask(&world.gateway, &world.admin, Method::PUT, "/agents/agent/pipeline", body).await;
    assert_eq!(done.status, 200, "{done:?}");
}

#[tokio::test]
async fn a_pipeline_goes_out_and_comes_back_in() {
    let world = Scripted::new(&[]).await;
    let yaml = "# ours\nname: claims\npreset: starter\noverrides: {pii: {on_detection: block}}\n";
    let made = write(&world, Method::POST, "/pipelines/import", None, yaml).await;
    assert_eq!((made.status.as_u16(), made.json()["name"].as_str()), (201, Some("claims")), "{made:?}");
    let out = get(&world, "/pipelines/claims/export").await;
    assert!(
        out.text.starts_with("# yaml-language-server: $schema=http") && out.text.ends_with(yaml),
        "{}",
        out.text
    );
    assert_eq!(out.header("etag"), "\"v1\"");
    let back = write(&world, Method::POST, "/pipelines/import?name=copy", None, &out.text).await;
    assert_eq!((back.status.as_u16(), &back.json()["hash"]), (201, &made.json()["hash"]));
    assert_eq!(
        write(&world, Method::POST, "/pipelines/import", None, "preset: starter").await.json()["name"],
        "default"
    );
    assert_eq!(get(&world, "/pipelines/finance/export").await.text.lines().last(), Some("preset: finance"));
    assert_eq!(get(&world, "/pipelines/nothing/export").await.status, 404);
    assert_eq!(put(&world, "/pipelines/other", None, yaml).await.status, 422, "two names");
    assert_eq!(put(&world, "/pipelines/finance", None, "preset: starter").await.status, 409, "a pack's name");
}

#[tokio::test]
async fn a_change_over_an_older_version_is_refused() {
    let world = Scripted::new(&[]).await;
    assert_eq!(put(&world, "/pipelines/p", Some("\"v0\""), "preset: starter").await.status, 201);
    assert_eq!(put(&world, "/pipelines/p", Some("\"v0\""), "preset: standard").await.status, 412);
    let second = put(&world, "/pipelines/p", Some("\"v1\""), "preset: standard").await;
    assert_eq!((second.status.as_u16(), second.header("etag")), (200, "\"v2\""));
    let wrong = put(
        &world,
        "/pipelines/p",
        Some("\"v2\""),
        "preset: starter\noverrides:\n  rate_limit: {max_call: 3}\n",
    )
    .await;
    let detail = wrong.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert_eq!(wrong.status, 422);
    assert!(detail.contains("line 3, column 16") && detail.contains("did you mean `max_calls`"), "{detail}");
}

#[tokio::test]
async fn a_pack_is_used_wherever_a_preset_is() {
    let world = Scripted::new(&[]).await;
    let listed = get(&world, "/pipelines").await.json();
    for name in ["starter", "regulated", "finance", "healthcare", "startup"] {
        assert!(
            listed["items"].as_array().is_some_and(|all| all.iter().any(|p| p["name"] == name)),
            "{name}: {listed}"
        );
    }
    let body = json!({"agent_id": "ward", "preset": "healthcare"});
    let made = ask(&world.gateway, &world.admin, Method::POST, "/agents/register", body).await;
    assert_eq!((made.status.as_u16(), &made.json()["pipeline"]), (201, &json!("healthcare")), "{made:?}");
    let key = made.json()["api_key"].as_str().expect("a key").to_owned();
    let answer = call(&world.gateway, &key, "jan.peeters@acme.eu has carcinoma.").await.json();
    assert_eq!(
        (&answer["tappass"]["pipeline_id"], &answer["tappass"]["classification"]),
        (&json!("healthcare"), &json!("RESTRICTED"))
    );
}

#[tokio::test]
async fn pipelines_are_swapped_under_load_and_every_call_has_one_of_them() {
    let world = Scripted::new(&[]).await;
    let texts = ["log", "notify"].map(|on| {
        format!("preset: starter\noverrides: {{pii: {{on_detection: {on}}}, rate_limit: {{enabled: false}}}}")
    });
    let mut hashes = Vec::new();
    for text in &texts {
        hashes.push(
            put(&world, "/pipelines/live", None, text).await.json()["hash"]
                .as_str()
                .expect("a hash")
                .to_owned(),
        );
    }
    assign(&world, "live").await;
    let (over, gateway, key) = (Arc::new(AtomicBool::new(false)), world.gateway.clone(), world.key.clone());
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let (over, gateway, key) = (Arc::clone(&over), gateway.clone(), key.clone());
            async move {
                let mut ids = Vec::new();
                while !over.load(Ordering::SeqCst) || ids.len() < 5 {
                    let answer = call(&gateway, &key, MAIL).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    ids.push(answer.json()["tappass"]["task_id"].as_str().expect("an id").to_owned());
                }
                ids
            }
        })
        .collect();
    let swaps = async {
        for round in 0..12 {
            let done = put(&world, "/pipelines/live", None, &texts[round % 2]).await;
            assert!(done.status.is_success(), "{done:?}");
            // What was written governs the very next call.
            let answer = call(&world.gateway, &world.key, MAIL).await.json();
            let event =
                get(&world, &format!("/audit/{}", answer["tappass"]["task_id"].as_str().expect("an id")))
                    .await;
            assert_eq!(event.json()["pipeline"]["hash"], hashes[round % 2].as_str());
        }
        over.store(true, Ordering::SeqCst);
    };
    let (ids, ()) = futures_util::future::join(futures_util::future::join_all(calls), swaps).await;
    for id in ids.concat() {
        let event = get(&world, &format!("/audit/{id}")).await.json();
        let hash = event["pipeline"]["hash"].as_str().expect("a hash");
        let found =
            hashes.iter().position(|h| h == hash).unwrap_or_else(|| panic!("{hash} was never written"));
        // The pipeline that is named is the one that decided.
        let wanted = ["log", "notify"][found];
        let step = event["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .find(|s| s["step"] == "detect_pii")
            .expect("ran")
            .clone();
        assert!(step["action"] == "log" && event["details"]["explain"][0]["would"] == wanted, "{event}");
    }
}

#[tokio::test]
async fn an_allowlist_takes_hits_away_at_once_and_says_so() {
    let world = Scripted::new(&[]).await;
    world.provider.always(tappass_testkit::Reply::says("Ask jan.peeters@acme.eu."));
    let found = async || -> (usize, Value) {
        let answer = call(&world.gateway, &world.key, MAIL).await.json();
        let id = answer["tappass"]["task_id"].as_str().expect("an id").to_owned();
        let told = get(&world, &format!("/audit/{id}/explain")).await.json();
        let event = get(&world, &format!("/audit/{id}")).await.json();
        (event["detections"].as_array().map_or(0, Vec::len), told["allowlisted"].clone())
    };
    assert_eq!(found().await, (2, json!([])), "in the request and in the answer");
    let entry = json!({"text": "Jan.Peeters@acme.eu", "note": "the public address"});
    let added = ask(&world.gateway, &world.admin, Method::POST, "/allowlist", entry.clone()).await;
    assert_eq!((added.status.as_u16(), added.header("etag")), (201, "\"v1\""), "{added:?}");
    let (left, told) = found().await;
    assert_eq!((left, told.as_array().map(Vec::len)), (0, Some(2)), "{told}");
    assert_eq!((&told[0]["by"], &told[0]["kind"]), (&json!("organisation"), &json!("EMAIL")));
    assert_eq!(told[0]["entry"], added.json()["id"]);

    let again = ask(&world.gateway, &world.admin, Method::POST, "/allowlist", entry).await;
    assert_eq!(again.status, 200, "the same entry is there once");
    let bad = ask(&world.gateway, &world.admin, Method::POST, "/allowlist", json!({"pattern": "*"})).await;
    assert!(bad.status == 422 && bad.text.contains("everything"), "{bad:?}");
    let all = get(&world, "/allowlist").await;
    assert_eq!((all.json()["items"].as_array().map(Vec::len), all.header("etag")), (Some(1), "\"v1\""));
    let id = all.json()["items"][0]["id"].as_str().expect("an id").to_owned();
    let gone =
        ask(&world.gateway, &world.admin, Method::DELETE, &format!("/allowlist/{id}"), Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(found().await.0, 2);

    let list = json!({"items": ["A", {"pattern": "*@acme.eu", "kinds": ["EMAIL"]}]});
    let set = ask(&world.gateway, &world.admin, Method::PUT, "/allowlist", list).await;
    assert_eq!((set.status.as_u16(), set.header("etag")), (200, "\"v3\""), "{set:?}");
    assert_eq!(found().await.0, 0);
    let log = get(&world, "/audit?event_type=config_changed").await.json();
    assert_eq!(log["items"].as_array().map(Vec::len), Some(3), "{log}");
    assert_eq!(log["items"][0]["details"]["removed"], json!([]));
}

#[tokio::test]
async fn a_stream_honours_the_allowlist_too() {
    let world = Scripted::new(&[]).await;
    world.provider.always(tappass_testkit::Reply::chat_stream(&[
        "Ask jan.pe",
        "eters@ac",
        "me.eu or a@",
        "b.example now.",
    ]));
    let yaml = "preset: starter\noverrides: {pii: {allowlist: [jan.peeters@acme.eu]}, scan_output: {on_detection: redact}}";
    assert_eq!(put(&world, "/pipelines/p", None, yaml).await.status, 201);
    assign(&world, "p").await;
    world.enforce().await;
    let body = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let answer = ask(&world.gateway, &world.key, Method::POST, "/v1/chat/completions", body).await;
    let read: String = crate::scripted::events(&answer.text)
        .iter()
        .filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(read, "Ask jan.peeters@acme.eu or [EMAIL] now.");
}

#[tokio::test]
async fn the_schema_is_served_for_editors() {
    let world = Scripted::new(&[]).await;
    let schema = ask(&world.gateway, "", Method::GET, "/schemas/pipeline.json", Value::Null).await;
    assert_eq!(schema.header("content-type"), "application/schema+json");
    assert!(schema.json()["properties"]["overrides"]["properties"]["detect_pii"].is_object());
}

#[tokio::test]
async fn a_text_is_checked_before_it_is_saved_and_every_version_is_listed() {
    let world = Scripted::new(&[]).await;
    let check = async |body: Value| {
        ask(&world.gateway, &world.admin, Method::POST, "/pipelines/check", body).await.json()
    };
    let wrong =
        check(json!({"name": "p", "pipeline": "preset: starter\noverrides:\n  rate_limit: {max_call: 3}\n"}))
            .await;
    assert_eq!(
        (&wrong["valid"], &wrong["findings"][0]["line"], &wrong["findings"][0]["column"]),
        (&json!(false), &json!(3), &json!(16))
    );
    assert!(wrong["findings"][0]["message"].as_str().is_some_and(|m| m.contains("did you mean `max_calls`")));
    let open =
        check(json!({"pipeline": "name: p\npreset: starter\noverrides: {detect_pii: {on_error: continue}}"}))
            .await;
    assert_eq!(
        (&open["valid"], &open["exists"], &open["findings"][0]["severity"]),
        (&json!(true), &json!(false), &json!("warning"))
    );
    for yaml in ["preset: starter", "preset: starter\noverrides: {pii: {on_detection: block}}"] {
        assert!(put(&world, "/pipelines/p", None, yaml).await.status.is_success());
    }
    let changed = check(json!({"name": "p", "pipeline": "preset: starter"})).await;
    assert_eq!(
        changed["changes"],
        json!([{"step": "detect_pii", "parameter": "on_detection", "from": "block", "to": "log"}])
    );
    let versions = get(&world, "/pipelines/p/versions").await.json();
    let listed: Vec<&Value> =
        versions["items"].as_array().expect("versions").iter().map(|v| &v["version"]).collect();
    assert_eq!(listed, [2, 1]);
    assert_eq!(versions["items"][1]["hash"], changed["hash"]);
    assert_eq!(get(&world, "/pipelines/starter/versions").await.json()["items"], json!([]));
    assert_eq!(get(&world, "/pipelines/nothing/versions").await.status, 404);
}
