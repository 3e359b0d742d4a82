//! Stops a task that goes round in circles: the same call, tool or error again and again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Finding, OnDetection, Outcome};
use tappass_provider::dialects::{self, PastCall};

use super::loops::{identity, is_error, most_repeated, short_digest};
use crate::{
    arguments::shown,
    step::{About, Category, Define, Meta, Phase, Pure},
};

/// # What it does
/// Reads the request's history since the user last spoke: how many rounds of tool calls there were, how often the same
/// call with the same arguments, the same tool, the same error. One request and the rounds that follow it are a task.
/// # Why
/// A model that tries the same thing for the tenth time will try it for the hundredth, at the same price each.
/// # On a hit
/// Blocks, and says what repeats.
/// # Limits
/// Sees the history that the agent sends. Across tasks and for agents that send none: `session_loop_guard`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoopGuard {
    /// Rounds of tool calls that a task may take.
    pub max_iterations: usize,
    /// How often a task may make the same call with the same arguments.
    pub same_call: usize,
    /// How often a task may call the same tool.
    pub same_tool: usize,
    /// How often the same error may come back in a task.
    pub same_error: usize,
}

impl Default for LoopGuard {
    fn default() -> Self {
        Self { max_iterations: 25, same_call: 5, same_tool: 50, same_error: 5 }
    }
}

impl Define for LoopGuard {
    const META: Meta = Meta {
        id: "loop_guard",
        position: 510,
        phase: Phase::Call,
        category: Category::RouteAndExecute,
        summary: "Stops the same call, tool or error again and again within one task",
        threats: &["LLM10", "ASI08"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Conversation;

    fn prepare(&mut self) -> Result<(), String> {
        if [self.max_iterations, self.same_call, self.same_tool, self.same_error].contains(&0) {
            return Err(
                "`max_iterations`, `same_call`, `same_tool` and `same_error` must be at least 1".into()
            );
        }
        Ok(())
    }
}

impl Pure for LoopGuard {
    fn run(&self, x: &Exchange) -> Outcome {
        let history = dialects::of(x.request.dialect).history(&x.request.body);
        let mut calls = history.calls;
        calls.retain(|past| history.user_spoke.is_none_or(|at| past.message > at));
        match self.repeats(&calls) {
            None => Outcome::pass(),
            Some((kind, tool, message)) => {
                Outcome::hit(message, vec![Finding::about(Self::META.id, kind, shown(tool))])
            }
        }
    }
}

impl LoopGuard {
    fn repeats<'a>(&self, calls: &'a [PastCall]) -> Option<(&'static str, &'a str, String)> {
        let mut rounds: Vec<usize> = calls.iter().map(|past| past.message).collect();
        rounds.dedup();
        let named = |times: usize, what: &str| format!("the task has {what} {times} times");
        let errors = calls.iter().filter_map(|past| past.result.as_deref()).filter(|result| is_error(result));
        if let Some((_, times)) =
            most_repeated(errors.map(short_digest)).filter(|(_, n)| *n >= self.same_error)
        {
            return Some(("SAME_ERROR", "", named(times, "come to the same error")));
        }
        let same_call =
            most_repeated(calls.iter().map(|past| (identity(&past.call), past.call.name.as_str())));
        if let Some(((_, tool), times)) = same_call.filter(|(_, n)| *n >= self.same_call) {
            return Some(("SAME_CALL", tool, named(times, "made the same tool call")));
        }
        let same_tool = most_repeated(calls.iter().map(|past| past.call.name.as_str()));
        if let Some((tool, times)) = same_tool.filter(|(_, n)| *n >= self.same_tool) {
            return Some(("SAME_TOOL", tool, named(times, "called the same tool")));
        }
        (rounds.len() >= self.max_iterations)
            .then(|| ("ITERATIONS", "", format!("the task has taken {} rounds of tool calls", rounds.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;
    use serde_json::{Value, json};

    /// After so many rounds: each call's arguments and result by its number.
    fn after(rounds: usize, of: impl Fn(usize) -> (String, String)) -> Exchange {
        let mut x = exchange("go");
        let messages = x.request.body["messages"].as_array_mut().expect("messages");
        for i in 0..rounds {
            let (arguments, result) = of(i);
            messages.push(json!({"role": "assistant", "tool_calls": [
                {"id": format!("c{i}"), "type": "function", "function": {"name": "search", "arguments": arguments}}]}));
            messages.push(json!({"role": "tool", "tool_call_id": format!("c{i}"), "content": result}));
        }
        x
    }

    fn kind(x: &Exchange) -> Option<String> {
        LoopGuard::default().run(x).findings.first().map(|f| f.kind.to_string())
    }

    #[test]
    fn lets_a_task_pass_that_moves_on() {
        assert_eq!(kind(&after(24, |i| (format!("{{\"q\": {i}}}"), format!("{i} rows")))), None);
        assert_eq!(kind(&exchange("hi")), None);
    }

    #[test]
    fn catches_what_repeats() {
        let moving = |i: usize| (format!("{{\"q\": {i}}}"), format!("{i} rows"));
        assert_eq!(kind(&after(25, moving)).as_deref(), Some("ITERATIONS"));
        assert_eq!(kind(&after(5, |i| ("{}".into(), format!("{i} rows")))).as_deref(), Some("SAME_CALL"));
        let failing = |i: usize| (format!("{{\"q\": {i}}}"), "Error: no such table".to_owned());
        assert_eq!(kind(&after(5, failing)).as_deref(), Some("SAME_ERROR"));
        assert_eq!(kind(&after(4, failing)), None);
        let busy = LoopGuard { same_tool: 10, ..LoopGuard::default() };
        assert!(busy.run(&after(10, moving)).message.contains("same tool"));
    }

    #[test]
    fn when_the_user_speaks_a_new_task_begins() {
        let mut x = after(25, |i| (format!("{{\"q\": {i}}}"), "ok".into()));
        let messages = x.request.body["messages"].as_array_mut().expect("messages");
        messages.push(json!({"role": "user", "content": "and now?"}));
        assert_eq!(kind(&x), None);
        x.request.body = Value::Null;
        assert_eq!(kind(&x), None, "whatever the body");
        assert!(LoopGuard { same_call: 0, ..LoopGuard::default() }.prepare().is_err());
    }
}
