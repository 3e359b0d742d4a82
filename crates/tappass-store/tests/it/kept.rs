//! What calls said.

use std::time::Duration;

use tappass_store::{KeptCall, KeptFilter, Org, Resealed};
use uuid::Uuid;

use crate::support::{at, id, on_each, org, two_orgs};

fn kept(org: &Org, agent_id: &str, second: i64, until: i64) -> KeptCall {
    KeptCall {
        org_id: org.org_id,
        call_id: id(),
        agent_id: agent_id.to_owned(),
        kind: "llm_call".to_owned(),
        ts: at(second),
        expires_at: at(until),
        key_version: 1,
        sealed: format!("v1.{second}"),
    }
}

fn ids(calls: &[KeptCall]) -> Vec<Uuid> {
    calls.iter().map(|call| call.call_id).collect()
}

#[tokio::test]
async fn kept_calls_are_listed_newest_first_scoped_and_forgotten() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let table = store.kept_calls();
        let all = vec![
            kept(&ours, "a", 1, 100),
            kept(&ours, "b", 2, 50),
            KeptCall { kind: "tool_call".into(), ..kept(&ours, "a", 3, 100) },
        ];
        table.put(&all).await.expect("kept");
        table.put(&all).await.expect("those that are there stay");
        table
            .put(&[kept(&org("Nowhere"), "a", 1, 100), kept(&theirs, "a", 1, 100)])
            .await
            .expect("an answer");
        let list = async |filter: KeptFilter, now, limit| {
            table.list(ours.org_id, &filter, at(now), limit).await.expect("a list")
        };
        let every = KeptFilter { since: at(0), ..KeptFilter::default() };
        assert_eq!(list(every.clone(), 4, 9).await, [all[2].clone(), all[1].clone(), all[0].clone()]);
        assert_eq!(ids(&list(every.clone(), 4, 2).await), [all[2].call_id, all[1].call_id]);
        let one = async |org, now| table.get(org, all[1].call_id, at(now)).await.expect("an answer");
        assert_eq!(one(ours.org_id, 4).await.as_ref(), Some(&all[1]));
        assert_eq!((one(ours.org_id, 50).await, one(theirs.org_id, 4).await), (None, None));
        let next = KeptFilter { before: Some((all[1].ts, all[1].call_id)), ..every.clone() };
        assert_eq!(ids(&list(next, 4, 2).await), [all[0].call_id]);
        let of_b = KeptFilter { agents: Some(vec!["b".into(), "c".into()]), ..every.clone() };
        assert_eq!(ids(&list(of_b, 4, 9).await), [all[1].call_id]);
        let nobody = KeptFilter { agents: Some(Vec::new()), ..every.clone() };
        assert!(list(nobody, 4, 9).await.is_empty());
        assert_eq!(ids(&list(KeptFilter { since: at(3), ..every.clone() }, 4, 9).await), [all[2].call_id]);
        let count = async |kind| table.count(ours.org_id, kind, &every, at(4)).await.expect("a number");
        assert_eq!((count("llm_call").await, count("tool_call").await), (2, 1));
        // Over means over, before the sweep and after it.
        assert_eq!(ids(&list(every.clone(), 50, 9).await), [all[2].call_id, all[0].call_id]);
        assert_eq!(table.forget(at(50)).await.expect("forgets"), 1);
        assert_eq!(ids(&list(every.clone(), 4, 9).await), [all[2].call_id, all[0].call_id]);
        table.shorten(ours.org_id, Duration::from_secs(10)).await.expect("shortened");
        assert_eq!(
            ids(&list(every.clone(), 12, 9).await),
            [all[2].call_id],
            "the other came ten seconds before"
        );
        table.forget_one(ours.org_id, all[0].call_id).await.expect("forgotten");
        assert_eq!(table.forget_all(ours.org_id).await.expect("forgotten"), 1);
        let foreign = table.list(theirs.org_id, &every, at(4), 9).await.expect("a list");
        assert_eq!(foreign.len(), 1, "theirs are theirs");
    })
    .await;
}

#[tokio::test]
async fn a_key_in_use_is_known_and_resealing_minds_changes() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let table = store.kept_calls();
        let (one, two) = (kept(&ours, "a", 1, 100), KeptCall { key_version: 2, ..kept(&ours, "a", 2, 100) });
        table.put(&[one.clone(), two]).await.expect("kept");
        let mut versions = table.key_versions(ours.org_id).await.expect("versions");
        versions.sort_unstable();
        assert_eq!(versions, [1, 2]);
        assert!(table.key_versions(theirs.org_id).await.expect("versions").is_empty());
        assert_eq!(ids(&table.sealed_before(ours.org_id, 2, 9).await.expect("a list")), [one.call_id]);
        let reseal = async |was: &str| {
            let anew = Resealed { call_id: one.call_id, was: was.into(), is: "v2.x".into() };
            table.reseal(ours.org_id, 2, &[anew]).await.expect("an answer");
            table.key_versions(ours.org_id).await.expect("versions").len()
        };
        assert_eq!(reseal("v1.other").await, 2, "it is not as it was read");
        assert_eq!(reseal("v1.1").await, 1);
    })
    .await;
}
