//! `tappass logs`: the audit trail, newest last; live with `-f`.

use std::{convert::Infallible, time::Duration};

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use tappass_model::{Clock as _, SystemClock, clock::rfc3339};

use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    safe, since, sse,
    table::{Table, cell, left_out},
};

/// The longest pause before a broken stream is opened again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The headings, and how wide a live line makes each column.
const COLUMNS: [(&str, usize); 11] = [
    ("time", 14),
    ("event", 16),
    ("agent", 20),
    ("mode", 8),
    ("action", 6),
    ("would", 6),
    ("step", 18),
    ("model", 20),
    ("class", 12),
    ("tokens", 6),
    ("ms", 7),
];

/// The columns that a narrow terminal does without, the most dispensable first; `--json` has all.
const SPARE: [usize; 5] = [10, 9, 7, 8, 1];

/// The audit trail, live with -f
#[derive(Debug, Args)]
pub struct Logs {
    /// How many events, the newest
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on with new events as they come
    #[arg(short, long)]
    follow: bool,
    /// Of this agent only
    #[arg(long)]
    agent: Option<String>,
    /// Of this session only
    #[arg(long)]
    session: Option<String>,
    /// With this action only: allow, log, notify, redact, block, error
    #[arg(long)]
    action: Option<String>,
    /// Since this time: 90s, 15m, 1h, 7d, 2026-11-22, 2026-11-22T09:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// With -f: go on where an earlier -f was stopped
    #[arg(long, requires = "follow")]
    cursor: Option<String>,
    #[command(flatten)]
    format: Format,
}

