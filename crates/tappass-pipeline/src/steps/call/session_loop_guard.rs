//! Stops a session that goes round in circles across its calls: repetitions, cycles, fan-out, runaway cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Change, Dialect, Effect, Exchange, Finding, OnDetection, Outcome, Scope, Seen};
use tappass_provider::dialects;

use super::loops::{identity, is_error, most_repeated, short_digest, turns};
use crate::step::{Category, Define, Meta, Phase, Pure};

/// The longest cycle that is looked for, in tool calls.
const LONGEST_CYCLE: usize = 6;

/// # What it does
/// Remembers the last 256 things of a session, by digest: what was asked, the tool calls that were answered since the
/// call before, those that `POST /v1/govern` was asked about, and their errors. A hit is the same request again and
/// again, a sequence of tool calls that repeats, the same error, more tool calls in one round than `fan_out`, or more
/// money than `usd` for the whole session.
/// # Why
/// Agents that start each other can circle without any one of their tasks being long.
/// # On a hit
/// Blocks, and says what repeats. A new session begins anew.
/// # Limits
/// Things are the same when they are the same to the letter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionLoopGuard {
    /// How often the same request may come in a session.
    pub same_request: usize,
    /// How often the same sequence of tool calls, with the same arguments, may follow upon itself.
    pub cycles: usize,
    /// How often the same error may come back in a session.
    pub same_error: usize,
    /// How many tool calls one round may have.
    pub fan_out: usize,
    /// USD after which a session is stopped; no bound when absent.
    pub usd: Option<f64>,
}

impl Default for SessionLoopGuard {
    fn default() -> Self {
        Self { same_request: 10, cycles: 4, same_error: 10, fan_out: 25, usd: Some(50.0) }
    }
}

impl Define for SessionLoopGuard {
    const META: Meta = Meta {
        id: "session_loop_guard",
        position: 520,
        phase: Phase::Call,
        category: Category::RouteAndExecute,
        summary: "Stops cycles, fan-out and runaway cost across a session",
        threats: &["LLM10", "ASI08"],
        on_detection: OnDetection::Block,
    };

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        if [self.same_request, self.same_error, self.fan_out].contains(&0) || self.cycles < 2 {
            return Err(
                "`same_request`, `same_error` and `fan_out` must be at least 1, `cycles` at least 2".into()
            );
        }
        if self.usd.is_some_and(|usd| usd < 0.0) {
            return Err("`usd` must not be negative".into());
        }
        Ok(())
    }
}

/// What happened since the session's call before: the last message, the tool calls it answers, and their errors.
fn news(x: &Exchange) -> Vec<Seen> {
    let turn = x.session.turn_index;
    let seen = |what: &str, which: String| Seen { what: what.into(), which, turn };
    let shape = dialects::of(x.request.dialect);
    let mut news = Vec::new();
    if x.request.dialect.is_tool_call() {
        // Apart from the calls that histories tell of: an agent may report the same call both ways.
        return vec![seen("governed", short_digest(&x.request.body.to_string()))];
    }
    let history = shape.history(&x.request.body);
    // Rounds before the last one were news to the call before.
    for past in history.last_round().filter(|_| history.answered) {
        news.push(seen("tool", identity(&past.call)));
        if let Some(result) = past.result.as_deref().filter(|result| is_error(result)) {
            news.push(seen("error", short_digest(result)));
        }
    }
    if !history.answered {
        news.push(seen("request", short_digest(&shape.asked(&x.request.body).to_string())));
    }
    news
}

