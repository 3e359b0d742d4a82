//! What differs between two pipelines, step by step and parameter by parameter.

use serde::Serialize;
use serde_json::Value;

use crate::{
    output::style::{GREEN, RED, RESET, YELLOW},
    safe,
};

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Change {
    /// The step.
    pub(super) step: String,
    /// Its parameter; nothing when the step itself comes or goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter: Option<String>,
    /// As it is; null for what comes.
    pub(super) from: Value,
    /// As it would be; null for what goes.
    pub(super) to: Value,
}

/// From what the server shows of a pipeline (null: there is none) to what another would be.
pub(super) fn between(now: &Value, then: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let steps = |pipeline: &Value| -> Vec<(String, Value)> {
        let all = pipeline["steps"].as_array().cloned().unwrap_or_default();
        let running = all.into_iter().filter(|s| s["enabled"] == true);
        running
            .map(|mut s| (s["id"].as_str().unwrap_or_default().to_owned(), s["parameters"].take()))
            .collect()
    };
    let (before, after) = (steps(now), steps(then));
    let find = |all: &[(String, Value)], id: &str| all.iter().find(|(i, _)| i == id).map(|(_, p)| p.clone());
    for (id, from) in before.iter().filter(|(id, _)| find(&after, id).is_none()) {
        changes.push(Change { step: id.clone(), parameter: None, from: from.clone(), to: Value::Null });
    }
    for (id, to) in after {
        let Some(from) = find(&before, &id) else {
            changes.push(Change { step: id, parameter: None, from: Value::Null, to });
            continue;
        };
        let mut names: Vec<&String> =
            from.as_object().into_iter().chain(to.as_object()).flat_map(|o| o.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| from.get(name.as_str()) != to.get(name.as_str())) {
            let value = |of: &Value| of.get(name.as_str()).cloned().unwrap_or_default();
            let (from, to) = (value(&from), value(&to));
            changes.push(Change { step: id.clone(), parameter: Some(name.clone()), from, to });
        }
    }
    changes
}

/// The differences for people.
pub(super) fn lines(changes: &[Change]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut step = "";
    for change in changes {
        let id = safe::text(&change.step);
        match &change.parameter {
            None if change.to.is_null() => lines.push(format!("{RED}- {id}{RESET}")),
            None => {
                let on = change.to["on_detection"].as_str().unwrap_or("-").to_owned();
                lines.push(format!("{GREEN}+ {id}{RESET}  (on a hit: {})", safe::text(&on)));
            }
            Some(name) => {
                if step != change.step {
                    lines.push(format!("{YELLOW}~ {id}{RESET}"));
                }
                let show = |value: &Value| {
                    safe::text(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                };
                lines.push(format!(
                    "    {}: {} → {}",
                    safe::text(name),
                    show(&change.from),
                    show(&change.to)
                ));
            }
        }
        step = &change.step;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use tappass_pipeline::compile;

    #[test]
    fn steps_and_parameters_are_told_apart() {
        let pipeline = |yaml: &str| compile("p", 1, yaml).expect("compiles").describe();
        let now = pipeline("preset: starter");
        let then =
            pipeline("preset: starter\noverrides: {rate_limit: {max_calls: 5}, call_tool: {enabled: false}}");
        let told: Vec<String> = lines(&between(&now, &then))
            .iter()
            .map(|l| anstream::adapter::strip_str(l).to_string())
            .collect();
        assert_eq!(told, ["- call_tool", "~ rate_limit", "    max_calls: 100 → 5"]);
        let back: Vec<String> = lines(&between(&then, &now))
            .iter()
            .map(|l| anstream::adapter::strip_str(l).to_string())
            .collect();
        assert!(back.contains(&"+ call_tool  (on a hit: block)".to_owned()), "{back:?}");
        assert_eq!(between(&now, &now), []);
        assert_eq!(between(&Value::Null, &now).len(), 11, "all of it is new");
    }
}
