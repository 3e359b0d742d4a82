//! Lets a person decide: by how sensitive a call is, by tool, or by amount.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tappass_model::{Action, Denial, Exchange, Finding, OnDetection, Origin, Outcome, ToolCall};
use tappass_store::{Approval, ApprovalState, ApprovalSubject, Asked};
use uuid::Uuid;

use crate::{
    approvals::{Case, Seen, of_request, of_tool_call},
    arguments::{read, shown},
    mask::{self, Mask},
    runner::Call,
    step::{Category, Define, Meta, Phase, StepError, Waiting},
};

/// The longest that a question may wait: thirty days.
const LONGEST: u32 = 30 * 24 * 60 * 60;
/// Most characters of a summary.
const SUMMARY: usize = 200;

/// # What it does
/// Holds each call against the cases in `when` (`policy.require_human_approval`); all that a case states must be so.
/// A case of a `classification` is about the request: it waits from that level on. A case of a `tool` or an `amount` is
/// about tool calls: those that the model wants are held back, and a request whose history has one that nobody
/// approved here waits too. The answer to the agent is 403 with the decision `approval_required`. A person approves or
/// denies (`tappass approvals`, `POST /admin/approvals/{id}/decide`); then the identical call, sent again, passes once.
/// # Why
/// Some things a company wants a person to answer for: data that may hardly leave, payments above a sum.
/// # On a hit
/// Blocks until somebody has approved. An approval is bound to the canonical request (or the tool and its arguments),
/// the agent, the end user and the version of the pipeline, is used once, and ends when its time is over, which means no.
/// A denial holds as long. In observe nobody is asked; the record says that somebody would have been.
/// # Limits
/// What is approved is the request as it came; masks follow from it. Who approved a tool call has not approved what the
/// model says instead when it is asked again: other arguments need another approval. Amounts in other words than
/// numbers are not compared: a value that is no number waits. The text of a streamed answer goes out before its tool
/// calls are judged. All other steps hold for an approved call as for any other; where one of them refuses it before it
/// has left, the approval stays unused. A call whose provider fails has used it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequireApproval {
    /// The cases in which a person decides; none: nobody is asked.
    pub when: Vec<Case>,
    /// How long somebody may take to decide, and an agent to use what was approved, in seconds.
    pub expires_seconds: u32,
    /// Whether whoever asked may not decide: not the end user of the call, not the owner of its agent, nobody without a name.
    pub four_eyes: bool,
}

impl Default for RequireApproval {
    fn default() -> Self {
        Self { when: Vec::new(), expires_seconds: 3600, four_eyes: false }
    }
}

impl Define for RequireApproval {
    const META: Meta = Meta {
        id: "require_approval",
        position: 430,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Lets a person decide: by classification, tool, or amount",
        threats: &["LLM06", "ASI02", "ASI09"],
        on_detection: OnDetection::Block,
    };

    fn prepare(&mut self) -> Result<(), String> {
        let seconds = |what: &str, n: u32| match n {
            1..=LONGEST => Ok(()),
            _ => Err(format!("`{what}` must be between 1 and {LONGEST}")),
        };
        seconds("expires_seconds", self.expires_seconds)?;
        for (i, case) in self.when.iter().enumerate() {
            if case.classification.is_none() && !case.is_about_tools() {
                return Err(format!(
                    "`when[{i}]` states nothing: give it `classification`, `tool` or `amount`"
                ));
            }
            if case.tool.as_deref() == Some("") || case.amount.as_ref().is_some_and(|a| a.argument.is_empty())
            {
                return Err(format!("`when[{i}]`: `tool` and `argument` must not be blank"));
            }
            seconds(&format!("when[{i}].expires_seconds"), case.expires_seconds.unwrap_or(1))?;
        }
        Ok(())
    }
}

/// What is to be decided.
struct Question<'a> {
    cases: Vec<&'a Case>,
    fingerprint: String,
    /// The tool call, where it is one of the answer's.
    wanted: Option<(&'a str, Value)>,
}

impl RequireApproval {
    /// The cases that hold for the request, given its history's tool calls that nobody has approved.
    fn of_request(&self, x: &Exchange, history: &[(ToolCall, Option<Value>)]) -> Vec<&Case> {
        let holds = |case: &&Case| {
            let of_history = || history.iter().any(|(call, args)| case.is_about(&call.name, args.as_ref()));
            case.reaches(x) && (!case.is_about_tools() || of_history())
        };
        self.when.iter().filter(holds).collect()
    }

