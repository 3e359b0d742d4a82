//! Second factors, personal tokens, invitations, resets, and keys that end.

use jiff::Timestamp;
use tappass_model::Role;
use tappass_store::{
    Invitation, Joined, Org, PageRequest, PasswordReset, PersonalToken, Proof, Store, UserSession,
};
use uuid::Uuid;

use crate::support::{agent, at, id, key, on_each, org, person, two_orgs};

async fn member(store: &Store, org: &Org, email: &str, role: Role) -> Uuid {
    let new = person(email);
    assert!(store.users().create(org.org_id, &new, role).await.expect("a member"));
    new.user.user_id
}

async fn session(store: &Store, org: &Org, user_id: Uuid, hash: &str) {
    let open = UserSession {
        session_id: id(),
        org_id: org.org_id,
        user_id,
        proof: Proof::Password,
        address: None,
        created_at: at(5),
        expires_at: at(500),
    };
    assert!(store.users().open_session(&open, hash.to_owned()).await.expect("a session"));
}

fn token(org: &Org, user_id: Uuid) -> PersonalToken {
    PersonalToken {
        token_id: id(),
        org_id: org.org_id,
        user_id,
        name: "laptop".to_owned(),
        role: Role::Developer,
        proof: Proof::Password,
        hint: "tp_pat_abcd…wxyz".to_owned(),
        created_at: at(5),
        expires_at: at(500),
        last_used_at: None,
        revoked_at: None,
    }
}

fn invitation(org: &Org, email: &str, inviter_id: Option<Uuid>) -> Invitation {
    Invitation {
        invitation_id: id(),
        org_id: org.org_id,
        email: email.to_owned(),
        role: Role::Auditor,
        invited_by: "ann@ours.example".to_owned(),
        inviter_id,
        mailed: true,
        created_at: at(5),
        expires_at: at(500),
    }
}

#[tokio::test]
async fn a_second_factor_takes_each_code_once() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example", Role::Developer).await;
        let factors = store.second_factors();
        assert_eq!(factors.get(bob).await.expect("an answer"), None);
        for sealed in ["first", "second"] {
            assert!(factors.begin(bob, sealed.to_owned(), at(6)).await.expect("begun"));
        }
        let codes = ["a".to_owned(), "b".to_owned()];
        assert!(!factors.confirm(bob, "first", 7, &codes, at(7)).await.expect("an answer"), "replaced");
        assert!(factors.confirm(bob, "second", 7, &codes, at(7)).await.expect("confirmed"));
        assert!(!factors.confirm(bob, "second", 8, &codes, at(7)).await.expect("an answer"));
        assert!(!factors.begin(bob, "third".to_owned(), at(8)).await.expect("an answer"), "it is confirmed");
        let now = factors.get(bob).await.expect("an answer").expect("it");
        assert_eq!((now.sealed.as_str(), now.last_step, now.codes_left), ("second", 7, 2));
        assert_eq!(now.confirmed_at, Some(at(7)));

        assert!(!factors.take_step(bob, 7).await.expect("an answer"), "taken when confirmed");
        let both = tokio::join!(factors.take_step(bob, 8), factors.take_step(bob, 8));
        assert_ne!(both.0.expect("an answer"), both.1.expect("an answer"), "one of two wins");
        assert!(!factors.take_step(bob, 6).await.expect("an answer"));
        let take = || factors.take_code(bob, "a".to_owned(), at(9));
        let both = tokio::join!(take(), take());
        assert_ne!(both.0.expect("an answer"), both.1.expect("an answer"), "one of two wins");
        assert!(!factors.take_code(id(), "b".to_owned(), at(9)).await.expect("an answer"));
        assert_eq!(factors.get(bob).await.expect("an answer").expect("it").codes_left, 1);
        assert!(factors.remove(bob).await.expect("removed"));
        assert!(!factors.remove(bob).await.expect("an answer"));
        assert!(factors.begin(bob, "again".to_owned(), at(10)).await.expect("begun"));
        assert_eq!(factors.get(bob).await.expect("an answer").expect("it").codes_left, 0, "they went too");
    })
    .await;
}

#[tokio::test]
async fn an_organisation_that_wants_a_second_factor_knows_who_lacks_it() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example", Role::Developer).await;
        session(&store, &ours, bob, "session").await;
        let made = token(&ours, bob);
        assert!(store.personal_tokens().create(&made, "token".to_owned()).await.expect("made"));
        let missing = async || {
            let session = store.users().session("session").await.expect("an answer").expect("it");
            let token = store.personal_tokens().find("token").await.expect("an answer").expect("it");
            (session.factor_missing, token.factor_missing)
        };
        assert_eq!(missing().await, (false, false));
        let mut terms = store.orgs().terms(ours.org_id).await.expect("an answer").expect("ours");
        assert_eq!((terms.require_second_factor, terms.version, &terms.org), (false, 1, &ours));
        terms.require_second_factor = true;
        let written = store.orgs().set_terms(&terms).await.expect("written").expect("ours");
        assert!(written.require_second_factor && written.version == 2);
        assert!(store.orgs().set_terms(&terms).await.is_err(), "overtaken");
        assert_eq!(missing().await, (true, true));
        store.second_factors().begin(bob, "sealed".to_owned(), at(6)).await.expect("begun");
        assert_eq!(missing().await, (true, true), "not confirmed");
        store.second_factors().confirm(bob, "sealed", 1, &[], at(6)).await.expect("confirmed");
        assert_eq!(missing().await, (false, false));
    })
    .await;
}

