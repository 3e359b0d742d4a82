//! The n-grams and rule hits of JSON lines (`{"text"}` on stdin), one line each: what `tools/train_injection.py` trains on.

use std::io::{BufRead, Write};

use serde_json::{Value, json};
use tappass_detect::{Scanner, family_score, injection_features};
use tappass_model::{Family, Match};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scanner = Scanner::new(&[Family::Injection], &[])?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = row["text"].as_str().unwrap_or_default();
        let found = scanner.scan(text);
        let rules: Vec<&Match> = found.iter().filter(|m| m.kind != "MODEL").collect();
        let score = family_score(Family::Injection, rules.iter().copied());
        writeln!(out, "{}", json!({"rules": score, "blocks": injection_features(text)}))?;
    }
    Ok(())
}
