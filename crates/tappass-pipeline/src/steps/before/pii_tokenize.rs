//! Swaps personal data for tokens that lead back to it, for the same session and principal.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_detect::Allowlist;
use tappass_model::{
    Change, Effect, Exchange, Family, Match, OnDetection, Outcome, Scope, Segment, Tokenised,
};

use super::shared::{findings, is_json, principal, summary};
use crate::{
    step::{Category, Define, Meta, Phase, Pure},
    tokens::{tag, tags, token, unescaped},
};

/// New tokens a call may bring; what goes beyond gets a placeholder, which does not lead back.
const MOST: usize = 1000;

/// # What it does
/// Replaces each personal datum of the request by a token such as `EMAIL_1_k7q2xz` before it leaves. The same value
/// has the same token all through a session, in every message and tool call, so the model can still tell people
/// apart. `pii_restore` puts the values back into the answer.
/// # Why
/// An agent can work with data that its model never sees.
/// # On a hit
/// `redact` (the default) puts the tokens in; any other action that does not block leaves the text as it is, and so
/// do observe and warn. `detect_pii` decides first: where it blocks, nothing leaves and no token is kept; where it
/// redacts, the token takes the place of its placeholder; where it lets pass, this step still swaps.
/// # Limits
/// Sees what the personal-data detectors see. Values are kept in the session's memory for 30 minutes of silence, at
/// most 2048, for the caller's organisation, agent and end user; a call brings at most 1000 new ones, what goes beyond
/// is masked for good. A token that the request itself contains is never used for a value, nor put back.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiiTokenize {
    /// How sure a detector must be, 0 to 1.
    pub threshold: f32,
    /// Kinds to swap (`EMAIL`, `IBAN` …); empty: all.
    pub kinds: Vec<String>,
    /// Kinds to leave alone.
    pub ignore_kinds: Vec<String>,
    /// Texts that are never personal data.
    pub allowlist: Allowlist,
}

impl Default for PiiTokenize {
    fn default() -> Self {
        Self { threshold: 0.5, kinds: Vec::new(), ignore_kinds: Vec::new(), allowlist: Allowlist::default() }
    }
}

impl Define for PiiTokenize {
    const META: Meta = Meta {
        id: "pii_tokenize",
        position: 210,
        phase: Phase::Before,
        category: Category::DataProtection,
        summary: "Swaps personal data for reversible tokens, stable inside a session",
        threats: &["LLM02", "AML.T0057"],
        on_detection: OnDetection::Redact,
    };

    fn families(&self) -> &'static [Family] {
        &[Family::Pii]
    }

    fn remembers(&self) -> &'static [Scope] {
        &[Scope::Session]
    }

    fn prepare(&mut self) -> Result<(), String> {
        super::scored::check(self.threshold)
    }
}

impl PiiTokenize {
    fn wants(&self, hit: &Match, text: &str) -> bool {
        hit.family == Family::Pii
            && hit.score >= self.threshold
            && (self.kinds.is_empty() || self.kinds.iter().any(|k| *k == hit.kind))
            && !self.ignore_kinds.iter().any(|k| *k == hit.kind)
            && !self.allowlist.allows(hit, text)
    }
}

impl Pure for PiiTokenize {
    fn run(&self, x: &Exchange) -> Outcome {
        let mut found =
            findings(Self::META.id, &x.request.segments, &x.matches, |hit, text, _| self.wants(hit, text));
        if found.is_empty() {
            return Outcome::pass();
        }
        let message = format!("personal data for tokens: {}", summary(&found));
        if !x.mode.acts() {
            return Outcome::hit(message, found);
        }
        let mut tokens = Tokens::of(x);
        for finding in &mut found {
            let Some((span, segment)) =
                finding.span.and_then(|s| Some((s, x.request.segments.get(s.segment)?)))
            else {
                continue;
            };
            finding.replacement = tokens.take(&finding.kind, &value(segment, span.start, span.end));
        }
        let new = std::mem::take(&mut tokens.new);
        new.into_iter().fold(Outcome::hit(message, found), |outcome, tokenised| {
            outcome.with(Effect::Remember(Scope::Session, Change::Token(tokenised)))
        })
    }
}

/// A value as people write it: inside JSON it stands escaped.
fn value(segment: &Segment, start: usize, end: usize) -> String {
    let raw = &segment.text[start..end];
    if is_json(&segment.pointer) { unescaped(raw) } else { raw.to_owned() }
}

/// The tokens that a call may use.
struct Tokens<'a> {
    x: &'a Exchange,
    principal: String,
    /// Tags that stand in the request as it came, or belong to a token already.
    taken: HashSet<String>,
    by_value: HashMap<String, String>,
    /// How many values of a kind have one.
    counts: HashMap<String, usize>,
    new: Vec<Tokenised>,
}

