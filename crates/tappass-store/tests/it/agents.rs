//! Agents and their keys.

use tappass_model::{Flags, Mode};
use tappass_store::{Agent, AgentStatus, PageRequest, StoreError};

use crate::support::{agent, at, id, key, on_each, org, two_orgs};

#[tokio::test]
async fn an_agent_is_kept_as_it_was_given() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let mut made = agent(&ours, "claims");
        made.settings.flags = Flags::parse("pii=mask, tools=allowlist:crm").expect("flags");
        assert!(store.agents().create(&made).await.expect("an agent"));
        let agents = store.agents();
        assert_eq!(agents.get(ours.org_id, made.agent_uuid).await.expect("an answer").as_ref(), Some(&made));
        assert_eq!(agents.find(ours.org_id, "claims").await.expect("an answer").as_ref(), Some(&made));
        let uuid = made.agent_uuid.to_string();
        assert_eq!(agents.find(ours.org_id, &uuid).await.expect("an answer").as_ref(), Some(&made));
        assert_eq!(agents.count().await.expect("a number"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_name_is_unique_in_its_organisation_only() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        assert!(store.agents().create(&agent(&ours, "claims")).await.expect("ours"));
        assert!(store.agents().create(&agent(&theirs, "claims")).await.expect("theirs"));
        let twice = store.agents().create(&agent(&ours, "claims")).await;
        assert!(
            matches!(&twice, Err(StoreError::Conflict(what)) if what == "an agent `claims`"),
            "{twice:?}"
        );
        assert!(!store.agents().create(&agent(&org("Nowhere"), "claims")).await.expect("no organisation"));
    })
    .await;
}

#[tokio::test]
async fn a_foreign_agent_is_as_a_missing_one() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let mut made = agent(&ours, "claims");
        store.agents().create(&made).await.expect("an agent");
        let made_key = key(&made);
        store.keys().create(&made_key, "hash".to_owned()).await.expect("a key");
        let (agents, keys, foreign, uuid) = (store.agents(), store.keys(), theirs.org_id, made.agent_uuid);

        assert_eq!(agents.get(foreign, uuid).await.expect("an answer"), None);
        assert_eq!(agents.find(foreign, "claims").await.expect("an answer"), None);
        assert_eq!(agents.find(foreign, &uuid.to_string()).await.expect("an answer"), None);
        assert_eq!(agents.list(foreign, &PageRequest::default()).await.expect("a page").items, []);
        assert!(!agents.set_status(foreign, uuid, AgentStatus::Suspended, at(9)).await.expect("an answer"));
        assert!(!agents.delete(foreign, uuid).await.expect("an answer"));
        assert_eq!(keys.list(foreign, uuid).await.expect("an answer"), []);
        assert!(!keys.revoke(foreign, uuid, made_key.key_id, at(9)).await.expect("an answer"));
        let mut stolen = key(&made);
        stolen.org_id = foreign;
        assert!(!keys.create(&stolen, "other".to_owned()).await.expect("an answer"));

        let before = made.clone();
        made.org_id = foreign;
        "stolen".clone_into(&mut made.name);
        assert_eq!(agents.update(&made, at(9)).await.expect("an answer"), None);
        assert_eq!(agents.get(ours.org_id, uuid).await.expect("an answer"), Some(before));
        assert!(keys.holder("hash").await.expect("an answer").is_some());
    })
    .await;
}

#[tokio::test]
async fn a_change_that_someone_else_overtook_is_refused() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let made = agent(&ours, "claims");
        store.agents().create(&made).await.expect("an agent");
        let mut first = made.clone();
        first.settings.mode = Mode::Enforce;
        first.framework = Some("crewai".to_owned());
        let now = store.agents().update(&first, at(9)).await.expect("written").expect("it");
        assert_eq!((now.version, now.updated_at, now.settings.mode), (2, at(9), Mode::Enforce));
        let late = store.agents().update(&made, at(10)).await;
        assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
        // Suspending is never overtaken, and counts as a change.
        let (org_id, uuid) = (ours.org_id, made.agent_uuid);
        assert!(store.agents().set_status(org_id, uuid, AgentStatus::Suspended, at(11)).await.expect("it"));
        let late = store.agents().update(&now, at(12)).await;
        assert!(matches!(late, Err(StoreError::Stale(_))), "{late:?}");
        let now = store.agents().get(org_id, uuid).await.expect("an answer").expect("it");
        assert_eq!((now.status, now.version), (AgentStatus::Suspended, 3));
    })
    .await;
}

