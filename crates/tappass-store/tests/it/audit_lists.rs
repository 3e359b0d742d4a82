//! The log as lists: the same events whichever way they are found.

use tappass_store::{AuditFilter, AuditOrder, AuditRow, FEW, PageRequest, Store, audit::AuditHead};
use uuid::Uuid;

use crate::support::{at, id, on_each, two_orgs};

/// A log of so many events, a second each; every hundredth is a sign-in.
async fn log(store: &Store, org_id: Uuid, events: u64) {
    let zero = "0".repeat(64);
    let head = |size: u64, hash: &str| AuditHead {
        size,
        hash: hash.to_owned(),
        tree: String::new(),
        sealed_size: 0,
        sealed_hash: zero.clone(),
    };
    let row = |seq: u64| AuditRow {
        org_id,
        seq,
        event_id: id(),
        ts: at(seq.cast_signed()),
        agent_id: None,
        session_id: None,
        event_type: if seq.is_multiple_of(100) { "signin" } else { "llm_call" }.to_owned(),
        action: None,
        hash: seq.to_string(),
        body: "{}".to_owned(),
    };
    let mut tx = store.audit().begin(org_id).await.expect("begins");
    tx.lock(org_id).await.expect("a head");
    tx.commit().await.expect("commits");
    // As many at once as the writer of the log does.
    let (mut last, all) = (head(0, &zero), (1..=events).map(row).collect::<Vec<_>>());
    for rows in all.chunks(200) {
        let seq = last.size + rows.len() as u64;
        let end = head(seq, &seq.to_string());
        assert!(store.audit().append_at(org_id, &last, &end, rows.to_vec()).await.expect("appends"));
        last = end;
    }
}

async fn found(store: &Store, org_id: Uuid, filter: &AuditFilter) -> Vec<u64> {
    let mut page = PageRequest { limit: 7, cursor: None };
    let mut found = Vec::new();
    loop {
        let part = store.audit().list(org_id, filter, AuditOrder::NewestFirst, &page).await.expect("a page");
        found.extend(part.items.iter().map(|row| row.seq));
        match part.next {
            Some(next) => page.cursor = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn since_a_time_and_of_a_type_few_and_many_alike() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let all = u64::from(FEW) + 1_000;
        log(&store, ours.org_id, all).await;
        log(&store, theirs.org_id, 300).await;
        let filter = |since: u64| AuditFilter {
            event_type: Some("signin".to_owned()),
            since: Some(at(since.cast_signed())),
            ..AuditFilter::default()
        };
        // Many: all but the first hundreds; few: the last hundreds; none: later than the log.
        for since in [250, 300, 301, all - 450, all, all + 1] {
            let want: Vec<u64> = (since..=all).filter(|seq| seq.is_multiple_of(100)).rev().collect();
            assert_eq!(found(&store, ours.org_id, &filter(since)).await, want, "since {since}");
        }
        assert_eq!(found(&store, theirs.org_id, &filter(150)).await, [300, 200]);
    })
    .await;
}
