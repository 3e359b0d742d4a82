//! People, memberships and sessions.

use tappass_model::Role;
use tappass_store::{Credentials, Membership, Org, PageRequest, Proof, Store, StoreError, UserSession};
use uuid::Uuid;

use crate::support::{at, id, on_each, org, person, two_orgs};

fn session(org: &Org, user_id: Uuid) -> UserSession {
    UserSession {
        session_id: id(),
        org_id: org.org_id,
        user_id,
        proof: Proof::Password,
        address: Some([192, 0, 2, 1].into()),
        created_at: at(5),
        expires_at: at(500),
    }
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

        let changed = users.set_role(ours.org_id, bob, Role::Auditor, at(9)).await;
        assert_eq!(changed.expect("an answer"), Membership::Changed);
        assert_eq!(users.get(ours.org_id, bob).await.expect("an answer").expect("bob").role, Role::Auditor);
        assert!(users.set_password(bob, "new".to_owned(), None, at(9)).await.expect("an answer"));
        assert!(!users.set_password(id(), "new".to_owned(), None, at(9)).await.expect("an answer"));
        let kept = users.credentials("bob@ours.example").await.expect("an answer").expect("bob");
        assert_eq!(kept.password_hash.as_deref(), Some("new"));

        users.open_session(&session(&ours, bob), "hash".to_owned()).await.expect("a session");
        let removed = users.remove(ours.org_id, bob, at(9)).await;
        assert_eq!(removed.expect("an answer"), Membership::Changed);
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
        let missing = Membership::Missing;
        let role = users.set_role(foreign, bob, Role::PlatformAdmin, at(9)).await;
        assert_eq!(role.expect("an answer"), missing);
        assert_eq!(users.remove(foreign, bob, at(9)).await.expect("an answer"), missing);
        assert!(!users.open_session(&session(&theirs, bob), "other".to_owned()).await.expect("an answer"));
        assert!(!users.revoke_session(foreign, bob, open.session_id, at(9)).await.expect("an answer"));
        assert!(!users.revoke_own_session(id(), open.session_id, at(9)).await.expect("an answer"));
        let theirs = users.sessions(foreign, bob, at(9), &PageRequest::default()).await.expect("a page");
        assert_eq!(theirs.items, []);
        assert_eq!(users.revoke_sessions(foreign, bob, at(9)).await.expect("a number"), 0);
        let page = users.list(foreign, &PageRequest::default()).await.expect("a page");
        assert!(page.items.iter().all(|m| m.user.user_id != bob));

        let found = users.session("hash").await.expect("an answer").expect("it lasts");
        assert_eq!((found.session, found.role), (open, Role::Developer));
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
        let own = users.own_sessions(bob, at(9), &PageRequest::default()).await.expect("a page").items;
        assert_eq!(own, all);
        let late = users.own_sessions(bob, at(500), &PageRequest::default()).await.expect("a page").items;
        assert_eq!(late, [], "they have expired");
        assert!(users.revoke_session(ours.org_id, bob, all[0].session_id, at(9)).await.expect("an answer"));
        assert!(!users.revoke_session(ours.org_id, bob, all[0].session_id, at(9)).await.expect("an answer"));
        let rest = users.sessions(ours.org_id, bob, at(9), &PageRequest::default()).await.expect("a page");
        assert_eq!(rest.items, all[1..]);
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

#[tokio::test]
async fn an_organisation_keeps_an_administrator() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let users = store.users();
        let ann = users.credentials("a@ours.example").await.expect("an answer").expect("ann").user.user_id;
        let (org, now) = (ours.org_id, at(9));
        let last = Membership::LastAdmin;
        assert_eq!(users.set_role(org, ann, Role::Auditor, now).await.expect("an answer"), last);
        assert_eq!(users.remove(org, ann, now).await.expect("an answer"), last);
        let bob = member(&store, &ours, "bob@ours.example").await;
        assert_eq!(users.remove(org, ann, now).await.expect("an answer"), last, "a developer is none");
        let up = users.set_role(org, bob, Role::OrgAdmin, now).await.expect("an answer");
        assert_eq!(up, Membership::Changed);
        // Each takes the other's role at once: one of them stays.
        let both = tokio::join!(
            users.set_role(org, ann, Role::Member, now),
            users.set_role(org, bob, Role::Member, now)
        );
        let both = [both.0.expect("an answer"), both.1.expect("an answer")];
        assert!(both.contains(&last) && both.contains(&Membership::Changed), "{both:?}");
    })
    .await;
}

#[tokio::test]
async fn an_account_without_a_password_and_one_whose_address_is_shown_later() {
    on_each(async |store| {
        let (ours, users) = (org("Ours"), store.users());
        let mut ann = person("ann@ours.example");
        (ann.password_hash, ann.email_verified) = (None, true);
        users.sign_up(&ours, &ann, Role::OrgAdmin).await.expect("an account");
        assert_eq!(users.account(ann.user.user_id).await.expect("an answer"), Some(ann.clone()));
        assert_eq!(users.account(id()).await.expect("an answer"), None);

        let bob = member(&store, &ours, "bob@ours.example").await;
        assert!(users.open_session(&session(&ours, bob), "hash".to_owned()).await.expect("a session"));
        for _ in 0..2 {
            users.verify_email(bob, at(9)).await.expect("noted");
            let now = users.account(bob).await.expect("an answer").expect("bob");
            assert!(matches!(now, Credentials { password_hash: None, email_verified: true, .. }));
        }
        assert_eq!(users.session("hash").await.expect("an answer"), None, "whoever that was");
        assert!(users.set_password(bob, "own".to_owned(), None, at(10)).await.expect("an answer"));
        users.verify_email(bob, at(11)).await.expect("noted");
        let now = users.account(bob).await.expect("an answer").expect("bob");
        assert_eq!(now.password_hash.as_deref(), Some("own"), "shown before: nothing ends");

        let second = org("Second");
        assert!(users.found(&second, bob, Role::OrgAdmin).await.expect("an answer"));
        assert_eq!(users.orgs(bob).await.expect("organisations").len(), 2);
        assert!(!users.found(&org("Third"), id(), Role::OrgAdmin).await.expect("an answer"));
    })
    .await;
}
