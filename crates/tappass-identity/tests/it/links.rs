//! Invitations and resets: who may give them, whom they let in, once.

use std::{net::IpAddr, time::Duration};

use tappass_identity::{AccountError, Inviter, LinkToken, SignedIn, UserPrincipal};
use tappass_model::{Clock as _, Role};
use tappass_store::{Member, Org};

use crate::support::{PASSWORD, World};

const NEW: &str = "another horse battery";

fn ip(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

fn by(person: &UserPrincipal) -> Inviter<'_> {
    Inviter { name: &person.email, user_id: Some(person.user_id), role: person.role }
}

async fn invited(world: &World, org: &Org, by: Inviter<'_>, email: &str, role: Role) -> LinkToken {
    let made = world.accounts.invite(org.org_id, by, email, role, false).await;
    made.expect("an answer").expect("an invitation").1
}

#[tokio::test]
async fn an_invitation_makes_an_account_once() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let person = world.person(&ann).await;
    let link = invited(&world, &ann.org, by(&person), "bob@ours.example", Role::Auditor).await;
    let weak = world.accounts.accept(&link, "short", None, ip(1)).await;
    assert!(matches!(weak, Err(AccountError::Password(_))), "{weak:?}");
    let bob = world.accounts.accept(&link, NEW, None, ip(1)).await.expect("in");
    assert_eq!(
        (bob.org.org_id, bob.role, bob.user.email.as_str()),
        (ann.org.org_id, Role::Auditor, "bob@ours.example")
    );
    for again in [link.as_str(), "", "tpi_", &format!("{}x", &link[..link.len() - 1])] {
        let said = world.accounts.accept(again, NEW, None, ip(1)).await;
        assert!(matches!(said, Err(AccountError::Link)), "{said:?}");
    }
    let member =
        world.accounts.invite(ann.org.org_id, by(&person), "BOB@ours.example", Role::Member, false).await;
    assert!(matches!(member, Err(AccountError::Member)), "{member:?}");
    let above = world
        .accounts
        .invite(ann.org.org_id, by(&person), "x@ours.example", Role::PlatformAdmin, false)
        .await;
    assert!(matches!(above, Err(AccountError::AboveMaker)), "{above:?}");
}

#[tokio::test]
async fn who_has_an_account_joins_with_their_own_password() {
    let world = World::new().await;
    let (ann, bob) = (world.sign_up("ann@ours.example").await, world.sign_up("bob@theirs.example").await);
    let person = world.person(&ann).await;
    let link = invited(&world, &ann.org, by(&person), "bob@theirs.example", Role::Developer).await;
    let stolen = world.accounts.accept(&link, NEW, None, ip(1)).await;
    assert!(matches!(stolen, Err(AccountError::Wrong)), "a link sets nobody's password: {stolen:?}");
    let other = world.accounts.accept_as(&person, &link).await;
    assert!(matches!(other, Err(AccountError::Link)), "it is not for ann: {other:?}");
    let joined = world.accounts.accept(&link, PASSWORD, None, ip(2)).await.expect("in");
    assert_eq!((joined.org.org_id, joined.role), (ann.org.org_id, Role::Developer));
    let back = world.person(&joined).await;
    let home = world.accounts.renew(&back, bob.org.org_id).await.expect("an answer").expect("a session");
    assert_eq!(home.role, Role::OrgAdmin, "they are what they were, at home");
}

#[tokio::test]
async fn an_invitation_ends_by_time_and_with_its_makers_role() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let bob = world.member(&ann.org, "bob@ours.example", Role::OrgAdmin).await;
    let person = world.person(&bob).await;
    let late = invited(&world, &ann.org, by(&person), "late@ours.example", Role::Member).await;
    world.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    let said = world.accounts.accept(&late, NEW, None, ip(1)).await;
    assert!(matches!(said, Err(AccountError::Link)), "{said:?}");
    let link = invited(&world, &ann.org, by(&person), "eve@ours.example", Role::Member).await;
    let users = world.store.users();
    users
        .set_role(ann.org.org_id, bob.user.user_id, Role::Developer, world.clock.now())
        .await
        .expect("changed");
    let said = world.accounts.accept(&link, NEW, None, ip(1)).await;
    assert!(matches!(said, Err(AccountError::Link)), "bob could not invite any more: {said:?}");
}

