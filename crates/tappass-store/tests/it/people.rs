//! People, memberships and sessions.

use tappass_model::Role;
use tappass_store::{Org, PageRequest, Store, StoreError, UserSession};
use uuid::Uuid;

use crate::support::{at, id, on_each, org, person, two_orgs};

fn session(org: &Org, user_id: Uuid) -> UserSession {
    UserSession { session_id: id(), org_id: org.org_id, user_id, created_at: at(5), expires_at: at(500) }
}

async fn member(store: &Store, org: &Org, email: &str) -> Uuid {
    let new = person(email);
    assert!(store.users().create(org.org_id, &new, Role::Developer).await.expect("a member"));
    new.user.user_id
}

#[tokio::test]
async fn an_address_is_unique_without_regard_to_case() {
    on_each(async |store| {
        let (ours, theirs) = (org("Ours"), org("Theirs"));
        let ann = person("Ann@Example.org");
        store.users().sign_up(&ours, &ann, Role::OrgAdmin).await.expect("an account");
        let twice = store.users().sign_up(&theirs, &person(" ann@example.ORG"), Role::OrgAdmin).await;
        assert!(matches!(twice, Err(StoreError::Conflict(_))), "{twice:?}");
        assert_eq!(store.orgs().get(theirs.org_id).await.expect("an answer"), None, "all or nothing");
        assert_eq!(
            store.users().credentials("ANN@example.org ").await.expect("an answer"),
            Some(ann.clone())
        );
        assert_eq!(store.users().credentials("bob@example.org").await.expect("an answer"), None);
        let orgs = store.users().orgs(ann.user.user_id).await.expect("organisations");
        assert_eq!(orgs, [(ours, Role::OrgAdmin)]);
    })
    .await;
}

#[tokio::test]
async fn members_are_listed_changed_and_removed() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example").await;
        let users = store.users();
        let first = users.list(ours.org_id, &PageRequest { limit: 1, cursor: None }).await.expect("a page");
        assert_eq!(first.items[0].role, Role::OrgAdmin);
        let rest = PageRequest { limit: 1, cursor: first.next };
        let second = users.list(ours.org_id, &rest).await.expect("a page");
        assert_eq!((second.items[0].user.user_id, second.next), (bob, None));

        assert!(users.set_role(ours.org_id, bob, Role::Auditor).await.expect("an answer"));
        assert_eq!(users.get(ours.org_id, bob).await.expect("an answer").expect("bob").role, Role::Auditor);
        assert!(users.set_password(ours.org_id, bob, "new".to_owned()).await.expect("an answer"));
        let kept = users.credentials("bob@ours.example").await.expect("an answer").expect("bob");
        assert_eq!(kept.password_hash, "new");

        users.open_session(&session(&ours, bob), "hash".to_owned()).await.expect("a session");
        assert!(users.remove(ours.org_id, bob).await.expect("an answer"));
        assert_eq!(
            users.session("hash").await.expect("an answer"),
            None,
            "a session ends with its membership"
        );
        assert_eq!(users.orgs(bob).await.expect("organisations"), []);
        let lost = users.create(org("Nowhere").org_id, &person("x@y.example"), Role::Member).await;
        assert!(!lost.expect("an answer"));
        assert_eq!(users.credentials("x@y.example").await.expect("an answer"), None, "all or nothing");
    })
    .await;
}

#[tokio::test]
async fn a_foreign_member_is_as_a_missing_one() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example").await;
        let open = session(&ours, bob);
        let (users, foreign) = (store.users(), theirs.org_id);
        assert!(users.open_session(&open, "hash".to_owned()).await.expect("a session"));

        assert_eq!(users.get(foreign, bob).await.expect("an answer"), None);
        assert!(!users.set_role(foreign, bob, Role::PlatformAdmin).await.expect("an answer"));
        assert!(!users.set_password(foreign, bob, "stolen".to_owned()).await.expect("an answer"));
        assert!(!users.remove(foreign, bob).await.expect("an answer"));
        assert!(!users.open_session(&session(&theirs, bob), "other".to_owned()).await.expect("an answer"));
        assert!(!users.revoke_session(foreign, open.session_id, at(9)).await.expect("an answer"));
        assert_eq!(users.revoke_sessions(foreign, bob, at(9)).await.expect("a number"), 0);
        let page = users.list(foreign, &PageRequest::default()).await.expect("a page");
        assert!(page.items.iter().all(|m| m.user.user_id != bob));

        let found = users.session("hash").await.expect("an answer").expect("it lasts");
        assert_eq!((found.session, found.role), (open, Role::Developer));
        let kept = users.credentials("bob@ours.example").await.expect("an answer").expect("bob");
        assert_ne!(kept.password_hash, "stolen");
    })
    .await;
}

#[tokio::test]
async fn a_session_lasts_until_it_is_revoked() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example").await;
        let users = store.users();
        let all = [session(&ours, bob), session(&ours, bob), session(&ours, bob)];
        for (i, s) in all.iter().enumerate() {
            assert!(users.open_session(s, format!("hash-{i}")).await.expect("a session"));
        }
        assert!(users.revoke_session(ours.org_id, all[0].session_id, at(9)).await.expect("an answer"));
        assert!(!users.revoke_session(ours.org_id, all[0].session_id, at(9)).await.expect("an answer"));
        assert_eq!(users.session("hash-0").await.expect("an answer"), None);
        assert!(users.session("hash-1").await.expect("an answer").is_some());
        assert_eq!(users.revoke_sessions(ours.org_id, bob, at(10)).await.expect("a number"), 2);
        assert_eq!(users.session("hash-1").await.expect("an answer"), None);
        assert_eq!(users.forget_sessions(at(500)).await.expect("a number"), 0);
        assert_eq!(users.forget_sessions(at(501)).await.expect("a number"), 3);
    })
    .await;
}

#[tokio::test]
async fn organisations_are_listed_in_pages() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let first = store.orgs().list(&PageRequest { limit: 1, cursor: None }).await.expect("a page");
        assert_eq!(first.items, [ours]);
        let request = PageRequest { limit: 1, cursor: first.next };
        let second = store.orgs().list(&request).await.expect("a page");
        assert_eq!((second.items, second.next), (vec![theirs], None));
        let made_up = PageRequest { limit: 1, cursor: Some("?".to_owned()) };
        assert!(matches!(store.orgs().list(&made_up).await, Err(StoreError::Cursor)));
    })
    .await;
}
