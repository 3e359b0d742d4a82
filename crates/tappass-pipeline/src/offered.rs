//! The tools that a request offers: as they came, and without those that steps take away.

use std::time::Duration;

use serde_json::Value;
use tappass_model::Action;
use tappass_provider::dialects;

use crate::{runner::Call, trace::PolicyRow};

impl Call {
    /// The definitions of the tools that leave with the request, each with its name, as they came: before any mask.
    #[must_use]
    pub fn definitions(&self) -> Vec<(&str, &Value)> {
        let request = &self.exchange.request;
        let leaves = |name: &&str| request.tools.iter().any(|tool| tool == name);
        match &self.offered {
            Some(kept) => {
                kept.iter().map(|(name, tool)| (name.as_str(), tool)).filter(|(n, _)| leaves(n)).collect()
            }
            None => dialects::definitions(&request.body).collect(),
        }
    }

    /// A rule of the gateway itself takes tools out of an offer, before any step has seen it: as far as the mode lets it.
    pub fn withhold(&mut self, rule: &'static str, reason: String, tools: &dyn Fn(&str) -> bool) {
        let action = self.effective(Action::Redact);
        let took = Duration::ZERO;
        self.trace.policies.push(PolicyRow {
            policy: rule,
            action,
            verdict: Action::Redact,
            failed: false,
            reason,
            took,
        });
        if action != Action::Redact {
            return;
        }
        let (shape, request) = (self.shape(), &mut self.exchange.request);
        let mut body = request.body.take();
        shape.remove_tools(&mut body, tools);
        // A body without some of its tools reads as it did with them.
        if let Ok(read) = shape.read_request(body, request.bytes) {
            *request = read;
        }
    }

    /// Keeps them as they are now, for steps that come after masks.
    pub(crate) fn keep_definitions(&mut self) {
        let request = &self.exchange.request;
        if !request.tools.is_empty() {
            let all =
                dialects::definitions(&request.body).map(|(name, tool)| (name.to_owned(), tool.clone()));
            self.offered = Some(all.collect());
        }
    }

    /// Takes away the tools that steps wanted gone, where that acts.
    pub(crate) fn remove_tools(&mut self) {
        let removals = std::mem::take(&mut self.removals);
        let gone: Vec<String> =
            removals.into_iter().filter(|(step, _)| self.redacts(step)).map(|(_, tool)| tool).collect();
        if gone.is_empty() {
            return;
        }
        let request = &mut self.exchange.request;
        // What no longer leaves has no hits for the steps to come.
        for (index, segment) in request.segments.iter().enumerate() {
            if dialects::definition_at(&request.body, &segment.pointer)
                .is_some_and(|tool| gone.iter().any(|g| g == tool))
            {
                self.exchange.matches[index].clear();
            }
        }
        let shape = dialects::of(request.dialect);
        shape.remove_tools(&mut request.body, &|tool| gone.iter().any(|g| g == tool));
        request.tools.retain(|tool| !gone.contains(tool));
    }
}
