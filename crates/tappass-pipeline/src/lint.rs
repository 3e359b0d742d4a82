//! What is wrong with a pipeline's text, and what is likely a mistake although it compiles. Without a server.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{CompileError, OnError, Pipeline, compile};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The line in the text, from 1; null where it is about the whole.
    pub line: Option<u64>,
    /// The column in it, from 1.
    pub column: Option<u64>,
    /// What, with the nearest valid name where a name is wrong.
    pub message: String,
}

impl Finding {
    /// As compilers tell it: `file:line:column: error: …`.
    #[must_use]
    pub fn as_line(&self, file: &str) -> String {
        let place =
            self.line.zip(self.column).map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        format!("{file}{place}: {}: {}", self.severity, self.message)
    }
}

/// The findings of a text.
#[must_use]
pub fn lint(text: &str) -> Vec<Finding> {
    match compile("lint", 1, text) {
        Err(error) => of_error(&error),
        Ok(pipeline) => warnings(&pipeline),
    }
}

/// What does not compile.
#[must_use]
pub fn of_error(error: &CompileError) -> Vec<Finding> {
    let all = error.problems.iter();
    all.map(|p| {
        let (line, column) = p.place.unzip();
        Finding { severity: "error", line, column, message: p.what.clone() }
    })
    .collect()
}

/// What compiles and leaves a door open.
#[must_use]
pub fn warnings(pipeline: &Pipeline) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut warn = |message: String| {
        all.push(Finding { severity: "warning", line: None, column: None, message });
    };
    for id in ["detect_secrets", "detect_injection", "scan_output", "rate_limit"] {
        if pipeline.step(id).is_none() {
            warn(format!("`{id}` is switched off: nothing else does what it does"));
        }
    }
    for step in &pipeline.steps {
        let id = step.meta.id;
        if step.common.on_error == OnError::Continue {
            warn(format!("`{id}.on_error: continue`: when the step fails, calls pass it unchecked"));
        }
        match step.parameters.get("threshold").and_then(Value::as_f64) {
            Some(threshold) if threshold >= 1.0 => {
                warn(format!("`{id}.threshold: 1`: hardly anything is that sure"));
            }
            Some(threshold) if threshold <= 0.0 => {
                warn(format!("`{id}.threshold: 0`: everything that is found is a hit"));
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_place_and_open_doors_are_told() {
        let told: Vec<String> = lint("preset: starter\noverrides:\n  detect_pi: {}\n")
            .iter()
            .map(|f| f.as_line("p.yaml"))
            .collect();
        assert_eq!(told, ["p.yaml:3:3: error: unknown step `detect_pi`; did you mean `detect_pii`?"]);
        let open = "preset: starter\noverrides: {detect_secrets: {enabled: false}, detect_pii: {on_error: continue, threshold: 1}}";
        assert_eq!(lint(open).len(), 3, "{:?}", lint(open));
        assert!(lint(open).iter().all(|f| f.severity == "warning"));
        assert_eq!(lint("preset: starter"), []);
    }
}
