//! What differs between two pipelines, step by step and parameter by parameter.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The step.
    pub step: String,
    /// Its parameter; nothing when the step itself comes or goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// As it is; null for what comes.
    pub from: Value,
    /// As it would be; null for what goes.
    pub to: Value,
}

/// From what the server shows of a pipeline (null: there is none) to what another would be.
#[must_use]
pub fn between(now: &Value, then: &Value) -> Vec<Change> {
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

/// A parameter's value as a person writes it.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(members) if members.is_empty() => "none".to_owned(),
        // Thresholds are kept in 32 bits: more digits than these nobody has written.
        Value::Number(number) if number.is_f64() => {
            let rounded = (number.as_f64().unwrap_or_default() * 1e6).round() / 1e6;
            rounded.to_string()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile;

    #[test]
    fn values_are_shown_as_they_were_written() {
        let told = |value: Value| shown(&value);
        assert_eq!(told(serde_json::json!(0.8_f32)), "0.8");
        assert_eq!(told(serde_json::json!(["A", "B"])), "A, B");
        assert_eq!([told(Value::Null), told(serde_json::json!([]))], ["not set", "none"]);
        assert_eq!(told(serde_json::json!(5)), "5");
    }

    #[test]
    fn nothing_differs_from_itself_and_all_of_it_from_nothing() {
        let now = compile("p", 1, "preset: starter").expect("compiles").describe();
        assert_eq!(between(&now, &now), []);
        assert_eq!(between(&Value::Null, &now).len(), 11, "all of it is new");
    }
}
