//! The runner: takes one call through its steps. Mode, `on_detection`, `on_error`, timing, panics and trace rows
//! are applied here and nowhere else.

use std::{
    borrow::Cow,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use serde_json::Value;
use tappass_detect::Allowlist;
use tappass_model::{
    Action, Answer, Change, Classification, Clock, Denial, Effect, Exchange, Finding, Match, Mode, Origin,
    Outcome, Scope, Segment,
};
use tappass_policy::{Embedded, Engine};
use tappass_provider::{ProviderError, ProviderReply, Providers, Tagger};
use tappass_store::{Approval, Hold, SharedState};
use uuid::Uuid;

use crate::{
    approvals::{Approvals, Seen},
    compile::{Pipeline, Placed},
    known::Known,
    mask,
    plan::Plan,
    spending::Unit,
    step::{OnError, Runnable, StepError},
    tokens::Restorer,
    trace::{Blocked, Reason, Trace, TraceRow},
};

/// Texts larger than this are scanned off the runtime's own threads.
const LARGE: usize = 64 * 1024;

/// What the waiting steps may use.
pub struct Services {
    /// Limits and counters, shared by the replicas.
    pub state: Arc<dyn SharedState>,
    /// The model providers.
    pub providers: Arc<Providers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What people must decide first.
    pub approvals: Arc<dyn Approvals>,
    /// What was found in texts that have been read before.
    pub known: Known,
    /// What binds the names of answers that providers keep to whom they were given.
    pub tagger: Tagger,
}

/// Why a call ends early.
#[derive(Debug)]
pub enum Halt {
    /// A policy decision.
    Blocked(Blocked),
    /// The provider gave no answer.
    Provider(ProviderError),
}

/// One call on its way, and what its steps have done so far.
pub struct Call {
    /// What the steps look at.
    pub exchange: Exchange,
    /// The pipeline it took at the start and keeps.
    pub pipeline: Arc<Pipeline>,
    /// What its flags and floor came to.
    pub plan: Plan,
    /// What its steps did.
    pub trace: Trace,
    /// What the waiting steps may use.
    pub services: Arc<Services>,
    /// The providers it may call, with whose keys: the environment's, or its organisation's own.
    pub providers: Arc<Providers>,
    /// The policies it is held against: the shipped ones, and the organisation's.
    pub policies: Arc<dyn Engine>,
    /// What the organisation never counts as a hit.
    pub allowlist: Allowlist,
    /// The provider that was called; empty before.
    pub provider: String,
    /// What it sent, until the server takes it.
    pub reply: Option<ProviderReply>,
    /// Time spent waiting for the provider.
    pub upstream: Duration,
    /// W3C trace context to pass on.
    pub traceparent: Option<String>,
    /// The approval that it says it has: `X-TapPass-Resume`.
    pub resume: Option<String>,
    /// Its flags as they were sent.
    pub flags_sent: String,
    /// Whether it is a tool call that its agent was told it may make, or a result that an agent has already.
    pub(crate) handed: bool,
    /// Whether it is judged once more without what was objected to: then only that judgement is remembered.
    pub repeated: bool,
    /// Whether it is one of the past, judged by another pipeline: [`Call::rehearse`].
    pub(crate) rehearsal: bool,
    /// Whether its client has left: then nobody is asked any more, and no approval used.
    pub left: bool,
    /// The questions that it has put to people.
    pub asked: Vec<Approval>,
    /// The approvals that it uses.
    pub approved: Vec<Uuid>,
    /// The request as it came, where its answer may need an approval.
    pub(crate) seen: Option<Arc<Seen>>,
    /// Headers of the caller that its dialect passes on.
    pub passed: Vec<(&'static str, String)>,
    /// What its steps ask to remember, until [`Call::settle`].
    pub(crate) changes: Vec<(Scope, Change)>,
    /// Tools to take out of the request when its phase ends, each with the step that says so.
    pub(crate) removals: Vec<(&'static str, String)>,
    /// The definitions of tools as they came, where masks have changed the body since.
    pub(crate) offered: Option<Vec<(String, Value)>>,
    /// The model that is called instead of the one asked for.
    pub(crate) route: Option<String>,
    /// What its steps set aside before it was spent, until [`Call::settle`].
    pub(crate) holds: Vec<(Unit, Hold)>,
}

impl Call {
    /// A call at its start.
    #[must_use]
    pub fn new(exchange: Exchange, pipeline: Arc<Pipeline>, plan: Plan, services: Arc<Services>) -> Self {
        let trace = Trace { rows: Vec::with_capacity(pipeline.steps.len()), ..Trace::default() };
        Self {
            exchange,
            pipeline,
            plan,
            trace,
            providers: Arc::clone(&services.providers),
            services,
            policies: Arc::new(Embedded::shipped()),
            allowlist: Allowlist::default(),
            provider: String::new(),
            reply: None,
            upstream: Duration::ZERO,
            traceparent: None,
            resume: None,
            flags_sent: String::new(),
            handed: false,
            repeated: false,
            rehearsal: false,
            left: false,
            asked: Vec::new(),
            approved: Vec::new(),
            seen: None,
            passed: Vec::new(),
            changes: Vec::new(),
            removals: Vec::new(),
            offered: None,
            route: None,
            holds: Vec::new(),
        }
    }

    /// The one scan. Large texts are scanned off the runtime's own threads.
    fn scan(
        &self,
        segments: Vec<Segment>,
    ) -> impl Future<Output = (Vec<Segment>, Vec<Vec<Match>>)> + Send + use<> {
        let large = segments.iter().map(|s| s.text.len()).sum::<usize>() > LARGE;
        let (pipeline, known) = (self.pipeline.clone(), self.services.known.clone());
        let org_id = self.exchange.caller.org_id;
        let scan = move || {
            let scan = |s: &Segment| known.scan(&pipeline.scanner, org_id, &pipeline.hash, &s.text);
            let matches = segments.iter().map(scan).collect();
            (segments, matches)
        };
        async move {
            if !large {
                return scan();
            }
            match tokio::task::spawn_blocking(scan).await {
                Ok(done) => done,
                // A panic inside the scan ends this call, as it would have on this thread.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }

    /// The one scan of the request, the `before` steps, then the masks.
    ///
    /// # Errors
    /// [`Halt`] when a step refuses; nothing has left.
    pub async fn admit(&mut self) -> Result<(), Halt> {
        self.recall().await;
        let segments = std::mem::take(&mut self.exchange.request.segments);
        let (segments, mut matches) = self.scan(segments).await;
        self.allow(&segments, &mut matches);
        (self.exchange.request.segments, self.exchange.matches) = (segments, matches);
        let first = self.trace.findings.len();
        self.run(self.pipeline.admit()).await?;
        let asked = self.trace.policies.len();
        self.ask_before(first).await?;
        let redacted = self.redacted(first, asked);
        self.refuse_sealed(&redacted)?;
        if !redacted.is_empty() {
            self.keep_definitions();
            let request = &mut self.exchange.request;
            mask::apply(&mut request.body, &request.segments, &redacted);
        }
        self.remove_tools();
        Ok(())
    }

    /// The `call` steps up to the provider's.
    ///
    /// # Errors
    /// [`Halt`] when a step refuses or the provider gives no answer.
    pub async fn forward(&mut self) -> Result<ProviderReply, Halt> {
        let range = self.pipeline.forward();
        let provider_call = range.end - 1;
        self.run(range.start..provider_call).await?;
        // The policies hear where the call would really go, after the steps have had their say.
        self.ask_routing().await?;
        self.run(provider_call..range.end).await?;
        let none = || Halt::Provider(ProviderError::NotConfigured("no provider was called".into()));
        self.reply.take().ok_or_else(none)
    }

    /// The steps after the provider's, on a complete answer, then the masks.
    ///
    /// # Errors
    /// [`Halt::Blocked`] when the answer may not come back.
    pub async fn examine(&mut self, mut answer: Answer) -> Result<(), Halt> {
        let segments = std::mem::take(&mut answer.segments);
        (answer.segments, answer.matches) = self.scan(segments).await;
        self.allow(&answer.segments, &mut answer.matches);
        answer.provider.clone_from(&self.provider);
        self.exchange.answer = Some(answer);
        let first = self.trace.findings.len();
        let looked = self.look_again();
        let ran = self.run(self.pipeline.examine()).await;
        let read = self.read_all();
        looked.and(ran).and(read)?;
        let asked = self.trace.policies.len();
        self.ask_after(first).await?;
        self.ask_people().await?;
        let redacted = self.redacted(first, asked);
        self.refuse_sealed(&redacted)?;
        if !redacted.is_empty()
            && let Some(answer) = &mut self.exchange.answer
        {
            mask::apply(&mut answer.body, &answer.segments, &redacted);
        }
        let seals = self.shape().seals_reasoning();
        if let Some(restorer) = self.restorer()
            && let Some(answer) = &mut self.exchange.answer
        {
            let may = |segment: &Segment| !seals || segment.origin != Origin::Reasoning;
            mask::restore(&mut answer.body, &answer.segments, &restorer, may);
        }
        Ok(())
    }

    /// The second look of the `before` steps that have one. It is added to the row of the first.
    fn look_again(&mut self) -> Result<(), Halt> {
        let pipeline = Arc::clone(&self.pipeline);
        let mut halt = Ok(());
        for step in &pipeline.steps[pipeline.admit()] {
            let Runnable::Pure(pure) = &step.run else { continue };
            if !pure.judges_answers() {
                continue;
            }
            let start = Instant::now();
            let judged = match catch_unwind(AssertUnwindSafe(|| pure.judge_answer(&self.exchange))) {
                Ok(outcome) => self.judge(step, outcome, start.elapsed()),
                Err(_) => self.failed(step, "panicked", start.elapsed()),
            };
            self.trace.fold_last();
            if let Err(blocked) = judged {
                let first = self.trace.blocked.get_or_insert(blocked);
                halt = Err(Halt::Blocked(first.clone()));
            }
        }
        halt
    }

    /// The second look of the `before` steps that wait for somebody: last, so that nobody is asked about an answer that
    /// does not come back anyway.
    async fn ask_people(&mut self) -> Result<(), Halt> {
        let pipeline = Arc::clone(&self.pipeline);
        for step in &pipeline.steps[pipeline.admit()] {
            let Runnable::Waiting(waiting) = &step.run else { continue };
            if !waiting.judges_answers() || self.left {
                continue;
            }
            let start = Instant::now();
            let judging = AssertUnwindSafe(waiting.judge_answer(self)).catch_unwind();
            let judged = match within(waiting.deadline(), judging).await {
                Some(Ok(Ok(outcome))) => self.judge(step, outcome, start.elapsed()),
                Some(Ok(Err(error))) => self.failed(step, &error.to_string(), start.elapsed()),
                Some(Err(_)) => self.failed(step, "panicked", start.elapsed()),
                None => self.failed(step, "timed out", start.elapsed()),
            };
            self.trace.fold_last();
            if let Err(blocked) = judged {
                return Err(Halt::Blocked(self.trace.blocked.get_or_insert(blocked).clone()));
            }
        }
        Ok(())
    }

    /// What this call puts back into its answer.
    pub(crate) fn restorer(&self) -> Option<Restorer> {
        if !self.exchange.mode.acts() {
            return None;
        }
        let restores = |step: &Placed| match &step.run {
            Runnable::Pure(pure) => pure.restores(&self.exchange),
            Runnable::Waiting(_) => Vec::new(),
        };
        Restorer::new(self.pipeline.steps[self.pipeline.examine()].iter().flat_map(restores).collect())
    }

    /// The model that the call goes to: the one asked for, unless a step has found another.
    #[must_use]
    pub fn model(&self) -> &str {
        self.route.as_deref().unwrap_or(&self.exchange.request.model)
    }

    /// What is done about a hit of a step in this call.
    #[must_use]
    pub fn action_on_hit(&self, step: &Placed) -> (Action, Action) {
        let verdict = match self.exchange.mode {
            Mode::Lockdown => Action::Block,
            _ => self.plan.on_detection(step.meta.id, step.common.on_detection).into(),
        };
        (verdict, self.effective(verdict))
    }

    /// Records that the call ended before its remaining steps, so that each says why it did not run.
    pub fn skip_rest(&mut self, why: &str) {
        let pipeline = Arc::clone(&self.pipeline);
        for step in pipeline.steps.iter().skip(self.trace.rows.len()) {
            self.skip(step, why);
        }
    }

    /// Runs the steps of a range. After a block the pure steps of the range still look, so that the record has the
    /// call's level, its cost and all that was found; steps that wait do not run any more.
    pub(crate) async fn run(&mut self, range: Range<usize>) -> Result<(), Halt> {
        let pipeline = Arc::clone(&self.pipeline);
        let mut halt = Ok(());
        for step in &pipeline.steps[range] {
            if let Some(why) = self.inapplicable(step) {
                self.skip(step, why);
                continue;
            }
            let start = Instant::now();
            let result = match &step.run {
                Runnable::Pure(pure) => {
                    catch_unwind(AssertUnwindSafe(|| pure.run(&self.exchange))).map_err(|_| panicked())
                }
                Runnable::Waiting(_) if halt.is_err() => {
                    self.skip(step, "not run: the call was blocked before");
                    continue;
                }
                Runnable::Waiting(waiting) => {
                    let run = AssertUnwindSafe(waiting.run(self)).catch_unwind();
                    match within(waiting.deadline(), run).await {
                        Some(Ok(result)) => result,
                        Some(Err(_)) => Err(panicked()),
                        None => Err(StepError::Failed("timed out".into())),
                    }
                }
            };
            let took = start.elapsed();
            let judged = match result {
                Ok(outcome) => self.judge(step, outcome, took),
                Err(StepError::Provider(error)) => {
                    self.push(step, Action::Error, Action::Allow, error.for_the_record(), took);
                    return Err(Halt::Provider(error));
                }
                Err(StepError::Failed(what)) => self.failed(step, &what, took),
            };
            if let Err(blocked) = judged
                && halt.is_ok()
            {
                halt = Err(Halt::Blocked(self.trace.blocked.get_or_insert(blocked).clone()));
            }
        }
        halt
    }

    fn judge(&mut self, step: &Placed, outcome: Outcome, took: Duration) -> Result<(), Blocked> {
        let Outcome { detected, message, findings, effects, denial, scored, remedy } = outcome;
        for effect in effects {
            match effect {
                Effect::Classify(level) => self.classify(level),
                Effect::Cost(usd) => self.exchange.cost_usd = usd,
                Effect::Rate(rate) => self.trace.rate = Some(rate),
                Effect::Keep { days } => self.trace.keep = Some(days),
                Effect::Tighten(share) => {
                    self.exchange.strictness = self.exchange.strictness.max(share.clamp(0.0, 1.0));
                }
                Effect::Remember(scope, change) => self.remember(scope, change),
                Effect::RemoveTools(tools) => {
                    self.removals.extend(tools.into_iter().map(|tool| (step.meta.id, tool)));
                }
                Effect::Route(model) if self.exchange.mode.acts() => self.route = Some(model),
                Effect::Route(_) => {}
            }
        }
        if detected || !findings.is_empty() {
            let (row, from) = (self.trace.rows.len(), self.trace.findings.len());
            self.trace.reasons.push(Reason { row, findings: from..from + findings.len(), scored, remedy });
        }
        self.trace.findings.extend(findings);
        let (verdict, action) =
            if detected { self.action_on_hit(step) } else { (Action::Allow, Action::Allow) };
        let reason = (action == Action::Block).then(|| message.clone().into_owned());
        self.trace.rows.push(TraceRow { step: step.meta.id, action, verdict, detected, message, took });
        match reason {
            Some(reason) => Err(Blocked { step: step.meta.id, reason, denial }),
            None => Ok(()),
        }
    }

    /// Nothing fails open: where decisions act, a step that fails refuses the call.
    fn failed(&mut self, step: &Placed, what: &str, took: Duration) -> Result<(), Blocked> {
        tracing::error!(step = step.meta.id, error = what, "a step failed");
        let blocks = step.common.on_error == OnError::Block;
        let verdict = if blocks { Action::Block } else { Action::Error };
        self.push(step, Action::Error, verdict, "the step failed", took);
        if blocks && self.exchange.mode.acts() {
            let reason = format!("the step `{}` failed, and this agent is enforced", step.meta.id);
            return Err(Blocked { step: step.meta.id, reason, denial: Denial::Policy });
        }
        Ok(())
    }

    fn push(
        &mut self,
        step: &Placed,
        action: Action,
        verdict: Action,
        message: impl Into<Cow<'static, str>>,
        took: Duration,
    ) {
        self.trace.rows.push(TraceRow {
            step: step.meta.id,
            action,
            verdict,
            detected: false,
            message: message.into(),
            took,
        });
    }

    pub(crate) fn skip(&mut self, step: &Placed, why: &str) {
        self.push(step, Action::Skip, Action::Allow, why.to_owned(), Duration::ZERO);
    }

    pub(crate) fn effective(&self, verdict: Action) -> Action {
        if self.exchange.mode.acts() { verdict } else { verdict.min(Action::Log) }
    }

    fn classify(&mut self, level: Classification) {
        self.exchange.classification = self.exchange.classification.max(level);
    }

    /// The findings since `first` whose step masks in this call; all of them where a policy asked since `asked` masks.
    fn redacted(&self, first: usize, asked: usize) -> Vec<Finding> {
        let all = self.trace.policies[asked..].iter().any(|policy| policy.action == Action::Redact);
        self.trace.findings[first..]
            .iter()
            .filter(|f| f.maskable && (all || self.redacts(f.step)))
            .cloned()
            .collect()
    }

    pub(crate) fn redacts(&self, id: &str) -> bool {
        let row = self.trace.rows.iter().rev().find(|row| row.step == id);
        row.is_some_and(|row| row.action == Action::Redact)
    }
}

async fn within<F: Future>(deadline: Option<Duration>, run: F) -> Option<F::Output> {
    match deadline {
        Some(after) => tokio::time::timeout(after, run).await.ok(),
        None => Some(run.await),
    }
}

/// What it said is not kept: it can quote the text it was about. The process's panic hook logs where it was.
fn panicked() -> StepError {
    StepError::Failed("panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compile::compile_preset,
        step::Pure,
        testing::{call, services},
    };
    use tappass_model::Taint;

    struct Panics;

    impl Pure for Panics {
        fn run(&self, _: &Exchange) -> Outcome {
            panic!("about the prompt")
        }
    }

    fn with_a_step_that_panics(mode: Mode) -> Call {
        let mut c = call("hello", &services());
        let mut pipeline = compile_preset("starter").expect("compiles");
        let steps = &mut Arc::get_mut(&mut pipeline).expect("not shared yet").steps;
        let step = steps.iter_mut().find(|s| s.meta.id == "detect_pii").expect("is there");
        step.run = Runnable::Pure(Box::new(Panics));
        c.pipeline = pipeline;
        c.exchange.mode = mode;
        c
    }

    #[tokio::test]
    async fn a_panic_never_lets_its_call_through_in_enforce() {
        let mut c = with_a_step_that_panics(Mode::Enforce);
        let Err(Halt::Blocked(blocked)) = c.admit().await else { panic!("must block") };
        assert_eq!(blocked.step, "detect_pii");
        assert!(!format!("{:?}", c.trace).contains("about the prompt"));
        // Another call through the same process is not hurt.
        assert!(call("hello", &services()).admit().await.is_ok());
    }

    #[tokio::test]
    async fn in_observe_a_panic_is_recorded_and_would_block() {
        let mut c = with_a_step_that_panics(Mode::Observe);
        c.admit().await.expect("observe blocks nothing");
        assert_eq!(c.trace.would_block().first().map(|w| w.step), Some("detect_pii"));
    }

    struct Carries;

    impl Pure for Carries {
        fn run(&self, x: &Exchange) -> Outcome {
            let had = x.session_memory.taints.contains(&Taint::Secret);
            let carries =
                Outcome::pass().with(Effect::Remember(Scope::Session, Change::Taint(Taint::Secret)));
            if had { Outcome { detected: true, ..carries } } else { carries }
        }
    }

    #[tokio::test]
    async fn what_a_call_remembers_the_next_of_its_session_knows() {
        let services = services();
        for (session, knows) in [("a", false), ("a", true), ("b", false)] {
            let mut c = with_a_step_that_panics(Mode::Observe);
            c.services = Arc::clone(&services);
            c.exchange.session.id = session.into();
            let pipeline = Arc::get_mut(&mut c.pipeline).expect("not shared yet");
            pipeline.remembers = vec![Scope::Session];
            let step = pipeline.steps.iter_mut().find(|s| s.meta.id == "detect_pii").expect("is there");
            step.run = Runnable::Pure(Box::new(Carries));
            c.admit().await.expect("observe blocks nothing");
            let row = c.trace.rows.iter().find(|r| r.step == "detect_pii").expect("ran");
            assert_eq!(row.detected, knows, "session {session}");
            c.settle().await;
        }
    }
}
