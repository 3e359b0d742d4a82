//! PostgreSQL's row-level security: what a statement that forgets its organisation sees.

use sqlx::query;
use tappass_store::{AgentKey, Reach, Store, StoreConfig, row::Columns as _};
use tappass_testkit::TempPostgres;

use crate::support::{agent, key, two_orgs};

/// A store on PostgreSQL, directly and behind PgBouncer.
async fn on_postgres(test: impl AsyncFn(Store, String)) {
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let behind = postgres.database().await.expect("a database");
    for (url, by) in [
        postgres.database().await.map(|url| (url.clone(), url)).expect("a database"),
        (behind.clone(), postgres.pooled(&behind).await.expect("PgBouncer")),
    ] {
        let store = Store::connect(&StoreConfig::Postgres { url: by }).await.expect("a store");
        test(store.clone(), url).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_statement_without_its_organisation_sees_no_others() {
    on_postgres(async |store, _| {
        let (ours, theirs) = two_orgs(&store).await;
        for org in [&ours, &theirs] {
            let made = agent(org, "claims");
            assert!(store.agents().create(&made).await.expect("an agent"));
            let key = AgentKey { hint: org.name.clone(), ..key(&made) };
            assert!(store.keys().create(&key, org.name.clone()).await.expect("a key"));
        }
        for table in ["agents", "agent_keys", "memberships", "orgs"] {
            let rows = async |reach: Reach| {
                let mut tx = store.db().read(reach).await.expect("a transaction");
                // What a bug would send.
                let all = query(sqlx::AssertSqlSafe(format!("SELECT org_id FROM {table}")));
                let rows = tx.fetch_all(all).await.expect("rows");
                rows.iter().map(|row| row.uuid("org_id").expect("an id")).collect::<Vec<_>>()
            };
            assert_eq!(rows(ours.org_id.into()).await, [ours.org_id], "{table}");
            assert_eq!(rows(theirs.org_id.into()).await, [theirs.org_id], "{table}");
            assert_eq!(rows(Reach::All).await.len(), 2, "{table}");
            assert!(rows(uuid::Uuid::nil().into()).await.is_empty(), "{table}");
        }

        let mut tx = store.db().write(ours.org_id).await.expect("a transaction");
        assert_eq!(tx.execute(query("UPDATE agents SET name = 'taken'")).await.expect("done"), 1);
        assert_eq!(tx.execute(query("DELETE FROM agent_keys")).await.expect("done"), 1);
        tx.commit().await.expect("kept");
        let mut tx = store.db().read(Reach::All).await.expect("a transaction");
        let untouched = query("SELECT name FROM agents WHERE org_id = $1").bind(theirs.org_id.to_string());
        let row = tx.fetch_optional(untouched).await.expect("an answer").expect("a row");
        assert_eq!(row.text("name").expect("text"), "Claims");
        drop(tx);

        // Nothing is given away to another organisation either, nor made in its name.
        for sql in [
            "UPDATE agents SET org_id = $1",
            "INSERT INTO settings (org_id, name, version, body, updated_at) VALUES ($1, 'x', 1, '', 1)",
        ] {
            let mut tx = store.db().write(ours.org_id).await.expect("a transaction");
            let refused = tx.execute(query(sql).bind(theirs.org_id.to_string())).await;
            let said = refused.expect_err(sql).to_string();
            assert!(said.contains("row-level security"), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_says_nothing_sees_nothing() {
    on_postgres(async |store, _| {
        two_orgs(&store).await;
        // The connection that has just been used for all, and one that was never asked.
        for _ in 0..4 {
            let mut tx = store.db().read(Reach::All).await.expect("a transaction");
            tx.batch("ROLLBACK; BEGIN").await.expect("another transaction");
            let rows = tx.fetch_all(query("SELECT org_id FROM orgs")).await.expect("rows");
            assert!(rows.is_empty(), "the setting has outlived its transaction");
        }
    })
    .await;
}

#[tokio::test]
async fn every_table_with_organisations_has_the_wall() {
    on_postgres(async |store, _| {
        let mut tx = store.db().read(Reach::All).await.expect("a transaction");
        let tables = query(
            "SELECT c.relname::TEXT AS name, \
             CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 1::BIGINT ELSE 0 END AS forced, \
             (SELECT string_agg(p.polcmd::TEXT || ' ' || p.polpermissive::TEXT || ' ' || pg_get_expr(p.polqual, p.polrelid), ';') \
              FROM pg_policy p WHERE p.polrelid = c.oid) AS policies \
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relnamespace = current_schema()::REGNAMESPACE AND c.relkind = 'r' \
             AND a.attname = 'org_id' AND NOT a.attisdropped ORDER BY c.relname",
        );
        let rows = tx.fetch_all(tables).await.expect("the catalogue");
        assert!(rows.len() >= 20, "{} tables", rows.len());
        let policy = rows[0].opt_text("policies").expect("text").expect("a policy");
        assert!(policy.starts_with("* true") && policy.contains("tappass.org"), "{policy}");
        for row in &rows {
            let name = row.text("name").expect("a name");
            assert_eq!(row.int("forced").expect("a number"), 1, "{name} has no forced row-level security");
            let its = row.opt_text("policies").expect("text");
            assert_eq!(its.as_ref(), Some(&policy), "{name}: SELECT organisation_wall('{name}') in its migration");
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_that_goes_past_the_wall_is_told() {
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let url = postgres.database().await.expect("a database");
    let store = Store::connect(&StoreConfig::Postgres { url: url.clone() }).await.expect("a store");
    assert_eq!(store.beyond_the_wall().await.expect("an answer"), None);
    let url = url.replace("//tappass@", "//postgres@");
    let store = Store::connect(&StoreConfig::Postgres { url }).await.expect("a store");
    assert_eq!(store.beyond_the_wall().await.expect("an answer"), Some("postgres".to_owned()));
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    assert_eq!(store.beyond_the_wall().await.expect("an answer"), None, "SQLite has no roles");
}
