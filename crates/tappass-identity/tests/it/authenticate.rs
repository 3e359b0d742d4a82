//! Who a token belongs to.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tappass_identity::{
    ApiKey, AuthError, KeyTerms, Principal, SessionToken, SvidConfig, Svids,
    svid::{SpiffeId, TrustDomain},
};
use tappass_model::{AgentCredential, Clock as _, Ids as _, Mode, SystemIds};
use tappass_store::{AgentStatus, KeyKind, Reach};

use crate::support::World;

#[tokio::test]
async fn a_key_belongs_to_its_agent() {
    let world = World::new().await;
    let (agent, record, key) = world.agent().await;
    let caller = world.auth.agent(key.expose()).await.expect("the agent");
    assert_eq!(
        (caller.org_id, caller.agent_uuid, &caller.credential),
        (agent.org_id, agent.agent_uuid, &AgentCredential::ApiKey { key_id: record.key_id })
    );
    assert_eq!((caller.agent_id.as_str(), &caller.settings), ("claims", &agent.settings));
    assert!(matches!(world.auth.identify(key.expose()).await, Ok(Principal::Agent(a)) if a == caller));
    let other = SystemIds.uuid();
    assert!(
        world
            .auth
            .issue_key(other, agent.agent_uuid, KeyTerms::default())
            .await
            .expect("an answer")
            .is_none()
    );
}

#[tokio::test]
async fn what_was_never_given_belongs_to_nobody() {
    let world = World::new().await;
    let (_, _, key) = world.agent().await;
    let personal = ApiKey::generate(KeyKind::Personal);
    let (never, session) = (ApiKey::generate(KeyKind::Agent), SessionToken::generate());
    let cut = &key.expose()[..key.expose().len() - 1];
    let text = [never.expose(), session.expose(), personal.expose(), cut, "", "tp_", "tps_", "ü"];
    for token in text {
        assert!(matches!(world.auth.identify(token).await, Err(AuthError::Unknown)), "{token}");
    }
}

#[tokio::test]
async fn only_the_hash_of_a_key_is_stored() {
    let world = World::new().await;
    let (agent, record, key) = world.agent().await;
    let mut tx = world.store.db().read(Reach::All).await.expect("a transaction");
    let select = "SELECT key_hash || hint AS everything FROM agent_keys";
    let rows = tx.fetch_all(sqlx::query(select)).await.expect("rows");
    let stored = tappass_store::row::Columns::text(&rows[0], "everything").expect("text");
    assert!(!stored.contains(key.expose()) && !stored.contains(&key.expose()[8..40]), "{stored}");
    tx.commit().await.expect("done");
    assert_eq!(world.store.keys().list(agent.org_id, agent.agent_uuid).await.expect("keys"), [record]);
}

#[tokio::test]
async fn the_admin_key_is_compared_whole() {
    let world = World::new().await;
    let admin = world.secrets.admin_api_key().to_owned();
    assert!(matches!(world.auth.identify(&admin).await, Ok(Principal::Admin)));
    for wrong in [&admin[..admin.len() - 1], &format!("{admin}x"), &admin.to_uppercase(), ""] {
        assert!(!world.auth.is_admin(wrong), "{wrong}");
    }
}

