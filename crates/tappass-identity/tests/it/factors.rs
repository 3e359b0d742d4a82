//! The second factor: set up, asked for, never taken twice.

use std::{net::IpAddr, time::Duration};

use tappass_identity::{AccountError, SignedIn, UserPrincipal};
use tappass_model::Clock as _;
use tappass_store::Reach;
use tappass_testkit::authenticator::code;

use crate::support::{PASSWORD, World};

const ANN: &str = "ann@ours.example";

fn ip(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

/// Ann with a second factor: her secret, her recovery codes.
async fn enrolled(world: &World) -> (UserPrincipal, String, Vec<String>) {
    let ann = world.sign_up(ANN).await;
    let person = world.person(&ann).await;
    let begun = world.accounts.enrol_factor(&person, Some(PASSWORD)).await.expect("begun");
    assert!(begun.uri.starts_with("otpauth://totp/TapPass:ann%40ours.example?secret="));
    let first = code(&begun.secret, world.clock.now());
    let codes = world.accounts.confirm_factor(&person, &first).await.expect("confirmed");
    (person, begun.secret.to_string(), codes.iter().map(|code| code.to_string()).collect())
}

async fn log_in(world: &World, code: Option<&str>, from: u8) -> Result<SignedIn, AccountError> {
    world.accounts.log_in(ANN, PASSWORD, code, ip(from)).await
}

#[tokio::test]
async fn the_login_asks_for_the_code_and_takes_each_once() {
    let world = World::new().await;
    let (_, secret, _) = enrolled(&world).await;
    assert!(matches!(log_in(&world, None, 1).await, Err(AccountError::CodeNeeded)));
    let wrong = world.accounts.log_in(ANN, "wrong password", Some("123456"), ip(1)).await;
    assert!(matches!(wrong, Err(AccountError::Wrong)), "the code is not looked at");
    let confirmed = code(&secret, world.clock.now());
    let again = log_in(&world, Some(&confirmed), 1).await;
    assert!(matches!(again, Err(AccountError::WrongCode)), "the code that confirmed it is used: {again:?}");

    world.clock.advance(Duration::from_secs(30));
    let now = code(&secret, world.clock.now());
    let spaced = format!(" {} {} ", &now[..3], &now[3..]);
    log_in(&world, Some(&spaced), 2).await.expect("right");
    assert!(matches!(log_in(&world, Some(&now), 2).await, Err(AccountError::WrongCode)));
    assert!(
        matches!(log_in(&world, Some(&confirmed), 2).await, Err(AccountError::WrongCode)),
        "an older one"
    );

    // A phone that is one step ahead; then its earlier code is of no more use.
    let ahead = code(&secret, world.clock.now().checked_add(Duration::from_secs(30)).expect("a time"));
    log_in(&world, Some(&ahead), 3).await.expect("right");
    world.clock.advance(Duration::from_secs(3600));
    assert!(matches!(log_in(&world, Some(&ahead), 4).await, Err(AccountError::WrongCode)), "too old");
}

#[tokio::test]
async fn of_two_who_use_one_code_at_once_one_gets_in() {
    let world = World::new().await;
    let (_, secret, codes) = enrolled(&world).await;
    world.clock.advance(Duration::from_secs(30));
    for code in [code(&secret, world.clock.now()), codes[0].clone()] {
        let (a, b) = tokio::join!(log_in(&world, Some(&code), 1), log_in(&world, Some(&code), 2));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    }
}

#[tokio::test]
async fn recovery_codes_are_renewed_and_those_before_end() {
    let world = World::new().await;
    let (person, secret, old) = enrolled(&world).await;
    let renew = async |password, code| world.accounts.renew_codes(&person, password, code).await;
    assert!(matches!(renew(Some("wrong password"), None).await, Err(AccountError::Wrong)));
    assert!(matches!(renew(None, None).await, Err(AccountError::Wrong)));
    assert!(matches!(renew(None, Some("000000")).await, Err(AccountError::WrongCode)));
    log_in(&world, Some(&old[0]), 1).await.expect("nothing has changed");
    let new = renew(Some(PASSWORD), None).await.expect("renewed");
    assert_eq!(new.len(), 10);
    assert!(matches!(log_in(&world, Some(&old[1]), 1).await, Err(AccountError::WrongCode)), "of before");
    log_in(&world, Some(&new[0]), 1).await.expect("a new one");
    world.clock.advance(Duration::from_secs(60));
    let now = code(&secret, world.clock.now());
    renew(None, Some(&now)).await.expect("by the app's code");
    assert!(matches!(log_in(&world, Some(&new[1]), 1).await, Err(AccountError::WrongCode)), "of before");
    let left = world.accounts.second_factor(person.user_id).await.expect("an answer").expect("it");
    assert_eq!(left.codes_left, 10);
    world.accounts.disable_factor(&person, Some(PASSWORD), None).await.expect("removed");
    assert!(matches!(renew(Some(PASSWORD), None).await, Err(AccountError::NoFactor)));
}

#[tokio::test]
async fn replicas_count_failures_together() {
    let world = World::new().await;
    world.sign_up(ANN).await;
    let other = world.other_accounts();
    for try_ in 0..5 {
        let accounts = if try_ % 2 == 0 { &world.accounts } else { &other };
        let wrong = accounts.log_in(ANN, "wrong password", None, ip(1)).await;
        assert!(matches!(wrong, Err(AccountError::Wrong)), "{wrong:?}");
    }
    for accounts in [&world.accounts, &other] {
        let locked = accounts.log_in(ANN, PASSWORD, None, ip(2)).await;
        assert!(
            matches!(locked, Err(AccountError::Locked { .. })),
            "the account, from elsewhere: {locked:?}"
        );
        let locked = accounts.log_in("somebody@else.example", PASSWORD, None, ip(1)).await;
        assert!(matches!(locked, Err(AccountError::Locked { .. })), "the address: {locked:?}");
    }
    world.clock.advance(Duration::from_secs(15 * 60));
    other.log_in(ANN, PASSWORD, None, ip(1)).await.expect("the lock is over");
    // What may be used once is used once, wherever.
    world.accounts.once("a state").await.expect("first");
    assert!(matches!(other.once("a state").await, Err(AccountError::Used)));
    // Nothing of it is readable in the database.
    let mut tx = world.store.db().read(Reach::All).await.expect("a transaction");
    let kept =
        sqlx::query("SELECT COUNT(*) AS n FROM attempts WHERE what LIKE '%ours%' OR what LIKE '%192.0.2%'");
    let row = tx.fetch_optional(kept).await.expect("an answer").expect("a row");
    assert_eq!(tappass_store::row::Columns::int(&row, "n").expect("a number"), 0);
}

#[tokio::test]
async fn a_recovery_code_works_once() {
    let world = World::new().await;
    let (person, _, codes) = enrolled(&world).await;
    assert_eq!(codes.len(), 10);
    let shouted = codes[3].to_uppercase().replace('-', " ");
    log_in(&world, Some(&shouted), 1).await.expect("right");
    assert!(matches!(log_in(&world, Some(&codes[3]), 1).await, Err(AccountError::WrongCode)));
    let left = world.accounts.second_factor(person.user_id).await.expect("an answer").expect("it");
    assert_eq!(left.codes_left, 9);
    log_in(&world, Some(&codes[4]), 1).await.expect("the others do");
}

#[tokio::test]
async fn wrong_codes_lock_as_wrong_passwords_do() {
    let world = World::new().await;
    let (_, secret, codes) = enrolled(&world).await;
    world.clock.advance(Duration::from_secs(30));
    for n in 0..5 {
        // To be asked for the code does not count, nor does it buy more tries.
        assert!(matches!(log_in(&world, None, 100).await, Err(AccountError::CodeNeeded)));
        let wrong = log_in(&world, Some("000000"), n).await;
        assert!(matches!(wrong, Err(AccountError::WrongCode)), "{wrong:?}");
    }
    let right = code(&secret, world.clock.now());
    for code in [&right, &codes[0]] {
        assert!(matches!(log_in(&world, Some(code), 50).await, Err(AccountError::Locked { .. })));
    }
    world.clock.advance(Duration::from_secs(15 * 60));
    log_in(&world, Some(&codes[0]), 51).await.expect("unlocked");
}

#[tokio::test]
async fn setting_up_needs_the_password_and_the_first_code() {
    let world = World::new().await;
    let ann = world.sign_up(ANN).await;
    let person = world.person(&ann).await;
    for wrong in [None, Some("wrong password")] {
        let said = world.accounts.enrol_factor(&person, wrong).await.map(|_| ());
        assert!(matches!(said, Err(AccountError::Wrong)), "{said:?}");
    }
    let none = world.accounts.confirm_factor(&person, "123456").await;
    assert!(matches!(none, Err(AccountError::NoFactor)), "{none:?}");
    let begun = world.accounts.enrol_factor(&person, Some(PASSWORD)).await.expect("begun");
    let wrong = world.accounts.confirm_factor(&person, "000000").await;
    assert!(matches!(wrong, Err(AccountError::WrongCode)), "{wrong:?}");
    log_in(&world, None, 1).await.expect("what is not confirmed protects nothing");
    let first = code(&begun.secret, world.clock.now());
    world.accounts.confirm_factor(&person, &first).await.expect("confirmed");
    let twice = world.accounts.enrol_factor(&person, Some(PASSWORD)).await.map(|_| ());
    assert!(matches!(twice, Err(AccountError::FactorExists)), "{twice:?}");
}

#[tokio::test]
async fn disabling_needs_the_password_or_a_code() {
    let world = World::new().await;
    let (person, _, codes) = enrolled(&world).await;
    for (password, code) in [(None, None), (Some("wrong password"), None), (None, Some("000000"))] {
        let said = world.accounts.disable_factor(&person, password, code).await;
        assert!(matches!(said, Err(AccountError::Wrong | AccountError::WrongCode)), "{said:?}");
    }
    world.accounts.disable_factor(&person, None, Some(&codes[0])).await.expect("disabled");
    log_in(&world, None, 1).await.expect("no code is asked for");
    let gone = world.accounts.disable_factor(&person, Some(PASSWORD), None).await;
    assert!(matches!(gone, Err(AccountError::NoFactor)), "{gone:?}");
}

#[tokio::test]
async fn only_sealed_and_hashed_things_are_stored() {
    let world = World::new().await;
    let (person, secret, codes) = enrolled(&world).await;
    let mut tx = world.store.db().read(Reach::All).await.expect("a transaction");
    let select = "SELECT sealed || group_concat(code_hash) AS everything \
                  FROM second_factors f JOIN recovery_codes c ON c.user_id = f.user_id GROUP BY sealed";
    let rows = tx.fetch_all(sqlx::query(select)).await.expect("rows");
    let stored = tappass_store::row::Columns::text(&rows[0], "everything").expect("text");
    tx.commit().await.expect("done");
    assert!(
        !stored.contains(&secret) && codes.iter().all(|code| !stored.contains(code.as_str())),
        "{stored}"
    );
    let factor = world.accounts.second_factor(person.user_id).await.expect("an answer").expect("it");
    assert!(factor.sealed.len() > 40);
}

#[tokio::test]
async fn another_password_ends_the_other_sessions_only() {
    let world = World::new().await;
    let (here, there) = (world.sign_up(ANN).await, log_in(&world, None, 1).await.expect("a session"));
    let person = world.person(&here).await;
    let new = "another horse battery";
    for wrong in [None, Some("wrong password")] {
        let said = world.accounts.change_password(&person, wrong, new).await;
        assert!(matches!(said, Err(AccountError::Wrong)), "{said:?}");
    }
    let weak = world.accounts.change_password(&person, Some(PASSWORD), "short").await;
    assert!(matches!(weak, Err(AccountError::Password(_))), "{weak:?}");
    world.accounts.change_password(&person, Some(PASSWORD), new).await.expect("changed");
    world.auth.person(here.token.expose()).await.expect("this one lasts");
    assert!(world.auth.person(there.token.expose()).await.is_err());
    assert!(matches!(log_in(&world, None, 2).await, Err(AccountError::Wrong)));
    world.accounts.log_in(ANN, new, None, ip(3)).await.expect("the new one");
}
