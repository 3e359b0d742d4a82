//! Runs the detectors on JSON lines from stdin and answers one line each, to score them without building the program
//! whose `tappass detect --jsonl` does the same.

use std::io::{BufRead, Write};

use tappass_detect::{Scanner, score_row};
use tappass_model::Family;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scanner = Scanner::new(&Family::ALL, &[])?;
    scanner.prepare();
    let _warm = scanner.scan("Anna Smith, 5 Main Street, 1234 5678");
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(out, "{}", score_row(&scanner, &serde_json::from_str(&line)?))?;
        }
    }
    Ok(())
}
