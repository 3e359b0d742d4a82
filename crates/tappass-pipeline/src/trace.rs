//! What a call's steps did: one row a step, and what follows from the rows.

use std::{borrow::Cow, ops::Range, time::Duration};

use serde::Serialize;
use tappass_model::{Action, Denial, Finding, Scored};

use crate::allow::Allowed;

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// The step's id.
    pub step: &'static str,
    /// What was done about it in this call's mode.
    pub action: Action,
    /// What enforce would have done.
    pub verdict: Action,
    /// Whether it was a hit.
    pub detected: bool,
    /// One sentence, or why it did not run.
    pub message: Cow<'static, str>,
    /// How long it took.
    pub took: Duration,
}

/// Why a row is what it is. Only rows with findings or a hit have one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// Index of the row.
    pub row: usize,
    /// Its findings, by index.
    pub findings: Range<usize>,
    /// The score that decided, and what it was held against.
    pub scored: Option<Scored>,
    /// What would have changed the decision, as far as only the step knows it.
    pub remedy: Cow<'static, str>,
}

/// What one policy answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// Its package: `tappass.guardrails` …
    pub policy: &'static str,
    /// What was done about it in this call's mode.
    pub action: Action,
    /// What enforce would have done.
    pub verdict: Action,
    /// Whether it gave no answer.
    pub failed: bool,
    /// Its sentence.
    pub reason: String,
    /// How long it took.
    pub took: Duration,
}

/// A refusal that the mode did not let happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WouldBlock {
    /// The step's id.
    pub step: &'static str,
    /// Its sentence.
    pub reason: String,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The step's id.
    pub step: &'static str,
    /// Its sentence.
    pub reason: String,
    /// How it is told.
    pub denial: Denial,
}

impl Blocked {
    /// Whether a person decides first.
    #[must_use]
    pub const fn waits(&self) -> bool {
        matches!(self.denial, Denial::Approval { .. })
    }
}

/// The most points of risk that one call can give its session.
pub const MOST_RISK: f64 = 8.0;

/// Everything the steps of one call did.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// One row a step, in order.
    pub rows: Vec<TraceRow>,
    /// What was found, in order.
    pub findings: Vec<Finding>,
    /// Why the rows with findings are what they are, in order.
    pub reasons: Vec<Reason>,
    /// Hits that an allowlist took away before any step saw them: the first few.
    pub allowed: Vec<Allowed>,
    /// What the policies answered, in order.
    pub policies: Vec<PolicyRow>,
    /// The refusal, where there was one.
    pub blocked: Option<Blocked>,
    /// For how many days a trace is kept for support, if it is.
    pub keep: Option<u16>,
    /// What the last rate limit said.
    pub rate: Option<tappass_model::outcome::RateLimit>,
}

impl Trace {
    /// Adds the last row to the earlier one of the same step.
    pub(crate) fn fold_last(&mut self) {
        let Some(last) = self.rows.pop() else { return };
        let at = self.rows.iter().position(|row| row.step == last.step);
        match at.and_then(|at| Some((at, self.rows.get_mut(at)?))) {
            Some((at, row)) => {
                row.action = row.action.max(last.action);
                row.verdict = row.verdict.max(last.verdict);
                row.took += last.took;
                if last.detected || row.message.is_empty() {
                    row.message = last.message;
                }
                row.detected |= last.detected;
                let popped = self.rows.len();
                for reason in self.reasons.iter_mut().filter(|reason| reason.row == popped) {
                    reason.row = at;
                }
            }
            None => self.rows.push(last),
        }
    }

    /// The weightiest of what was done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.heaviest(|row| row.action).max(self.policies.iter().map(|p| p.action).max().unwrap_or_default())
    }

    /// The weightiest of what enforce would have done.
    #[must_use]
    pub fn verdict(&self) -> Action {
        self.heaviest(|row| row.verdict)
            .max(self.policies.iter().map(|p| p.verdict).max().unwrap_or_default())
    }

    /// What enforce would have refused and this mode did not.
    #[must_use]
    pub fn would_block(&self) -> Vec<WouldBlock> {
        let steps = self.rows.iter().map(|row| (row.step, row.action, row.verdict, &*row.message));
        let policies = self.policies.iter().map(|p| (p.policy, p.action, p.verdict, p.reason.as_str()));
        steps
            .chain(policies)
            .filter(|(_, action, verdict, _)| *verdict == Action::Block && *action != Action::Block)
            .map(|(step, _, _, reason)| WouldBlock { step, reason: reason.to_owned() })
            .collect()
    }

    /// How many steps ran.
    #[must_use]
    pub fn steps_run(&self) -> usize {
        self.rows.iter().filter(|row| row.action != Action::Skip).count()
    }

    /// Points of risk for what was found: the more, the graver what enforce does about it; at most [`MOST_RISK`].
    #[must_use]
    pub fn risk(&self) -> f64 {
        let points = |row: &TraceRow| match row.verdict {
            Action::Block | Action::Error => 4.0,
            Action::Redact | Action::Notify => 2.0,
            _ => 1.0,
        };
        self.rows.iter().filter(|row| row.detected).map(points).sum::<f64>().min(MOST_RISK)
    }

    fn heaviest(&self, of: fn(&TraceRow) -> Action) -> Action {
        self.rows.iter().map(of).filter(|a| *a != Action::Skip).max().unwrap_or(Action::Allow)
    }
}
