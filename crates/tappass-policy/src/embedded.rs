//! The embedded engine: policies compiled once, evaluated in bounded time.
//!
//! Time bounds memory too: an evaluation that may run [`TIME`] cannot build more than it can write in that time.

use std::{
    num::NonZeroU32,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use regorus::{
    CompiledPolicy, PolicyLengthConfig,
    utils::limits::{ExecutionTimerConfig, LimitError, set_fallback_execution_timer_config},
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::{
    Decision, Engine, PolicyError, Question,
    source::{self, CompileError},
};

/// How long one evaluation may take. Ordinary policies take microseconds.
pub(crate) const TIME: Duration = Duration::from_millis(25);

/// Steps of the interpreter between two looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::new(64).unwrap();

/// The largest policy, bytes.
pub const MAX_SOURCE: usize = 256 * 1024;

/// The shipped policies.
const SHIPPED: [(Question, &str); 4] = [
    (Question::Authz, include_str!("../../../policies/authz/authz.rego")),
    (Question::Tools, include_str!("../../../policies/tools/tools.rego")),
    (Question::Routing, include_str!("../../../policies/routing/routing.rego")),
    (Question::Guardrails, include_str!("../../../policies/guardrails/guardrails.rego")),
];

/// A compiled policy.
#[derive(Clone)]
struct Policy {
    question: Question,
    compiled: CompiledPolicy,
}

/// The shipped policies, and an organisation's own.
#[derive(Clone)]
pub struct Embedded {
    shipped: Arc<[Policy; 4]>,
    own: Vec<Policy>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own: Vec<&str> = self.own.iter().map(|p| p.question.name()).collect();
        f.debug_struct("Embedded").field("own", &own).finish_non_exhaustive()
    }
}

static ALONE: LazyLock<Arc<[Policy; 4]>> =
    LazyLock::new(|| {
        Arc::new(SHIPPED.map(|(question, text)| {
            Policy::compile(question, text).expect("shipped policies compile: tested")
        }))
    });

impl Embedded {
    /// The shipped policies alone.
    #[must_use]
    pub fn shipped() -> Self {
        Self { shipped: ALONE.clone(), own: Vec::new() }
    }

    /// With an organisation's own. Takes the processor for a while: not on a call's path.
    ///
    /// # Errors
    /// A text that is no policy: the question, and where and what is wrong.
    pub fn with_own<'a>(
        own: impl IntoIterator<Item = (Question, &'a str)>,
    ) -> Result<Self, (Question, CompileError)> {
        let compile = |(question, text)| Policy::compile(question, text).map_err(|e| (question, e));
        Ok(Self { own: own.into_iter().map(compile).collect::<Result<_, _>>()?, ..Self::shipped() })
    }

    /// The text of a shipped policy: what an organisation's own begins from.
    #[must_use]
    pub fn text(question: Question) -> &'static str {
        SHIPPED.iter().find(|(q, _)| *q == question).map_or("", |(_, text)| text)
    }
}

#[async_trait]
impl Engine for Embedded {
    fn has_own(&self, question: Question) -> bool {
        self.own.iter().any(|policy| policy.question == question)
    }

    async fn decide(&self, question: Question, input: Value) -> Result<Decision, PolicyError> {
        let input = regorus::Value::from(input);
        let mut decision = Decision::allow();
        for policy in self.shipped.iter().chain(&self.own).filter(|p| p.question == question) {
            decision = decision.or_stricter(policy.decide(&input)?);
        }
        Ok(decision)
    }
}

/// An engine whose evaluations and texts are bounded.
pub(crate) fn bounded() -> regorus::Engine {
    // Compiled policies take the bound of the process: there is none of their own.
    static ONCE: LazyLock<()> = LazyLock::new(|| {
        set_fallback_execution_timer_config(Some(ExecutionTimerConfig {
            limit: TIME,
            check_interval: STEPS,
        }));
    });
    LazyLock::force(&ONCE);
    let mut engine = regorus::Engine::new();
    engine.set_policy_length_config(PolicyLengthConfig::default());
    engine.set_strict_builtin_errors(true);
    engine
}

