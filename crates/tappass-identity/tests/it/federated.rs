//! Whom another issuer's word lets in, and where.

use tappass_identity::{
    AccountError, Inviter, SignedIn,
    federated::{Vouched, Way},
    oidc::Identity,
};
use tappass_model::Role;

use crate::support::{PASSWORD, World};

fn identity(subject: &str, email: &str) -> Identity {
    Identity {
        issuer: "https://login.example.com".to_owned(),
        subject: subject.to_owned(),
        email: email.to_owned(),
        email_verified: true,
        hosted_domain: None,
    }
}

fn vouched(identity: &Identity) -> Vouched<'_> {
    Vouched { identity, spoken_for: true, join: None, org_name: None, from: None }
}

async fn enter(world: &World, who: Vouched<'_>) -> Result<(SignedIn, Way), AccountError> {
    world.accounts.enter_vouched(who).await
}

#[tokio::test]
async fn nobody_gets_in_by_a_word_that_does_not_count() {
    let world = World::new().await;
    world.sign_up("ann@ours.example").await;
    for email in ["ann@ours.example", "new@ours.example", "", "no address"] {
        let who = identity("1", email);
        let word = Vouched { spoken_for: false, org_name: Some("Evil"), ..vouched(&who) };
        assert!(matches!(enter(&world, word).await, Err(AccountError::NotVouched)), "{email}");
    }
    let who = identity("1", "no address");
    assert!(matches!(enter(&world, vouched(&who)).await, Err(AccountError::NotVouched)));
    let who = identity("1", "new@ours.example");
    assert!(matches!(enter(&world, vouched(&who)).await, Err(AccountError::NoAccount)));
    // Her password is still hers.
    let from = [192, 0, 2, 1].into();
    assert!(world.accounts.log_in("ann@ours.example", PASSWORD, None, from).await.is_ok());
}

#[tokio::test]
async fn invitations_of_the_address_count() {
    let world = World::new().await;
    let ann = world.sign_up("ann@ours.example").await;
    let by = Inviter { name: "ann@ours.example", user_id: Some(ann.user.user_id), role: Role::OrgAdmin };
    let invite = async |email: &str, role| {
        world
            .accounts
            .invite(ann.org.org_id, by, email, role, true)
            .await
            .expect("invited")
            .expect("an organisation")
    };
    invite("new@ours.example", Role::Developer).await;
    let who = identity("1", "New@ours.example");
    let (entered, way) = enter(&world, vouched(&who)).await.expect("in");
    assert_eq!((way, entered.role, entered.org.org_id), (Way::Invited, Role::Developer, ann.org.org_id));
    // Somebody with an organisation of their own joins this one too.
    let eve = world.sign_up("eve@ours.example").await;
    invite("eve@ours.example", Role::Auditor).await;
    let who = identity("2", "eve@ours.example");
    let (entered, way) = enter(&world, vouched(&who)).await.expect("in");
    assert_eq!((way, entered.user.user_id), (Way::Linked, eve.user.user_id));
    let orgs = world.store.users().orgs(eve.user.user_id).await.expect("organisations");
    assert!(
        orgs.iter().any(|(org, role)| org.org_id == ann.org.org_id && *role == Role::Auditor),
        "{orgs:?}"
    );
    // The same person the next time, whatever the address is now, and whether or not anybody speaks for it.
    let who = identity("2", "married@elsewhere.example");
    let (again, way) = enter(&world, Vouched { spoken_for: false, ..vouched(&who) }).await.expect("known");
    assert_eq!((way, again.user.user_id), (Way::Known, eve.user.user_id));
}

#[tokio::test]
async fn what_may_be_used_once_is_used_once() {
    let world = World::new().await;
    assert!(world.accounts.once("state").await.is_ok());
    assert!(matches!(world.accounts.once("state").await, Err(AccountError::Used)));
    world.accounts.not_used("state").await.expect("done");
    assert!(world.accounts.once("state").await.is_ok());
    assert!(world.accounts.once("another").await.is_ok());
}