#[tokio::test]
async fn what_is_changed_here_holds_at_once() {
    let world = World::new().await;
    let (mut agent, record, key) = world.agent().await;
    let (org_id, uuid) = (agent.org_id, agent.agent_uuid);
    let auth = &world.auth;
    auth.agent(key.expose()).await.expect("cached");

    agent.settings.mode = Mode::Enforce;
    auth.update_agent(&agent).await.expect("written").expect("it");
    assert_eq!(auth.agent(key.expose()).await.expect("the agent").settings.mode, Mode::Enforce);

    assert!(auth.set_status(org_id, uuid, AgentStatus::Suspended).await.expect("an answer"));
    assert!(matches!(auth.agent(key.expose()).await, Err(AuthError::Suspended)));
    assert!(auth.set_status(org_id, uuid, AgentStatus::Active).await.expect("an answer"));
    auth.agent(key.expose()).await.expect("active again");

    assert!(auth.revoke_key(org_id, uuid, record.key_id).await.expect("an answer"));
    assert!(matches!(auth.agent(key.expose()).await, Err(AuthError::Unknown)));

    let second =
        auth.issue_key(org_id, uuid, KeyTerms::default()).await.expect("an answer").expect("a key").1;
    auth.agent(second.expose()).await.expect("cached");
    assert!(auth.delete_agent(org_id, uuid).await.expect("an answer"));
    assert!(matches!(auth.agent(second.expose()).await, Err(AuthError::Unknown)));
}

#[tokio::test]
async fn what_another_replica_changes_holds_soon() {
    let world = World::new().await;
    let (agent, _, key) = world.agent().await;
    let other = world.replica();
    other.agent(key.expose()).await.expect("cached there");
    world.auth.set_status(agent.org_id, agent.agent_uuid, AgentStatus::Suspended).await.expect("an answer");
    let deadline = Instant::now() + Duration::from_secs(20);
    while other.agent(key.expose()).await.is_ok() {
        assert!(Instant::now() < deadline, "never noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(other.agent(key.expose()).await, Err(AuthError::Suspended)));
}

#[tokio::test]
async fn a_workload_is_forgotten_as_a_key_is() {
    let world = World::new().await;
    let (mut agent, _, _) = world.agent().await;
    let (org_id, uuid) = (agent.org_id, agent.agent_uuid);
    let replica = || {
        let trust_domain = Some(TrustDomain::new("corp.example").expect("valid"));
        let config = SvidConfig { trust_domain, ..SvidConfig::default() };
        let svids = Svids::open(config, world.clock.clone()).expect("opens");
        world.replica().with_svids(Arc::new(svids))
    };
    let (here, there) = (replica(), replica());
    let id = |path: &str| SpiffeId::new(format!("spiffe://corp.example{path}")).expect("valid");
    let named = id(&format!("/agent/{org_id}/claims"));
    let caller = here.workload(&named).await.expect("the agent");
    assert_eq!(caller.credential, AgentCredential::X509Svid { spiffe_id: named.to_string() });
    assert!(matches!(world.auth.workload(&named).await, Err(AuthError::Unknown)), "it accepts no SVIDs");
    let foreign = SpiffeId::new(format!("spiffe://else.example/agent/{org_id}/claims")).expect("valid");
    assert!(matches!(here.workload(&foreign).await, Err(AuthError::Unknown)));

    agent.spiffe_id = Some(id("/claims").to_string());
    here.update_agent(&agent).await.expect("written").expect("it");
    assert!(matches!(here.workload(&named).await, Err(AuthError::Unknown)), "at once");
    there.workload(&id("/claims")).await.expect("the agent");
    assert!(here.set_status(org_id, uuid, AgentStatus::Suspended).await.expect("an answer"));
    assert!(matches!(here.workload(&id("/claims")).await, Err(AuthError::Suspended)), "at once");
    let deadline = Instant::now() + Duration::from_secs(20);
    while there.workload(&id("/claims")).await.is_ok() {
        assert!(Instant::now() < deadline, "never noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(there.workload(&id("/claims")).await, Err(AuthError::Suspended)), "soon");
}

#[tokio::test]
async fn the_last_use_is_written_down_later() {
    let world = World::new().await;
    let (agent, _, key) = world.agent().await;
    world.clock.advance(Duration::from_secs(60));
    world.auth.agent(key.expose()).await.expect("the agent");
    let used =
        async || world.store.keys().list(agent.org_id, agent.agent_uuid).await.expect("keys")[0].last_used_at;
    assert_eq!(used().await, None);
    world.auth.flush_uses().await.expect("written");
    assert_eq!(used().await, Some(world.clock.now()));
}
