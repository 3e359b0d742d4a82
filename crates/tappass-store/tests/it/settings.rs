//! Documents of an organisation.

use tappass_store::StoreError;

use crate::support::{at, id, on_each, two_orgs};

#[tokio::test]
async fn a_document_is_written_only_over_the_version_that_was_read() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let settings = store.settings();
        let put =
            async |body: &str, expected| settings.put(ours.org_id, "allowlist", body, expected, at(1)).await;
        assert_eq!(settings.get(ours.org_id, "allowlist").await.expect("an answer"), None);
        assert!(matches!(put("[]", 3).await, Err(StoreError::Stale(_))));
        assert_eq!(put("[1]", 0).await.expect("written"), Some(1));
        assert!(matches!(put("[2]", 0).await, Err(StoreError::Stale(_))));
        assert_eq!(put("[2]", 1).await.expect("written"), Some(2));
        let now = settings.get(ours.org_id, "allowlist").await.expect("an answer").expect("it");
        assert_eq!((now.version, now.body.as_str(), now.updated_at), (2, "[2]", at(1)));
        assert_eq!(settings.get(theirs.org_id, "allowlist").await.expect("an answer"), None);
        assert_eq!(settings.put(id(), "allowlist", "[]", 0, at(1)).await.expect("an answer"), None);
    })
    .await;
}