    fn of_tool_call(&self, x: &Exchange, tool: &str, args: Option<&Value>) -> Vec<&Case> {
        self.when.iter().filter(|case| case.reaches(x) && case.is_about(tool, args)).collect()
    }

    /// The row of a question, without its id and what is sealed.
    fn row(&self, call: &Call, question: &Question<'_>, request_fingerprint: &str) -> Approval {
        let x = &call.exchange;
        let cases = &question.cases;
        let seconds = cases.iter().map(|case| case.expires_seconds.unwrap_or(self.expires_seconds)).min();
        let life = Duration::from_secs(seconds.unwrap_or(self.expires_seconds).into());
        let now = call.services.clock.now();
        Approval {
            org_id: x.caller.org_id,
            approval_id: Uuid::nil(),
            agent_uuid: x.caller.agent_uuid,
            agent_id: x.caller.agent_id.clone(),
            session_id: x.session.id.clone(),
            call_id: x.task_id,
            requester: x.end_user.clone(),
            subject: match question.wanted {
                Some(_) => ApprovalSubject::ToolCall,
                None => ApprovalSubject::Request,
            },
            tool: question.wanted.as_ref().map(|(tool, _)| shown(tool)),
            rule: in_words(cases),
            classification: x.classification,
            fingerprint: question.fingerprint.clone(),
            request_fingerprint: request_fingerprint.to_owned(),
            pipeline: call.pipeline.name.clone(),
            pipeline_hash: call.pipeline.hash.clone(),
            four_eyes: cases.iter().any(|case| case.four_eyes.unwrap_or(self.four_eyes)),
            sealed: String::new(),
            state: ApprovalState::Pending,
            created_at: now,
            expires_at: now.checked_add(life).unwrap_or(now),
            decided_by: None,
            decided_at: None,
            reason: None,
            used_at: None,
        }
    }
}

/// Whether a hit blocks this call. Where it does not, nobody is asked.
fn asks(call: &Call) -> bool {
    let step = call.pipeline.step(RequireApproval::META.id);
    step.is_some_and(|step| call.action_on_hit(step).1 == Action::Block)
}

fn in_words(cases: &[&Case]) -> String {
    cases.iter().map(|case| case.rule()).collect::<Vec<_>>().join("; ")
}

fn hit(message: String, kind: &'static str, sample: String, denial: Denial) -> Outcome {
    let finding = Finding::about(RequireApproval::META.id, kind, sample);
    Outcome { denial, ..Outcome::hit(message, vec![finding]) }
}

fn would_ask(rule: &str) -> Outcome {
    hit(
        format!("a person would have to approve this: {rule}"),
        "APPROVAL_NEEDED",
        String::new(),
        Denial::Policy,
    )
    .remedy("a person's approval")
}

/// What a person's answer, or its absence, means for the call. `None` where it may go on.
fn heard(call: &mut Call, answer: Asked, what: &str) -> Result<Uuid, Outcome> {
    match answer {
        Asked::Granted(id) => Ok(id),
        Asked::Waits(a, new) => {
            let denial = Denial::Approval { approval_id: a.approval_id, expires_at: a.expires_at };
            let message = format!("a person must approve {what} first: {}", a.rule);
            if new {
                call.asked.push(a);
            }
            Err(hit(message, "APPROVAL_NEEDED", String::new(), denial).remedy("a person's approval"))
        }
        Asked::Denied(a) => {
            let why = a.reason.filter(|why| !why.is_empty());
            let message = match why {
                Some(why) => format!("a person has denied {what}: {why}"),
                None => format!("a person has denied {what}"),
            };
            Err(hit(message, "APPROVAL_DENIED", String::new(), Denial::Policy))
        }
    }
}

/// The end of what was last said to the model, masked: what a list of questions shows.
fn summary(x: &Exchange) -> String {
    let mut texts = x.request.segments.iter().zip(&x.matches).rev();
    let last = texts.find(|(segment, _)| matches!(segment.origin, Origin::User | Origin::ToolResult));
    let Some((segment, hits)) = last else { return String::new() };
    let maskable = hits.iter().filter(|hit| hit.family.maskable());
    let mut masks: Vec<Mask> = maskable.map(|hit| Mask::new(hit.start..hit.end, &hit.kind, None)).collect();
    mask::sort(&mut masks);
    mask::masked(&segment.text, &masks).chars().filter(|c| !c.is_control()).take(SUMMARY).collect()
}

