//! Signing up, logging in and out, locking out.

use std::{net::IpAddr, time::Duration};

use tappass_identity::{AccountError, AuthError, Principal, WeakPassword};
use tappass_model::{Ids as _, Role, SystemIds};

use crate::support::{PASSWORD, World};

fn ip(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

#[tokio::test]
async fn who_signs_up_governs_an_organisation() {
    let world = World::new().await;
    let ann = world.sign_up(" Ann@Ours.example ").await;
    assert_eq!(
        (ann.user.email.as_str(), ann.org.name.as_str(), ann.role),
        ("Ann@Ours.example", "Ours", Role::OrgAdmin)
    );
    let person = world.auth.person(ann.token.expose()).await.expect("ann");
    assert_eq!(
        (person.user_id, person.org_id, person.role),
        (ann.user.user_id, ann.org.org_id, Role::OrgAdmin)
    );
    let found = world.auth.identify(ann.token.expose()).await;
    assert!(matches!(found, Ok(Principal::Person(p)) if p == person));
}

#[tokio::test]
async fn what_is_wrong_with_a_sign_up_is_told() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    let try_it = async |email, password, org| {
        world.accounts.sign_up(email, password, org, None).await.expect_err("refused")
    };
    assert!(matches!(try_it("ann", PASSWORD, "Ours").await, AccountError::Email));
    assert!(matches!(try_it("bob@x.example", PASSWORD, "  ").await, AccountError::OrgName));
    assert!(matches!(try_it("bob@x.example", PASSWORD, "a\u{7}b").await, AccountError::OrgName));
    let short = try_it("bob@x.example", "short", "Ours").await;
    assert!(matches!(short, AccountError::Password(WeakPassword::Short)));
    assert!(matches!(try_it("ANN@ours.example", PASSWORD, "Ours").await, AccountError::Taken));
}

#[tokio::test]
async fn a_session_ends_by_logging_out_or_by_time() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    let a = world.accounts.log_in("ANN@ours.example", PASSWORD, None, ip(1)).await.expect("a session");
    let b = world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(1)).await.expect("a session");
    let person = world.auth.person(a.token.expose()).await.expect("ann");
    assert!(world.accounts.log_out(&person).await.expect("an answer"));
    assert!(!world.accounts.log_out(&person).await.expect("an answer"));
    assert!(matches!(world.auth.person(a.token.expose()).await, Err(AuthError::Unknown)));
    world.clock.advance(Duration::from_secs(12 * 60 * 60 - 1));
    world.auth.person(b.token.expose()).await.expect("the other session lasts");
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(world.auth.person(b.token.expose()).await, Err(AuthError::Unknown)));
}

#[tokio::test]
async fn a_renewed_session_replaces_the_old_one() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let person = world.auth.person(ann.token.expose()).await.expect("ann");
    assert!(world.accounts.renew(&person, SystemIds.uuid()).await.expect("an answer").is_none());
    let renewed = world.accounts.renew(&person, person.org_id).await.expect("an answer").expect("a session");
    world.auth.person(renewed.token.expose()).await.expect("the new one");
    assert!(matches!(world.auth.person(ann.token.expose()).await, Err(AuthError::Unknown)));
}

#[tokio::test]
async fn five_failures_lock_an_account_that_exists_and_one_that_does_not() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    for (email, first_ip) in [("ann@ours.example", 10), ("nobody@ours.example", 20)] {
        for n in 0..5 {
            let said = world.accounts.log_in(email, "wrong password", None, ip(first_ip + n)).await;
            let said = said.expect_err("wrong").to_string();
            assert_eq!(said, "the e-mail address or the password is wrong");
        }
        let said = world.accounts.log_in(email, PASSWORD, None, ip(first_ip + 9)).await.expect_err("locked");
        assert_eq!(said.to_string(), "too many failed logins; try again in 15 minutes");
    }
    world.clock.advance(Duration::from_secs(15 * 60));
    world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(1)).await.expect("unlocked");
}

#[tokio::test]
async fn five_failures_lock_an_address_of_the_network() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    for n in 0..5 {
        // Logging in oneself in between does not buy more tries.
        let _ = world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(1)).await.expect("right");
        let email = format!("user{n}@ours.example");
        let said = world.accounts.log_in(&email, "wrong password", None, ip(1)).await;
        assert!(matches!(said, Err(AccountError::Wrong)), "{said:?}");
    }
    let said = world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(1)).await;
    assert!(matches!(said, Err(AccountError::Locked { .. })), "{said:?}");
    world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(2)).await.expect("others are not locked");
}

#[tokio::test]
async fn success_forgives_an_account_its_failures() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    for round in 0..3 {
        for n in 0..4 {
            let said =
                world.accounts.log_in("ann@ours.example", "wrong password", None, ip(round * 10 + n)).await;
            assert!(matches!(said, Err(AccountError::Wrong)), "{said:?}");
        }
        world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(100)).await.expect("right");
    }
}

#[tokio::test]
async fn guesses_at_once_cannot_outrun_the_count() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    let guess = |n: u8| world.accounts.log_in("ann@ours.example", "wrong password", None, ip(n));
    let all = futures_util::future::join_all((0..20).map(guess)).await;
    let tried = all.iter().filter(|r| matches!(r, Err(AccountError::Wrong))).count();
    assert_eq!(tried, 5);
}

#[tokio::test]
async fn an_issuer_signs_in_whom_it_has_verified() {
    let world = World::new().await;
    assert!(world.accounts.verified("ann@ours.example").await.expect("an answer").is_none());
    let ann = world.accounts.sign_up_verified("ann@ours.example", "Ours", None).await.expect("an account");
    world.auth.person(ann.token.expose()).await.expect("ann");
    for password in ["", PASSWORD] {
        let said = world.accounts.log_in("ann@ours.example", password, None, ip(1)).await;
        assert!(matches!(said, Err(AccountError::Wrong)), "no password opens it: {said:?}");
    }
    let user = world.accounts.verified("Ann@ours.example").await.expect("an answer").expect("ann");
    assert_eq!(user, ann.user);
    world.auth.person(ann.token.expose()).await.expect("verified before: nothing ends");
    let again = world.accounts.sign_in_as(user.user_id, Some(ann.org.org_id), None).await.expect("a session");
    assert_eq!((again.org.org_id, again.role), (ann.org.org_id, Role::OrgAdmin));
    let foreign = world.accounts.sign_in_as(user.user_id, Some(SystemIds.uuid()), None).await;
    assert!(matches!(foreign, Err(AccountError::NoOrg)), "{foreign:?}");
    let nobody = world.accounts.sign_in_as(SystemIds.uuid(), None, None).await;
    assert!(matches!(nobody, Err(AccountError::Wrong)), "{nobody:?}");
}

#[tokio::test]
async fn who_took_an_address_beforehand_is_out_when_its_owner_comes() {
    let world = World::new().await;
    let squatter = world.sign_up("ann@ours.example").await;
    let user = world.accounts.verified("ann@ours.example").await.expect("an answer").expect("ann");
    assert!(matches!(world.auth.person(squatter.token.expose()).await, Err(AuthError::Unknown)));
    let said = world.accounts.log_in("ann@ours.example", PASSWORD, None, ip(1)).await;
    assert!(matches!(said, Err(AccountError::Wrong)), "{said:?}");
    world.accounts.sign_in_as(user.user_id, None, None).await.expect("a session");
}
