//! `tappass gov explain`: why a call was decided as it was.

use serde_json::Value;

use crate::{
    args::Format,
    client::Client,
    output::{
        Out,
        style::{BOLD, DIM, GREEN, RED, RESET, YELLOW},
    },
    safe,
    table::cell,
};

pub(super) async fn run(client: &Client, call: &str, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let told = client.get(&["audit", call, "explain"], &[]).await?;
    if format.json {
        return Ok(out.json(&told)?);
    }
    for line in lines(&told) {
        out.line(&line)?;
    }
    Ok(())
}

/// The explanation for people.
fn lines(told: &Value) -> Vec<String> {
    let get = |path| safe::text(&cell(told, path));
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let hash: String = get("pipeline.hash").chars().take(12).collect();
    let mut lines = vec![
        format!("{BOLD}call {}{RESET} · {} · agent {}", get("call"), get("ts"), get("agent_id")),
        format!(
            "pipeline {} version {} ({hash}) · mode {} · {}",
            get("pipeline.name"),
            get("pipeline.version"),
            get("mode"),
            get("classification")
        ),
        match (get("action"), get("verdict"), get("blocked_by")) {
            (action, _, by) if by != "-" => format!("{} by {by}", coloured(&action)),
            (action, would, _) if action != would => {
                format!("{}; enforce would have done: {}", coloured(&action), coloured(&would))
            }
            (action, ..) => coloured(&action),
        },
        String::new(),
    ];
    for (index, step) in list(told, "steps").iter().enumerate() {
        let get = |path| safe::text(&cell(step, path));
        let (action, would) = (get("action"), get("would"));
        let would = if would == "-" || would == action {
            String::new()
        } else {
            format!(" (would {})", coloured(&would))
        };
        let message = Some(get("message")).filter(|m| m != "-").map(|m| format!("  {m}")).unwrap_or_default();
        lines.push(format!("{:>3} {:<24} {}{would}{message}", index + 1, get("step"), coloured(&action)));
        if get("score") != "-" {
            lines.push(format!("      score {} against a threshold of {}", get("score"), get("threshold")));
        }
        lines.extend(list(step, "found").iter().map(|found| format!("      {}", place(found))));
        if get("more") != "-" {
            lines.push(format!("      and {} more", get("more")));
        }
        for remedy in list(step, "remedies") {
            let remedy = safe::text(remedy.as_str().unwrap_or_default());
            lines.push(format!("      {DIM}would change it:{RESET} {remedy}"));
        }
    }
    let allowlisted = list(told, "allowlisted");
    if !allowlisted.is_empty() {
        lines.push(String::new());
    }
    for hit in &allowlisted {
        lines.push(format!("allowlisted ({}): {}", safe::text(&cell(hit, "by")), place(hit)));
    }
    lines
}

/// `EMAIL (pii) at /messages/0/content 9–28, score 0.95: j…u`
fn place(found: &Value) -> String {
    let get = |path| Some(safe::text(&cell(found, path))).filter(|text| text != "-");
    let mut line = get("kind").unwrap_or_default();
    if let Some(family) = get("family") {
        line += &format!(" ({family})");
    }
    if let Some(at) = get("at") {
        line += &format!(" at {at}");
    }
    if let Some([from, to]) = found.get("span").and_then(Value::as_array).map(Vec::as_slice) {
        line += &format!(" {from}–{to}");
    }
    if let Some(score) = get("score") {
        line += &format!(", score {score}");
    }
    if let Some(sample) = get("sample") {
        line += &format!(": {sample}");
    }
    line
}

fn coloured(action: &str) -> String {
    let colour = match action {
        "block" | "error" => RED,
        "redact" | "notify" | "log" => YELLOW,
        "allow" => GREEN,
        _ => DIM,
    };
    format!("{colour}{action}{RESET}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_reads_what_was_found_and_what_would_change_it() {
        let told = json!({"call": "c-1", "mode": "observe", "action": "log", "verdict": "block", "blocked_by": null,
            "pipeline": {"name": "starter", "version": 0, "hash": "abcdef0123456789"},
            "steps": [
                {"step": "validate_input", "action": "allow", "detected": false, "message": ""},
                {"step": "detect_pii", "action": "log", "would": "block", "message": "1 × EMAIL", "score": 0.95,
                 "threshold": 0.5, "remedies": ["`detect_pii.threshold` above 0.95"], "more": 2,
                 "found": [{"family": "pii", "kind": "EMAIL", "at": "/messages/0/content", "span": [9, 28],
                            "score": 0.95, "sample": "j\u{1b}[2J…u"}]}],
            "allowlisted": [{"kind": "PERSON", "by": "organisation", "sample": "A…r"}]});
        let text = anstream::adapter::strip_str(&lines(&told).join("\n")).to_string();
        for wanted in [
            "log; enforce would have done: block",
            "  2 detect_pii               log (would block)  1 × EMAIL",
            "score 0.95 against a threshold of 0.5",
            "EMAIL (pii) at /messages/0/content 9–28, score 0.95: j\\u{1b}[2J…u",
            "and 2 more",
            "would change it: `detect_pii.threshold` above 0.95",
            "allowlisted (organisation): PERSON: A…r",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }
}