impl Policy {
    fn compile(question: Question, text: &str) -> Result<Self, CompileError> {
        if text.len() > MAX_SOURCE {
            return Err(CompileError::whole(format!("a policy is at most {MAX_SOURCE} bytes")));
        }
        source::lint(text)?;
        let mut engine = bounded();
        let broken = |e: &dyn std::fmt::Display| CompileError::of(&e.to_string());
        engine.add_policy(format!("{}.rego", question.name()), text.to_owned()).map_err(|e| broken(&e))?;
        source::check_package(question, &engine.get_packages().map_err(|e| broken(&e))?)?;
        let rule = format!("data.{}.decision", question.package());
        let compiled =
            engine.compile_with_entrypoint(&rule.as_str().into()).map_err(|e| match broken(&e) {
                // The engine's word for a rule that is not there: `not a valid rule path`.
                e if e.line == 0 => {
                    CompileError::whole(format!("a policy needs the rule `decision` ({})", e.what))
                }
                e => e,
            })?;
        Ok(Self { question, compiled })
    }

    /// The engine's clock goes on while this thread waits for a processor, so what ran out of time without having had
    /// it is evaluated again: a busy machine is not a slow policy, and must not refuse calls as if it were.
    fn evaluate(&self, input: &regorus::Value) -> anyhow::Result<regorus::Value> {
        let begun = processor_time();
        loop {
            match self.compiled.eval_with_input(input.clone()) {
                Err(error) if interrupted(&error, processor_time().saturating_sub(begun)) => {}
                answer => return answer,
            }
        }
    }

    fn decide(&self, input: &regorus::Value) -> Result<Decision, PolicyError> {
        let name = self.question.package();
        let value = self
            .evaluate(input)
            .map_err(|e| PolicyError::Failed(name, CompileError::of(&e.to_string()).to_string()))?;
        if value == regorus::Value::Undefined {
            return Err(PolicyError::Undefined(name));
        }
        let text = value.to_json_str().map_err(|e| PolicyError::NotADecision(name, e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| PolicyError::NotADecision(name, e.to_string()))
    }
}

/// Whether an evaluation ran out of time although it has had less than half of it.
fn interrupted(error: &anyhow::Error, had: Duration) -> bool {
    let out_of_time = error
        .chain()
        .any(|e| matches!(e.downcast_ref::<LimitError>(), Some(LimitError::TimeLimitExceeded { .. })));
    out_of_time && had < TIME / 2
}

/// How long this thread has had a processor.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tappass_model::OnDetection;

    fn own(text: &str) -> Result<Embedded, CompileError> {
        Embedded::with_own([(Question::Tools, text)]).map_err(|(_, e)| e)
    }

    async fn asked(text: &str, input: Value) -> Result<Decision, PolicyError> {
        own(text).expect("compiles").decide(Question::Tools, input).await
    }

    const NO_SHELL: &str = "package tappass.tools\nimport rego.v1\n\
        default decision := {\"action\": \"allow\"}\n\
        decision := {\"action\": \"block\", \"reason\": \"no shells\"} if \"shell\" in input.tools\n";

    #[tokio::test]
    async fn an_organisation_tightens() {
        let refused = asked(NO_SHELL, json!({"tools": ["shell"]})).await.expect("decides");
        assert_eq!((refused.action, refused.reason.as_str()), (OnDetection::Block, "no shells"));
        assert_eq!(asked(NO_SHELL, json!({"tools": ["read"]})).await.expect("decides"), Decision::allow());
        let policies = own(NO_SHELL).expect("compiles");
        assert!(policies.has_own(Question::Tools) && !policies.has_own(Question::Authz));
    }

