//! Personal tokens, and keys that end.

use std::time::{Duration, Instant};

use tappass_identity::{AccountError, AuthError, Authenticator, KeyTerms, Principal, UserPrincipal};
use tappass_model::{Clock as _, Ids as _, Role, SystemIds};
use tappass_store::{KeyKind, Membership, Store, StoreConfig};
use tappass_testkit::TempPostgres;

use crate::support::{PASSWORD, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ROLES: [Role; 5] = [Role::Member, Role::Auditor, Role::Developer, Role::OrgAdmin, Role::PlatformAdmin];

async fn person(world: &World, token: &str) -> Result<UserPrincipal, AuthError> {
    match world.auth.identify(token).await? {
        Principal::Person(person) => Ok(person),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_never_exceeds_its_maker_neither_then_nor_now() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let bob = world.member(&ann.org, "bob@ours.example", Role::Member).await;
    let users = world.store.users();
    let become_ = async |role| {
        let done = users.set_role(ann.org.org_id, bob.user.user_id, role, world.clock.now()).await;
        assert_eq!(done.expect("an answer"), Membership::Changed);
    };
    // Every role then × every role of a token × every role now.
    for then in ROLES {
        for asked in ROLES {
            become_(then).await;
            let maker = world.person(&bob).await;
            let made = world.auth.issue_token(&maker, "script", asked, DAY).await;
            if asked > then {
                assert!(matches!(made, Err(AccountError::AboveMaker)), "{then:?} made {asked:?}");
                continue;
            }
            let (record, token) = made.expect("a token");
            for now in ROLES {
                become_(now).await;
                let found = person(&world, token.expose()).await.expect("bob");
                assert_eq!(found.role, asked.min(now), "{then:?} made {asked:?}, is {now:?}");
                assert!(found.role <= world.person(&bob).await.role);
                assert!(found.by_token && found.org_id == ann.org.org_id);
                assert_eq!((found.user_id, found.session_id), (bob.user.user_id, record.token_id));
            }
        }
    }
}

#[tokio::test]
async fn a_token_ends_by_time_by_hand_and_with_the_membership() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let bob = world.member(&ann.org, "bob@ours.example", Role::Developer).await;
    let maker = world.person(&bob).await;
    let issue = async |days| {
        world.auth.issue_token(&maker, "script", Role::Developer, DAY * days).await.expect("a token")
    };
    for (name, life) in [("", DAY), ("a\u{7}b", DAY), ("x", Duration::ZERO), ("x", DAY * 367)] {
        let made = world.auth.issue_token(&maker, name, Role::Member, life).await;
        assert!(matches!(made, Err(AccountError::Token(_))), "{name} {life:?}");
    }
    let (short, (record, revoked), lasting) = (issue(1).await.1, issue(9).await, issue(9).await.1);
    let tokens = world.store.personal_tokens();
    assert!(
        tokens
            .revoke(ann.org.org_id, bob.user.user_id, record.token_id, world.clock.now())
            .await
            .expect("done")
    );
    assert!(matches!(person(&world, revoked.expose()).await, Err(AuthError::Unknown)));
    person(&world, short.expose()).await.expect("bob");
    world.clock.advance(DAY);
    assert!(matches!(person(&world, short.expose()).await, Err(AuthError::Unknown)));
    person(&world, lasting.expose()).await.expect("bob");
    world.auth.flush_uses().await.expect("written");
    let page = tokens.list(ann.org.org_id, bob.user.user_id, &tappass_store::PageRequest::default()).await;
    assert_eq!(page.expect("a page").items[2].last_used_at, Some(world.clock.now()));
    world.store.users().remove(ann.org.org_id, bob.user.user_id, world.clock.now()).await.expect("removed");
    assert!(matches!(person(&world, lasting.expose()).await, Err(AuthError::Unknown)));
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap() {
    let world = World::new().await;
    let (agent, old, old_key) = world.agent().await;
    let (org, uuid, auth) = (agent.org_id, agent.agent_uuid, &world.auth);
    auth.agent(old_key.expose()).await.expect("cached");
    let rotate = async |key, overlap| auth.rotate_key(org, uuid, key, overlap, "ann".to_owned()).await;
    let minute = Duration::from_secs(60);
    let (new, new_key) = rotate(old.key_id, minute).await.expect("an answer").expect("a key");
    assert_eq!((new.kind, new.created_by.as_deref()), (KeyKind::Agent, Some("ann")));
    assert!(rotate(SystemIds.uuid(), minute).await.expect("an answer").is_none());
    for key in [&old_key, &new_key] {
        auth.agent(key.expose()).await.expect("both work");
    }
    // Remembered as they are, the old one ends to the second.
    world.clock.advance(minute);
    assert!(matches!(auth.agent(old_key.expose()).await, Err(AuthError::Unknown)));
    auth.agent(new_key.expose()).await.expect("the new one");
    let (_, third) = rotate(new.key_id, Duration::ZERO).await.expect("an answer").expect("a key");
    assert!(matches!(auth.agent(new_key.expose()).await, Err(AuthError::Unknown)), "at once");
    auth.agent(third.expose()).await.expect("the third");
}

#[tokio::test]
async fn a_developers_key_is_bound_and_ends() {
    let world = World::new().await;
    let (agent, _, _) = world.agent().await;
    let ends = world.clock.now().checked_add(DAY).expect("a time");
    let terms = KeyTerms {
        email: Some("bob@ours.example".to_owned()),
        expires_at: Some(ends),
        created_by: Some("ann".to_owned()),
    };
    let issued = world.auth.issue_key(agent.org_id, agent.agent_uuid, terms).await;
    let (record, key) = issued.expect("an answer").expect("a key");
    assert!(record.kind == KeyKind::Developer && key.expose().starts_with("tp_dev_"));
    let rotated =
        world.auth.rotate_key(agent.org_id, agent.agent_uuid, record.key_id, DAY * 9, "ann".to_owned()).await;
    let (second, _) = rotated.expect("an answer").expect("a key");
    assert_eq!(
        (second.kind, second.email, second.expires_at),
        (KeyKind::Developer, record.email, Some(ends))
    );
    world.auth.agent(key.expose()).await.expect("cached");
    world.clock.advance(DAY);
    assert!(matches!(world.auth.agent(key.expose()).await, Err(AuthError::Unknown)));
}

#[tokio::test]
async fn a_revocation_reaches_another_replica_within_its_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let postgres = TempPostgres::start().await.expect("PostgreSQL");
    for config in [
        StoreConfig::Local { dir: dir.path().join("data") },
        StoreConfig::Postgres { url: postgres.database().await.expect("a database") },
    ] {
        let world = World::on(&config).await;
        let elsewhere = Store::connect(&config).await.expect("connections of its own");
        revoked_here_is_revoked_there(&world, &world.replica_over(elsewhere.clone())).await;
        elsewhere.close().await;
        world.store.close().await;
    }
}

async fn revoked_here_is_revoked_there(world: &World, other: &Authenticator) {
    let (agent, record, key) = world.agent().await;
    let log_in = || world.accounts.log_in("ann@ours.example", PASSWORD, None, [192, 0, 2, 1].into());
    let (ann, elsewhere) = (log_in().await.expect("a session"), log_in().await.expect("a session"));
    let person = world.person(&ann).await;
    let issued = world.auth.issue_token(&person, "script", Role::OrgAdmin, DAY).await;
    let (token, secret) = issued.expect("a token");
    other.agent(key.expose()).await.expect("remembered there");
    for token in [secret.expose(), ann.token.expose(), elsewhere.token.expose()] {
        other.identify(token).await.expect("ann");
    }
    // Sessions and personal tokens are looked up: at once.
    let (now, tokens) = (world.clock.now(), world.store.personal_tokens());
    let done = tokens.revoke(ann.org.org_id, ann.user.user_id, token.token_id, now).await;
    assert!(done.expect("an answer"));
    assert!(matches!(other.identify(secret.expose()).await, Err(AuthError::Unknown)));
    world.accounts.log_out(&person).await.expect("done");
    assert!(matches!(other.identify(ann.token.expose()).await, Err(AuthError::Unknown)));
    let person = world.person(&elsewhere).await;
    world.store.users().revoke_sessions(person.org_id, person.user_id, now).await.expect("done");
    assert!(matches!(other.identify(elsewhere.token.expose()).await, Err(AuthError::Unknown)));
    // Keys are remembered for a second.
    assert!(world.auth.revoke_key(agent.org_id, agent.agent_uuid, record.key_id).await.expect("done"));
    assert!(matches!(world.auth.agent(key.expose()).await, Err(AuthError::Unknown)), "at once here");
    let deadline = Instant::now() + Duration::from_secs(20);
    while other.agent(key.expose()).await.is_ok() {
        assert!(Instant::now() < deadline, "never noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