#[tokio::test]
async fn a_personal_token_is_its_persons_and_ends_with_the_membership() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example", Role::Developer).await;
        let (made, second, tokens) = (token(&ours, bob), token(&ours, bob), store.personal_tokens());
        assert!(tokens.create(&made, "one".to_owned()).await.expect("made"));
        assert!(tokens.create(&second, "two".to_owned()).await.expect("made"));
        assert!(!tokens.create(&token(&theirs, bob), "three".to_owned()).await.expect("no member"));
        store.users().set_role(ours.org_id, bob, Role::Auditor, at(6)).await.expect("changed");
        let found = tokens.find("one").await.expect("an answer").expect("it");
        assert_eq!((found.role, found.email.as_str()), (Role::Auditor, "bob@ours.example"));
        tokens.used(&[(made.token_id, at(20)), (id(), at(20))]).await.expect("noted");
        tokens.used(&[(made.token_id, at(15))]).await.expect("noted");
        let first = PageRequest { limit: 1, cursor: None };
        let listed = tokens.list(ours.org_id, bob, &first).await.expect("a page");
        assert_eq!(listed.items, [PersonalToken { last_used_at: Some(at(20)), ..made.clone() }]);
        assert!(listed.next.is_some());
        assert_eq!(tokens.list(theirs.org_id, bob, &first).await.expect("a page").items, []);
        for (org, user) in [(theirs.org_id, bob), (ours.org_id, id())] {
            assert!(!tokens.revoke(org, user, made.token_id, at(7)).await.expect("an answer"));
        }
        assert!(tokens.revoke(ours.org_id, bob, made.token_id, at(7)).await.expect("revoked"));
        assert!(!tokens.revoke(ours.org_id, bob, made.token_id, at(7)).await.expect("an answer"));
        assert_eq!(tokens.find("one").await.expect("an answer"), None);
        assert_eq!(tokens.revoke_all(ours.org_id, bob, at(8)).await.expect("a number"), 1);
        let third = token(&ours, bob);
        assert!(tokens.create(&third, "three".to_owned()).await.expect("made"));
        store.users().remove(ours.org_id, bob, at(9)).await.expect("removed");
        assert_eq!(tokens.find("three").await.expect("an answer"), None);
    })
    .await;
}

#[tokio::test]
async fn an_invitation_is_accepted_once() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let all = store.invitations();
        let (first, second) =
            (invitation(&ours, "Bob@x.example", None), invitation(&ours, "bob@x.example", Some(id())));
        assert!(all.create(&first, "one".to_owned()).await.expect("made"));
        assert!(all.create(&second, "two".to_owned()).await.expect("made"));
        assert!(
            !all.create(&invitation(&org("Nowhere"), "b@x.example", None), "x".to_owned())
                .await
                .expect("none")
        );
        assert_eq!(all.find("one").await.expect("an answer"), None, "the later one counts");
        assert_eq!(all.find("two").await.expect("an answer").as_ref(), Some(&second));
        let listed = all.list(ours.org_id, at(6), &PageRequest::default()).await.expect("a page");
        assert_eq!(listed.items, vec![second.clone()]);
        assert_eq!(all.of_address("BOB@x.example", at(6)).await.expect("a list"), vec![second.clone()]);
        assert_eq!(all.of_address("bob@x.example", at(500)).await.expect("a list"), [], "expired");
        assert_eq!(all.list(theirs.org_id, at(6), &PageRequest::default()).await.expect("a page").items, []);
        assert!(!all.revoke(theirs.org_id, second.invitation_id, at(6)).await.expect("an answer"));

        let (bob, other) = (person("bob@x.example"), person("z@x.example"));
        let both = tokio::join!(all.accept_new(&second, &bob, at(7)), all.accept_new(&second, &other, at(7)));
        let both = [both.0.expect("an answer"), both.1.expect("an answer")];
        assert!(both.contains(&Joined::Member) && both.contains(&Joined::Gone), "{both:?}");

        let ann =
            store.users().credentials("a@ours.example").await.expect("an answer").expect("ann").user.user_id;
        let third = invitation(&theirs, "a@ours.example", None);
        all.create(&third, "three".to_owned()).await.expect("made");
        assert_eq!(all.accept(&third, ann, at(8)).await.expect("an answer"), Joined::Member);
        assert_eq!(all.accept(&third, ann, at(8)).await.expect("an answer"), Joined::Gone);
        assert_eq!(
            store.users().get(theirs.org_id, ann).await.expect("an answer").expect("ann").role,
            Role::Auditor
        );
        let fourth = invitation(&theirs, "a@ours.example", None);
        all.create(&fourth, "four".to_owned()).await.expect("made");
        assert_eq!(all.accept(&fourth, ann, at(8)).await.expect("an answer"), Joined::Already);
        let fifth = invitation(&theirs, "a@ours.example", None);
        all.create(&fifth, "five".to_owned()).await.expect("made");
        assert!(all.revoke(theirs.org_id, fifth.invitation_id, at(9)).await.expect("revoked"));
        assert_eq!(all.accept(&fifth, ann, at(9)).await.expect("an answer"), Joined::Gone);
    })
    .await;
}

