//! What several steps do alike: turning hits of the one scan into findings, and matching names against globs.

use std::{borrow::Cow, str::Chars};

use tappass_detect::sample;
use tappass_model::{Exchange, Finding, Match, Origin, Segment, Span, ToolRules};

/// A finding for a hit at its place.
pub fn finding(step: &'static str, index: usize, segment: &Segment, hit: &Match) -> Finding {
    Finding {
        step,
        family: Some(hit.family),
        kind: hit.kind.clone(),
        span: Some(Span { segment: index, start: hit.start, end: hit.end }),
        score: hit.score,
        sample: sample(hit, &segment.text),
        maskable: hit.family.maskable(),
        replacement: None,
    }
}

/// Findings for the hits that `counts` lets through, over all texts.
pub fn findings(
    step: &'static str,
    segments: &[Segment],
    matches: &[Vec<Match>],
    counts: impl Fn(&Match, &str, Origin) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, (segment, hits)) in segments.iter().zip(matches).enumerate() {
        for hit in hits {
            if counts(hit, &segment.text[hit.start..hit.end], segment.origin) {
                found.push(finding(step, index, segment, hit));
            }
        }
    }
    found
}

/// Whom a call is made for: organisation, agent, end user.
pub fn principal(x: &Exchange) -> String {
    format!("{}:{}:{}", x.caller.org_id, x.caller.agent_uuid, x.end_user.as_deref().unwrap_or_default())
}

/// Whether a text is JSON: the arguments of a function call, the input of a tool.
pub fn is_json(pointer: &str) -> bool {
    match pointer.rsplit('/').next() {
        Some("arguments" | "action" | "operation") => true,
        // A block's; a custom tool takes a text.
        Some("input") => pointer.contains("/content/"),
        _ => false,
    }
}

/// `2 × EMAIL, 1 × IBAN`: what was found, without content, the most frequent first.
pub fn summary(findings: &[Finding]) -> String {
    let mut counts: Vec<(&Cow<'static, str>, usize)> = Vec::new();
    for f in findings {
        match counts.iter_mut().find(|(kind, _)| *kind == &f.kind) {
            Some((_, n)) => *n += 1,
            None => counts.push((&f.kind, 1)),
        }
    }
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let parts: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    parts.join(", ")
}

/// Whether rules let a tool be used: deny wins; an empty `allow` allows all.
pub fn permits(rules: &ToolRules, tool: &str) -> bool {
    !rules.deny.iter().any(|g| glob(g, tool))
        && (rules.allow.is_empty() || rules.allow.iter().any(|g| glob(g, tool)))
}

/// Whether rules allow a tool by name.
pub fn names(rules: &ToolRules, tool: &str) -> bool {
    rules.allow.iter().any(|g| glob(g, tool))
}

/// `*` for any text, `?` for one character; everything else is itself. One backtrack point, no allocation.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let mut rest = pattern.clone();
        match (rest.next(), text.clone().next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((rest.clone(), text.clone()));
                pattern = rest;
            }
            (Some(_), None) => return false,
            (Some(p), Some(t)) if p == '?' || p == t => {
                pattern = rest;
                text.next();
            }
            _ => {
                // Let the last star take one more character.
                let Some((after, from)) = &mut star else { return false };
                from.next();
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, yes, no) in [
            ("read_*", "read_file", "write_file"),
            ("*", "", "\u{0}never"),
            ("a?c", "abc", "ac"),
            ("*_admin*", "x_admin_y", "x_user"),
            ("é*", "été", "ete"),
            ("a*b*c", "a-b-b-c", "a-b-b"),
            ("exact", "exact", "exactly"),
        ] {
            assert!(glob(pattern, yes), "{pattern} {yes}");
            assert!(pattern == "*" || !glob(pattern, no), "{pattern} {no}");
        }
        assert!(!glob(&"*a".repeat(30), &"b".repeat(10_000)));
    }

    #[test]
    fn deny_wins() {
        let rules = ToolRules { allow: vec!["read_*".into()], deny: vec!["read_secrets".into()] };
        assert!(permits(&rules, "read_file"));
        assert!(!permits(&rules, "read_secrets"));
        assert!(!permits(&rules, "shell"));
        assert!(permits(&ToolRules::default(), "anything"));
    }
}
