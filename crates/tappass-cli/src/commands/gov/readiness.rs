//! `tappass gov readiness`: what enforce would have refused, by rule, then agent, then example.

use clap::Args;
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

/// `tappass gov readiness`
#[derive(Debug, Args)]
pub struct Readiness {
    /// Of this agent only; all unless said otherwise
    agent: Option<String>,
    /// How far back: 24h, 7d, 4w; 90 days at most
    #[arg(long, value_name = "SPAN", default_value = "7d", value_parser = window)]
    since: String,
    /// Examples for each rule and agent
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=50))]
    examples: u32,
    /// How it is printed.
    #[command(flatten)]
    format: Format,
}

/// Weeks as days: the server knows hours and days.
fn window(text: &str) -> Result<String, String> {
    let number = |unit: char| text.strip_suffix(unit).and_then(|n| n.parse::<u16>().ok());
    match (number('h'), number('d'), number('w')) {
        (Some(hours), ..) => Ok(format!("{hours}h")),
        (_, Some(days), _) => Ok(format!("{days}d")),
        (.., Some(weeks)) => Ok(format!("{}d", u32::from(weeks) * 7)),
        _ => Err("give how far back: 24h, 7d, 4w".to_owned()),
    }
}

impl Readiness {
    pub(super) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let mut query = vec![("window", self.since.clone()), ("examples", self.examples.to_string())];
        if let Some(agent) = &self.agent {
            // An agent that is not there is said, rather than shown as ready.
            client.get(&["agents", agent], &[]).await?;
            query.push(("agent_id", agent.clone()));
        }
        let told = client.get(&["insight", "readiness"], &query).await?;
        if self.format.json {
            return Ok(out.json(&told)?);
        }
        for line in lines(&told) {
            out.line(&line)?;
        }
        if let (Some(agent), Some(_)) = (&self.agent, told["calls"].as_u64().filter(|n| *n > 0)) {
            out.mend(&format!("`tappass gov enforce {}` makes it so", safe::text(agent)));
        }
        Ok(())
    }
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The review, for people.
fn lines(told: &Value) -> Vec<String> {
    let whose = match told["agent_id"].as_str() {
        Some(agent) => safe::text(agent),
        None => "all agents".to_owned(),
    };
    let (calls, would) = (number(told, "calls"), number(told, "would_block"));
    let window = safe::text(&cell(told, "window.name"));
    let mut lines = vec![format!("{BOLD}Readiness{RESET} · {whose} · the last {window} · {} calls", calls)];
    if calls == 0 {
        lines.push("No calls yet: there is nothing to judge by.".to_owned());
        return lines;
    }
    let mut sums =
        vec![format!("enforce would have refused {YELLOW}{would}{RESET} ({})", share(would, calls))];
    for (key, what) in [("would_mask", "would have masked"), ("blocked", "were refused")] {
        sums.extend(Some(number(told, key)).filter(|n| *n > 0).map(|n| format!("{what} {n}")));
    }
    lines.push(sums.join(" · "));
    if list(told, "rules").is_empty() {
        lines.push(format!("{GREEN}Nothing would have been refused.{RESET}"));
    }
    for rule in list(told, "rules") {
        let kind = Some(safe::text(&cell(rule, "kind"))).filter(|k| !k.is_empty() && k != "-");
        let name = format!("{} {}", safe::text(&cell(rule, "step")), kind.unwrap_or_default());
        lines.push(String::new());
        lines.push(format!(
            "{BOLD}{}{RESET}  {}  {}",
            name.trim_end(),
            counts(rule),
            precision(&rule["precision"])
        ));
        for agent in list(rule, "agents") {
            lines.push(format!("  {}  {}", safe::text(&cell(agent, "agent_id")), counts(agent)));
            lines.extend(list(agent, "examples").iter().map(example));
        }
    }
    lines
}

fn counts(value: &Value) -> String {
    match (number(value, "would_block"), number(value, "blocked")) {
        (would, 0) => format!("would refuse {YELLOW}{would}{RESET}"),
        (0, blocked) => format!("refused {RED}{blocked}{RESET}"),
        (would, blocked) => format!("would refuse {YELLOW}{would}{RESET}, refused {RED}{blocked}{RESET}"),
    }
}

