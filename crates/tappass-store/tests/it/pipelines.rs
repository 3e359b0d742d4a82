//! Pipelines and their versions.

use tappass_store::{Org, PageRequest, PipelineVersion, StoreError};

use crate::support::{at, on_each, org, two_orgs};

fn pipeline(org: &Org, name: &str, yaml: &str) -> PipelineVersion {
    PipelineVersion {
        org_id: org.org_id,
        name: name.to_owned(),
        version: 0,
        yaml: yaml.to_owned(),
        hash: format!("sha256:{yaml}"),
        created_at: at(4),
    }
}

#[tokio::test]
async fn every_version_is_kept() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let pipelines = store.pipelines();
        for yaml in ["one", "two"] {
            pipelines.put(&pipeline(&ours, "starter", yaml), None).await.expect("a version").expect("ours");
        }
        pipelines.put(&pipeline(&ours, "alpha", "a"), None).await.expect("a version").expect("ours");
        let latest = pipelines.latest(ours.org_id, "starter").await.expect("an answer").expect("it");
        assert_eq!(latest, PipelineVersion { version: 2, ..pipeline(&ours, "starter", "two") });
        let first = pipelines.version(ours.org_id, "starter", 1).await.expect("an answer").expect("it");
        assert_eq!(first.yaml, "one");
        assert_eq!(pipelines.version(ours.org_id, "starter", 3).await.expect("an answer"), None);

        let page =
            pipelines.list(ours.org_id, &PageRequest { limit: 1, cursor: None }).await.expect("a page");
        assert_eq!(page.items[0].name, "alpha");
        let rest = PageRequest { limit: 1, cursor: page.next };
        assert_eq!(pipelines.list(ours.org_id, &rest).await.expect("a page").items, [latest]);

        assert_eq!(pipelines.latest(theirs.org_id, "starter").await.expect("an answer"), None);
        assert_eq!(pipelines.version(theirs.org_id, "starter", 1).await.expect("an answer"), None);
        assert_eq!(pipelines.list(theirs.org_id, &PageRequest::default()).await.expect("a page").items, []);
        let nowhere = pipelines.put(&pipeline(&org("Nowhere"), "starter", "x"), None).await;
        assert_eq!(nowhere.expect("an answer"), None);
    })
    .await;
}

#[tokio::test]
async fn a_version_that_someone_else_overtook_is_refused() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let put = |yaml, expected| {
            let (new, store) = (pipeline(&ours, "starter", yaml), store.clone());
            async move { store.pipelines().put(&new, expected).await }
        };
        assert!(matches!(put("x", Some(1)).await, Err(StoreError::Stale(_))));
        assert_eq!(put("one", Some(0)).await.expect("a version").expect("ours").version, 1);
        assert_eq!(put("two", Some(1)).await.expect("a version").expect("ours").version, 2);
        assert!(matches!(put("late", Some(1)).await, Err(StoreError::Stale(_))));
    })
    .await;
}

#[tokio::test]
async fn versions_written_at_once_are_counted_without_gaps() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let put = |yaml| {
            let (new, store) = (pipeline(&ours, "starter", yaml), store.clone());
            async move { store.pipelines().put(&new, None).await.expect("a version").expect("ours").version }
        };
        let (a, b, c, d) = tokio::join!(put("a"), put("b"), put("c"), put("d"));
        let mut versions = [a, b, c, d];
        versions.sort_unstable();
        assert_eq!(versions, [1, 2, 3, 4]);
    })
    .await;
}
