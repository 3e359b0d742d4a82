//! A rehearsed call held against its record: what another pipeline would have done otherwise.

use serde::Serialize;
use tappass_model::Action;

use crate::{registry, rehearse::unrehearsed, runner::Call};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It would be refused, and was not.
    NewlyBlocked,
    /// It was refused, and would not be.
    NoLongerBlocked,
    /// Something in it would be masked that was not.
    NewlyMasked,
    /// Something in it was masked that would not be.
    NoLongerMasked,
    /// Nothing changes for it.
    Same,
}

/// A call held against its record. Both sides are what enforce does, whatever mode held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// What the record says.
    pub recorded: Action,
    /// What the other pipeline would do.
    pub would: Action,
    /// What that comes to.
    pub effect: Effect,
    /// The step that makes the difference; empty where there is none.
    pub step: String,
}

/// How grave an action is. A step that failed and was to go on did nothing.
const fn gravity(action: Action) -> u8 {
    match action {
        Action::Block => REFUSES,
        Action::Redact => MASKS,
        Action::Notify => 2,
        Action::Log => 1,
        Action::Allow | Action::Skip | Action::Error => 0,
    }
}

const REFUSES: u8 = 4;
const MASKS: u8 = 3;

/// Holds a call that was [rehearsed](Call::rehearse) against what its record says that each step would have done in enforce.
/// What a rehearsal cannot judge stays as it was recorded, as far as the pipeline still has the step and what a hit of it
/// does. `lockdown`: the agent's mode refuses every hit.
#[must_use]
pub fn compare(call: &Call, recorded: &[(String, Action)], lockdown: bool) -> Compared {
    let now = now(call, recorded, lockdown);
    let of = |all: &[(String, Action)], step: &str| {
        all.iter().filter(|(id, _)| id == step).map(|(_, action)| gravity(*action)).max().unwrap_or_default()
    };
    let heaviest = |all: &[(String, Action)]| {
        all.iter().map(|(_, action)| *action).max_by_key(|action| gravity(*action)).unwrap_or_default()
    };
    let (was, would) = (heaviest(recorded), heaviest(&now));
    let (before, after) = (gravity(was), gravity(would));
    let first = |all: &[(String, Action)], other: &[(String, Action)], at_least: u8| {
        let makes =
            |(id, action): &&(String, Action)| gravity(*action) >= at_least && of(other, id) < at_least;
        all.iter().find(makes).map(|(id, _)| id.clone()).unwrap_or_default()
    };
    // Refusing weighs more than masking: a call that is refused no longer, and masked instead, is told as the first.
    let turns = |at: u8| (before < at && after >= at, before >= at && after < at);
    let (effect, step) = match (turns(REFUSES), turns(MASKS)) {
        ((true, _), _) => (Effect::NewlyBlocked, first(&now, recorded, REFUSES)),
        ((_, true), _) => (Effect::NoLongerBlocked, first(recorded, &now, REFUSES)),
        (_, (true, _)) => (Effect::NewlyMasked, first(&now, recorded, MASKS)),
        (_, (_, true)) => (Effect::NoLongerMasked, first(recorded, &now, MASKS)),
        _ => (Effect::Same, String::new()),
    };
    Compared { recorded: was, would, effect, step }
}

