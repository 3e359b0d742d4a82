//! Promise 2: the store is down. Enforce fails in time, observe spools and replays once and in order.

use std::time::{Duration, Instant};

use tappass_audit::{AuditConfig, AuditError, AuditLog, Recorded};
use tappass_store::{Reach, Store, StoreConfig, Tx};
use tappass_testkit::TempPostgres;
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{assert_whole, config, event, eventually, local, org, stored};

/// A log on a SQLite file, and a second process's hand on that file's lock.
struct Bench {
    dir: TempDir,
    store: Store,
    rival: Store,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::connect(&local(dir.path())).await.expect("a store");
        let rival = Store::connect(&local(dir.path())).await.expect("a second one");
        Self { dir, store, rival }
    }

    fn config(&self) -> AuditConfig {
        let spool_dir = Some(self.dir.path().join("spool"));
        AuditConfig { spool_dir, deadline: Duration::from_millis(800), ..config(&self.store) }
    }

    /// While this is held, no write to the store comes back.
    async fn hold(&self) -> Tx {
        self.rival.db().write(Reach::All).await.expect("the lock")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enforce_fails_within_the_deadline_and_recovers() {
    let bench = Bench::new().await;
    let (log, org_id) = (AuditLog::start(bench.config()).await.expect("a log"), org());
    log.record(&event(org_id)).await.expect("recorded");
    let held = bench.hold().await;
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let log = log.clone();
        callers.spawn(async move {
            let began = Instant::now();
            let refused = log.record(&event(org_id)).await;
            assert!(matches!(refused, Err(AuditError::Unavailable(_))), "{refused:?}");
            // The promise is the deadline (0.8 s here); the margin is for busy machines. Without it: the lock's 10 s.
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        });
    }
    callers.join_all().await;
    assert!(log.healthy().is_err());
    drop(held);
    eventually("healthy by itself", async || log.healthy().is_ok()).await;
    // On a busy machine one commit can take longer than this short deadline; it must not stay so.
    eventually("records again", async || log.record(&event(org_id)).await.is_ok()).await;
    log.shutdown().await.expect("closed");
    let count = stored(&bench.store, org_id).await.len() as u64;
    assert!(count >= 2, "those before and after");
    assert_whole(&bench.store, org_id, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_spools_and_replays_once_in_order_over_a_restart() {
    let bench = Bench::new().await;
    let (log, org_id) = (AuditLog::start(bench.config()).await.expect("a log"), org());
    let held = bench.hold().await;
    let mut spooled: Vec<Uuid> = Vec::new();
    for _ in 0..300 {
        let event = event(org_id);
        spooled.push(event.event_id);
        let recorded = log.record_or_spool(event).await.expect("kept");
        assert_eq!(recorded, Recorded::Spooled);
    }
    assert!(log.healthy().is_err());
    // The process ends while the store is still down; the next one finds the spool.
    let _ = log.shutdown().await;
    drop(held);
    // However soon a new event comes, it comes after those. (So long a deadline that a busy machine has the time.)
    let patient = AuditConfig { deadline: Duration::from_secs(60), ..bench.config() };
    let log = AuditLog::start(patient).await.expect("a log");
    let after = event(org_id);
    log.record(&after).await.expect("recorded");
    log.shutdown().await.expect("closed");
    // The first write was given up by its callers but may have got through by itself: its event is in the spool too.
    spooled.push(after.event_id);
    assert_eq!(stored(&bench.store, org_id).await, spooled);
    assert_whole(&bench.store, org_id, 301).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_leaves_a_gap_that_is_counted() {
    let bench = Bench::new().await;
    let log = AuditLog::start(AuditConfig { spool_max_bytes: 4000, ..bench.config() }).await.expect("a log");
    let org_id = org();
    let held = bench.hold().await;
    let (mut spooled, mut lost) = (0, 0);
    for _ in 0..40 {
        match log.record_or_spool(event(org_id)).await.expect("an answer") {
            Recorded::Spooled => spooled += 1,
            Recorded::Lost => lost += 1,
            Recorded::Stored(r) => panic!("the store is down: {r:?}"),
        }
    }
    assert!(spooled > 0 && lost > 0, "{spooled} spooled, {lost} lost");
    let size = std::fs::metadata(bench.dir.path().join("spool/audit-spool.jsonl")).expect("the spool").len();
    assert!(size <= 4000, "{size}");
    drop(held);
    let gaps = async || {
        let rows = bench.store.audit().range(org_id, 0, 500).await.expect("rows");
        let gaps = rows.iter().filter(|r| r.event_type == "audit_gap");
        gaps.map(|r| {
            serde_json::from_str::<serde_json::Value>(&r.body).expect("JSON")["details"]["lost"].as_u64()
        })
        .map(|n| n.expect("a count"))
        .sum::<u64>()
    };
    eventually("the gap is told", async || gaps().await > 0).await;
    log.shutdown().await.expect("closed");
    assert_eq!(gaps().await, lost);
    let stored = bench.store.audit().range(org_id, 0, 500).await.expect("rows");
    assert_eq!(stored.iter().filter(|r| r.event_type == "llm_call").count(), spooled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_refuses_connections_is_survived() {
    let server = TempPostgres::start().await.expect("PostgreSQL");
    let url = server.database().await.expect("a database");
    let name = url.rsplit('/').next().and_then(|n| n.split('?').next()).expect("a name").to_owned();
    let store = Store::connect(&StoreConfig::Postgres { url }).await.expect("a store");
    let dir = tempfile::tempdir().expect("a directory");
    let config = AuditConfig { spool_dir: Some(dir.path().to_owned()), ..config(&store) };
    let (log, org_id) = (AuditLog::start(config).await.expect("a log"), org());
    let mut all = vec![event(org_id)];
    log.record(&all[0]).await.expect("recorded");

    let admin = server.url("postgres");
    let close = format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false");
    server.sql(&admin, &close).await.expect("closed");
    let kill = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    server.sql(&admin, &kill).await.expect("cut");
    for _ in 0..5 {
        let event = event(org_id);
        assert_eq!(log.record_or_spool(event.clone()).await.expect("kept"), Recorded::Spooled);
        all.push(event);
    }
    assert!(matches!(log.record(&event(org_id)).await, Err(AuditError::Unavailable(_))));
    assert!(log.healthy().is_err());

    let open = format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true");
    server.sql(&admin, &open).await.expect("open");
    eventually("replayed", async || log.healthy().is_ok()).await;
    log.shutdown().await.expect("closed");
    // Nothing refused was written here: the connection was gone before anything was sent.
    assert_eq!(stored(&store, org_id).await, all.iter().map(|e| e.event_id).collect::<Vec<_>>());
    assert_whole(&store, org_id, 6).await;
}
