//! What calls say, where it is kept; and what a changed pipeline would have done with it.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use tappass_server::{App, Config, Gateway, Setup, Storage};
use tappass_testkit::{ManualClock, Reply};

use crate::{
    calls::eventually,
    client::{ADMIN_KEY, Answer, ask, config, setup},
    scripted::Scripted,
    world::World,
};

const MAIL: &str = "Write to jan.peeters@acme.eu about it.";
const STRICTER: &str = "preset: starter\noverrides: {pii: {on_detection: block}}\n";

async fn keep(s: &Scripted, payloads: Value) {
    let done = ask(&s.gateway, &s.admin, Method::PUT, "/settings/payloads", payloads).await;
    assert_eq!(done.status, 200, "{done:?}");
}

async fn call(s: &Scripted, text: &str) -> String {
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]});
    let answer = ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["tappass"]["task_id"].as_str().expect("an id").to_owned()
}

async fn kept(s: &Scripted) -> u64 {
    let view = ask(&s.gateway, &s.admin, Method::GET, "/settings/payloads", Value::Null).await;
    view.json()["kept"].as_u64().expect("a number")
}

/// They are written beside the calls.
async fn until_kept(s: &Scripted, count: u64) {
    assert!(eventually(|| async { kept(s).await == count }).await, "{} are kept", kept(s).await);
}

async fn replay(s: &Scripted, body: Value) -> Answer {
    ask(&s.gateway, &s.admin, Method::POST, "/pipelines/replay", body).await
}

