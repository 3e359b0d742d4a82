//! Identities at other issuers.

use tappass_model::Role;
use tappass_store::{LinkedIdentity, StoreError};
use uuid::Uuid;

use crate::support::{at, id, on_each, org, person};

fn identity(user_id: Uuid, subject: &str) -> LinkedIdentity {
    LinkedIdentity {
        identity_id: id(),
        user_id,
        issuer: "https://login.example.com".to_owned(),
        subject: subject.to_owned(),
        email: "ann@ours.example".to_owned(),
        created_at: at(5),
        last_used_at: at(5),
    }
}

#[tokio::test]
async fn a_subject_is_one_person() {
    on_each(async |store| {
        let (ours, theirs) = (org("Ours"), org("Theirs"));
        let (ann, eve) = (person("ann@ours.example"), person("eve@theirs.example"));
        store.users().sign_up(&ours, &ann, Role::OrgAdmin).await.expect("an account");
        store.users().sign_up(&theirs, &eve, Role::OrgAdmin).await.expect("an account");
        let (ann, eve) = (ann.user.user_id, eve.user.user_id);
        let one = identity(ann, "1");
        let identities = store.identities();
        assert!(identities.bind(&one).await.expect("bound"));
        for again in [identity(ann, "1"), identity(eve, "1")] {
            assert!(matches!(identities.bind(&again).await, Err(StoreError::Conflict(_))));
        }
        assert!(!identities.bind(&identity(id(), "2")).await.expect("nobody there"));
        let used = identities.used(&one.issuer, "1", at(9)).await.expect("an answer").expect("bound");
        assert_eq!(used, LinkedIdentity { last_used_at: at(9), ..one.clone() });
        for (issuer, subject) in
            [("https://other.example", "1"), (one.issuer.as_str(), "2"), (&one.issuer, "")]
        {
            assert_eq!(identities.used(issuer, subject, at(9)).await.expect("an answer"), None);
        }
        assert_eq!(identities.of(ann).await.expect("a list"), [used]);
        assert!(identities.of(eve).await.expect("a list").is_empty());
        assert!(!identities.remove(eve, one.identity_id).await.expect("not theirs"));
        assert!(identities.remove(ann, one.identity_id).await.expect("removed"));
        assert!(identities.bind(&identity(eve, "1")).await.expect("free again"));
    })
    .await;
}

#[tokio::test]
async fn a_person_joins_once() {
    on_each(async |store| {
        let (ours, theirs) = (org("Ours"), org("Theirs"));
        let (ann, eve) = (person("ann@ours.example"), person("eve@theirs.example"));
        store.users().sign_up(&ours, &ann, Role::OrgAdmin).await.expect("an account");
        store.users().sign_up(&theirs, &eve, Role::OrgAdmin).await.expect("an account");
        let users = store.users();
        assert!(users.join(ours.org_id, eve.user.user_id, Role::Member, at(7)).await.expect("joins"));
        assert!(!users.join(ours.org_id, eve.user.user_id, Role::Member, at(8)).await.expect("is there"));
        assert!(
            !users.join(ours.org_id, ann.user.user_id, Role::Member, at(8)).await.expect("stays what she is")
        );
        assert!(
            !users.join(id(), ann.user.user_id, Role::Member, at(8)).await.expect("no such organisation")
        );
        let orgs = users.orgs(ann.user.user_id).await.expect("organisations");
        assert_eq!(orgs, [(ours, Role::OrgAdmin)]);
    })
    .await;
}
