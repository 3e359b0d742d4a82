//! The roll-ups: added up once however many fold at the same time, summed over windows, scoped.

use jiff::Timestamp;
use tappass_store::{
    AuditRow, Batch, Counts, Mark, MarkRow, Org, Stopped, Store, Window,
    audit::AuditHead,
    insight::{DAY, HOUR, StepCounts, histogram::Part},
};
use uuid::Uuid;

use crate::support::{id, on_each, two_orgs};

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn one_call(micros: u64) -> Counts {
    let mut counts = Counts { calls: 1, would_block: 1, cost_nano: 5, ..Counts::default() };
    counts.gateway[Part::Gateway.bucket(micros)] += 1;
    counts
}

/// A log of so many events, of which the roll-ups know nothing.
async fn log(store: &Store, org: &Org, events: u64) {
    let zero = "0".repeat(64);
    let end = |size, hash: &str| AuditHead {
        size,
        hash: hash.to_owned(),
        tree: String::new(),
        sealed_size: 0,
        sealed_hash: zero.clone(),
    };
    store.audit().begin(org.org_id).await.expect("begins").lock_and_commit(org.org_id).await;
    for seq in 1..=events {
        let row = AuditRow {
            org_id: org.org_id,
            seq,
            event_id: id(),
            ts: time("2026-11-22T09:30:00Z"),
            agent_id: Some("a".to_owned()),
            session_id: None,
            event_type: "llm_call".to_owned(),
            action: None,
            hash: seq.to_string(),
            body: "{}".to_owned(),
        };
        let before = end(seq - 1, &if seq == 1 { zero.clone() } else { (seq - 1).to_string() });
        let kept = store.audit().append_at(org.org_id, &before, &end(seq, &seq.to_string()), vec![row]).await;
        assert!(kept.expect("appends"));
    }
}

trait LockAndCommit {
    async fn lock_and_commit(self, org_id: Uuid);
}

impl LockAndCommit for tappass_store::audit::AuditTx {
    async fn lock_and_commit(mut self, org_id: Uuid) {
        self.lock(org_id).await.expect("a head");
        self.commit().await.expect("commits");
    }
}

fn stopped(seq: u64, ts: Timestamp, score: i64) -> Stopped {
    Stopped {
        seq,
        step: "detect_pii".to_owned(),
        kind: "EMAIL".to_owned(),
        event_id: id(),
        ts,
        agent_id: "a".to_owned(),
        model: "m".to_owned(),
        blocked: false,
        maskable: true,
        findings: 2,
        score: Some(score),
        threshold: Some(500),
        sample: "j…u".to_owned(),
        reason: "2 × EMAIL".to_owned(),
    }
}

#[tokio::test]
async fn two_that_fold_at_once_count_each_event_once() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        log(&store, &ours, 40).await;
        let behind = store.insight().behind().await.expect("an answer");
        assert_eq!(
            behind.iter().map(|b| (b.org_id, b.folded, b.size)).collect::<Vec<_>>(),
            [(ours.org_id, 0, 40)]
        );
        let ts = time("2026-11-22T09:30:00Z");
        // Each goes from wherever the cursor is to the end, five events at a time, as two replicas would.
        let folder = || async {
            let mut done = 0;
            loop {
                let behind = store.insight().behind().await.expect("an answer");
                let Some(b) = behind.first() else { return done };
                let to = (b.folded + 5).min(b.size);
                let mut batch = Batch::default();
                for seq in b.folded + 1..=to {
                    batch.call(ts, "a", "m", &one_call(1_000));
                    batch.step(
                        ts,
                        "a",
                        "detect_pii",
                        "EMAIL",
                        &StepCounts { calls: 1, ..StepCounts::default() },
                    );
                    batch.stopped(stopped(seq, ts, 900));
                }
                done += u32::from(store.insight().fold(b.org_id, b.folded, to, batch).await.expect("folds"));
            }
        };
        let (a, b) = tokio::join!(folder(), folder());
        assert_eq!(a + b, 8, "each run of five is folded by one of them");
        let window = Window::last(24, ts);
        let calls = store.insight().calls(ours.org_id, window, None).await.expect("sums");
        let all = &calls[&("a".to_owned(), "m".to_owned())];
        assert_eq!(
            (all.calls, all.would_block, all.cost_nano, all.gateway.iter().sum::<u64>()),
            (40, 40, 200, 40)
        );
        let steps = store.insight().steps(ours.org_id, window, None).await.expect("sums");
        assert_eq!(steps.values().map(|c| c.calls).collect::<Vec<_>>(), [40]);
        // A batch that comes again, after a connection broke, adds nothing.
        let mut again = Batch::default();
        again.call(ts, "a", "m", &one_call(1_000));
        assert!(!store.insight().fold(ours.org_id, 35, 40, again).await.expect("an answer"));
        assert_eq!(store.insight().calls(ours.org_id, window, None).await.expect("sums"), calls);
        assert!(store.insight().calls(theirs.org_id, window, None).await.expect("sums").is_empty());
    })
    .await;
}

