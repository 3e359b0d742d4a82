//! Puts back what `pii_tokenize` took out, for the same principal only.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, OnDetection, Outcome, Scope};

use super::shared::principal;
use crate::{
    step::{About, Category, Define, Meta, Phase, Pure},
    tokens::{Restorer, tag, tags},
};

/// # What it does
/// Puts the values back for the tokens in the answer: in its text, its reasoning and the arguments of tool calls,
/// where they are escaped as JSON. All other steps have seen the tokens, not the values, and what they mask is masked
/// first. In a stream, only text that may be the beginning of a token waits.
/// # Why
/// The agent and its user get an answer about the people they asked about; the model never met them.
/// # On a hit
/// Has none: it finds nothing, it completes the answer. In observe and warn there is nothing to put back.
/// # Limits
/// Knows the tokens of this session, organisation, agent and end user; another principal reads the token itself. A
/// token that the request itself contained is not put back. A model that rewrites a token (in capitals, in base64)
/// gets it back as it wrote it. Inside JSON that is itself a string of JSON, a value is escaped once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiiRestore {}

impl Define for PiiRestore {
    const META: Meta = Meta {
        id: "pii_restore",
        position: 800,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Puts tokenised values back, for the same principal only",
        threats: &["LLM02"],
        on_detection: OnDetection::Log,
    };
    const ABOUT: About = About::Answer;

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }
}

impl Pure for PiiRestore {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(restorer) = Restorer::new(self.restores(x)) else { return Outcome::pass() };
        let texts = x.answer.iter().flat_map(|a| &a.segments);
        let count: usize = texts.map(|s| restorer.count(&s.text)).sum();
        if count == 0 { Outcome::pass() } else { Outcome::pass_with(format!("{count} put back")) }
    }

    fn restores(&self, x: &Exchange) -> Vec<(String, String)> {
        let known = &x.session_memory.tokenised;
        if known.is_empty() || !x.mode.acts() {
            return Vec::new();
        }
        let principal = principal(x);
        let literal: HashSet<&str> =
            x.request.segments.iter().flat_map(|s| tags(&s.text)).map(|(tag, _)| tag).collect();
        let ours = known.iter().filter(|t| t.principal == principal && !literal.contains(tag(&t.token)));
        ours.map(|t| (t.token.clone(), t.value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;
    use std::sync::Arc;
    use tappass_model::{Memory, Mode, Tokenised};

    const TOKEN: &str = "EMAIL_1_k7q2xz";

    fn with_token(answer: &str, of: &Exchange) -> Exchange {
        let mut x = answered(answer);
        let tokenised = Tokenised { token: TOKEN.into(), value: "a@b.c".into(), principal: principal(of) };
        x.session_memory = Arc::new(Memory { tokenised: vec![tokenised], ..Memory::default() });
        x
    }

    #[test]
    fn an_answer_without_tokens_is_left_alone() {
        assert_eq!(PiiRestore::default().run(&answered("Good morning.")), Outcome::pass());
        assert_eq!(PiiRestore::default().run(&with_token("Good morning.", &answered(""))), Outcome::pass());
    }

    #[test]
    fn the_same_principal_gets_the_value() {
        let x = with_token(&format!("Write to {TOKEN}, I said {TOKEN}."), &answered(""));
        assert_eq!(PiiRestore::default().restores(&x), [(TOKEN.to_owned(), "a@b.c".to_owned())]);
        let outcome = PiiRestore::default().run(&x);
        assert!(!outcome.detected && outcome.message == "2 put back", "{outcome:?}");
    }

    #[test]
    fn nobody_else_does_nor_a_forger_nor_observe() {
        let mut eve = answered("");
        eve.end_user = Some("eve".into());
        assert!(PiiRestore::default().restores(&with_token(TOKEN, &eve)).is_empty());
        let mut forged = with_token(TOKEN, &answered(""));
        forged.request.segments[0].text = format!("Who is {TOKEN}?");
        assert!(PiiRestore::default().restores(&forged).is_empty());
        let mut observed = with_token(TOKEN, &answered(""));
        observed.mode = Mode::Observe;
        assert!(PiiRestore::default().restores(&observed).is_empty());
    }
}
