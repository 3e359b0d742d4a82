//! The vault, over a database: what is sealed opens where it belongs, also while keys change.

use std::{sync::Arc, time::Duration};

use tappass_identity::{
    ServerSecrets,
    vault::{Vault, credential_place},
};
use tappass_model::{Clock, Ids as _, SystemIds};
use tappass_store::{Credential, Org, Store, StoreConfig};
use tappass_testkit::ManualClock;
use uuid::Uuid;

const KEY: &str = "q83vEjRWeJq8N94SNFZ4mrze8BI0VniavN7wEjRWeJo=";
const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn store() -> (Store, Uuid, Uuid) {
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    let mut ids = Vec::new();
    for name in ["ours", "theirs"] {
        let org =
            Org { org_id: SystemIds.uuid(), name: name.to_owned(), created_at: ManualClock::default().now() };
        store.orgs().create(&org).await.expect("made");
        ids.push(org.org_id);
    }
    (store, ids[0], ids[1])
}

fn vault(store: &Store, key: &'static str, clock: &Arc<ManualClock>) -> Vault {
    let env = |name: &str| (name == "TAPPASS_VAULT_KEY").then(|| key.to_owned());
    let sealer = ServerSecrets::load_or_create(None, &env).expect("secrets").0.vault_sealer().expect("a key");
    let clock: Arc<dyn Clock> = clock.clone();
    Vault::new(store.clone(), sealer, clock)
}

#[tokio::test]
async fn what_is_sealed_opens_in_its_place_of_its_organisation_only() {
    let (store, ours, theirs) = store().await;
    let clock = Arc::new(ManualClock::default());
    let one = vault(&store, KEY, &clock);
    let sealed = one.seal(ours, "a", "sk-secret").await.expect("sealed");
    assert!(sealed.starts_with("v1.") && !sealed.contains("secret"));
    assert_eq!(one.open(ours, "a", &sealed).await.expect("opens").as_str(), "sk-secret");
    one.seal(theirs, "a", "x").await.expect("they have a key too");
    assert!(one.open(theirs, "a", &sealed).await.is_err(), "another organisation");
    assert!(one.open(ours, "b", &sealed).await.is_err(), "another place");
    one.rotate(ours).await.expect("rotated");
    let moved = sealed.replacen("v1.", "v2.", 1);
    assert!(one.open(ours, "a", &moved).await.is_err(), "another version");
    for broken in ["", "v1.", "v9.AAAA", "v1.AAAA", "vx.AAAA", "sk-secret", &sealed[3..]] {
        assert!(one.open(ours, "a", broken).await.is_err(), "{broken}");
    }
    // Another replica with the same key opens it, one with another key does not.
    assert!(vault(&store, KEY, &clock).open(ours, "a", &sealed).await.is_ok());
    assert!(vault(&store, OTHER, &clock).open(ours, "a", &sealed).await.is_err());
}

#[tokio::test]
async fn old_keys_stay_while_they_are_needed_and_go_then() {
    let (store, ours, _) = store().await;
    let clock = Arc::new(ManualClock::default());
    let one = vault(&store, KEY, &clock);
    let place = credential_place("openai");
    let sealed = one.seal(ours, &place, "sk-1").await.expect("sealed");
    let now = clock.now();
    let credential = Credential {
        name: "openai".into(),
        sealed: sealed.clone(),
        kind: "value".into(),
        hint: "…".into(),
        created_at: now,
        updated_at: now,
    };
    store.vault().set(ours, &credential).await.expect("set").expect("there");
    assert_eq!(one.rotate(ours).await.expect("rotated"), (2, 1));
    one.forget(ours).await.expect("forgotten");
    assert!(one.open(ours, &place, &sealed).await.is_ok(), "whoever has read it before still opens it");
    clock.advance(Duration::from_secs(3 * 60 * 60));
    assert_eq!(one.rotate(ours).await.expect("rotated"), (3, 1));
    one.forget(ours).await.expect("forgotten");
    assert_eq!(store.vault().versions(ours).await.expect("versions"), [2, 3]);
    let fresh = vault(&store, KEY, &clock);
    assert!(fresh.open(ours, &place, &sealed).await.is_err(), "its key is gone");
    let now = store.vault().credentials(ours).await.expect("credentials").remove(0);
    assert_eq!(fresh.open(ours, &place, &now.sealed).await.expect("opens").as_str(), "sk-1");
}