#[tokio::test]
async fn windows_add_up_hours_and_days_and_late_events_count_when_they_happened() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let now = time("2026-11-22T09:30:00Z");
        let mut batch = Batch::default();
        for ts in
            ["2026-11-22T09:10:00Z", "2026-11-22T01:00:00Z", "2026-11-18T12:00:00Z", "2026-11-15T11:59:59Z"]
        {
            batch.call(time(ts), "a", "m", &one_call(200));
        }
        batch.call(time("2026-11-15T09:59:59Z"), "a", "m", &one_call(200));
        batch.call(now, "b", "m", &one_call(9_000));
        assert!(store.insight().fold(ours.org_id, 0, 6, batch).await.expect("folds"));
        // Recorded later, from five days ago.
        let mut late = Batch::default();
        late.call(time("2026-11-17T23:59:59Z"), "a", "n", &one_call(200));
        assert!(store.insight().fold(ours.org_id, 6, 7, late).await.expect("folds"));

        let sum = async |window: Window, agent: Option<&str>| -> u64 {
            store
                .insight()
                .calls(ours.org_id, window, agent)
                .await
                .expect("sums")
                .values()
                .map(|c| c.calls)
                .sum()
        };
        let week = Window::last(7 * 24, now);
        assert_eq!(sum(week, None).await, 6);
        assert_eq!(sum(week, Some("a")).await, 5);
        assert_eq!(sum(week.before(), None).await, 1);
        assert_eq!(sum(Window::last(24, now), None).await, 3);
        for slot in [HOUR, DAY] {
            let series = store.insight().series(ours.org_id, week, slot, None).await.expect("a series");
            assert_eq!(series.values().map(|c| c.calls).sum::<u64>(), 6, "{slot}");
            assert!(series.keys().all(|at| at.as_second() % slot == 0));
            assert_eq!(series.len(), if slot == HOUR { 5 } else { 4 });
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_stopped_is_found_by_rule_and_marked() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let ts = time("2026-11-22T09:30:00Z");
        let window = Window::last(24, ts);
        let all: Vec<Stopped> =
            (1..=5).map(|n| stopped(n, ts, 900 + i64::try_from(n).expect("small"))).collect();
        let mut batch = Batch::default();
        all.iter().for_each(|one| batch.stopped(one.clone()));
        assert!(store.insight().fold(ours.org_id, 0, 5, batch).await.expect("folds"));
        let rule = ("detect_pii", "EMAIL", "a");
        let latest = store.insight().stopped(ours.org_id, rule, window, 2).await.expect("rows");
        assert_eq!(latest, [all[4].clone(), all[3].clone()]);
        assert_eq!(store.insight().stopped(theirs.org_id, rule, window, 9).await.expect("rows"), []);
        assert_eq!(store.insight().stopped(ours.org_id, rule, window.before(), 9).await.expect("rows"), []);

        let mark = MarkRow {
            event_id: all[0].event_id,
            step: "detect_pii".to_owned(),
            kind: "EMAIL".to_owned(),
            ts,
            agent_id: "a".to_owned(),
            score: Some(901),
            mark: Mark::FalseAlarm,
            note: None,
            marked_by: "a@ours.example".to_owned(),
            marked_at: ts,
        };
        store.insight().mark(ours.org_id, &mark).await.expect("marked");
        let other = MarkRow { mark: Mark::Right, note: Some("theirs".to_owned()), ..mark.clone() };
        store.insight().mark(ours.org_id, &other).await.expect("marked again");
        assert_eq!(
            store.insight().marks(ours.org_id, mark.event_id).await.expect("marks"),
            std::slice::from_ref(&other)
        );
        assert_eq!(
            store.insight().marks_in(ours.org_id, window).await.expect("marks"),
            std::slice::from_ref(&other)
        );
        assert_eq!(store.insight().marks(theirs.org_id, mark.event_id).await.expect("marks"), []);
        assert_eq!(store.insight().below(ours.org_id, rule, window, 904).await.expect("counts"), (3, 1));

        let unmark = async |org: &Org, kind| {
            store.insight().unmark(org.org_id, mark.event_id, Some("detect_pii"), kind).await
        };
        assert_eq!(unmark(&theirs, None).await.expect("an answer"), []);
        assert_eq!(unmark(&ours, Some("PHONE")).await.expect("an answer"), []);
        assert_eq!(unmark(&ours, Some("EMAIL")).await.expect("an answer"), [other]);
        assert_eq!(store.insight().marks_in(ours.org_id, window).await.expect("marks"), []);
    })
    .await;
}
