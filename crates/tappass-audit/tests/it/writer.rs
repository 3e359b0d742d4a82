//! Recording: many at once, idempotent, sealed, followed.

use std::time::Duration;

use tappass_audit::{AuditConfig, AuditError, AuditLog, Recorded};
use tappass_store::{AuditFilter, AuditOrder, PageRequest, Store, StoreConfig};
use tokio::task::JoinSet;

use crate::support::{assert_whole, config, event, eventually, export, local, log_on, org, postgres, stored};

/// Runs the test on each storage.
async fn on_each(test: impl AsyncFn(Store)) {
    let dir = tempfile::tempdir().expect("a directory");
    for config in [StoreConfig::Memory, local(dir.path()), postgres().await] {
        let store = Store::connect(&config).await.expect("a store");
        test(store.clone()).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_make_one_line_for_each_organisation() {
    on_each(async |store| {
        let (log, orgs) = (log_on(&store).await, [org(), org()]);
        let mut callers = JoinSet::new();
        for i in 0..200 {
            let (log, event) = (log.clone(), event(orgs[i % 2]));
            callers.spawn(async move { (event.event_id, log.record(&event).await.expect("recorded")) });
        }
        let receipts = callers.join_all().await;
        log.shutdown().await.expect("closed");
        for org_id in orgs {
            assert_whole(&store, org_id, 100).await;
            let last =
                store.audit().last_checkpoint(org_id).await.expect("read").expect("sealed at shutdown");
            assert_eq!(last.size, 100);
        }
        for (event_id, receipt) in receipts {
            let rows =
                [store.audit().get(orgs[0], event_id).await, store.audit().get(orgs[1], event_id).await];
            // In exactly one of the organisations: the other does not see it.
            let [Ok(a), Ok(b)] = rows else { panic!("the store answers") };
            assert!(a.is_some() != b.is_some());
            let row = a.or(b).expect("one");
            assert_eq!((receipt.event_id, receipt.seq), (row.event_id, row.seq));
        }
        assert!(matches!(log.record(&event(orgs[0])).await, Err(AuditError::Closed)));
        assert!(log.healthy().is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_is_recorded_once() {
    on_each(async |store| {
        let (log, org_id) = (log_on(&store).await, org());
        let twice = event(org_id);
        let first = log.record(&twice).await.expect("recorded");
        // Alone, then in the company of new ones.
        assert_eq!(log.record(&twice).await.expect("recorded"), first);
        let (new, other) = (event(org_id), event(org_id));
        let (a, b, c) = tokio::join!(log.record(&new), log.record(&twice), log.record(&other));
        assert_eq!(b.expect("recorded"), first);
        assert!(a.is_ok() && c.is_ok());
        // Another organisation may use the same id: it learns nothing of ours.
        let foreign = tappass_audit::Event { org_id: org(), ..twice.clone() };
        assert_eq!(log.record(&foreign).await.expect("recorded").seq, 1);
        log.shutdown().await.expect("closed");
        assert_whole(&store, org_id, 3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_by_number_by_time_on_request_and_after_a_restart() {
    on_each(async |store| {
        let org_id = org();
        let sealed =
            async || store.audit().last_checkpoint(org_id).await.expect("read").map_or(0, |c| c.size);

        let log =
            AuditLog::start(AuditConfig { checkpoint_every: 10, ..config(&store) }).await.expect("a log");
        assert_eq!(log.checkpoint(org_id).await.expect("answers"), None);
        for _ in 0..25 {
            log.record(&event(org_id)).await.expect("recorded");
        }
        assert_eq!(sealed().await, 20);
        let asked = log.checkpoint(org_id).await.expect("answers").expect("sealed");
        assert_eq!((asked.size, asked.check()), (25, Ok(())));
        assert_eq!(log.checkpoint(org_id).await.expect("answers"), Some(asked), "nothing new to seal");
        log.record(&event(org_id)).await.expect("recorded");
        // No shutdown: the process is gone, and the next one seals what it left.
        drop(log);
        let short = Duration::from_millis(50);
        let log = AuditLog::start(AuditConfig { checkpoint_interval: short, ..config(&store) })
            .await
            .expect("a log");
        eventually("sealed after the interval", async || sealed().await == 26).await;
        log.shutdown().await.expect("closed");
        assert_whole(&store, org_id, 26).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_filter_page_and_follow() {
    on_each(async |store| {
        let (log, org_id) = (log_on(&store).await, org());
        let mut feed = log.subscribe();
        let times: Vec<_> =
            (0..7).map(|i| format!("2026-11-22T09:30:0{i}Z").parse().expect("a time")).collect();
        for (i, ts) in times.iter().enumerate() {
            let mut event = event(org_id);
            event.ts = *ts;
            event.agent_id = Some(if i % 2 == 0 { "even" } else { "odd\0" }.to_owned());
            event.session_id = (i > 3).then(|| "s\0".to_owned());
            log.record(&event).await.expect("recorded");
            assert_eq!(feed.recv().await.expect("committed").seq, i as u64 + 1);
        }
        let audit = store.audit();
        let list = async |filter: AuditFilter, order, page: &PageRequest| {
            let page = audit.list(org_id, &filter, order, page).await.expect("a page");
            (page.items.iter().map(|r| r.seq).collect::<Vec<_>>(), page.next)
        };
        let all = PageRequest::default();
        let newest = AuditOrder::NewestFirst;
        assert_eq!(list(AuditFilter::default(), newest, &all).await.0, [7, 6, 5, 4, 3, 2, 1]);
        let even = AuditFilter { agent_id: Some("even".to_owned()), ..AuditFilter::default() };
        let (first, cursor) = list(even.clone(), newest, &PageRequest { limit: 3, cursor: None }).await;
        assert_eq!(first, [7, 5, 3]);
        assert_eq!(list(even, newest, &PageRequest { limit: 3, cursor }).await, (vec![1], None));
        let session = AuditFilter { session_id: Some("s\u{fffd}".to_owned()), ..AuditFilter::default() };
        assert_eq!(list(session, newest, &all).await.0, [7, 6, 5]);
        let some = AuditFilter {
            event_type: Some("llm_call".to_owned()),
            action: Some("allow".to_owned()),
            since: Some(times[1]),
            until: Some(times[3]),
            ..AuditFilter::default()
        };
        assert_eq!(list(some, newest, &all).await.0, [3, 2]);
        let until = AuditFilter { until: Some(times[5]), ..AuditFilter::default() };
        let (first, cursor) = list(until.clone(), newest, &PageRequest { limit: 2, cursor: None }).await;
        assert_eq!(first, [5, 4]);
        let (second, cursor) = list(until.clone(), newest, &PageRequest { limit: 2, cursor }).await;
        assert_eq!((second, cursor.is_some()), (vec![3, 2], true));
        let other_list = PageRequest { limit: 2, cursor };
        assert_eq!(list(until, newest, &other_list).await, (vec![1], None));
        assert!(audit.list(org_id, &AuditFilter::default(), newest, &other_list).await.is_err());
        let words = |text: &str| AuditFilter { text: Some(text.to_owned()), ..AuditFilter::default() };
        assert_eq!(list(words("ODD"), newest, &all).await.0, [6, 4, 2]);
        assert_eq!(list(words("09:30:03"), newest, &all).await.0, [4]);
        assert_eq!(list(words("ev_n"), newest, &all).await.0, [0_u64; 0], "a wildcard of LIKE is none here");
        let (sessions, older) = audit.recent_sessions(org_id, None, None, 9).await.expect("a list");
        let told: Vec<_> =
            sessions.iter().map(|s| (s.session_id.as_str(), s.agent_id.as_str(), s.calls, s.began)).collect();
        assert_eq!(told, [("s\u{fffd}", "even", 2, times[4]), ("s\u{fffd}", "odd\u{fffd}", 1, times[5])]);
        assert_eq!((sessions[0].last, sessions[0].blocked, older), (times[6], 0, None));
        let odd = audit.recent_sessions(org_id, Some("odd\u{fffd}"), None, 9).await.expect("a list").0;
        assert_eq!(odd.len(), 1);
        assert!(audit.recent_sessions(org(), None, None, 9).await.expect("a list").0.is_empty());
        assert!(audit.recent_sessions(org_id, None, Some(4), 9).await.expect("a list").0.is_empty());
        let follow = PageRequest { limit: 10, cursor: Some(tappass_store::audit::cursor_after(5)) };
        assert_eq!(list(AuditFilter::default(), AuditOrder::OldestFirst, &follow).await.0, [6, 7]);
        let nothing = AuditFilter { action: Some("block".to_owned()), ..AuditFilter::default() };
        assert_eq!(list(nothing, newest, &all).await.0, [0_u64; 0]);
        let made_up = PageRequest { limit: 1, cursor: Some("6e6f".to_owned()) };
        assert!(audit.list(org_id, &AuditFilter::default(), newest, &made_up).await.is_err());
        assert!(
            audit.list(org(), &AuditFilter::default(), newest, &all).await.expect("a page").items.is_empty()
        );
        log.shutdown().await.expect("closed");
        // A NUL does not fit PostgreSQL's columns; verification knows.
        assert_whole(&store, org_id, 7).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_exports_in_pages() {
    let store = Store::connect(&StoreConfig::Memory).await.expect("a store");
    let (log, org_id) = (log_on(&store).await, org());
    let mut callers = JoinSet::new();
    for _ in 0..2100 {
        let (log, event) = (log.clone(), event(org_id));
        callers.spawn(async move { log.record_or_spool(event).await.expect("recorded") });
    }
    assert!(callers.join_all().await.iter().all(|r| matches!(r, Recorded::Stored(_))));
    log.shutdown().await.expect("closed");
    assert_eq!(stored(&store, org_id).await.len(), 2100);
    let text = export(&store, org_id).await;
    let report =
        tappass_audit::verify_export(text.as_bytes(), Vec::new(), Vec::new()).expect("an export").report;
    assert!(
        report.ok && report.events == 2100 && report.checkpoints >= 2 && report.unsealed_tail == 0,
        "{report:?}"
    );
}