impl Pure for SessionLoopGuard {
    fn run(&self, x: &Exchange) -> Outcome {
        let news = news(x);
        let all: Vec<&Seen> = x.session_memory.recent.iter().chain(&news).collect();
        let of = |what: &'static str| {
            all.iter().filter(move |seen| seen.what == what).map(|seen| seen.which.as_str())
        };
        let (tools, governed): (Vec<&str>, Vec<&str>) = (of("tool").collect(), of("governed").collect());
        let fan_out = news.iter().filter(|seen| seen.what == "tool").count();
        let often = |what, most| most_repeated(of(what)).map(|(_, n)| n).filter(|n| *n >= most);
        let cycle = (1..=LONGEST_CYCLE)
            .flat_map(|period| [&tools, &governed].map(|calls| (period, turns(calls, period))))
            .find(|(_, n)| *n >= self.cycles);
        let hit = if let Some(times) = often("request", self.same_request) {
            Some(("SAME_REQUEST", format!("the session has asked the same {times} times")))
        } else if let Some(times) = often("error", self.same_error) {
            Some(("SAME_ERROR", format!("the session has come to the same error {times} times")))
        } else if let Some((period, times)) = cycle {
            Some((
                "CYCLE",
                format!("the session repeats the same {period} tool call(s), {times} times by now"),
            ))
        } else if fan_out > self.fan_out {
            Some(("FAN_OUT", format!("one round has {fan_out} tool calls")))
        } else {
            let spent = x.session_memory.spent_usd;
            let beyond = self.usd.filter(|usd| spent > *usd);
            beyond
                .map(|usd| ("RUNAWAY_COST", format!("the session has spent {spent:.2} USD, more than {usd}")))
        };
        let outcome = match hit {
            None => Outcome::pass(),
            Some((kind, message)) => {
                Outcome::hit(message, vec![Finding::about(Self::META.id, kind, String::new())])
            }
        };
        news.into_iter()
            .fold(outcome, |outcome, seen| outcome.with(Effect::Remember(Scope::Session, Change::Saw(seen))))
    }

    fn without_model(&self, dialect: Dialect) -> bool {
        dialect.is_tool_call()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exchange, having_called};
    use std::sync::Arc;

    /// Runs the steps' calls one after the other in one session; what the last one said.
    fn session(step: &SessionLoopGuard, calls: impl IntoIterator<Item = Exchange>) -> Outcome {
        let mut memory = Arc::default();
        let mut last = Outcome::pass();
        for mut x in calls {
            x.session_memory = Arc::clone(&memory);
            last = step.run(&x);
            for effect in &last.effects {
                let Effect::Remember(Scope::Session, change) = effect else { panic!("only of the session") };
                Arc::make_mut(&mut memory).apply(change, x.now);
            }
        }
        last
    }

    fn kind(outcome: &Outcome) -> Option<&str> {
        outcome.findings.first().map(|f| f.kind.as_ref())
    }

    #[test]
    fn lets_a_session_pass_that_moves_on() {
        let step = SessionLoopGuard::default();
        assert_eq!(kind(&session(&step, (0..50).map(|i| exchange(&format!("question {i}"))))), None);
        let calls = (0..50).map(|i| having_called("read", &format!("{{\"n\": {i}}}")));
        assert_eq!(kind(&session(&step, calls)), None);
    }

    #[test]
    fn catches_the_same_request_and_cycles() {
        let step = SessionLoopGuard::default();
        assert_eq!(kind(&session(&step, (0..9).map(|_| exchange("again")))), None);
        assert_eq!(kind(&session(&step, (0..10).map(|_| exchange("again")))), Some("SAME_REQUEST"));
        let ping_pong = (0..8).map(|i| having_called(["ask", "answer"][i % 2], "{}"));
        assert_eq!(kind(&session(&step, ping_pong)), Some("CYCLE"));
    }

    #[test]
    fn catches_fan_out_and_cost() {
        let wide = SessionLoopGuard { fan_out: 1, ..SessionLoopGuard::default() };
        let mut x = having_called("read", "{}");
        let calls = x.request.body["messages"][1]["tool_calls"].as_array_mut().expect("calls");
        calls.push(calls[0].clone());
        assert_eq!(kind(&wide.run(&x)), Some("FAN_OUT"));
        let mut x = exchange("hi");
        Arc::make_mut(&mut x.session_memory).spent_usd = 51.0;
        assert_eq!(kind(&SessionLoopGuard::default().run(&x)), Some("RUNAWAY_COST"));
        assert!(SessionLoopGuard { cycles: 1, ..SessionLoopGuard::default() }.prepare().is_err());
    }
}
