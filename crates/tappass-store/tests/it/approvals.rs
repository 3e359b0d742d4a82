//! Approvals: asked once, decided once, used once, also where many come at the same time.

use futures_util::future::join_all;
use tappass_model::Classification;
use tappass_store::{
    Approval, ApprovalFilter, ApprovalState, ApprovalSubject, Asked, Org, PageRequest, Ruling, Store,
};
use uuid::Uuid;

use crate::support::{at, id, on_each, two_orgs};

/// A question of second 0 that can be decided until second 60.
fn question(org: &Org, fingerprint: &str) -> Approval {
    Approval {
        org_id: org.org_id,
        approval_id: id(),
        agent_uuid: Uuid::from_u128(7),
        agent_id: "claims".to_owned(),
        session_id: "s".to_owned(),
        call_id: id(),
        requester: Some("jo@ours.example".to_owned()),
        subject: ApprovalSubject::Request,
        tool: None,
        rule: "classification RESTRICTED".to_owned(),
        classification: Classification::TopSecret,
        fingerprint: fingerprint.to_owned(),
        request_fingerprint: fingerprint.to_owned(),
        pipeline: "own".to_owned(),
        pipeline_hash: "ab".to_owned(),
        four_eyes: true,
        sealed: "sealed".to_owned(),
        state: ApprovalState::Pending,
        created_at: at(0),
        expires_at: at(60),
        decided_by: None,
        decided_at: None,
        reason: None,
        used_at: None,
    }
}

fn ruling<'a>(approve: bool, by: &'a str, reason: &'a str) -> Ruling<'a> {
    Ruling { approve, by, reason }
}

async fn ask(store: &Store, org: &Org, fingerprint: &str, second: i64) -> Asked {
    let mut new = question(org, fingerprint);
    (new.created_at, new.expires_at) = (at(second), at(second + 60));
    store.approvals().ask(&new, at(second)).await.expect("an answer")
}

fn waits(asked: &Asked) -> (Uuid, bool) {
    let Asked::Waits(approval, made) = asked else { panic!("waits: {asked:?}") };
    (approval.approval_id, *made)
}

async fn state(store: &Store, org: &Org, id: Uuid, second: i64) -> ApprovalState {
    store.approvals().get(org.org_id, id, at(second)).await.expect("reads").expect("is there").state
}

#[tokio::test]
async fn one_question_for_one_call_decided_once_and_used_once() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let approvals = store.approvals();
        let new = question(&ours, "f");
        assert_eq!(approvals.ask(&new, at(0)).await.expect("asks"), Asked::Waits(new.clone(), true));
        let (id, made) = waits(&ask(&store, &ours, "f", 1).await);
        assert_eq!((id, made), (new.approval_id, false), "the same call finds its question");
        assert!(waits(&ask(&store, &theirs, "f", 1).await).1, "another organisation has its own");
        assert!(waits(&ask(&store, &ours, "g", 1).await).1, "so has another call");
        assert_eq!(approvals.pending(at(2)).await.expect("counts"), 3);

        assert_eq!(approvals.get(theirs.org_id, id, at(2)).await.expect("reads"), None);
        let foreign = approvals.decide(theirs.org_id, id, ruling(true, "x", ""), at(2)).await;
        assert!(!foreign.expect("an answer"), "nobody decides for others");

        let all = (0..8).map(|n| {
            let by = format!("p{n}@ours.example");
            async move { approvals.decide(ours.org_id, id, ruling(n % 2 == 0, &by, "why"), at(10)).await }
        });
        let decided: Vec<bool> = join_all(all).await.into_iter().map(|d| d.expect("an answer")).collect();
        assert_eq!(decided.iter().filter(|d| **d).count(), 1, "of many at once one decides");
        let found = approvals.get(ours.org_id, id, at(11)).await.expect("reads").expect("is there");
        assert_eq!((found.decided_at, found.reason.as_deref()), (Some(at(10)), Some("why")));
        assert_eq!(found.expires_at, at(70), "as long again as it could be decided");
    })
    .await;
}

#[tokio::test]
async fn of_many_that_resume_one_does() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let approvals = store.approvals();
        let (id, _) = waits(&ask(&store, &ours, "f", 0).await);
        assert!(approvals.decide(ours.org_id, id, ruling(true, "p", ""), at(5)).await.expect("decides"));
        assert!(!approvals.used_before(ours.org_id, "f").await.expect("reads"));
        let all = join_all((0..8).map(|_| ask(&store, &ours, "f", 6))).await;
        assert_eq!(all.iter().filter(|a| matches!(a, Asked::Granted(used) if used == &id)).count(), 1);
        let others: Vec<(Uuid, bool)> =
            all.iter().filter(|a| !matches!(a, Asked::Granted(_))).map(waits).collect();
        assert!(others.iter().all(|(other, _)| *other == others[0].0), "the rest share one new question");
        assert_eq!(others.iter().filter(|(_, made)| *made).count(), 1);
        assert!(approvals.used_before(ours.org_id, "f").await.expect("reads"));
        assert_eq!(state(&store, &ours, id, 1000).await, ApprovalState::Approved, "used is used");
    })
    .await;
}

