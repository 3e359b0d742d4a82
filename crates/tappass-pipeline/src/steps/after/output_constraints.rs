//! Holds an answer to what its organisation asks of answers: length, form, phrases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_model::{Answer, Exchange, Finding, OnDetection, Origin, Outcome};

use crate::{
    json_schema,
    step::{About, Category, Define, Meta, Phase, Pure},
};

/// # What it does
/// Holds the text of each choice of an answer to its length in characters, to a JSON Schema, to phrases it must not
/// and phrases it must contain (whatever their case). An answer that is only tool calls is held to nothing.
/// # Why
/// A program reads what it was promised, a customer reads the disclaimer, and nobody reads the competitor's name.
/// # On a hit
/// Blocks, and says which constraint failed. Where a hit would block, a streamed answer is held back until it is
/// complete, since its last word decides; elsewhere, and without constraints, it flows.
/// # Limits
/// Without constraints the step passes everything. Of JSON Schema it knows `type`, `enum`, `const`, `properties`,
/// `required`, `additionalProperties`, `items`, the bounds of numbers, texts, lists and objects, `pattern`, `anyOf`,
/// `allOf`, `oneOf`, `not` and `$ref` within the schema; another keyword is refused. Phrases are compared letter by
/// letter. Nothing is redacted: an answer without its wrong half is not right.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConstraints {
    /// Fewest characters; no bound when absent.
    pub min_chars: Option<usize>,
    /// Most characters; no bound when absent.
    pub max_chars: Option<usize>,
    /// What the answer must be, as JSON; any text when absent.
    pub json_schema: Option<Value>,
    /// Phrases that must not stand in it.
    pub forbidden: Vec<String>,
    /// Phrases that must all stand in it.
    pub required: Vec<String>,
    #[serde(skip)]
    #[schemars(skip)]
    compiled: Option<json_schema::JsonSchema>,
}