fn reset(user_id: Uuid, org_id: Option<Uuid>, expires_at: Timestamp) -> PasswordReset {
    let reset_id = id();
    PasswordReset {
        reset_id,
        user_id,
        org_id,
        second_factor: true,
        mailed: false,
        created_at: at(5),
        expires_at,
    }
}

#[tokio::test]
async fn a_reset_is_used_once_and_only_by_who_governs_all_of_the_person() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example", Role::Developer).await;
        session(&store, &ours, bob, "session").await;
        store.personal_tokens().create(&token(&ours, bob), "token".to_owned()).await.expect("made");
        store.second_factors().begin(bob, "sealed".to_owned(), at(5)).await.expect("begun");
        let resets = store.password_resets();
        let (first, second) = (reset(bob, None, at(500)), reset(bob, Some(ours.org_id), at(500)));
        assert!(resets.create(&first, "one".to_owned()).await.expect("made"));
        assert!(resets.create(&second, "two".to_owned()).await.expect("made"));
        assert!(!resets.create(&reset(id(), None, at(500)), "x".to_owned()).await.expect("nobody"));
        assert_eq!(resets.find("one").await.expect("an answer"), None, "the later one counts");
        assert_eq!(resets.find("two").await.expect("an answer").as_ref(), Some(&second));

        let into = invitation(&theirs, "bob@ours.example", None);
        store.invitations().create(&into, "in".to_owned()).await.expect("made");
        store.invitations().accept(&into, bob, at(6)).await.expect("joined");
        let password = || "new".to_owned();
        assert!(!resets.take(&second, password(), at(7)).await.expect("an answer"), "theirs have a say too");
        assert!(store.users().session("session").await.expect("an answer").is_some(), "nothing has ended");

        let third = reset(bob, None, at(500));
        resets.create(&third, "three".to_owned()).await.expect("made");
        let both =
            tokio::join!(resets.take(&third, password(), at(8)), resets.take(&third, password(), at(8)));
        assert_ne!(both.0.expect("an answer"), both.1.expect("an answer"), "one of two wins");
        let now = store.users().account(bob).await.expect("an answer").expect("bob");
        assert_eq!((now.password_hash.as_deref(), now.email_verified), (Some("new"), false));
        assert_eq!(store.users().session("session").await.expect("an answer"), None);
        assert_eq!(store.personal_tokens().find("token").await.expect("an answer"), None);
        assert_eq!(store.second_factors().get(bob).await.expect("an answer"), None);
        assert_eq!(resets.forget(at(500)).await.expect("a number"), 0);
        assert_eq!(resets.forget(at(501)).await.expect("a number"), 4);
    })
    .await;
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap_and_ends_with_its_developer() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let bob = member(&store, &ours, "bob@ours.example", Role::Developer).await;
        let made = agent(&ours, "claims");
        store.agents().create(&made).await.expect("an agent");
        let (keys, old) = (store.keys(), key(&made));
        keys.create(&old, "old".to_owned()).await.expect("a key");
        let mut new = key(&made);
        (new.email, new.expires_at) = (Some("Bob@ours.example".to_owned()), Some(at(900)));
        assert!(!keys.rotate(id(), at(60), &new, "new".to_owned()).await.expect("an answer"), "no such key");
        assert!(keys.rotate(old.key_id, at(60), &new, "new".to_owned()).await.expect("rotated"));
        assert_eq!(keys.holder("old").await.expect("an answer").expect("it").expires_at, Some(at(60)));
        let mut third = key(&made);
        third.created_at = at(10);
        assert!(keys.rotate(old.key_id, at(90), &third, "third".to_owned()).await.expect("rotated"));
        assert_eq!(
            keys.holder("old").await.expect("an answer").expect("it").expires_at,
            Some(at(60)),
            "the sooner"
        );
        third.created_at = at(60);
        assert!(!keys.rotate(old.key_id, at(90), &third, "fourth".to_owned()).await.expect("it has ended"));
        let found = keys.get(ours.org_id, made.agent_uuid, new.key_id).await.expect("an answer");
        assert_eq!(found.as_ref(), Some(&new));
        assert_eq!(keys.get(theirs.org_id, made.agent_uuid, new.key_id).await.expect("an answer"), None);

        store.users().set_role(ours.org_id, bob, Role::Developer, at(70)).await.expect("changed");
        assert!(keys.holder("new").await.expect("an answer").is_some());
        store.users().set_role(ours.org_id, bob, Role::Auditor, at(70)).await.expect("changed");
        assert_eq!(keys.holder("new").await.expect("an answer"), None, "an auditor runs no agents");
        assert!(keys.holder("third").await.expect("an answer").is_some(), "bound to nobody");
    })
    .await;
}
