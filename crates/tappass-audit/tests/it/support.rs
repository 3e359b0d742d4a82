//! Makes logs and events, and asks the independent verifier.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use tappass_audit::{AuditConfig, AuditLog, Event, EventType, Exporter, Signer};
use tappass_model::{Action, Clock as _, Ids as _, Mode, SystemClock, SystemIds};
use tappass_store::{Store, StoreConfig};
use tappass_testkit::TempPostgres;
use uuid::Uuid;

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub fn signer() -> Arc<Signer> {
    Arc::new(Signer::from_seed(&[42; 32]))
}

pub fn config(store: &Store) -> AuditConfig {
    AuditConfig::new(store.clone(), signer(), Arc::new(SystemClock), Arc::new(SystemIds))
}

pub async fn log_on(store: &Store) -> AuditLog {
    AuditLog::start(config(store)).await.expect("a log")
}

pub async fn postgres() -> StoreConfig {
    let url = TempPostgres::start().await.expect("PostgreSQL").database().await.expect("a database");
    StoreConfig::Postgres { url }
}

pub fn local(dir: &Path) -> StoreConfig {
    StoreConfig::Local { dir: dir.join("data") }
}

pub fn org() -> Uuid {
    SystemIds.uuid()
}

pub fn event(org_id: Uuid) -> Event {
    let mut event = Event::new(EventType::LlmCall, org_id, &SystemIds, &SystemClock);
    event.agent_id = Some("claims-processor".to_owned());
    event.mode = Some(Mode::Enforce);
    event.action = Some(Action::Allow);
    event.cost_usd = Some(0.000_012_5);
    event.details = serde_json::json!({"note": "Grüße \u{1f600}\u{7f}\u{1}\"\\/", "ratio": 1e-9, "n": 12_345_678_901_u64});
    event
}

/// Every stored event id, in the order of the log.
pub async fn stored(store: &Store, org_id: Uuid) -> Vec<Uuid> {
    let mut ids = Vec::new();
    let mut after = 0;
    loop {
        let rows = store.audit().range(org_id, after, 500).await.expect("rows");
        let Some(last) = rows.last() else { return ids };
        after = last.seq;
        ids.extend(rows.iter().map(|r| r.event_id));
    }
}

pub async fn assert_whole(store: &Store, org_id: Uuid, expected: u64) {
    let keys = vec![signer().public_key().to_owned()];
    let report = tappass_audit::verify_store(store, org_id, keys, Vec::new()).await.expect("a report");
    assert!(report.ok && report.events == expected, "{expected} expected: {report:?}");
    let ids = stored(store, org_id).await;
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "an event stands twice");
}

pub async fn export(store: &Store, org_id: Uuid) -> String {
    let mut exporter =
        Exporter::new(store.clone(), org_id, &signer(), SystemClock.now()).await.expect("an export");
    let mut text = String::new();
    while let Some(chunk) = exporter.next_chunk().await.expect("a chunk") {
        text.push_str(&chunk);
    }
    text
}

/// What `tools/verify_audit.py` says: its exit code and the number of the first bad event.
pub fn ask_python(export: &str, arguments: &[&str]) -> (i32, Option<u64>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("export.jsonl");
    std::fs::write(&file, export).expect("written");
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tools/verify_audit.py");
    let output = Command::new("python3").arg(tool).arg(&file).args(arguments).output().expect("python3 runs");
    let (said, erred) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        !erred.contains("`cryptography` is missing"),
        "the second verifier needs the Python package `cryptography`: ./test installs it, or `pip install cryptography`"
    );
    let seq = said.strip_prefix("BROKEN at event ").map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    });
    (output.status.code().expect("an exit code"), seq)
}

/// Polls until the condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
