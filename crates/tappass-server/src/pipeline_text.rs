//! Sets one parameter of one step in a pipeline's text, or takes all that it says of a step back, and leaves the rest of
//! the text as people wrote it: their comments, their order. Whoever uses it compiles the result: a text laid out in a way
//! that is not known here gives one that says something else, and then nothing is changed.

use serde_json::{Map, Value, json};

/// The text with `overrides: {step: {parameter: value}}` set.
pub(crate) fn set(text: &str, step: &str, parameter: &str, value: &Value) -> Option<String> {
    if text.trim_start().starts_with('{') {
        let mut file: Value = serde_json::from_str(text).ok()?;
        let overrides = file.as_object_mut()?.entry("overrides").or_insert_with(|| json!({}));
        let of_step = overrides.as_object_mut()?.entry(step).or_insert_with(|| json!({}));
        of_step.as_object_mut()?.insert(parameter.to_owned(), value.clone());
        return Some(format!("{file:#}\n"));
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = format!("{parameter}: {value}");
    let Some(top) = lines.iter().position(|l| l.starts_with("overrides:")) else {
        lines.extend(["overrides:".to_owned(), format!("  {step}:"), format!("    {line}")]);
        return Some(lines.join("\n") + "\n");
    };
    if !rest_is_blank(&lines[top], "overrides:") {
        return None;
    }
    let end = end_of_block(&lines, top);
    let children = lines[top + 1..end].iter().filter(|l| !is_blank(l));
    let indent = children.map(|l| indent(l)).next().unwrap_or(2);
    let head = format!("{}{step}:", " ".repeat(indent));
    let Some(at) = (top + 1..end).find(|at| lines[*at].starts_with(&head)) else {
        let pad = " ".repeat(indent);
        let new = [head, format!("{pad}  {line}")];
        lines.splice(top + 1..top + 1, new);
        return Some(lines.join("\n") + "\n");
    };
    let rest = lines[at][head.len()..].trim().to_owned();
    if let Some(flow) = rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')) {
        lines[at] = format!("{head} {{{}}}", in_flow(flow, parameter, value)?);
        return Some(lines.join("\n") + "\n");
    }
    if !rest_is_blank(&lines[at], &head) {
        return None;
    }
    let end = end_of_block(&lines, at);
    let inner = lines[at + 1..end].iter().filter(|l| !is_blank(l)).map(|l| self::indent(l)).next();
    let inner = " ".repeat(inner.unwrap_or(indent + 2));
    let own = format!("{inner}{parameter}:");
    match (at + 1..end).find(|line| lines[*line].starts_with(&own)) {
        // A value of several lines goes as a whole.
        Some(old) => drop(lines.splice(old..end_of_value(&lines, old), [format!("{inner}{line}")])),
        None => lines.insert(at + 1, format!("{inner}{line}")),
    }
    Some(lines.join("\n") + "\n")
}

/// The text without what `overrides` says of a step; the same where it says nothing.
pub(crate) fn unset(text: &str, step: &str) -> Option<String> {
    if text.trim_start().starts_with('{') {
        let mut file: Value = serde_json::from_str(text).ok()?;
        if let Some(overrides) = file.get_mut("overrides").and_then(Value::as_object_mut) {
            overrides.shift_remove(step);
        }
        return Some(format!("{file:#}\n"));
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(top) = lines.iter().position(|l| l.starts_with("overrides:")) else {
        return Some(text.to_owned());
    };
    if !rest_is_blank(&lines[top], "overrides:") {
        return None;
    }
    let end = end_of_block(&lines, top);
    let indent = lines[top + 1..end].iter().filter(|l| !is_blank(l)).map(|l| indent(l)).next().unwrap_or(2);
    let head = format!("{}{step}:", " ".repeat(indent));
    let Some(at) = (top + 1..end).find(|at| lines[*at].starts_with(&head)) else {
        return Some(text.to_owned());
    };
    lines.drain(at..end_of_value(&lines, at));
    Some(lines.join("\n") + "\n")
}

/// The members of a mapping on one line, with one of them set.
fn in_flow(flow: &str, parameter: &str, value: &Value) -> Option<String> {
    if flow.contains('#') {
        return None;
    }
    let mut members: Map<String, Value> = serde_saphyr::from_str(&format!("{{{flow}}}")).ok()?;
    members.insert(parameter.to_owned(), value.clone());
    // A word that YAML reads as that word needs no quotes.
    let told = |value: &Value| match value {
        Value::String(word) if word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            let same = serde_saphyr::from_str::<Value>(word).is_ok_and(|read| read == *value);
            if same { word.clone() } else { value.to_string() }
        }
        other => other.to_string(),
    };
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{name}: {}", told(value))).collect();
    Some(members.join(", "))
}