impl<'a> Tokens<'a> {
    fn of(x: &'a Exchange) -> Self {
        let principal = principal(x);
        let literal = x.request.segments.iter().flat_map(|s| tags(&s.text));
        let mut taken: HashSet<String> = literal.map(|(tag, _)| tag.to_owned()).collect();
        let known = &x.session_memory.tokenised;
        let usable = known.iter().filter(|t| t.principal == principal && !taken.contains(tag(&t.token)));
        let by_value = usable.map(|t| (t.value.clone(), t.token.clone())).collect();
        taken.extend(known.iter().map(|t| tag(&t.token).to_owned()));
        let mut counts: HashMap<String, usize> = HashMap::new();
        for t in known {
            // `KIND_N_TAG`: what stands before the number is the kind.
            let kind = t.token.rsplitn(3, '_').nth(2).unwrap_or_default();
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
        Self { x, principal, taken, by_value, counts, new: Vec::new() }
    }

    fn take(&mut self, kind: &str, value: &str) -> Option<String> {
        if let Some(known) = self.by_value.get(value) {
            return Some(known.clone());
        }
        if self.new.len() == MOST {
            return None;
        }
        let count = self.counts.entry(kind.to_owned()).or_default();
        let fresh = loop {
            *count += 1;
            // The call's id is random, and known to nobody before the call has ended.
            let token = token(kind, *count, self.x.task_id.as_bytes());
            if self.taken.insert(tag(&token).to_owned()) {
                break token;
            }
        };
        self.by_value.insert(value.to_owned(), fresh.clone());
        let principal = self.principal.clone();
        self.new.push(Tokenised { token: fresh.clone(), value: value.to_owned(), principal });
        Some(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scanned;
    use std::sync::Arc;
    use tappass_model::{Memory, Mode};

    fn remembered(outcome: &Outcome) -> Vec<Tokenised> {
        let token = |effect: &Effect| match effect {
            Effect::Remember(Scope::Session, Change::Token(t)) => Some(t.clone()),
            _ => None,
        };
        outcome.effects.iter().filter_map(token).collect()
    }

    fn tokens(outcome: &Outcome) -> Vec<&str> {
        outcome.findings.iter().map(|f| f.replacement.as_deref().expect("a token")).collect()
    }

    #[test]
    fn lets_a_clean_text_pass() {
        assert_eq!(PiiTokenize::default().run(&scanned("What is the capital of Belgium?")), Outcome::pass());
    }

    #[test]
    fn one_value_has_one_token_in_the_call_and_in_the_session() {
        let text = "From jan.peeters@acme.eu to an.maes@acme.eu, cc jan.peeters@acme.eu";
        let mut x = scanned(text);
        let first = PiiTokenize::default().run(&x);
        let found = tokens(&first);
        assert!(found[0].starts_with("EMAIL_1_") && found[1].starts_with("EMAIL_2_"), "{found:?}");
        assert_eq!(found[0], found[2]);
        let new = remembered(&first);
        assert_eq!(new.len(), 2);
        assert!(!format!("{first:?}").contains("jan.peeters"), "the record holds no value");
        x.session_memory = Arc::new(Memory { tokenised: new, ..Memory::default() });
        let again = PiiTokenize::default().run(&x);
        assert_eq!(tokens(&again), found);
        assert!(remembered(&again).is_empty());
        // Another end user of the same agent gets tokens of their own.
        x.end_user = Some("eve".into());
        assert!(tokens(&PiiTokenize::default().run(&x)).iter().all(|t| !found.contains(t)));
    }

    #[test]
    fn a_token_that_the_request_contains_is_not_used() {
        let x = scanned("Mail jan.peeters@acme.eu");
        let new = remembered(&PiiTokenize::default().run(&x));
        let mut forged = scanned(&format!("Mail jan.peeters@acme.eu and {}", new[0].token));
        forged.session_memory = Arc::new(Memory { tokenised: new.clone(), ..Memory::default() });
        let outcome = PiiTokenize::default().run(&forged);
        assert_ne!(tokens(&outcome), [new[0].token.as_str()]);
    }

    #[test]
    fn nothing_is_kept_in_observe_and_escaped_values_are_kept_as_read() {
        let mut x = scanned("Mail jan.peeters@acme.eu");
        x.mode = Mode::Observe;
        let outcome = PiiTokenize::default().run(&x);
        assert!(outcome.detected && outcome.effects.is_empty() && outcome.findings[0].replacement.is_none());
        let segment = Segment {
            origin: tappass_model::Origin::ToolArguments,
            pointer: "/messages/1/tool_calls/0/function/arguments".into(),
            text: r#"{"to":"Jos\u00e9"}"#.into(),
        };
        assert_eq!(value(&segment, 7, 16), "José");
        assert!(PiiTokenize { threshold: 2.0, ..PiiTokenize::default() }.prepare().is_err());
    }
}