impl Define for OutputConstraints {
    const META: Meta = Meta {
        id: "output_constraints",
        position: 720,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Length, JSON Schema, forbidden and required phrases of an answer",
        threats: &["LLM05", "LLM09"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Answer;

    fn prepare(&mut self) -> Result<(), String> {
        if self.min_chars.zip(self.max_chars).is_some_and(|(min, max)| min > max) {
            return Err("`min_chars` must not be more than `max_chars`".into());
        }
        for phrases in [&mut self.forbidden, &mut self.required] {
            if phrases.iter().any(|p| p.trim().is_empty()) {
                return Err("`forbidden` and `required` must not hold an empty phrase".into());
            }
        }
        let schema = self.json_schema.as_ref().map(json_schema::JsonSchema::new).transpose();
        self.compiled = schema.map_err(|e| format!("`json_schema`: {e}"))?;
        Ok(())
    }
}

impl OutputConstraints {
    fn any(&self) -> bool {
        self.min_chars.is_some()
            || self.max_chars.is_some()
            || self.json_schema.is_some()
            || !self.forbidden.is_empty()
            || !self.required.is_empty()
    }

    /// What a text fails.
    fn fails(&self, text: &str) -> Vec<(&'static str, String)> {
        let mut failed = Vec::new();
        let length = text.chars().count();
        if self.min_chars.is_some_and(|min| length < min) {
            failed.push(("TOO_SHORT", format!("{length} characters")));
        }
        if self.max_chars.is_some_and(|max| length > max) {
            failed.push(("TOO_LONG", format!("{length} characters")));
        }
        if let Some(schema) = &self.compiled {
            match serde_json::from_str(text.trim()) {
                Err(_) => failed.push(("NOT_JSON", "not one JSON value".into())),
                Ok(value) => {
                    failed.extend(schema.validate(&value).err().map(|why| ("NOT_OF_THE_SCHEMA", why)));
                }
            }
        }
        let lower = text.to_lowercase();
        // A phrase of the configuration, told by its place in the list.
        for (i, phrase) in self.forbidden.iter().enumerate() {
            if lower.contains(&phrase.to_lowercase()) {
                failed.push(("FORBIDDEN_PHRASE", format!("forbidden[{i}]")));
            }
        }
        for (i, phrase) in self.required.iter().enumerate() {
            if !lower.contains(&phrase.to_lowercase()) {
                failed.push(("REQUIRED_PHRASE", format!("required[{i}]")));
            }
        }
        failed
    }
}

/// The text of each choice; one that is empty where there is none and nothing else was said.
fn texts(answer: &Answer) -> Vec<&str> {
    let is_text = |pointer: &str| pointer.contains("/content");
    let texts: Vec<&str> = answer
        .segments
        .iter()
        .filter(|s| s.origin == Origin::Answer && is_text(&s.pointer))
        .map(|s| s.text.as_str())
        .collect();
    if texts.is_empty() && answer.tool_calls.is_empty() { vec![""] } else { texts }
}

impl Pure for OutputConstraints {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = x.answer.as_ref().filter(|_| self.any()) else { return Outcome::pass() };
        let failed: Vec<(&'static str, String)> =
            texts(answer).into_iter().flat_map(|text| self.fails(text)).collect();
        if failed.is_empty() {
            return Outcome::pass();
        }
        let what: Vec<String> = failed.iter().map(|(kind, why)| format!("{kind} ({why})")).collect();
        let findings =
            failed.into_iter().map(|(kind, why)| Finding::about(Self::META.id, kind, why)).collect();
        Outcome::hit(format!("the answer is not as asked for: {}", what.join(", ")), findings)
    }

    fn holds(&self) -> bool {
        self.any()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;
    use serde_json::json;
    use tappass_model::ToolCall;

    fn step(parameters: Value) -> OutputConstraints {
        let mut step: OutputConstraints = serde_json::from_value(parameters).expect("parameters");
        step.prepare().expect("fits");
        step
    }

    #[test]
    fn lets_what_fits_pass_and_without_constraints_everything() {
        assert!(!OutputConstraints::default().run(&answered("anything")).detected);
        assert!(!OutputConstraints::default().holds());
        let fits = step(
            json!({"min_chars": 2, "max_chars": 60, "required": ["not advice"], "forbidden": ["Globex"]}),
        );
        assert!(!fits.run(&answered("Buy low. This is NOT ADVICE.")).detected);
        assert!(fits.holds());
    }

    #[test]
    fn catches_each_constraint() {
        for (parameters, text, kind) in [
            (json!({"max_chars": 3}), "éééé", "TOO_LONG"),
            (json!({"min_chars": 5}), "éééé", "TOO_SHORT"),
            (json!({"forbidden": ["globex"]}), "Try GLOBEX instead.", "FORBIDDEN_PHRASE"),
            (json!({"required": ["Disclaimer:"]}), "Buy low.", "REQUIRED_PHRASE"),
            (json!({"json_schema": {"type": "object"}}), "Sure! {}", "NOT_JSON"),
            (json!({"json_schema": {"type": "object"}}), "[1]", "NOT_OF_THE_SCHEMA"),
        ] {
            let outcome = step(parameters).run(&answered(text));
            assert!(outcome.detected && outcome.findings[0].kind == kind, "{kind}: {outcome:?}");
            assert!(!outcome.message.to_lowercase().contains("globex"), "the message holds no content");
        }
    }

    #[test]
    fn tool_calls_are_held_to_nothing_and_silence_is_too_short() {
        let mut x = answered("");
        let answer = x.answer.as_mut().expect("an answer");
        answer.segments.clear();
        assert!(step(json!({"min_chars": 1})).run(&x).detected);
        let call = ToolCall { id: "1".into(), name: "f".into(), arguments: "{}".into() };
        x.answer.as_mut().expect("an answer").tool_calls = vec![call];
        assert!(!step(json!({"min_chars": 1})).run(&x).detected);
        let mut bad: OutputConstraints =
            serde_json::from_value(json!({"json_schema": {"typ": "object"}})).expect("parameters");
        assert!(bad.prepare().is_err_and(|e| e.contains("`typ`")));
    }
}