/// What each step and policy would do now, in order.
fn now(call: &Call, recorded: &[(String, Action)], lockdown: bool) -> Vec<(String, Action)> {
    let partly = unrehearsed(&call.pipeline);
    let mut now = Vec::new();
    for row in &call.trace.rows {
        let mut would = if lockdown && row.detected { Action::Block } else { row.verdict };
        let whole = row.action != Action::Skip && !partly.iter().any(|other| other.step == row.step);
        if !whole && let Some(placed) = call.pipeline.step(row.step) {
            let most = if lockdown { Action::Block } else { call.action_on_hit(placed).0 };
            let was = recorded.iter().filter(|(id, _)| id == row.step).map(|(_, action)| *action);
            let carried = was.map(|action| if gravity(action) > gravity(most) { most } else { action });
            would = carried.chain([would]).max_by_key(|action| gravity(*action)).unwrap_or_default();
        }
        now.push((row.step.to_owned(), would));
    }
    now.extend(call.trace.policies.iter().map(|policy| (policy.policy.to_owned(), policy.verdict)));
    // Policies hear of an answer only where there is one; rules of the gateway itself are no part of a pipeline.
    let answered = call.exchange.answer.is_some() || !call.shape().answers_in_words();
    let is_step = |name: &str| registry::STEPS.iter().any(|entry| entry.meta.id == name);
    let stays = |name: &str| !is_step(name) && (!name.starts_with("tappass.") || !answered);
    now.extend(recorded.iter().filter(|(name, _)| stays(name)).cloned());
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call_with, exchange, services};
    use tappass_model::{Answer, Origin, Segment};

    const MAIL: &str = "Mail joan@example.org about it.";

    async fn judged(overrides: &str, text: &str, recorded: &[(&str, Action)]) -> Compared {
        let mut c = call_with(overrides, exchange(text), &services());
        c.rehearse(None).await;
        let recorded: Vec<(String, Action)> =
            recorded.iter().map(|(id, action)| ((*id).to_owned(), *action)).collect();
        compare(&c, &recorded, false)
    }

    #[tokio::test]
    async fn a_stricter_pipeline_is_seen_in_the_calls_it_changes_only() {
        let stricter = "{pii: {on_detection: block}}";
        let found = [("detect_pii", Action::Log)];
        let told = judged(stricter, MAIL, &found).await;
        assert_eq!(
            (told.effect, told.step.as_str(), told.would),
            (Effect::NewlyBlocked, "detect_pii", Action::Block)
        );
        let masks = judged("{pii: {on_detection: redact}}", MAIL, &found).await;
        assert_eq!((masks.effect, masks.step.as_str()), (Effect::NewlyMasked, "detect_pii"));
        assert_eq!(judged(stricter, "Good morning.", &[]).await.effect, Effect::Same);
        let looser = judged("{pii: {on_detection: log}}", MAIL, &[("detect_pii", Action::Block)]).await;
        assert_eq!((looser.effect, looser.step.as_str()), (Effect::NoLongerBlocked, "detect_pii"));
        let bare = judged("{pii: {on_detection: log}}", MAIL, &[("detect_pii", Action::Redact)]).await;
        assert_eq!(bare.effect, Effect::NoLongerMasked);
    }

    #[tokio::test]
    async fn what_cannot_be_judged_again_stays_as_far_as_the_pipeline_has_it() {
        let limited = [("rate_limit", Action::Block)];
        assert_eq!(judged("{}", "hello", &limited).await.effect, Effect::Same);
        let without = judged("{rate_limit: {enabled: false}}", "hello", &limited).await;
        assert_eq!((without.effect, without.step.as_str()), (Effect::NoLongerBlocked, "rate_limit"));
        let logged = judged("{rate_limit: {on_detection: log}}", "hello", &limited).await;
        assert_eq!((logged.effect, logged.would), (Effect::NoLongerBlocked, Action::Log));
        // About the session, which is not there.
        let tainted = [("taint_check", Action::Block)];
        assert_eq!(judged("{taint_check: {}}", "hello", &tainted).await.effect, Effect::Same);
        // A rule of the gateway, not of a pipeline; an answer that was not kept.
        assert_eq!(judged("{}", "hello", &[("mcp.quarantine", Action::Block)]).await.effect, Effect::Same);
        let masks = "{scan_output: {on_detection: redact}}";
        assert_eq!(judged(masks, "hello", &[("scan_output", Action::Redact)]).await.effect, Effect::Same);
        assert_eq!(
            judged("{}", "hello", &[("tappass.guardrails", Action::Block)]).await.effect,
            Effect::Same
        );
    }

    #[tokio::test]
    async fn a_rehearsal_asks_nobody_spends_nothing_and_leaves_nothing() {
        let people = std::sync::Arc::new(crate::testing::People::default());
        let mut services = services();
        std::sync::Arc::get_mut(&mut services).expect("not shared yet").approvals = people.clone();
        let overrides = "{require_approval: {when: [{classification: PUBLIC}]}, budget: {day_usd: 0.0}, \
                         rate_limit: {max_calls: 1}}";
        for _ in 0..3 {
            let mut c = call_with(overrides, exchange("hello"), &services);
            c.rehearse(None).await;
            let told = compare(&c, &[], false);
            assert_eq!((told.effect, told.step.as_str()), (Effect::NewlyBlocked, "require_approval"));
            assert_eq!((c.provider.as_str(), c.asked.len(), c.approved.len()), ("", 0, 0));
            assert!(!c.has_judged("call_llm") && !c.has_judged("rate_limit") && c.has_judged("detect_pii"));
        }
        assert!(people.asked.lock().expect("not poisoned").is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_judged_where_it_was_kept_and_lockdown_refuses_every_hit() {
        let segment = Segment {
            origin: Origin::Answer,
            pointer: "/choices/0/message/content".into(),
            text: MAIL.into(),
        };
        let answer = Answer { segments: vec![segment], ..Answer::default() };
        let mut c = call_with("{scan_output: {on_detection: redact}}", exchange("who?"), &services());
        c.rehearse(Some(answer)).await;
        let told = compare(&c, &[], false);
        assert_eq!((told.effect, told.step.as_str()), (Effect::NewlyMasked, "scan_output"));
        assert_eq!(compare(&c, &[], true).effect, Effect::NewlyBlocked);
    }
}
