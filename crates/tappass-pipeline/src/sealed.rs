//! What can be read but not changed, and what cannot be read at all: signed reasoning, and parts of a kind that no
//! version knew when this one was made. Where decisions act, neither passes half done.

use std::{borrow::Cow, time::Duration};

use tappass_model::{Action, Denial, Finding, Origin};
use tappass_provider::dialects::{self, Shape};

use crate::{
    runner::{Call, Halt},
    trace::{Blocked, TraceRow},
};

impl Call {
    /// An answer with a part that cannot be read is refused where decisions act.
    pub(crate) fn read_all(&mut self) -> Result<(), Halt> {
        let Some(what) = self.exchange.answer.as_ref().and_then(|answer| answer.unknown.clone()) else {
            return Ok(());
        };
        let blocked = unreadable(&what);
        let action = self.effective(Action::Block);
        let message = Cow::from(blocked.reason.clone());
        let (step, took) = (blocked.step, Duration::ZERO);
        self.trace.rows.push(TraceRow {
            step,
            action,
            verdict: Action::Block,
            detected: true,
            message,
            took,
        });
        self.trace.fold_last();
        if action != Action::Block {
            return Ok(());
        }
        Err(Halt::Blocked(self.trace.blocked.get_or_insert(blocked).clone()))
    }

    /// Refuses what would have to be masked where nothing may be changed: in reasoning that its model has signed.
    pub(crate) fn refuse_sealed(&mut self, redacted: &[Finding]) -> Result<(), Halt> {
        if !self.shape().seals_reasoning() {
            return Ok(());
        }
        let segments = match &self.exchange.answer {
            Some(answer) => &answer.segments,
            None => &self.exchange.request.segments,
        };
        let is_sealed = |finding: &&Finding| {
            let segment = finding.span.and_then(|span| segments.get(span.segment));
            segment.is_some_and(|segment| segment.origin == Origin::Reasoning)
        };
        let Some(finding) = redacted.iter().find(is_sealed) else { return Ok(()) };
        let blocked = sealed(finding.step, &finding.kind);
        Err(Halt::Blocked(self.trace.blocked.get_or_insert(blocked).clone()))
    }

    /// What is known of the caller's dialect.
    #[must_use]
    pub fn shape(&self) -> &'static dyn Shape {
        dialects::of(self.exchange.request.dialect)
    }
}

/// Why a text that may not be changed is refused.
pub(crate) fn sealed(step: &'static str, kind: &str) -> Blocked {
    let reason = format!("1 × {kind} in the model's signed reasoning, which cannot be masked");
    Blocked { step, reason, denial: Denial::Policy }
}

/// Why an answer is refused that this version cannot read.
pub(crate) fn unreadable(what: &str) -> Blocked {
    let reason = format!("the answer has a part of a kind that this version does not know: {what}");
    Blocked { step: "scan_output", reason, denial: Denial::Policy }
}
