//! Reads JSON lines with a `text`; writes for each, on one line, the candidates for names with their features: what
//! `tools/pii/train.py` trains on, and a way to see why a name is found or not. With `--features`: lists
//! all features. Offsets are in Unicode characters.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if std::env::args().nth(1).as_deref() == Some("--features") {
        for feature in tappass_detect::name_features() {
            writeln!(out, "{feature}")?;
        }
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = row["text"].as_str().unwrap_or_default();
        let chars = |at: usize| text[..at].chars().count();
        let candidates: Vec<Value> = tappass_detect::name_evidence(text)
            .iter()
            .map(|c| json!({"start": chars(c.start), "end": chars(c.end), "log_odds": c.log_odds, "features": c.features}))
            .collect();
        writeln!(out, "{}", Value::from(candidates))?;
    }
    Ok(())
}
