//! Sessions that agents make.

use serde_json::json;
use tappass_store::{AgentSession, Org, PageRequest};

use crate::support::{at, id, on_each, org, two_orgs};

fn session(org: &Org, created: i64) -> AgentSession {
    AgentSession {
        org_id: org.org_id,
        session_id: id(),
        agent_uuid: id(),
        agent_id: "a".to_owned(),
        name: None,
        metadata: json!({}),
        created_at: at(created),
        ended_at: None,
    }
}

#[tokio::test]
async fn sessions_are_made_changed_listed_scoped_and_forgotten() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let sessions = store.agent_sessions();
        let mut all: Vec<AgentSession> = (1..=3).map(|n| session(&ours, n)).collect();
        for one in &all {
            assert!(sessions.create(one).await.expect("made"));
        }
        assert!(!sessions.create(&session(&org("Nowhere"), 1)).await.expect("an answer"));
        let changed = AgentSession {
            name: Some("job".into()),
            metadata: json!({"ticket": 7}),
            ended_at: Some(at(9)),
            ..all[0].clone()
        };
        assert!(sessions.update(&changed).await.expect("an answer"));
        let again = AgentSession { ended_at: Some(at(20)), ..changed.clone() };
        assert!(sessions.update(&again).await.expect("an answer"));
        assert_eq!(sessions.get(ours.org_id, changed.session_id).await.expect("one"), Some(changed.clone()));
        assert_eq!(sessions.get(theirs.org_id, changed.session_id).await.expect("none"), None);
        let foreign = AgentSession { org_id: theirs.org_id, ..changed.clone() };
        assert!(!sessions.update(&foreign).await.expect("an answer"));
        all[0] = changed;
        let page = PageRequest { limit: 2, cursor: None };
        let first = sessions.list(ours.org_id, &page).await.expect("a page");
        assert_eq!(first.items, [all[2].clone(), all[1].clone()]);
        let rest = PageRequest { limit: 2, cursor: first.next };
        assert_eq!(sessions.list(ours.org_id, &rest).await.expect("a page").items, [all[0].clone()]);
        assert_eq!(sessions.list(theirs.org_id, &page).await.expect("a page").items, []);
        sessions.forget(at(3)).await.expect("forgets");
        assert_eq!(sessions.list(ours.org_id, &page).await.expect("a page").items, [all[2].clone()]);
    })
    .await;
}
