//! Traces for support.

use serde_json::json;
use tappass_store::{DebugFilter, DebugTrace, Org, PageRequest};

use crate::support::{at, id, on_each, org, two_orgs};

fn trace(org: &Org, agent_id: &str, until: i64) -> DebugTrace {
    DebugTrace {
        org_id: org.org_id,
        call_id: id(),
        agent_id: agent_id.to_owned(),
        ts: at(0),
        expires_at: at(until),
        body: json!({"steps": []}),
    }
}

#[tokio::test]
async fn traces_are_listed_scoped_and_forgotten() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let traces = store.debug_traces();
        let all: Vec<DebugTrace> =
            [("a", 10), ("b", 20), ("a", 30)].map(|(agent, until)| trace(&ours, agent, until)).to_vec();
        for t in &all {
            assert!(traces.put(t).await.expect("kept"));
            assert!(traces.put(t).await.expect("the first stays"));
        }
        assert!(!traces.put(&trace(&org("Nowhere"), "a", 10)).await.expect("an answer"));
        let list = async |filter: DebugFilter, now, limit, cursor| {
            let page = PageRequest { limit, cursor };
            traces.list(ours.org_id, &filter, at(now), &page).await.expect("a page")
        };
        let first = list(DebugFilter::default(), 1, 2, None).await;
        assert_eq!(first.items, [all[2].clone(), all[1].clone()]);
        assert_eq!(list(DebugFilter::default(), 1, 2, first.next).await.items, [all[0].clone()]);
        let of_b = DebugFilter { agent_id: Some("b".into()), call_id: None };
        assert_eq!(list(of_b, 1, 9, None).await.items, [all[1].clone()]);
        let one = DebugFilter { agent_id: None, call_id: Some(all[0].call_id) };
        assert_eq!(list(one, 1, 9, None).await.items, [all[0].clone()]);
        let foreign =
            traces.list(theirs.org_id, &DebugFilter::default(), at(1), &PageRequest::default()).await;
        assert_eq!(foreign.expect("a page").items, []);
        // Over means over, before the sweep and after it.
        assert_eq!(list(DebugFilter::default(), 20, 9, None).await.items, [all[2].clone()]);
        traces.forget(at(20)).await.expect("forgets");
        assert_eq!(list(DebugFilter::default(), 1, 9, None).await.items, [all[2].clone()]);
    })
    .await;
}
