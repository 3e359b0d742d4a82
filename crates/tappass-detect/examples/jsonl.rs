//! Runs the detectors on JSON lines (`{"id","task","text"}` on stdin) and answers one line each, to score them.

use std::{
    io::{BufRead, Write},
    time::Instant,
};

use serde_json::{Value, json};
use tappass_detect::{Scanner, family_score, injection_score};
use tappass_model::{Classification, Family};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scanner = Scanner::new(&Family::ALL, &[])?;
    let _warm = scanner.scan("Anna Smith, 5 Main Street, 1234 5678");
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Value = serde_json::from_str(&line)?;
        let text = row["text"].as_str().unwrap_or_default();
        let start = Instant::now();
        let found = scanner.scan(text);
        let us = start.elapsed().as_secs_f64() * 1e6;
        let mut answer = match row["task"].as_str().unwrap_or_default() {
            "pii" => {
                let chars = |at: usize| text[..at].chars().count();
                let pii = found.iter().filter(|m| m.family == Family::Pii);
                let spans: Vec<Value> = pii
                    .map(|m| json!({"start": chars(m.start), "end": chars(m.end), "type": m.kind, "score": m.score}))
                    .collect();
                json!({ "spans": spans })
            }
            "secrets" => {
                json!({"label": u8::from(found.iter().any(|m| m.family == Family::Secret && m.score >= 0.5))})
            }
            "injection" => json!({"score": injection_score(&found)}),
            "unicode" => json!({"score": family_score(Family::Unicode, &found)}),
            "shell" => json!({"score": family_score(Family::Shell, &found)}),
            "sql" => json!({"score": family_score(Family::Code, &found)}),
            "exfil" => json!({"score": family_score(Family::Exfiltration, &found)}),
            "tool_poisoning" => json!({"score": family_score(Family::ToolPoison, &found)}),
            "classification" => {
                let level =
                    found.iter().map(|m| scanner.classification(m)).max().unwrap_or(Classification::Public);
                let mut tags = Vec::new();
                if found.iter().any(|m| m.family == Family::Infra) {
                    tags.push("infrastructure");
                }
                if found.iter().any(|m| m.family == Family::Secret) {
                    tags.push("secret");
                }
                json!({"level": level.as_str(), "tags": tags})
            }
            _ => json!({"label": u8::from(!found.is_empty())}),
        };
        answer["id"] = row["id"].clone();
        answer["us"] = json!(us);
        writeln!(out, "{answer}")?;
    }
    Ok(())
}
