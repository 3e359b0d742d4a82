//! Opening, migrating, and what is said when it fails.

use tappass_store::{Reach, Store, StoreConfig, StoreError, migrate};
use tappass_testkit::TempPostgres;

use crate::support::{at, on_each, org};

#[tokio::test]
async fn it_answers_and_migrating_again_changes_nothing() {
    on_each(async |store| {
        store.ping().await.expect("an answer");
        store.orgs().create(&org("Kept")).await.expect("an organisation");
        migrate::run(store.db(), migrate::of(store.db())).await.expect("nothing to do");
        let page = store.orgs().list(&tappass_store::PageRequest::default()).await.expect("a list");
        assert_eq!(page.items.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_newer_or_changed_schema_is_refused() {
    on_each(async |store| {
        let all = migrate::of(store.db());
        let older = migrate::run(store.db(), &all[..all.len() - 1]).await;
        assert!(matches!(older, Err(StoreError::NewerSchema { .. })), "{older:?}");
        let mut edited = all.to_vec();
        edited[0].sql = "SELECT 1";
        let changed = migrate::run(store.db(), &edited).await;
        assert!(matches!(changed, Err(StoreError::ChangedMigration { version: 1, .. })), "{changed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing() {
    on_each(async |store| {
        let all = migrate::of(store.db());
        let mut more = all.to_vec();
        let version = all.last().expect("one").version + 1;
        let sql = "CREATE TABLE half (x TEXT); INSERT INTO nowhere VALUES (1);";
        more.push(migrate::Migration { version, name: "half", sql });
        let failed = migrate::run(store.db(), &more).await;
        assert!(matches!(failed, Err(StoreError::Migration { .. })), "{failed:?}");
        let mut tx = store.db().read(Reach::All).await.expect("a transaction");
        assert!(tx.fetch_all(sqlx::query("SELECT x FROM half")).await.is_err());
        drop(tx);
        migrate::run(store.db(), all).await.expect("as before");
    })
    .await;
}

#[tokio::test]
async fn replicas_may_start_at_once() {
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let config = StoreConfig::Postgres { url: postgres.database().await.expect("a database") };
    let dir = tempfile::tempdir().expect("a directory");
    for config in [config, StoreConfig::Local { dir: dir.path().to_owned() }] {
        let (a, b, c) =
            tokio::join!(Store::connect(&config), Store::connect(&config), Store::connect(&config));
        for store in [a, b, c] {
            store.expect("a store").close().await;
        }
    }
}

/// A statement alone takes two exchanges with the server; PgBouncer may send each to another one unless they are a
/// transaction.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_stand_alone_hold_behind_a_pooler() {
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let behind = postgres.database().await.expect("a database");
    let url = postgres.pooled(&behind).await.expect("PgBouncer");
    let store = Store::connect(&StoreConfig::Postgres { url }).await.expect("a store");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let store = store.clone();
        tasks.spawn(async move {
            for second in 0..50 {
                store.approvals().forget(at(second)).await?;
            }
            Ok::<(), StoreError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").expect("each statement runs");
    }
}

#[tokio::test]
async fn what_is_stored_outlives_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    // What means something in a URL must not in a path.
    let config = StoreConfig::Local { dir: dir.path().join("a b?c#d%20ü") };
    let ours = org("Ours");
    let store = Store::connect(&config).await.expect("a store");
    store.orgs().create(&ours).await.expect("an organisation");
    store.close().await;
    let store = Store::connect(&config).await.expect("a store");
    assert_eq!(store.orgs().get(ours.org_id).await.expect("an answer"), Some(ours));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let _store = Store::connect(&StoreConfig::Local { dir: data.clone() }).await.expect("a store");
    let mode = |p: &std::path::Path| std::fs::metadata(p).expect("it").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(&data).expect("files") {
        let path = file.expect("a file").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn sqlite_is_durable_and_strict() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::connect(&StoreConfig::Local { dir: dir.path().to_owned() }).await.expect("a store");
    let reader = store.db().read(Reach::All).await.expect("a reader");
    let writer = store.db().write(Reach::All).await.expect("a writer");
    for mut tx in [reader, writer] {
        for (pragma, want) in [
            ("SELECT journal_mode AS v FROM pragma_journal_mode", "wal"),
            ("SELECT CAST(synchronous AS TEXT) AS v FROM pragma_synchronous", "2"),
            ("SELECT CAST(foreign_keys AS TEXT) AS v FROM pragma_foreign_keys", "1"),
            ("SELECT CAST(timeout AS TEXT) AS v FROM pragma_busy_timeout", "10000"),
        ] {
            let row = tx.fetch_optional(sqlx::query(pragma)).await.expect("an answer").expect("a row");
            assert_eq!(tappass_store::row::Columns::text(&row, "v").expect("text"), want, "{pragma}");
        }
    }
}

async fn refusal(config: StoreConfig) -> String {
    Store::connect(&config).await.expect_err("a refusal").to_string()
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("a file");
    let said = refusal(StoreConfig::Local { dir: file.join("data") }).await;
    assert!(said.contains("be writable by this user"), "{said}");

    std::fs::write(dir.path().join("tappass.db"), "not a database at all".repeat(100)).expect("a file");
    let said = refusal(StoreConfig::Local { dir: dir.path().to_owned() }).await;
    assert!(said.contains("not a database"), "{said}");

    let said = refusal(StoreConfig::Postgres { url: "postgres//x".to_owned() }).await;
    assert!(said.contains("DATABASE_URL"), "{said}");
    let said = refusal(StoreConfig::Postgres { url: "postgres://u:hunter2@127.0.0.1:1/x".to_owned() }).await;
    assert!(said.contains("is the server running") && said.contains("127.0.0.1:1"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let said = refusal(StoreConfig::Postgres { url: postgres.url("nowhere") }).await;
    assert!(said.contains("createdb"), "{said}");
    let said =
        refusal(StoreConfig::Postgres { url: postgres.url("postgres").replace("tappass@", "nobody@") }).await;
    assert!(said.contains("user or password"), "{said}");
}

#[tokio::test]
async fn nothing_stays_prepared_on_postgres() {
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let url = postgres.database().await.expect("a database");
    let store = Store::connect(&StoreConfig::Postgres { url }).await.expect("a store");
    store.orgs().create(&org("Ours")).await.expect("an organisation");
    let mut tx = store.db().read(Reach::All).await.expect("a transaction");
    let row = tx.fetch_optional(sqlx::query("SELECT count(*) AS n FROM pg_prepared_statements")).await;
    let n =
        tappass_store::row::Columns::int(&row.expect("an answer").expect("a row"), "n").expect("a number");
    assert_eq!(n, 0, "a pooler in transaction mode loses prepared statements");
}

#[tokio::test]
async fn a_lock_held_by_another_process_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = StoreConfig::Local { dir: dir.path().to_owned() };
    let (ours, other) = (Store::connect(&config).await, Store::connect(&config).await);
    let (ours, other) = (ours.expect("a store"), other.expect("a store"));
    // The one writer of a store: it shall not wait here.
    let mut tx = ours.db().write(Reach::All).await.expect("the lock");
    tx.batch("PRAGMA busy_timeout = 0").await.expect("set");
    tx.commit().await.expect("done");
    let held = other.db().write(Reach::All).await.expect("the lock");
    assert!(matches!(ours.db().write(Reach::All).await, Err(StoreError::Locked)));
    ours.ping().await.expect("reading goes on");
    held.commit().await.expect("done");
    ours.db().write(Reach::All).await.expect("the lock is free");
}
