//! Policies and their versions.

use tappass_store::{Org, PolicyVersion, StoreError};

use crate::support::{at, on_each, two_orgs};

fn policy(org: &Org, question: &str, rego: &str) -> PolicyVersion {
    PolicyVersion {
        org_id: org.org_id,
        question: question.to_owned(),
        version: 0,
        rego: rego.to_owned(),
        created_at: at(4),
    }
}

#[tokio::test]
async fn the_latest_of_each_counts_and_a_stale_writer_is_refused() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let policies = store.policies();
        for (question, rego, version) in [("tools", "a", 1), ("tools", "b", 2), ("authz", "c", 1)] {
            let put =
                policies.put(&policy(&ours, question, rego), None).await.expect("a version").expect("ours");
            assert_eq!(put.version, version);
        }
        let stale = policies.put(&policy(&ours, "tools", "late"), Some(1)).await;
        assert!(matches!(stale, Err(StoreError::Stale(_))), "{stale:?}");
        let latest = policies.latest(ours.org_id).await.expect("an answer");
        let texts: Vec<_> = latest.iter().map(|p| (p.question.as_str(), p.rego.as_str())).collect();
        assert_eq!(texts, [("authz", "c"), ("tools", "b")]);
        assert_eq!(policies.latest(theirs.org_id).await.expect("an answer"), []);
    })
    .await;
}