#[tokio::test]
async fn what_never_left_is_given_back() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let approvals = store.approvals();
        let (id, _) = waits(&ask(&store, &ours, "f", 0).await);
        assert!(approvals.decide(ours.org_id, id, ruling(true, "p", ""), at(5)).await.expect("decides"));
        let call = question(&ours, "f");
        assert_eq!(approvals.ask(&call, at(6)).await.expect("asks"), Asked::Granted(id));
        approvals.give_back(ours.org_id, id, Uuid::nil()).await.expect("changes nothing");
        assert!(approvals.used_before(ours.org_id, "f").await.expect("reads"), "only whoever used it");
        approvals.give_back(ours.org_id, id, call.call_id).await.expect("gives back");
        assert_eq!(ask(&store, &ours, "f", 7).await, Asked::Granted(id));
    })
    .await;
}

#[tokio::test]
async fn the_end_of_its_time_means_no() {
    on_each(async |store| {
        let (ours, _) = two_orgs(&store).await;
        let approvals = store.approvals();
        let (late, _) = waits(&ask(&store, &ours, "late", 0).await);
        assert_eq!(state(&store, &ours, late, 59).await, ApprovalState::Pending);
        assert_eq!(state(&store, &ours, late, 60).await, ApprovalState::TimedOut);
        assert!(!approvals.decide(ours.org_id, late, ruling(true, "p", ""), at(60)).await.expect("too late"));
        let (again, made) = waits(&ask(&store, &ours, "late", 61).await);
        assert!(made && again != late, "whoever asks again asks anew");
        assert_eq!(approvals.pending(at(61)).await.expect("counts"), 1);

        assert!(approvals.decide(ours.org_id, again, ruling(true, "p", ""), at(70)).await.expect("decides"));
        assert_eq!(state(&store, &ours, again, 129).await, ApprovalState::Approved);
        assert_eq!(state(&store, &ours, again, 130).await, ApprovalState::TimedOut, "not used in time");
        assert!(waits(&ask(&store, &ours, "late", 130).await).1);

        let (no, _) = waits(&ask(&store, &ours, "no", 0).await);
        assert!(
            approvals.decide(ours.org_id, no, ruling(false, "p", "never"), at(10)).await.expect("decides")
        );
        let Asked::Denied(denied) = ask(&store, &ours, "no", 20).await else { panic!("denied") };
        assert_eq!((denied.approval_id, denied.reason.as_deref()), (no, Some("never")));
        assert!(waits(&ask(&store, &ours, "no", 70).await).1, "a no holds as long as a yes");

        let (gone, _) = waits(&ask(&store, &ours, "gone", 0).await);
        assert!(approvals.cancel(ours.org_id, gone, at(1)).await.expect("cancels"));
        assert!(!approvals.cancel(ours.org_id, gone, at(1)).await.expect("once"));
        assert!(!approvals.decide(ours.org_id, gone, ruling(true, "p", ""), at(2)).await.expect("too late"));
        assert_eq!(state(&store, &ours, gone, 100).await, ApprovalState::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn lists_are_scoped_filtered_and_paged_and_contents_forgotten() {
    on_each(async |store| {
        let (ours, theirs) = two_orgs(&store).await;
        let approvals = store.approvals();
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            ids.push(waits(&ask(&store, &ours, name, 0).await).0);
        }
        assert!(approvals.decide(ours.org_id, ids[0], ruling(true, "p", ""), at(1)).await.expect("decides"));
        let list = async |filter: ApprovalFilter, second, limit, cursor| {
            let page = PageRequest { limit, cursor };
            approvals.list(ours.org_id, &filter, at(second), &page).await.expect("a page")
        };
        let of = |page: &tappass_store::Page<Approval>| -> Vec<Uuid> {
            page.items.iter().map(|a| a.approval_id).collect()
        };
        let first = list(ApprovalFilter::default(), 2, 2, None).await;
        assert_eq!(of(&first), [ids[2], ids[1]]);
        assert_eq!(of(&list(ApprovalFilter::default(), 2, 2, first.next).await), [ids[0]]);
        let in_state = |state| ApprovalFilter { state: Some(state), agent_uuid: None };
        assert_eq!(of(&list(in_state(ApprovalState::Approved), 2, 9, None).await), [ids[0]]);
        assert_eq!(of(&list(in_state(ApprovalState::TimedOut), 100, 9, None).await).len(), 3);
        let of_agent = |n| ApprovalFilter { state: None, agent_uuid: Some(Uuid::from_u128(n)) };
        assert_eq!(list(of_agent(7), 2, 9, None).await.items.len(), 3);
        assert_eq!(list(of_agent(8), 2, 9, None).await.items, []);
        let page = PageRequest::default();
        let foreign = approvals.list(theirs.org_id, &ApprovalFilter::default(), at(2), &page).await;
        assert_eq!(foreign.expect("a page").items, []);
        approvals.forget(at(60)).await.expect("forgets");
        let kept = list(ApprovalFilter::default(), 2, 9, None).await.items;
        let sealed: Vec<&str> = kept.iter().map(|a| a.sealed.as_str()).collect();
        assert_eq!(sealed, ["", "", "sealed"], "the one approved at second 1 lasts to second 61");
    })
    .await;
}
