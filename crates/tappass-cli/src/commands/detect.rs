//! `tappass detect`: the detectors on a text, here, without a server.

use std::{
    fs,
    io::{self, BufRead},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use tappass_detect::{Scanner, sample, score_row};
use tappass_model::{Family, Match};
use tappass_pipeline::compile_preset;

use crate::{
    args::Format,
    error::{CliError, Exit},
    output::Out,
    safe,
    table::Table,
};

/// Run the detectors on a text: what they find, masked
#[derive(Debug, Args)]
pub struct Detect {
    /// The text; stdin when left out
    file: Option<PathBuf>,
    /// Find what the steps of this preset look for [default: all there is]
    #[arg(long, value_name = "PRESET")]
    preset: Option<String>,
    /// Read JSON lines {"id","task","text"}, answer one line each: to score the detectors
    #[arg(long, conflicts_with = "json")]
    jsonl: bool,
    #[command(flatten)]
    format: Format,
}

impl Detect {
    pub(crate) fn run(&self, out: &mut Out) -> anyhow::Result<Exit> {
        let scanner = match &self.preset {
            Some(name) => compile_preset(name).map_err(|e| CliError::usage(e.to_string()))?.scanner.clone(),
            None => Scanner::new(&Family::ALL, &[])?,
        };
        match &self.file {
            Some(path) => {
                let file =
                    fs::File::open(path).map_err(|e| CliError::usage(format!("{}: {e}", path.display())))?;
                self.read(&scanner, &mut io::BufReader::new(file), out)
            }
            None => self.read(&scanner, &mut io::stdin().lock(), out),
        }
    }

    fn read(&self, scanner: &Scanner, input: &mut dyn BufRead, out: &mut Out) -> anyhow::Result<Exit> {
        if self.jsonl {
            rows(scanner, input, out)?;
            return Ok(Exit::Done);
        }
        let mut text = String::new();
        input
            .read_to_string(&mut text)
            .map_err(|e| CliError::usage(format!("the text cannot be read: {e}")))?;
        let found = scanner.scan(&text);
        if self.format.json {
            out.json(&json!(found.iter().map(|m| finding(&text, m)).collect::<Vec<_>>()))?;
            return Ok(Exit::Done);
        }
        let mut table = Table::new(["line", "family", "kind", "score", "sample"]);
        let (mut at, mut line) = (0, 1);
        for m in &found {
            line += text[at..m.start].matches('\n').count();
            at = m.start;
            let family = json!(m.family).as_str().unwrap_or_default().to_owned();
            let shown = safe::text(&sample(m, &text));
            table.row([line.to_string(), family, safe::text(&m.kind), format!("{:.2}", m.score), shown]);
        }
        out.table(&table, "nothing found")?;
        Ok(Exit::Done)
    }
}

/// One answer a line, each as soon as it is there.
fn rows(scanner: &Scanner, input: &mut dyn BufRead, out: &mut Out) -> anyhow::Result<()> {
    // So that no row's time is that of making the detectors ready.
    scanner.prepare();
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.context("the rows cannot be read")?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Value = serde_json::from_str(&line)
            .map_err(|e| CliError::usage(format!("line {number} is not a JSON object: {e}")))?;
        out.ndjson(&score_row(scanner, &row))?;
    }
    Ok(())
}

/// A finding as data: offsets are bytes of the text, the value is masked.
fn finding(text: &str, m: &Match) -> Value {
    json!({
        "family": m.family, "kind": m.kind, "start": m.start, "end": m.end, "score": m.score, "sample": sample(m, text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(detect: &Detect, input: &str) -> (String, String) {
        let scanner = Scanner::new(&Family::ALL, &[]).expect("no patterns");
        let (mut out, printed) = Out::captured();
        detect.read(&scanner, &mut input.as_bytes(), &mut out).expect("read");
        (printed.stdout(), printed.stderr())
    }

    fn detect(jsonl: bool, json: bool) -> Detect {
        Detect { file: None, preset: None, jsonl, format: Format { json } }
    }

    const TEXT: &str = "hello\nmail joan.smith@example.org, pay with 4111 1111 1111 1111\n";

    #[test]
    fn a_table_says_where_and_never_what() {
        let (table, _) = run(&detect(false, false), TEXT);
        assert!(table.contains("EMAIL") && table.contains("CREDIT_CARD") && table.contains("pii"), "{table}");
        assert!(table.lines().any(|line| line.trim_start().starts_with('2')), "the line: {table}");
        assert!(!table.contains("joan.smith") && !table.contains("4111 1111"), "{table}");
        let (nothing, note) = run(&detect(false, false), "a quiet day");
        assert_eq!((nothing.as_str(), note.as_str()), ("", "nothing found\n"));
    }

    #[test]
    fn json_has_offsets() {
        let (text, _) = run(&detect(false, true), TEXT);
        let found: Value = serde_json::from_str(&text).expect("JSON");
        let email = &found[0];
        assert_eq!(
            (email["kind"].as_str(), email["start"].as_u64(), email["end"].as_u64()),
            (Some("EMAIL"), Some(11), Some(33))
        );
    }

    #[test]
    fn rows_are_answered_one_by_one() {
        let rows = "{\"id\":\"a\",\"task\":\"secrets\",\"text\":\"password=hJ7!kd93Xq\"}\n\n{\"id\":\"b\",\"task\":\"secrets\",\"text\":\"hello\"}\n";
        let (text, _) = run(&detect(true, false), rows);
        let answers: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(answers.len(), 2);
        assert_eq!((&answers[0]["id"], &answers[0]["label"]), (&json!("a"), &json!(1)));
        assert_eq!((&answers[1]["id"], &answers[1]["label"]), (&json!("b"), &json!(0)));
        let scanner = Scanner::new(&[], &[]).expect("no patterns");
        let (mut out, _) = Out::captured();
        let refused = super::rows(&scanner, &mut "{}\nno".as_bytes(), &mut out).expect_err("not JSON");
        assert!(refused.to_string().contains("line 2"), "{refused}");
    }
}