#[tokio::test]
async fn an_issuer_brings_in_who_is_invited() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let person = world.person(&ann).await;
    assert!(world.accounts.sign_up_invited("bob@ours.example").await.expect("an answer").is_none());
    invited(&world, &ann.org, by(&person), "bob@ours.example", Role::Auditor).await;
    let bob =
        world.accounts.sign_up_invited("Bob@ours.example").await.expect("an answer").expect("an account");
    let signed_in = world.accounts.sign_in_as(bob.user_id, None, None).await.expect("a session");
    assert_eq!((signed_in.org.org_id, signed_in.role), (ann.org.org_id, Role::Auditor));
    let second = world.sign_up("cat@theirs.example").await;
    let cat = world.person(&second).await;
    invited(&world, &second.org, by(&cat), "bob@ours.example", Role::Member).await;
    let accepted = world.accounts.accept_verified(&bob).await.expect("an answer");
    assert_eq!(accepted.len(), 1);
    assert!(world.accounts.accept_verified(&bob).await.expect("an answer").is_empty());
}

async fn member(world: &World, signed_in: &SignedIn, org: &Org) -> Member {
    world.store.users().get(org.org_id, signed_in.user.user_id).await.expect("an answer").expect("a member")
}

#[tokio::test]
async fn a_reset_sets_the_password_and_ends_everything_else() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let admin = world.person(&ann).await;
    let link = invited(&world, &ann.org, by(&admin), "bob@ours.example", Role::Developer).await;
    let bob = world.accounts.accept(&link, PASSWORD, None, ip(1)).await.expect("in");
    let person = world.person(&bob).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let token = world.auth.issue_token(&person, "script", Role::Member, day).await.expect("a token").1;
    let target = member(&world, &bob, &ann.org).await;
    let reset = async || world.accounts.reset(ann.org.org_id, by(&admin), &target, false, false).await;
    let (first, second) = (reset().await.expect("a link").1, reset().await.expect("a link").1);
    for dead in [first.as_str(), "", "tpr_x", link.as_str()] {
        let said = world.accounts.set_by_link(dead, NEW).await;
        assert!(matches!(said, Err(AccountError::Link)), "{said:?}");
    }
    let weak = world.accounts.set_by_link(&second, "short").await;
    assert!(matches!(weak, Err(AccountError::Password(_))), "{weak:?}");
    let (user, _) = world.accounts.set_by_link(&second, NEW).await.expect("set");
    assert_eq!(user.user_id, bob.user.user_id);
    assert!(world.auth.identify(bob.token.expose()).await.is_err(), "the session has ended");
    assert!(world.auth.identify(token.expose()).await.is_err(), "the token has ended");
    let again = world.accounts.set_by_link(&second, NEW).await;
    assert!(matches!(again, Err(AccountError::Link)), "{again:?}");
    world.accounts.log_in("bob@ours.example", NEW, None, ip(1)).await.expect("in");

    let late = reset().await.expect("a link").1;
    world.clock.advance(Duration::from_secs(60 * 60));
    let said = world.accounts.set_by_link(&late, PASSWORD).await;
    assert!(matches!(said, Err(AccountError::Link)), "{said:?}");
}

#[tokio::test]
async fn an_admin_opens_no_account_that_is_not_theirs_alone() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let admin = world.person(&ann).await;
    let bob = world.member(&ann.org, "bob@theirs.example", Role::Developer).await;
    let target = member(&world, &bob, &ann.org).await;
    let org = ann.org.org_id;
    let shown = world.accounts.reset(org, by(&admin), &target, false, false).await;
    assert!(matches!(shown, Err(AccountError::Elsewhere)), "{shown:?}");
    let factor = world.accounts.reset(org, by(&admin), &target, true, true).await;
    assert!(matches!(factor, Err(AccountError::Elsewhere)), "{factor:?}");
    world.accounts.reset(org, by(&admin), &target, false, true).await.expect("their mailbox is theirs");
    let platform = Inviter { name: "admin key", user_id: None, role: Role::PlatformAdmin };
    world.accounts.reset(org, platform, &target, true, false).await.expect("whoever runs the platform");

    // A link that was made before they joined elsewhere opens nothing after.
    let link = invited(&world, &ann.org, by(&admin), "cat@ours.example", Role::Member).await;
    let cat = world.accounts.accept(&link, PASSWORD, None, ip(1)).await.expect("in");
    let target = member(&world, &cat, &ann.org).await;
    let early = world.accounts.reset(org, by(&admin), &target, false, false).await.expect("a link").1;
    world.accounts.found(&world.person(&cat).await, "Cats").await.expect("an organisation");
    let said = world.accounts.set_by_link(&early, NEW).await;
    assert!(matches!(said, Err(AccountError::Link)), "{said:?}");

    let users = world.store.users();
    users.set_role(org, bob.user.user_id, Role::PlatformAdmin, world.clock.now()).await.expect("changed");
    let target = member(&world, &bob, &ann.org).await;
    let above = world.accounts.reset(org, by(&admin), &target, false, true).await;
    assert!(matches!(above, Err(AccountError::AboveMaker)), "{above:?}");
}