/// One past the last line of what a key's line begins: its block, a list at the same depth too, but neither the comments
/// nor the blank lines that stand before what comes next.
fn end_of_value(lines: &[String], at: usize) -> usize {
    let depth = indent(&lines[at]);
    let more = |l: &str| indent(l) > depth || (indent(l) == depth && l.trim_start().starts_with("- "));
    let after = lines.iter().enumerate().skip(at + 1).filter(|(_, l)| !is_blank(l));
    after.take_while(|(_, l)| more(l)).last().map_or(at, |(last, _)| last) + 1
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn rest_is_blank(line: &str, head: &str) -> bool {
    line.strip_prefix(head).is_some_and(is_blank)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// One past the last line of the block that a line begins.
fn end_of_block(lines: &[String], head: usize) -> usize {
    let depth = indent(&lines[head]);
    let after = lines.iter().enumerate().skip(head + 1);
    after.filter(|(_, l)| !is_blank(l) && indent(l) <= depth).map(|(at, _)| at).next().unwrap_or(lines.len())
}

/// What changed, with two lines around it: ` ` stays, `-` goes, `+` comes.
pub(crate) fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut old.iter().zip(&new));
    let most = old.len().min(new.len()) - head;
    let tail = same(&mut old.iter().rev().zip(new.iter().rev())).min(most);
    let mut lines: Vec<String> = Vec::new();
    let mut push = |sign: char, from: &[&str]| lines.extend(from.iter().map(|l| format!("{sign}{l}")));
    push(' ', &old[head.saturating_sub(2)..head]);
    push('-', &old[head..old.len() - tail]);
    push('+', &new[head..new.len() - tail]);
    push(' ', &old[old.len() - tail..(old.len() - tail + 2).min(old.len())]);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Option<String> {
        set(text, "detect_pii", "threshold", &json!(0.92))
    }

    #[test]
    fn what_people_wrote_stays() {
        let file = "# ours\npreset: starter\noverrides:\n  # why\n  detect_pii:\n    on_detection: block # yes\n  rate_limit: {max_calls: 5}\nname: x\n";
        let want = "# ours\npreset: starter\noverrides:\n  # why\n  detect_pii:\n    threshold: 0.92\n    on_detection: block # yes\n  rate_limit: {max_calls: 5}\nname: x\n";
        assert_eq!(to(file).as_deref(), Some(want));
        assert_eq!(to(want).as_deref(), Some(want), "again changes nothing");
        assert_eq!(
            to("preset: starter\n").as_deref(),
            Some("preset: starter\noverrides:\n  detect_pii:\n    threshold: 0.92\n")
        );
        assert_eq!(
            to("preset: starter\noverrides:\n    rate_limit: {}\n").as_deref(),
            Some("preset: starter\noverrides:\n    detect_pii:\n      threshold: 0.92\n    rate_limit: {}\n")
        );
        assert_eq!(
            to("overrides:\n  detect_pii: {threshold: 0.5, on_detection: block}\npreset: starter").as_deref(),
            Some("overrides:\n  detect_pii: {threshold: 0.92, on_detection: block}\npreset: starter\n")
        );
        assert_eq!(to("overrides: {detect_pii: {}}\n"), None);
        let json =
            to(r#"{"preset": "starter", "overrides": {"detect_pii": {"threshold": 0.5}}}"#).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Value>(&json).expect("JSON")["overrides"]["detect_pii"]["threshold"],
            0.92
        );
    }

    #[test]
    fn a_value_goes_as_a_whole() {
        let listed = "overrides:\n  detect_pii:\n    threshold:\n      - 1\n      # gone with it\n      - 2\n    # stays\n    kinds: [A]\n";
        let want = "overrides:\n  detect_pii:\n    threshold: 0.92\n    # stays\n    kinds: [A]\n";
        assert_eq!(to(listed).as_deref(), Some(want));
        let flush = "overrides:\n  detect_pii:\n    threshold:\n    - 1\n    - 2\n";
        assert_eq!(to(flush).as_deref(), Some("overrides:\n  detect_pii:\n    threshold: 0.92\n"));
        let nested =
            "overrides:\n  detect_pii: {kinds: [EMAIL, IBAN], on_detection: block, threshold: 0.1}\n";
        let want =
            "overrides:\n  detect_pii: {kinds: [\"EMAIL\",\"IBAN\"], on_detection: block, threshold: 0.92}\n";
        assert_eq!(to(nested).as_deref(), Some(want));
        assert_eq!(
            to("overrides:\n  detect_pii: {threshold: 1} # why\n"),
            None,
            "not understood, so not touched"
        );
    }

    #[test]
    fn what_is_said_of_a_step_is_taken_back() {
        let off = |text| unset(text, "detect_pii");
        let file =
            "preset: starter\noverrides:\n  detect_pii:\n    kinds:\n    - A\n\n  # next\n  rate_limit: {}\n";
        assert_eq!(off(file).as_deref(), Some("preset: starter\noverrides:\n\n  # next\n  rate_limit: {}\n"));
        assert_eq!(off("overrides:\n  detect_pii: {}\n").as_deref(), Some("overrides:\n"));
        for untouched in ["preset: starter\n", "overrides:\n  rate_limit: {}\n"] {
            assert_eq!(off(untouched).as_deref(), Some(untouched));
        }
        assert_eq!(off("overrides: {detect_pii: {}}\n"), None);
        let json =
            off(r#"{"preset": "starter", "overrides": {"detect_pii": {}, "budget": {}}}"#).expect("JSON");
        assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["overrides"], json!({"budget": {}}));
    }

    #[test]
    fn a_difference_shows_what_changed_and_where() {
        assert_eq!(difference("a\nb\nc\nd\n", "a\nb\nx\nd\n"), " a\n b\n-c\n+x\n d");
        assert_eq!(difference("a\n", "a\nb\n"), " a\n+b");
        assert_eq!(difference("a\na\n", "a\n"), " a\n-a");
    }
}
