//! Runs a test on each storage, and makes what the tests are about.

use jiff::Timestamp;
use tappass_model::{AgentSettings, Ids as _, Role, SystemIds};
use tappass_store::{Agent, AgentKey, AgentStatus, Credentials, KeyKind, Org, Store, StoreConfig, User};
use tappass_testkit::TempPostgres;
use uuid::Uuid;

#[expect(clippy::print_stdout, reason = "a failing test shows on which storage")]
/// Runs the test on memory, on a SQLite file, on PostgreSQL, and on PostgreSQL behind PgBouncer in transaction mode; a
/// fresh database each.
pub async fn on_each(test: impl AsyncFn(Store)) {
    let dir = tempfile::tempdir().expect("a directory");
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    let behind = postgres.database().await.expect("a database");
    for config in [
        StoreConfig::Memory,
        StoreConfig::Local { dir: dir.path().join("data") },
        StoreConfig::Postgres { url: postgres.database().await.expect("a database") },
        StoreConfig::Postgres { url: postgres.pooled(&behind).await.expect("PgBouncer") },
    ] {
        println!("on {config:?}");
        let store = Store::connect(&config).await.expect("a store");
        test(store.clone()).await;
        store.close().await;
    }
}

pub fn id() -> Uuid {
    SystemIds.uuid()
}

/// So many seconds into a day of tests, with microseconds, which must survive.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_123_456 + second * 1_000_000).expect("a time")
}

pub fn org(name: &str) -> Org {
    Org { org_id: id(), name: name.to_owned(), created_at: at(0) }
}

pub fn person(email: &str) -> Credentials {
    let user = User { user_id: id(), email: email.to_owned(), created_at: at(1) };
    Credentials { user, password_hash: Some("$argon2id$a".to_owned()), email_verified: false }
}

pub fn agent(org: &Org, agent_id: &str) -> Agent {
    Agent {
        agent_uuid: id(),
        org_id: org.org_id,
        agent_id: agent_id.to_owned(),
        name: "Claims".to_owned(),
        description: "Reads claims — ünïcode".to_owned(),
        framework: None,
        owner_email: Some("o@example.org".to_owned()),
        status: AgentStatus::Active,
        settings: AgentSettings { pipeline: "starter".to_owned(), ..AgentSettings::default() },
        spiffe_id: None,
        version: 1,
        created_at: at(2),
        updated_at: at(2),
    }
}

pub fn key(agent: &Agent) -> AgentKey {
    AgentKey {
        key_id: id(),
        org_id: agent.org_id,
        agent_uuid: agent.agent_uuid,
        kind: KeyKind::Agent,
        hint: "tp_abcd…wxyz".to_owned(),
        email: None,
        created_by: None,
        created_at: at(3),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

/// Two organisations, each with an administrator.
pub async fn two_orgs(store: &Store) -> (Org, Org) {
    let (ours, theirs) = (org("Ours"), org("Theirs"));
    let users = store.users();
    users.sign_up(&ours, &person("a@ours.example"), Role::OrgAdmin).await.expect("ours");
    users.sign_up(&theirs, &person("a@theirs.example"), Role::OrgAdmin).await.expect("theirs");
    (ours, theirs)
}