#[tokio::test]
async fn a_changed_pipeline_is_tried_on_past_calls_and_nothing_comes_of_it() {
    let s = Scripted::new(&[]).await;
    // Off at first: nothing is kept, and the answer says what to do.
    call(&s, MAIL).await;
    let nothing = replay(&s, json!({"pipeline": STRICTER})).await.json();
    assert_eq!(
        (&nothing["same"], &nothing["calls"]["recorded"], &nothing["calls"]["without_text"]),
        (&json!(true), &json!(1), &json!(1))
    );
    assert!(nothing["advice"].as_str().is_some_and(|a| a.contains("PUT /settings/payloads")), "{nothing}");

    keep(&s, json!({"keep_days": 7})).await;
    s.provider.always(Reply::says("The card is 4111 1111 1111 1111."));
    let mail = call(&s, MAIL).await;
    s.provider.always(Reply::says("Good morning."));
    call(&s, "Good morning.").await;
    until_kept(&s, 2).await;
    let events = || async {
        let log = ask(&s.gateway, &s.admin, Method::GET, "/audit?limit=500", Value::Null).await.json();
        log["items"]
            .as_array()
            .expect("events")
            .iter()
            .map(|e| e["event_type"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let (before, calls) = (events().await, s.provider.requests().len());

    let told = replay(&s, json!({"pipeline": STRICTER})).await.json();
    assert_eq!(
        told["counts"],
        json!({"same": 1, "newly_blocked": 1, "no_longer_blocked": 0, "newly_masked": 0, "no_longer_masked": 0}),
        "{told:#}"
    );
    assert_eq!(
        (&told["same"], &told["calls"]["replayed"], &told["calls"]["with_answer"]),
        (&json!(false), &json!(2), &json!(2))
    );
    assert_eq!(told["calls"]["without_text"], 1);
    let group = &told["groups"][0];
    assert_eq!(
        (&group["effect"], &group["step"], &group["agents"]),
        (&json!("newly_blocked"), &json!("detect_pii"), &json!({"agent": 1}))
    );
    let example = &group["examples"][0];
    assert_eq!((&example["call"], &example["would"]), (&json!(mail), &json!("block")));
    assert_eq!(example["findings"][0]["kind"], "EMAIL");
    assert_eq!(told["changed"][0]["call"], json!(mail));
    assert!(!told.to_string().contains("jan.peeters"), "a finding is masked: {told}");
    let left: Vec<&str> =
        told["not_replayed"].as_array().expect("steps").iter().filter_map(|l| l["step"].as_str()).collect();
    assert!(
        left.contains(&"rate_limit") && left.contains(&"call_llm") && !left.contains(&"detect_pii"),
        "{left:?}"
    );

    // The answers too: a card in one of them.
    let answers = "preset: starter\noverrides: {scan_output: {on_detection: block}}\n";
    let told = replay(&s, json!({"pipeline": answers})).await.json();
    assert_eq!(
        (&told["groups"][0]["step"], &told["groups"][0]["count"]),
        (&json!("scan_output"), &json!(1)),
        "{told:#}"
    );

    // As it was: nothing changes. Only the readings are on record, and no provider was called.
    assert_eq!(replay(&s, json!({"name": "starter"})).await.json()["same"], true);
    assert_eq!(s.provider.requests().len(), calls);
    let after = events().await;
    assert_eq!(after[..3], ["payloads_read", "payloads_read", "payloads_read"]);
    assert_eq!(after[3..], before[..]);
}

#[tokio::test]
async fn whose_calls_and_which_pipeline() {
    let s = Scripted::new(&[]).await;
    keep(&s, json!({"keep_days": 7})).await;
    for yaml in [STRICTER, "preset: starter\n"] {
        let put = ask(&s.gateway, &s.admin, Method::PUT, "/pipelines/own", json!({"preset": "starter", "overrides": {"pii": {"on_detection": if yaml == STRICTER { "block" } else { "log" }}}})).await;
        assert!(put.status.is_success(), "{put:?}");
    }
    let other = ask(&s.gateway, &s.admin, Method::POST, "/agents/register", json!({"agent_id": "other"}))
        .await
        .json();
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": MAIL}]});
    ask(&s.gateway, other["api_key"].as_str().expect("a key"), Method::POST, "/v1/chat/completions", body)
        .await;
    call(&s, MAIL).await;
    until_kept(&s, 2).await;
    let count = async |body: Value| {
        let told = replay(&s, body).await.json();
        (told["calls"]["replayed"].as_u64(), told["counts"]["newly_blocked"].as_u64())
    };
    assert_eq!(
        count(json!({"name": "own", "version": 1})).await,
        (Some(2), Some(2)),
        "nobody is under it: all"
    );
    assert_eq!(count(json!({"name": "own"})).await, (Some(2), Some(0)), "the latest");
    assert_eq!(count(json!({"name": "own", "version": 1, "agent_id": "agent"})).await, (Some(1), Some(1)));
    let under =
        ask(&s.gateway, &s.admin, Method::PUT, "/agents/other/pipeline", json!({"pipeline": "own"})).await;
    assert_eq!(under.status, 200);
    assert_eq!(
        count(json!({"pipeline": STRICTER, "name": "own"})).await,
        (Some(1), Some(1)),
        "those under it"
    );
    assert_eq!(
        count(json!({"name": "own", "version": 1, "limit": 1, "agent_id": "other"})).await,
        (Some(1), Some(1))
    );
    assert_eq!(count(json!({"name": "own", "since": "2999-01-01T00:00:00Z"})).await, (Some(0), Some(0)));
    for (wrong, status) in [
        (json!({}), 422),
        (json!({"pipeline": "preset: starter", "version": 1}), 422),
        (json!({"pipeline": "preset: nothing"}), 422),
        (json!({"name": "own", "limit": 1001}), 422),
        (json!({"name": "own", "since": "yesterday"}), 422),
        (json!({"name": "own", "version": 9}), 404),
        (json!({"name": "own", "agent_id": "nobody"}), 404),
        (json!({"name": "nothing"}), 422),
    ] {
        assert_eq!(replay(&s, wrong.clone()).await.status, status, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_kept_ends_when_its_time_is_over_or_an_admin_says_so() {
    let clock = Arc::new(ManualClock::default());
    let mut s = Scripted::of(Setup { clock: clock.clone(), ..setup(config()) }, &[]).await;
    // A person's session would be over before what is kept.
    ADMIN_KEY.clone_into(&mut s.admin);
    keep(&s, json!({"keep_days": 2, "sample": 1.0})).await;
    call(&s, MAIL).await;
    until_kept(&s, 1).await;
    clock.advance(Duration::from_secs(2 * 24 * 60 * 60 - 1));
    call(&s, MAIL).await;
    until_kept(&s, 2).await;
    clock.advance(Duration::from_secs(2));
    assert_eq!(kept(&s).await, 1, "over means over, before any sweep");
    keep(&s, json!({"keep_days": 0})).await;
    assert_eq!(kept(&s).await, 0, "less time holds for what is there");
    keep(&s, json!({"keep_days": 2})).await;
    call(&s, MAIL).await;
    until_kept(&s, 1).await;
    let gone = ask(&s.gateway, &s.admin, Method::DELETE, "/settings/payloads/kept", Value::Null).await;
    assert_eq!((gone.status.as_u16(), kept(&s).await), (200, 0));
    assert_eq!(gone.json()["forgotten"], 3, "those that were over are gone too");
    for wrong in [
        json!({"keep_days": 91}),
        json!({"keep_days": 1, "sample": 1.5}),
        json!({"keep_days": 1, "other": 1}),
    ] {
        assert_eq!(ask(&s.gateway, &s.admin, Method::PUT, "/settings/payloads", wrong).await.status, 422);
    }
}

#[tokio::test]
async fn what_another_organisation_says_is_nobodys() {
    let world = World::new().await;
    let on = json!({"keep_days": 7});
    let done = ask(&world.gateway, &world.ours.admin, Method::PUT, "/settings/payloads", on).await;
    assert_eq!(done.status, 200);
    world.ours.things(&world.gateway).await;
    let view = async |admin: &str| {
        ask(&world.gateway, admin, Method::GET, "/settings/payloads", Value::Null).await.json()
    };
    assert!(eventually(|| async { view(&world.ours.admin).await["kept"].as_u64() > Some(0) }).await);
    let theirs = view(&world.theirs.admin).await;
    assert_eq!((&theirs["keep_days"], &theirs["kept"]), (&json!(0), &json!(0)));
    let body = json!({"pipeline": STRICTER});
    let told = ask(&world.gateway, &world.theirs.admin, Method::POST, "/pipelines/replay", body).await.json();
    assert_eq!(told["calls"]["kept"], 0);
}

/// The bytes of a database, its journal included.
fn bytes(dir: &std::path::Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir).expect("a folder").map(|f| f.expect("a file").path());
    files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).expect("reads")).collect()
}

#[tokio::test]
async fn at_rest_it_is_sealed_and_a_rotation_keeps_it_readable() {
    const CANARY: &str = "canary-of-the-kept-9d41";
    let dir = tempfile::tempdir().expect("a folder");
    let at = Config { storage: Storage::Local, data_dir: dir.path().to_owned(), ..config() };
    let s = Scripted::of(setup(at), &[]).await;
    keep(&s, json!({"keep_days": 7})).await;
    s.provider.always(Reply::says(&format!("{CANARY} in the answer")));
    call(&s, &format!("{CANARY}: {MAIL}")).await;
    until_kept(&s, 1).await;
    let holds = |text: &str| bytes(dir.path()).windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("kept_calls") && !holds(CANARY));
    let blocked =
        async || replay(&s, json!({"pipeline": STRICTER})).await.json()["counts"]["newly_blocked"].clone();
    assert_eq!(blocked().await, 1);
    let rotated = ask(&s.gateway, &s.admin, Method::POST, "/admin/vault/rotate", Value::Null).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(blocked().await, 1, "sealed with the new key");
    let app: &App = s.gateway.app();
    let org =
        app.store.orgs().list(&tappass_store::PageRequest::default()).await.expect("orgs").items[0].org_id;
    assert_eq!(app.store.kept_calls().key_versions(org).await.expect("versions"), [2]);
}

#[tokio::test]
async fn a_call_that_is_too_large_or_not_drawn_is_not_kept_and_is_counted() {
    let s = Scripted::new(&[]).await;
    keep(&s, json!({"keep_days": 7})).await;
    call(&s, &"word ".repeat(60_000)).await;
    keep(&s, json!({"keep_days": 7, "sample": 0.0})).await;
    call(&s, "hello").await;
    keep(&s, json!({"keep_days": 7, "sample": 1.0})).await;
    call(&s, "hello").await;
    until_kept(&s, 1).await;
    let told = replay(&s, json!({"name": "starter"})).await.json();
    assert_eq!(
        (&told["calls"]["recorded"], &told["calls"]["without_text"]),
        (&json!(3), &json!(2)),
        "{told:#}"
    );
}

#[tokio::test]
async fn streams_tools_and_blocked_calls_are_replayed_as_well() {
    let s = Scripted::new(&[]).await;
    keep(&s, json!({"keep_days": 7})).await;
    s.enforce().await;
    s.provider.always(Reply::says("Ask jan.peeters@acme.eu."));
    let body = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "who?"}]});
    assert_eq!(ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", body).await.status, 200);
    let key = format!("gh{}_{}", "p", "k7Qw2ZxT9vLr4NbY8mJc3HsD6fGp1AeR5uWq");
    let leak = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": key}]});
    assert_eq!(ask(&s.gateway, &s.key, Method::POST, "/v1/chat/completions", leak).await.status, 403);
    let question =
        json!({"type": "TOOL_CALL", "payload": {"tool": "mail", "args": {"to": "jan.peeters@acme.eu"}}});
    assert_eq!(ask(&s.gateway, &s.key, Method::POST, "/v1/govern", question).await.status, 200);
    until_kept(&s, 3).await;
    let looser = "preset: starter\noverrides: {detect_secrets: {on_detection: log}, scan_output: {on_detection: block}}\n";
    let told = replay(&s, json!({"pipeline": looser})).await.json();
    let by = |effect: &str| -> Vec<Value> {
        let groups = told["groups"].as_array().expect("groups").iter();
        groups.filter(|g| g["effect"] == effect).map(|g| json!([g["step"], g["count"]])).collect()
    };
    assert_eq!(by("no_longer_blocked"), [json!(["detect_secrets", 1])], "{told:#}");
    assert_eq!(
        by("newly_blocked"),
        [json!(["scan_output", 2])],
        "the stream's answer, the tool call's arguments: {told:#}"
    );
    assert_eq!(replay(&s, json!({"name": "starter"})).await.json()["same"], true);
}

/// A gateway that ends writes what waits.
#[tokio::test]
async fn what_waits_is_written_before_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = Config { storage: Storage::Local, data_dir: dir.path().to_owned(), ..config() };
    let s = Scripted::of(setup(at.clone()), &[]).await;
    keep(&s, json!({"keep_days": 7})).await;
    for _ in 0..20 {
        call(&s, "hello").await;
    }
    let app = s.gateway.app();
    app.life.ending.cancel();
    app.life.tasks.close();
    app.life.tasks.wait().await;
    let again = Gateway::new(Box::pin(App::open(setup(at))).await.expect("opens").0);
    let view = ask(&again, &s.admin, Method::GET, "/settings/payloads", Value::Null).await;
    assert_eq!(view.json()["kept"], 20, "{view:?}");
}