    #[tokio::test]
    async fn an_organisation_never_loosens() {
        let allows = "package tappass.guardrails\nimport rego.v1\ndecision := {\"action\": \"allow\"}\n";
        let policies = Embedded::with_own([(Question::Guardrails, allows)]).expect("compiles");
        let input = json!({"phase": "after", "findings": [
            {"step": "detect_exfiltration", "kind": "X", "score": 0.9},
            {"step": "scan_output", "kind": "IBAN", "score": 0.9}]});
        let decision = policies.decide(Question::Guardrails, input).await.expect("decides");
        assert_eq!(decision.action, OnDetection::Block);
    }

    #[test]
    fn what_runs_out_of_its_own_time_is_not_tried_again() {
        // Ten thousand million pairs: nothing that ends.
        let endless = "package tappass.tools\nimport rego.v1\n\
            decision := {\"action\": \"allow\"} if { some i in numbers.range(1, 100000); \
            some j in numbers.range(1, 100000); i + j < 0 }\n";
        let policy = Policy::compile(Question::Tools, endless).expect("compiles");
        let begun = processor_time();
        let error = policy.evaluate(&regorus::Value::new_object()).expect_err("runs out of time");
        assert!(processor_time() - begun >= TIME / 2);
        assert!(!interrupted(&error, TIME), "it has had its time");
        assert!(interrupted(&error, TIME / 3), "it was kept from it");
        assert!(!interrupted(&anyhow::anyhow!("another error"), Duration::ZERO));
    }

    #[tokio::test]
    async fn no_answer_is_an_error() {
        let no_default = "package tappass.tools\nimport rego.v1\n\
            decision := {\"action\": \"allow\"} if input.missing\n";
        assert!(matches!(asked(no_default, json!({})).await, Err(PolicyError::Undefined(_))));
        let odd = "package tappass.tools\nimport rego.v1\ndecision := {\"action\": \"perhaps\"}\n";
        assert!(matches!(asked(odd, json!({})).await, Err(PolicyError::NotADecision(..))));
        let breaks = "package tappass.tools\nimport rego.v1\n\
            decision := {\"action\": \"allow\"} if to_number(\"x\") == 1\n";
        assert!(matches!(
            asked(breaks, json!({})).await,
            Err(PolicyError::Failed(..) | PolicyError::Undefined(_))
        ));
    }

    #[tokio::test]
    async fn an_endless_policy_ends() {
        let slow = "package tappass.tools\nimport rego.v1\n\
            n := numbers.range(1, 3000)\n\
            decision := {\"action\": \"allow\"} if count([1 | some a in n; some b in n; some c in n; a + b == c]) > 0\n";
        let error = asked(slow, json!({})).await.expect_err("is stopped");
        assert!(matches!(error, PolicyError::Failed(..)), "{error}");
    }

    #[test]
    fn a_broken_text_is_located() {
        let error = own("package tappass.tools\nimport rego.v1\ndecision := {\n  \"action\": oops(1)\n")
            .expect_err("no");
        assert!(error.line >= 3 && error.column > 0, "{error:?}");
        let error = own("package tappass.authz\ndecision := 1\n").expect_err("no");
        assert!(error.to_string().contains("must be `tappass.tools`, not `tappass.authz`"), "{error}");
        let error = own("package tappass.tools\nimport rego.v1\nx if http.send({})\n").expect_err("no");
        assert_eq!((error.line, error.column), (3, 6), "{error}");
        assert!(own("package tappass.tools\nx := 1\n").is_err_and(|e| e.what.contains("`decision`")));
        assert!(own(&" ".repeat(MAX_SOURCE + 1)).is_err());
        assert!(
            own(&format!(
                "package tappass.tools\nimport rego.v1\ndecision := {}1{}\n",
                "[".repeat(5000),
                "]".repeat(5000)
            ))
            .is_err()
        );
    }
}
