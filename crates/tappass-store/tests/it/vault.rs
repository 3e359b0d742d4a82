//! The vault's tables.

use tappass_store::{Credential, VaultKey};

use crate::support::{at, id, on_each, two_orgs};

fn credential(name: &str, sealed: &str, second: i64) -> Credential {
    Credential {
        name: name.to_owned(),
        sealed: sealed.to_owned(),
        kind: "value".to_owned(),
        hint: "…".to_owned(),
        created_at: at(second),
        updated_at: at(second),
    }
}

#[tokio::test]
async fn data_keys_are_versions_and_go_when_they_are_old() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let (vault, org) = (store.vault(), ours.org_id);
        let key = |version: i64| VaultKey { version, wrapped: format!("wrapped {version}") };
        assert_eq!(vault.current_key(org).await.expect("an answer"), None);
        assert!(vault.add_key(org, &key(1), at(1)).await.expect("added"));
        assert!(
            !vault.add_key(org, &VaultKey { wrapped: "other".into(), ..key(1) }, at(1)).await.expect("there")
        );
        assert!(!vault.add_key(id(), &key(1), at(1)).await.expect("nobody"));
        assert!(vault.add_key(org, &key(2), at(5)).await.expect("added"));
        assert_eq!(vault.current_key(org).await.expect("an answer"), Some(key(2)));
        assert_eq!(vault.key(org, 1).await.expect("an answer"), Some(key(1)));
        assert_eq!(vault.key(theirs.org_id, 1).await.expect("an answer"), None);
        for (version, over, gone) in [(1, 5, false), (2, 99, false), (1, 6, true)] {
            assert_eq!(
                vault.forget_key(org, version, at(over)).await.expect("an answer"),
                gone,
                "{version} {over}"
            );
        }
        assert_eq!(vault.versions(org).await.expect("an answer"), [2]);
    })
    .await;
}

#[tokio::test]
async fn credentials_are_their_organisations_own() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let (vault, org) = (store.vault(), ours.org_id);
        let set = vault.set(org, &credential("openai", "a", 1)).await.expect("set").expect("it");
        assert_eq!(set, credential("openai", "a", 1));
        let again = vault.set(org, &credential("openai", "b", 7)).await.expect("set").expect("it");
        assert_eq!((again.sealed.as_str(), again.created_at, again.updated_at), ("b", at(1), at(7)));
        assert_eq!(vault.set(id(), &credential("openai", "a", 1)).await.expect("an answer"), None);
        assert!(
            !vault.reseal(org, "openai", "a", "c").await.expect("an answer"),
            "somebody has set it since"
        );
        assert!(vault.reseal(org, "openai", "b", "c").await.expect("an answer"));
        let all = vault.credentials(org).await.expect("an answer");
        assert_eq!((all.len(), all[0].sealed.as_str(), all[0].updated_at), (1, "c", at(7)));
        assert!(vault.credentials(theirs.org_id).await.expect("an answer").is_empty());
        assert!(!vault.remove(theirs.org_id, "openai").await.expect("an answer"));
        assert!(vault.remove(org, "openai").await.expect("removed"));
    })
    .await;
}