/// What whoever decides gets to see, and what is needed to send the call again.
fn asked(call: &Call, body: &Value, wanted: Option<&(&str, Value)>) -> Value {
    let x = &call.exchange;
    let summary = match wanted {
        None => summary(x),
        Some((tool, arguments)) => {
            let names = arguments.as_object().into_iter().flat_map(|a| a.keys().map(|k| shown(k)));
            format!("{}({})", shown(tool), names.collect::<Vec<_>>().join(", "))
        }
    };
    let mut asked = json!({
        "summary": summary, "dialect": x.request.dialect, "request": body,
        "tool_call": wanted.map(|(tool, arguments)| json!({"tool": tool, "arguments": arguments})),
        "headers": {
            "x-tappass-session": x.session.id, "x-tappass-user": x.end_user, "x-tappass-context": x.context,
            "x-tappass-flags": call.flags_sent,
        },
    });
    for (name, value) in &call.passed {
        asked["headers"][*name] = value.as_str().into();
    }
    asked
}

#[async_trait::async_trait]
impl Waiting for RequireApproval {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        let asks = asks(call);
        if self.when.is_empty() && !(asks && call.resume.is_some()) {
            return Ok(Outcome::pass());
        }
        let past = call.shape().history(&call.exchange.request.body);
        if past.reported.is_some() {
            return Ok(Outcome::pass_with("what a tool has returned is there already"));
        }
        let of_tools = self.when.iter().any(Case::is_about_tools);
        let fingerprint = if asks { of_request(call) } else { String::new() };
        let approvals = Arc::clone(&call.services.approvals);
        let org_id = call.exchange.caller.org_id;
        if let (true, Some(token)) = (asks, &call.resume) {
            let id = token.parse::<Uuid>().ok();
            let found = match id {
                Some(id) => approvals.find(org_id, id).await.map_err(StepError::Failed)?,
                None => None,
            };
            let found = found.filter(|a| a.agent_uuid == call.exchange.caller.agent_uuid);
            if let Some(why) = cannot_resume(found.as_ref(), &fingerprint) {
                return Ok(hit(why.into(), "RESUME_REFUSED", String::new(), Denial::Policy));
            }
        }
        let mut history = Vec::new();
        if of_tools {
            for past in past.calls {
                let arguments = read(&past.call).ok();
                if self.of_tool_call(&call.exchange, &past.call.name, arguments.as_ref()).is_empty() {
                    continue;
                }
                let print = arguments.as_ref().map(|a| of_tool_call(call, &past.call.name, a));
                let known = match print.filter(|_| asks) {
                    Some(print) => approvals.used_before(org_id, &print).await.map_err(StepError::Failed)?,
                    None => false,
                };
                if !known {
                    history.push((past.call, arguments));
                }
            }
            if asks {
                let body = call.exchange.request.body.clone();
                call.seen = Some(Arc::new(Seen { fingerprint: fingerprint.clone(), body }));
            }
        }
        let cases = self.of_request(&call.exchange, &history);
        if cases.is_empty() {
            return Ok(Outcome::pass());
        }
        if !asks {
            return Ok(would_ask(&in_words(&cases)));
        }
        let question = Question { cases, fingerprint: fingerprint.clone(), wanted: None };
        let row = self.row(call, &question, &fingerprint);
        let shown = asked(call, &call.exchange.request.body, None);
        let answer = approvals.ask(row, shown).await.map_err(StepError::Failed)?;
        match heard(call, answer, "this call") {
            Ok(id) => call.approved.push(id),
            Err(outcome) => return Ok(outcome),
        }
        Ok(Outcome::pass_with("approved by a person"))
    }

    fn judges_answers(&self) -> bool {
        self.when.iter().any(Case::is_about_tools)
    }

    async fn judge_answer(&self, call: &mut Call) -> Result<Outcome, StepError> {
        // With the values that the agent gets, not with the tokens that the model saw.
        let restorer = call.restorer();
        let wanted: Vec<ToolCall> =
            call.exchange.answer.iter().flat_map(|a| &a.tool_calls).cloned().collect();
        let mut questions = Vec::new();
        for wanted in &wanted {
            let restored = restorer.as_ref().and_then(|r| r.whole(&wanted.arguments, true));
            let text = restored.unwrap_or_else(|| wanted.arguments.clone());
            let whole = ToolCall { arguments: text, ..wanted.clone() };
            let Ok(arguments) = read(&whole) else {
                if self.of_tool_call(&call.exchange, &wanted.name, None).is_empty() {
                    continue;
                }
                let message = format!("the arguments of `{}` cannot be read", shown(&wanted.name));
                return Ok(hit(message, "UNREADABLE_ARGUMENTS", shown(&wanted.name), Denial::Policy));
            };
            let cases = self.of_tool_call(&call.exchange, &wanted.name, Some(&arguments));
            if !cases.is_empty() {
                let fingerprint = of_tool_call(call, &wanted.name, &arguments);
                questions.push(Question { cases, fingerprint, wanted: Some((&wanted.name, arguments)) });
            }
        }
        let Some(first) = questions.first() else { return Ok(Outcome::pass()) };
        if !asks(call) {
            return Ok(would_ask(&in_words(&first.cases)));
        }
        let Some(seen) = call.seen.clone() else {
            return Err(StepError::Failed("the request was not kept".into()));
        };
        let approvals = Arc::clone(&call.services.approvals);
        let (mut granted, mut refused) = (Vec::new(), None);
        for question in &questions {
            let row = self.row(call, question, &seen.fingerprint);
            let shown = asked(call, &seen.body, question.wanted.as_ref());
            let answer = approvals.ask(row, shown).await.map_err(StepError::Failed)?;
            let tool = question.wanted.as_ref().map_or_else(String::new, |(tool, _)| self::shown(tool));
            match heard(call, answer, &format!("the call of `{tool}`")) {
                Ok(id) => granted.push(id),
                Err(outcome) => refused = refused.or(Some(outcome)),
            }
        }
        if let Some(outcome) = refused {
            // All of an answer's tool calls go out, or none: what was approved of them waits for the others.
            let x = &call.exchange;
            for id in granted {
                approvals.give_back(x.caller.org_id, id, x.task_id).await.map_err(StepError::Failed)?;
            }
            return Ok(outcome);
        }
        call.approved.extend(granted);
        Ok(Outcome::pass_with(format!("{} tool call(s) approved by a person", questions.len())))
    }
}

