//! Every way to tamper with an export, and both verifiers find each at the same place.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tappass_audit::{
    AuditConfig, AuditLog, Signer, canonical,
    hash::{parse_hex, sha256},
    merkle::Tree,
    verify_export,
};
use tappass_store::{Reach, Store, StoreConfig};

use crate::support::{ask_python, config, event, export, org, signer};

/// An export of 25 events with checkpoints at 10, 20 and 25, as lines.
async fn sample() -> Vec<String> {
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    let log = AuditLog::start(AuditConfig { checkpoint_every: 10, ..config(&store) }).await.expect("a log");
    let org_id = org();
    for i in 0..25 {
        let mut event = event(org_id);
        event.turn_index = Some(i);
        log.record(&event).await.expect("recorded");
    }
    log.shutdown().await.expect("closed");
    export(&store, org_id).await.lines().map(str::to_owned).collect()
}

/// Where the line of the event numbered `seq` stands: after the header and the checkpoints before it.
fn at(seq: usize) -> usize {
    seq + (seq - 1) / 10
}

fn altered(line: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(line).expect("JSON");
    change(&mut value);
    value.to_string()
}

/// As an attacker who knows the format: the hash is that of the altered content.
fn rehashed(line: &str, change: impl FnOnce(&mut Value)) -> String {
    altered(line, |v| {
        change(&mut v["event"]);
        v["hash"] = json!(hex::encode(sha256(&[canonical::to_string(&v["event"]).as_bytes()])));
    })
}

/// Chains all events anew from the altered one on, and has `signer` seal them as they are: the perfect forgery.
fn forged(lines: &[String], seq: usize, signer: Option<&Signer>) -> Vec<String> {
    let (mut previous, mut sealed, mut tree) = ("0".repeat(64), [0; 32], Tree::default());
    let mut out = vec![lines[0].clone()];
    for line in &lines[1..] {
        let value: Value = serde_json::from_str(line).expect("JSON");
        match value["type"].as_str() {
            Some("event") => {
                let line = rehashed(line, |e| {
                    if e["seq"] == json!(seq) {
                        e["action"] = json!("block");
                    }
                    e["prev_hash"] = json!(previous);
                });
                let value: Value = serde_json::from_str(&line).expect("JSON");
                previous = value["hash"].as_str().expect("a hash").to_owned();
                tree.push(&parse_hex(&previous).expect("a hash"));
                out.push(line);
            }
            Some("checkpoint") => match signer {
                Some(signer) => {
                    let org_id = value["org_id"].as_str().expect("an id").parse().expect("an id");
                    let time = "2026-11-22T09:30:00Z".parse().expect("a time");
                    let checkpoint = signer.seal(org_id, tree.size(), &tree.root(), &sealed, time);
                    sealed = parse_hex(&checkpoint.hash).expect("a hash");
                    let mut value = serde_json::to_value(checkpoint).expect("JSON");
                    value["type"] = json!("checkpoint");
                    out.push(value.to_string());
                }
                None => out.push(line.clone()),
            },
            _ => out.push(line.clone()),
        }
    }
    out
}

/// Both verifiers, with the expected key; they must agree.
fn judge(lines: &[String], expect: Option<&str>) -> Option<u64> {
    judge_with(lines, signer().public_key(), expect)
}

fn judge_with(lines: &[String], key: &str, expect: Option<&str>) -> Option<u64> {
    let text = lines.join("\n") + "\n";
    let expected = expect.iter().map(|e| e.parse().expect("SIZE:ROOT")).collect();
    let report = verify_export(text.as_bytes(), vec![key.to_owned()], expected).expect("an export").report;
    assert_eq!(report.ok, report.first_bad.is_none());
    let ours = report.first_bad.as_ref().map(|b| b.seq);

    let mut arguments = vec!["--public-key", key];
    expect.iter().for_each(|e| arguments.extend(["--expect", e]));
    let (code, theirs) = ask_python(&text, &arguments);
    assert_eq!((code, theirs), (if report.ok { 0 } else { 6 }, ours), "the verifiers disagree: {report:?}");
    ours
}