impl Logs {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        let filters = [("agent_id", &self.agent), ("session_id", &self.session), ("action", &self.action)];
        let given = filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let mut query: Vec<(&str, String)> = given.collect();
        if self.follow {
            return self.follow(client, &query, out).await;
        }
        if let Some(text) = &self.since {
            let moment = since::parse(text, SystemClock.now()).map_err(CliError::usage)?;
            query.push(("since", rfc3339(moment)));
        }
        let events = self.newest(client, &query).await?;
        if self.format.json {
            for event in &events {
                out.ndjson(event)?;
            }
            return Ok(Exit::Done);
        }
        let mut table = Table::new(COLUMNS.map(|(name, _)| name)).spare(&SPARE);
        for event in &events {
            table.row(cells(event));
        }
        out.table(&table, "no events")?;
        Ok(Exit::Done)
    }

    /// The newest events, oldest first.
    async fn newest(&self, client: &Client, query: &[(&str, String)]) -> anyhow::Result<Vec<Value>> {
        let mut query = query.to_vec();
        query.push(("limit", self.limit.to_string()));
        let mut events = client.page(&["audit"], &query).await?.0;
        events.sort_by_key(seq);
        Ok(events)
    }

    /// What is there, then what comes, until interrupted.
    async fn follow(&self, client: &Client, query: &[(&str, String)], out: &mut Out) -> anyhow::Result<Exit> {
        let mut at = Position { cursor: self.cursor.clone(), seq: 0 };
        let ended = tokio::select! {
            ended = self.stream(client, query, &mut at, out) => ended.map(|never| match never {}),
            _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
        };
        if let (Ok(_), Some(cursor)) = (&ended, &at.cursor) {
            out.note(&format!("go on here with: tappass logs -f --cursor {}", safe::text(cursor)));
        }
        ended
    }

    /// A stream that breaks is opened again where it broke.
    async fn stream(
        &self,
        client: &Client,
        query: &[(&str, String)],
        at: &mut Position,
        out: &mut Out,
    ) -> anyhow::Result<Infallible> {
        if !self.format.json {
            out.line(&line(&COLUMNS.map(|(name, _)| name.to_uppercase()), out.width()))?;
        }
        let mut reached = false;
        let mut pause = Duration::ZERO;
        loop {
            let mut from = query.to_vec();
            from.extend(at.cursor.iter().map(|cursor| ("cursor", cursor.clone())));
            match client.open(Method::GET, &["audit", "stream"], &from).await {
                Ok(response) => {
                    reached = true;
                    // Without a mark the stream begins now. What is listed and streamed too is shown once.
                    if at.cursor.is_none() {
                        for event in self.newest(client, query).await? {
                            self.show(&event, at, out)?;
                        }
                    }
                    let mut events = sse::events(response);
                    while let Ok(Some(message)) = events.next().await {
                        pause = Duration::ZERO;
                        at.cursor = message.id.or(at.cursor.take());
                        if let Ok(event) = serde_json::from_str::<Value>(&message.data) {
                            self.show(&event, at, out)?;
                        }
                    }
                }
                Err(e) if e.exit == Exit::Unreachable && reached => {
                    out.note(&format!("{}; trying again", safe::text(&e.what)));
                }
                Err(e) => return Err(e.into()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(Duration::from_millis(250), LONGEST_PAUSE);
        }
    }

    fn show(&self, event: &Value, at: &mut Position, out: &mut Out) -> anyhow::Result<()> {
        if seq(event) <= at.seq {
            return Ok(());
        }
        at.seq = seq(event);
        if self.format.json {
            out.ndjson(event)?;
        } else {
            out.line(&line(&cells(event), out.width()))?;
        }
        Ok(())
    }
}

/// How far a stream was read.
struct Position {
    /// The server's mark of the last event of the stream.
    cursor: Option<String>,
    /// The number of the last event shown.
    seq: u64,
}

fn seq(event: &Value) -> u64 {
    event.get("seq").and_then(Value::as_u64).unwrap_or_default()
}

/// An event as a row.
fn cells(event: &Value) -> [String; 11] {
    let time = cell(event, "ts").get(5..19).unwrap_or("-").replace('T', " ");
    let (action, verdict) = (cell(event, "action"), cell(event, "verdict"));
    let would = if verdict == action { "-".to_owned() } else { verdict };
    let us = |field| event.pointer(&format!("/latency/{field}")).and_then(Value::as_u64);
    let ms =
        us("gateway_us").map(|own| format!("{:.1}", (own + us("upstream_us").unwrap_or(0)) as f64 / 1000.0));
    let tokens = ["prompt_tokens", "completion_tokens"]
        .map(|k| event.pointer(&format!("/tokens/{k}")).and_then(Value::as_u64));
    let tokens = tokens.iter().any(Option::is_some).then(|| tokens.iter().flatten().sum::<u64>().to_string());
    let dash = || "-".to_owned();
    [
        time,
        cell(event, "event_type"),
        cell(event, "agent_id"),
        cell(event, "mode"),
        action,
        would,
        steps(event),
        cell(event, "model"),
        cell(event, "classification"),
        tokens.unwrap_or_else(dash),
        ms.unwrap_or_else(dash),
    ]
}

/// The step that refused, else the steps that found something.
fn steps(event: &Value) -> String {
    if let Some(step) = event.get("blocked_by").and_then(Value::as_str) {
        return step.to_owned();
    }
    let mut steps: Vec<&str> = Vec::new();
    for detection in event.get("detections").and_then(Value::as_array).into_iter().flatten() {
        if let Some(step) = detection.get("step").and_then(Value::as_str)
            && !steps.contains(&step)
        {
            steps.push(step);
        }
    }
    if steps.is_empty() { "-".to_owned() } else { steps.join(",") }
}

/// A live line: columns of a fixed width, for the rows to come are not known.
fn line(cells: &[String; 11], width: Option<u16>) -> String {
    let widths = COLUMNS.map(|(_, width)| width + 2);
    let out = left_out(&widths, &SPARE, width.map_or(usize::MAX, usize::from));
    let mut line = String::new();
    for (n, ((_, width), text)) in COLUMNS.iter().zip(cells).enumerate() {
        if out.contains(&n) {
            continue;
        }
        line.push_str(&format!("{:width$}  ", safe::text(text)));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_as_a_row() {
        let event = json!({
            "seq": 3, "ts": "2026-11-22T09:30:00.000001Z", "event_type": "llm_call", "agent_id": "claims\u{1b}[2J",
            "mode": "observe", "verdict": "block", "action": "log", "model": "gpt-4o", "classification": "RESTRICTED",
            "detections": [{"step": "detect_secrets"}, {"step": "detect_pii"}, {"step": "detect_secrets"}],
            "tokens": {"prompt_tokens": 10, "completion_tokens": 5}, "latency": {"gateway_us": 400, "upstream_us": 12_000},
        });
        let row = cells(&event);
        assert_eq!(row[0], "11-22 09:30:00");
        assert_eq!(row[3..7], ["observe", "log", "block", "detect_secrets,detect_pii"]);
        assert_eq!(row[9..], ["15", "12.4"]);
        assert!(line(&row, None).contains("claims\\u{1b}[2J") && !line(&row, None).contains('\u{1b}'));
    }

    #[test]
    fn a_live_line_fits_the_terminal() {
        let event = json!({"ts": "2026-11-22T09:30:00Z", "event_type": "llm_call", "agent_id": "claims", "model": "m"});
        let narrow = line(&cells(&event), Some(100));
        assert!(narrow.len() <= 100 && narrow.contains("claims"), "{narrow}");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let row = cells(&json!({"ts": "é", "event_type": "signin", "action": "allow", "verdict": "allow"}));
        assert_eq!(row[0], "-");
        assert_eq!(row[5..], ["-"; 6]);
        let header = line(&COLUMNS.map(|(name, _)| name.to_uppercase()), None);
        let columns: Vec<_> = header.match_indices("STEP").map(|(at, _)| at).collect();
        assert_eq!(
            line(&row, None).get(columns[0]..=columns[0]),
            Some("-"),
            "a cell stands under its heading"
        );
    }
}
