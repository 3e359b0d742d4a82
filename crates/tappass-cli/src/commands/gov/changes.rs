//! What differs between two pipelines, for people.

use serde_json::Value;
use tappass_pipeline::difference::{Change, shown};

use crate::{
    output::style::{GREEN, RED, RESET, YELLOW},
    safe,
};

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
                let show = |value: &Value| safe::text(&shown(value));
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
    use tappass_pipeline::{compile, difference::between};

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
    }
}