/// Why an approval does not serve for the request that says it has it.
fn cannot_resume(found: Option<&Approval>, fingerprint: &str) -> Option<&'static str> {
    let Some(approval) = found else {
        return Some("the resume token is of no approval of this agent");
    };
    if approval.request_fingerprint != fingerprint {
        return Some(
            "the resume token is of another call: the request, its user, context or flags, or the pipeline differ",
        );
    }
    match approval.state {
        ApprovalState::Approved if approval.used_at.is_some() => {
            Some("the approval of the resume token has been used; it passes once")
        }
        ApprovalState::Denied => Some("a person has denied the call of the resume token"),
        ApprovalState::TimedOut => Some("the approval of the resume token is over: its time means no"),
        ApprovalState::Cancelled => Some("the approval of the resume token was cancelled"),
        ApprovalState::Approved | ApprovalState::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Known,
        runner::{Halt, Services},
        testing::{People, call_with, exchange, having_called, offering, services},
    };
    use tappass_model::{Answer, Mode};

    const PAY: &str = "{require_approval: {when: [{tool: 'pay*', amount: {argument: amount, min: 1000}}]}}";

    fn among(people: &Arc<People>) -> Arc<Services> {
        let plain = services();
        let (state, providers, clock) = (plain.state.clone(), plain.providers.clone(), plain.clock.clone());
        Arc::new(Services {
            state,
            providers,
            clock,
            approvals: people.clone(),
            known: Known::default(),
            tagger: plain.tagger.clone(),
        })
    }

    fn level(level: &str) -> String {
        format!("{{require_approval: {{when: [{{classification: {level}, four_eyes: true}}]}}}}")
    }

    /// A call that has been admitted, or why not.
    async fn admitted(overrides: &str, x: Exchange, people: &Arc<People>) -> (Call, Option<Denial>) {
        let mut c = call_with(overrides, x, &among(people));
        c.exchange.mode = Mode::Enforce;
        let denied = match c.admit().await {
            Err(Halt::Blocked(blocked)) => Some(blocked.denial),
            _ => None,
        };
        (c, denied)
    }

    fn wanting(c: &mut Call, tool: &str, arguments: &str) {
        let tool_calls = vec![ToolCall { id: "1".into(), name: tool.into(), arguments: arguments.into() }];
        c.exchange.answer = Some(Answer { tool_calls, ..Answer::default() });
    }

    #[tokio::test]
    async fn lets_calls_below_the_level_pass() {
        let people = Arc::new(People::default());
        assert_eq!(admitted(&level("RESTRICTED"), exchange("What is the capital?"), &people).await.1, None);
        assert_eq!(admitted("{}", exchange("hi"), &people).await.1, None);
        assert!(people.asked.lock().expect("fine").is_empty());
    }

    #[tokio::test]
    async fn catches_a_level_and_shows_the_person_all_of_it_and_the_list_a_mask() {
        let people = Arc::new(People::default());
        let text = "Strictly confidential: mail jan.peeters@acme.eu";
        let (_, denied) = admitted(&level("CONFIDENTIAL"), exchange(text), &people).await;
        assert!(matches!(denied, Some(Denial::Approval { .. })), "{denied:?}");
        let asked = people.asked.lock().expect("fine");
        let (row, shown) = &asked[0];
        assert!(
            row.rule.contains("CONFIDENTIAL") && row.four_eyes && row.subject == ApprovalSubject::Request
        );
        assert_eq!(shown["request"]["messages"][0]["content"], text);
        assert!(!shown["summary"].to_string().contains("jan.peeters"), "{shown}");
    }

    #[tokio::test]
    async fn what_is_approved_passes_and_what_cannot_be_asked_does_not() {
        let yes = Arc::new(People { say_yes: true, ..People::default() });
        let (c, denied) = admitted(&level("PUBLIC"), exchange("hi"), &yes).await;
        assert_eq!((denied, c.approved.len()), (None, 1));
        let mut nobody = call_with(&level("PUBLIC"), exchange("hi"), &services());
        nobody.exchange.mode = Mode::Enforce;
        assert!(nobody.admit().await.is_err(), "nobody to ask means no");
    }

    #[tokio::test]
    async fn in_observe_nobody_is_asked() {
        let people = Arc::new(People::default());
        let mut c = call_with(&level("PUBLIC"), exchange("hi"), &among(&people));
        c.exchange.mode = Mode::Observe;
        c.admit().await.expect("observe blocks nothing");
        assert_eq!(c.trace.would_block()[0].step, "require_approval");
        assert!(people.asked.lock().expect("fine").is_empty());
    }

    #[tokio::test]
    async fn an_approval_is_bound_to_everything_that_matters() {
        let people = Arc::new(People::default());
        let print = async |x: Exchange, overrides: &str| {
            admitted(overrides, x, &people).await;
            people.asked.lock().expect("fine").last().expect("asked").0.fingerprint.clone()
        };
        let base = print(exchange("hi"), &level("PUBLIC")).await;
        assert_eq!(print(exchange("hi"), &level("PUBLIC")).await, base);
        let mut spaced = exchange("hi");
        spaced.request.body =
            serde_json::from_str(r#"{"messages": [{"content": "hi", "role": "user"}], "model": "builtin"}"#)
                .expect("JSON");
        assert_eq!(print(spaced, &level("PUBLIC")).await, base, "the order of keys does not matter");
        let mut user = exchange("hi");
        user.end_user = Some("jo".into());
        let mut agent = exchange("hi");
        Arc::make_mut(&mut agent.caller).agent_uuid = Uuid::from_u128(9);
        let mut flags = exchange("hi");
        flags.flags = tappass_model::Flags::parse("pii=mask").expect("flags");
        for (what, other) in [("text", exchange("ho")), ("user", user), ("agent", agent), ("flags", flags)] {
            assert_ne!(print(other, &level("PUBLIC")).await, base, "{what}");
        }
        assert_ne!(
            print(exchange("hi"), "{require_approval: {when: [{classification: PUBLIC}]}}").await,
            base
        );
    }

    #[tokio::test]
    async fn a_tool_call_in_the_answer_waits_from_the_amount_on() {
        for (tool, arguments, waits) in [
            ("pay", r#"{"amount": 999.99}"#, false),
            ("search", r#"{"amount": 5000}"#, false),
            ("pay", r#"{"amount": 1000}"#, true),
            ("pay_all", r#"{"payments": [{"amount": 1}, {"amount": "5000"}]}"#, true),
            ("pay", r#"{"amount": "five thousand"}"#, true),
            ("pay", r#"{"amount": 1, "amount": 5000}"#, true),
        ] {
            let people = Arc::new(People::default());
            let (mut c, denied) = admitted(PAY, offering(&["pay", "pay_all", "search"]), &people).await;
            assert_eq!(denied, None, "the request itself passes");
            wanting(&mut c, tool, arguments);
            let answer = c.exchange.answer.take().expect("one");
            let refused = c.examine(answer).await.err();
            assert_eq!(refused.is_some(), waits, "{tool} {arguments}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn of_several_tool_calls_all_go_or_none() {
        let seen = Arc::new(People::default());
        let (mut c, _) = admitted(PAY, offering(&["pay"]), &seen).await;
        let print = of_tool_call(&c, "pay", &json!({"amount": 5000}));
        let people = Arc::new(People { known: vec![print], ..People::default() });
        (c, _) = admitted(PAY, offering(&["pay"]), &people).await;
        wanting(&mut c, "pay", r#"{"amount": 5000}"#);
        let mut answer = c.exchange.answer.take().expect("one");
        answer
            .tool_calls
            .push(ToolCall { arguments: r#"{"amount": 7000}"#.into(), ..answer.tool_calls[0].clone() });
        assert!(c.examine(answer).await.is_err());
        assert_eq!(people.given_back.lock().expect("fine").len(), 1, "what was approved waits for the other");
        let asked = people.asked.lock().expect("fine");
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[1].1["tool_call"], json!({"tool": "pay", "arguments": {"amount": 7000}}));
        assert_eq!(asked[1].1["summary"], "pay(amount)");
    }

    #[tokio::test]
    async fn a_history_that_nobody_approved_waits_and_one_that_was_does_not() {
        let nobody_knew = Arc::new(People::default());
        let paid = || having_called("pay", r#"{"amount": 5000}"#);
        let (c, denied) = admitted(PAY, paid(), &nobody_knew).await;
        assert!(matches!(denied, Some(Denial::Approval { .. })));
        let known = vec![of_tool_call(&c, "pay", &json!({"amount": 5000}))];
        let people = Arc::new(People { known, ..People::default() });
        assert_eq!(admitted(PAY, paid(), &people).await.1, None);
    }

    #[tokio::test]
    async fn a_resume_token_must_be_of_this_call() {
        let people = Arc::new(People::default());
        admitted(&level("PUBLIC"), exchange("hi"), &people).await;
        let row = people.asked.lock().expect("fine")[0].0.clone();
        let approved = Approval { state: ApprovalState::Approved, ..row };
        let used = Approval { used_at: Some(approved.created_at), ..approved.clone() };
        let other = Approval { request_fingerprint: "other".into(), ..approved.clone() };
        let foreign = Approval { agent_uuid: Uuid::from_u128(9), ..approved.clone() };
        for (found, passes) in [
            (Some(approved), true),
            (Some(used), false),
            (Some(other), false),
            (Some(foreign), false),
            (None, false),
        ] {
            let people = Arc::new(People { say_yes: true, found, ..People::default() });
            let mut c = call_with(&level("PUBLIC"), exchange("hi"), &among(&people));
            c.exchange.mode = Mode::Enforce;
            c.resume = Some(Uuid::nil().to_string());
            assert_eq!(c.admit().await.is_ok(), passes, "{:?}", people.found);
        }
    }

    #[test]
    fn cases_that_cannot_be_are_refused() {
        for (when, says) in [
            (json!([{}]), "when[0]"),
            (json!([{"tool": ""}]), "blank"),
            (json!([{"tool": "x", "expires_seconds": 0}]), "when[0].expires_seconds"),
        ] {
            let mut step: RequireApproval = serde_json::from_value(json!({"when": when})).expect("reads");
            assert!(step.prepare().is_err_and(|e| e.contains(says)), "{says}");
        }
    }
}