#[tokio::test(flavor = "multi_thread")]
async fn each_is_found_and_named() {
    let good = sample().await;
    assert_eq!(good.len(), 1 + 25 + 3 + 1);
    assert_eq!(judge(&good, None), None);
    let without = |range: std::ops::Range<usize>| {
        let mut lines = good.clone();
        lines.drain(range);
        lines
    };
    let with = |i: usize, line: String| {
        let mut lines = good.clone();
        lines[i] = line;
        lines
    };

    // Edits: any field, the number, the link, the hash; with the hash made to fit.
    assert_eq!(
        judge(&with(at(7), altered(&good[at(7)], |v| v["event"]["action"] = json!("block"))), None),
        Some(7)
    );
    assert_eq!(
        judge(&with(at(7), altered(&good[at(7)], |v| v["event"]["details"]["x"] = json!(1))), None),
        Some(7)
    );
    assert_eq!(
        judge(&with(at(7), altered(&good[at(7)], |v| v["event"]["cost_usd"] = json!(1e21))), None),
        Some(7)
    );
    assert_eq!(
        judge(&with(at(7), altered(&good[at(7)], |v| v["hash"] = json!("00".repeat(32)))), None),
        Some(7)
    );
    assert_eq!(judge(&with(at(7), rehashed(&good[at(7)], |e| e["action"] = json!("block"))), None), Some(7));
    assert_eq!(
        judge(&with(at(1), rehashed(&good[at(1)], |e| e["prev_hash"] = json!("11".repeat(32)))), None),
        Some(1)
    );
    assert_eq!(judge(&with(at(7), rehashed(&good[at(7)], |e| e["seq"] = json!("7"))), None), Some(7));
    assert_eq!(
        judge(&with(at(10), rehashed(&good[at(10)], |e| e["user"] = json!("Mallory"))), None),
        Some(1)
    );
    assert_eq!(judge(&forged(&good, 14, None), None), Some(11), "chained anew, but not signed anew");
    // A second spelling of a key, which another reader may take for the value.
    let twice = good[at(7)].replacen("\"event\":{", "\"event\":{\"action\":\"block\",", 1);
    assert_eq!(judge(&with(at(7), twice), None), Some(7));

    // Deletion, reordering, insertion.
    assert_eq!(judge(&without(at(7)..at(8)), None), Some(7));
    assert_eq!(judge(&without(at(1)..at(2)), None), Some(1));
    let mut swapped = good.clone();
    swapped.swap(at(12), at(13));
    assert_eq!(judge(&swapped, None), Some(12));
    let mut inserted = good.clone();
    inserted.insert(at(8), good[at(3)].clone());
    assert_eq!(judge(&inserted, None), Some(3));

    // Truncation: with the file's end, without the events under a checkpoint, with checkpoint and all.
    assert_eq!(judge(&good[..good.len() - 1], None), Some(26));
    let end = |events: u64, checkpoints: u64| {
        json!({"type": "end", "events": events, "checkpoints": checkpoints}).to_string()
    };
    let cut = |to: usize, checkpoints: u64, events: u64| {
        let mut lines = good[..to].to_vec();
        lines[0] = altered(&good[0], |h| h["size"] = json!(events));
        lines.push(end(events, checkpoints));
        lines
    };
    assert_eq!(judge(&without(at(24)..at(25) + 1), None), Some(24));
    let kept: Value = serde_json::from_str(&good[good.len() - 2]).expect("the last checkpoint");
    let kept = format!("{}:{}", kept["size"], kept["root"].as_str().expect("a root"));
    assert_eq!(judge(&cut(at(21), 2, 20), None), None, "an honest older export looks just like this …");
    assert_eq!(
        judge(&cut(at(21), 2, 20), Some(&kept)),
        Some(21),
        "… but not to who kept the last checkpoint"
    );
    assert_eq!(judge(&good, Some(&kept)), None);
    assert_eq!(judge(&good, Some(&format!("15:{}", "ab".repeat(32)))), Some(11));
    let without_checkpoints: Vec<String> =
        good.iter().filter(|l| !l.contains("\"checkpoint\"")).cloned().collect();
    assert_eq!(judge(&without_checkpoints, None), Some(26), "the end says how many there were");

    // Checkpoints: another signature, another key, one missing, moved.
    let last = good.len() - 2;
    let other = altered(&good[last], |v| v["signature"] = json!(STANDARD.encode([7; 64])));
    assert_eq!(judge(&with(last, other), None), Some(21));
    let swapped = altered(&good[last], |v| {
        v["signature"] =
            serde_json::from_str::<Value>(&good[at(11) - 1]).expect("a checkpoint")["signature"].clone();
    });
    assert_eq!(judge(&with(last, swapped), None), Some(21));
    assert_eq!(judge(&with(last, altered(&good[last], |v| v["size"] = json!(24))), None), Some(21));
    assert_eq!(judge(&without(at(11) - 1..at(11)), None), Some(1));
    let mut moved = good.clone();
    moved.swap(at(11) - 1, at(11));
    assert_eq!(judge(&moved, None), Some(11));
    let mallory = Signer::from_seed(&[66; 32]);
    let forgery = forged(&good, 14, Some(&mallory));
    assert_eq!(judge(&forgery, None), Some(1), "signed by a stranger");
    assert_eq!(
        judge_with(&forgery, mallory.public_key(), None),
        None,
        "and flawless to who trusts the stranger"
    );

    // Noise.
    assert_eq!(judge(&with(at(7), "{".to_owned()), None), Some(7));
    assert_eq!(judge(&with(at(7), json!({"type": "note"}).to_string()), None), Some(7));
    assert_eq!(judge(&with(at(7), "[".repeat(100_000)), None), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_key_is_followed_by_who_knows_both() {
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    let (org_id, new) = (org(), Arc::new(Signer::from_seed(&[43; 32])));
    for signer in [signer(), Arc::clone(&new)] {
        let log = AuditLog::start(AuditConfig { signer, ..config(&store) }).await.expect("a log");
        log.record(&event(org_id)).await.expect("recorded");
        log.shutdown().await.expect("closed");
    }
    let text = export(&store, org_id).await;
    let (old, new) = (signer().public_key().to_owned(), new.public_key().to_owned());
    for (keys, bad) in
        [(vec![&old, &new], None), (vec![&old], Some(2)), (vec![&new], Some(1)), (vec![], None)]
    {
        let ours = verify_export(text.as_bytes(), keys.iter().map(|k| (*k).clone()).collect(), Vec::new());
        assert_eq!(ours.expect("an export").report.first_bad.map(|b| b.seq), bad);
        let arguments: Vec<&str> = keys.iter().flat_map(|k| ["--public-key", k.as_str()]).collect();
        assert_eq!(ask_python(&text, &arguments).1, bad);
    }
}

#[tokio::test]
async fn what_is_no_export_is_said_to_be_none() {
    for text in ["", "{}", "hello", "{\"type\":\"tappass-audit-export\",\"version\":2}"] {
        assert!(verify_export(text.as_bytes(), Vec::new(), Vec::new()).is_err());
        assert_eq!(ask_python(text, &[]).0, 2);
    }
    let empty = export(&Store::connect(&StoreConfig::Memory).await.expect("a store"), org()).await;
    assert_eq!(judge(&empty.lines().map(str::to_owned).collect::<Vec<_>>(), None), None);
}

#[tokio::test]
async fn numbers_mean_the_same_to_both() {
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    let (log, org_id) = (AuditLog::start(config(&store)).await.expect("a log"), org());
    // Doubles of every size and shape, from a fixed seed.
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..50 {
        let mut event = event(org_id);
        let numbers: Vec<f64> = (0..40)
            .map(|_| {
                bits ^= bits << 13;
                bits ^= bits >> 7;
                bits ^= bits << 17;
                f64::from_bits(bits)
            })
            .filter(|f| f.is_finite())
            .chain([1e21, 1e-7, 123e-8, 0.1 + 0.2, 1_424_953_923_781_206.2, 100.0, 5e-324])
            .collect();
        event.details = json!({ "numbers": numbers });
        log.record(&event).await.expect("recorded");
    }
    log.shutdown().await.expect("closed");
    let lines: Vec<String> = export(&store, org_id).await.lines().map(str::to_owned).collect();
    assert_eq!(judge(&lines, None), None);
}

#[tokio::test]
async fn columns_and_rows_changed_in_the_database_are_found() {
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    let (log, org_id) = (AuditLog::start(config(&store)).await.expect("a log"), org());
    for _ in 0..5 {
        log.record(&event(org_id)).await.expect("recorded");
    }
    log.shutdown().await.expect("closed");
    let verdict = async || {
        let report =
            tappass_audit::verify_store(&store, org_id, Vec::new(), Vec::new()).await.expect("a report");
        report.first_bad.map(|b| b.seq)
    };
    let run = async |sql: &'static str| {
        let mut tx = store.db().write(Reach::All).await.expect("a transaction");
        tx.batch(sql).await.expect("runs");
        tx.commit().await.expect("commits");
    };
    assert_eq!(verdict().await, None);
    run("UPDATE audit_events SET action = 'block' WHERE seq = 2").await;
    assert_eq!(verdict().await, Some(2));
    run("UPDATE audit_events SET action = 'allow' WHERE seq = 2; UPDATE audit_events SET agent_id = NULL WHERE seq = 3")
        .await;
    assert_eq!(verdict().await, Some(3));
    run("UPDATE audit_events SET agent_id = 'claims-processor'; UPDATE audit_heads SET size = 4").await;
    assert_eq!(verdict().await, Some(5), "the checkpoint knows of a fifth");
    run("DELETE FROM audit_events WHERE seq = 5; UPDATE audit_heads SET size = 5").await;
    assert_eq!(verdict().await, Some(5));
}