/// `80 % right (49–94 %) of 10 marked`
fn precision(value: &Value) -> String {
    let percent = |key: &str| (value[key].as_f64().unwrap_or_default() * 100.0).round();
    let marked = number(value, "right") + number(value, "false_alarms");
    if marked == 0 {
        return format!("{DIM}nobody has marked any{RESET}");
    }
    let (low, high) = (percent("low"), percent("high"));
    format!("{} % right ({low}–{high} %) of {marked} marked", percent("precision"))
}

/// `    2026-11-22 09:30  j…u  0.95 ≥ 0.5  0192f0…  false alarm: why`
fn example(example: &Value) -> String {
    let get =
        |key: &str| Some(safe::text(&cell(example, key))).filter(|text| !text.is_empty() && text != "-");
    let when: String = get("ts").unwrap_or_default().replace('T', " ").chars().take(16).collect();
    let what = get("sample").or_else(|| get("reason")).unwrap_or_default();
    let score = get("score").zip(get("threshold")).map(|(s, t)| format!("  {s} ≥ {t}")).unwrap_or_default();
    let mark = match (get("mark.mark").as_deref(), get("mark.note")) {
        (Some("right"), _) => format!("  {GREEN}right{RESET}"),
        (Some(_), note) => {
            format!("  {RED}false alarm{RESET}{}", note.map(|n| format!(": {n}")).unwrap_or_default())
        }
        (None, _) => String::new(),
    };
    format!(
        "    {DIM}{when}{RESET}  {what}{score}  {DIM}{}{RESET}{mark}",
        get("event_id").unwrap_or_default()
    )
}

#[expect(clippy::cast_precision_loss, reason = "a share of calls, to a tenth of a percent")]
fn share(part: u64, of: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / of.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(told: &Value) -> String {
        anstream::adapter::strip_str(&lines(told).join("\n")).to_string()
    }

    #[test]
    fn a_meeting_reads_rule_agent_example_and_precision() {
        let told = json!({"window": {"name": "7d"}, "agent_id": null, "calls": 200, "would_block": 3, "blocked": 1, "would_mask": 9,
            "rules": [{"step": "detect_secrets", "kind": "GITHUB_TOKEN", "would_block": 3, "blocked": 1,
                "precision": {"right": 8, "false_alarms": 2, "precision": 0.8, "low": 0.49, "high": 0.943},
                "agents": [{"agent_id": "claims\u{1b}[2J", "would_block": 3, "blocked": 1, "examples": [
                    {"event_id": "0192", "ts": "2026-11-22T09:30:00.000000Z", "sample": "g…R", "score": 0.97, "threshold": 0.5,
                     "mark": {"mark": "false_alarm", "note": "a test key"}}]}]},
              {"step": "rate_limit", "kind": "", "would_block": 1, "blocked": 0,
                "precision": {"right": 0, "false_alarms": 0}, "agents": []}]});
        let text = text(&told);
        for wanted in [
            "Readiness · all agents · the last 7d · 200 calls",
            "enforce would have refused 3 (1.5 %) · would have masked 9 · were refused 1",
            "detect_secrets GITHUB_TOKEN  would refuse 3, refused 1  80 % right (49–94 %) of 10 marked",
            "  claims\\u{1b}[2J  would refuse 3, refused 1",
            "    2026-11-22 09:30  g…R  0.97 ≥ 0.5  0192  false alarm: a test key",
            "rate_limit  would refuse 1  nobody has marked any",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
    }

    #[test]
    fn without_calls_nothing_is_judged() {
        assert!(text(&json!({"calls": 0, "rules": []})).contains("nothing to judge by"));
        let clean = json!({"calls": 5, "rules": [], "agent_id": "a"});
        assert!(text(&clean).contains("Nothing would have been refused"));
    }

    #[test]
    fn weeks_are_days() {
        assert_eq!(window("2w"), Ok("14d".to_owned()));
        assert_eq!(window("24h"), Ok("24h".to_owned()));
        assert!(window("soon").is_err());
    }
}