#[tokio::test]
async fn a_spiffe_id_belongs_to_one_agent_everywhere() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let (mut one, mut other) = (agent(&ours, "claims"), agent(&theirs, "claims"));
        let agents = store.agents();
        for made in [&one, &other, &agent(&ours, "second without an id")] {
            agents.create(made).await.expect("an agent");
        }
        let id = "spiffe://corp.example/claims";
        assert_eq!(agents.by_spiffe_id(id).await.expect("an answer"), None);
        one.spiffe_id = Some(id.to_owned());
        let one = agents.update(&one, at(9)).await.expect("written").expect("it");
        assert_eq!(agents.by_spiffe_id(id).await.expect("an answer"), Some(one.clone()));
        assert_eq!(agents.by_spiffe_id("spiffe://corp.example/Claims").await.expect("an answer"), None);
        other.spiffe_id = Some(id.to_owned());
        let taken = agents.update(&other, at(9)).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
        let mut third = agent(&ours, "third");
        third.spiffe_id = Some(id.to_owned());
        let taken = agents.create(&third).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
        assert!(agents.delete(ours.org_id, one.agent_uuid).await.expect("an answer"));
        assert!(agents.update(&other, at(10)).await.expect("written").is_some(), "free again");
    })
    .await;
}

#[tokio::test]
async fn a_list_goes_through_all_once() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        for i in 0..5 {
            store.agents().create(&agent(&ours, &format!("a{i}"))).await.expect("ours");
            store.agents().create(&agent(&theirs, &format!("a{i}"))).await.expect("theirs");
        }
        let mut seen = Vec::new();
        let mut request = PageRequest { limit: 2, cursor: None };
        loop {
            let page = store.agents().list(ours.org_id, &request).await.expect("a page");
            assert!(page.items.len() <= 2);
            seen.extend(page.items.into_iter().map(|a| a.agent_id));
            let Some(next) = page.next else { break };
            request.cursor = Some(next);
        }
        assert_eq!(seen, ["a0", "a1", "a2", "a3", "a4"]);
    })
    .await;
}

#[tokio::test]
async fn a_key_finds_its_agent_until_it_is_revoked() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let made = agent(&ours, "claims");
        store.agents().create(&made).await.expect("an agent");
        let (first, second) = (key(&made), key(&made));
        let keys = store.keys();
        assert!(keys.create(&first, "hash-1".to_owned()).await.expect("a key"));
        assert!(keys.create(&second, "hash-2".to_owned()).await.expect("a key"));
        let twice = keys.create(&key(&made), "hash-1".to_owned()).await;
        assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");

        let holder = keys.holder("hash-2").await.expect("an answer").expect("a holder");
        assert_eq!((holder.key_id, &holder.agent), (second.key_id, &made));
        assert_eq!(keys.holder("hash-3").await.expect("an answer"), None);

        keys.used(&[(second.key_id, at(20)), (id(), at(20))]).await.expect("noted");
        keys.used(&[(second.key_id, at(15))]).await.expect("noted");
        let (org_id, uuid) = (made.org_id, made.agent_uuid);
        assert!(keys.revoke(org_id, uuid, second.key_id, at(30)).await.expect("an answer"));
        assert!(!keys.revoke(org_id, uuid, second.key_id, at(31)).await.expect("an answer"), "it is revoked");
        assert_eq!(keys.holder("hash-2").await.expect("an answer"), None);
        let mut revoked = second;
        (revoked.last_used_at, revoked.revoked_at) = (Some(at(20)), Some(at(30)));
        assert_eq!(keys.list(org_id, uuid).await.expect("keys"), [first, revoked]);

        assert!(store.agents().delete(org_id, uuid).await.expect("an answer"));
        assert_eq!(keys.holder("hash-1").await.expect("an answer"), None, "keys go with their agent");
    })
    .await;
}

#[tokio::test]
async fn many_writers_and_readers_at_once_all_succeed() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..40 {
            let (store, ours) = (store.clone(), ours.clone());
            tasks.spawn(async move {
                let made = agent(&ours, &format!("a{i}"));
                store.agents().create(&made).await?;
                store.keys().create(&key(&made), format!("hash-{i}")).await?;
                store.keys().holder(&format!("hash-{i}")).await.map(|holder| holder.is_some())
            });
        }
        while let Some(done) = tasks.join_next().await {
            assert!(done.expect("a task").expect("no lock, no time-out"));
        }
        assert_eq!(store.agents().count().await.expect("a number"), 40);
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_as_many_are_added_as_there_is_room_for() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let new: Vec<Agent> =
            (0..8).map(|n| agent(if n % 2 == 0 { &ours } else { &theirs }, &format!("agent-{n}"))).collect();
        let made = new
            .iter()
            .map(|agent| async { store.agents().create_within(agent, 3).await.expect("an answer") });
        let made = futures_util::future::join_all(made).await;
        assert_eq!(made.iter().filter(|made| **made == Ok(true)).count(), 3, "{made:?}");
        assert_eq!(made.iter().filter(|made| **made == Err(3)).count(), 5, "{made:?}");
        assert_eq!(store.agents().count().await.expect("a number"), 3);
    })
    .await;
}
