//! What the scan costs: microseconds per KB by family and length, and on texts made to cost much.
//!
//! `cargo run --release -p tappass-detect --example cost [-- start|families|lengths|hostile]`, or `-- texts FILE` for the `text` of
//! every JSON line of a file.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::time::{Duration, Instant};

use tappass_detect::{Scanner, hostile_units};
use tappass_model::Family;

/// Ordinary prose with what occurs in it: names, numbers, a date, punctuation.
const PROSE: &str = include_str!("prose.txt");

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if let [mode, file] = wanted.as_slice()
        && mode == "texts"
    {
        return texts(file);
    }
    if wants("start") {
        println!("To make a scanner                  ms   resident MB");
        for family in Family::ALL {
            made(&format!("{family:?}"), &[family]);
        }
        made("all together", &Family::ALL);
        std::hint::black_box(scanner(&Family::ALL).scan(&prose(64 << 10)));
        println!("  {:<26} {:>8} {:>13.1}", "after 64 KB of prose", "", resident());
    }
    let all = scanner(&Family::ALL);
    if wants("families") {
        println!("Per family, 1 KB of prose      µs/KB");
        for family in Family::ALL {
            let scanner = scanner(&[family]);
            println!("  {:<26} {:>8.1}", format!("{family:?}"), cost(&scanner, &prose(1 << 10)));
        }
        println!("  {:<26} {:>8.1}", "all together", cost(&all, &prose(1 << 10)));
    }
    if wants("lengths") {
        println!("\nAll families, prose of          µs/KB");
        for shift in [10, 12, 14, 16, 18, 20] {
            println!("  {:<26} {:>8.1}", format!("{} KB", 1 << (shift - 10)), cost(&all, &prose(1 << shift)));
        }
    }
    if wants("hostile") {
        let units = hostile_units();
        let mut worst: Vec<(f64, String, String)> = units
            .into_iter()
            .map(|(name, unit)| (once(&all, &repeated(&unit, 4 << 10)), name, unit))
            .collect();
        let by_cost = |a: &(f64, String, String), b: &(f64, String, String)| b.0.total_cmp(&a.0);
        worst.sort_by(by_cost);
        // The costliest once more, longer and with the least of three.
        for (us, _, unit) in worst.iter_mut().take(60) {
            let text = repeated(unit, 32 << 10);
            *us = (0..3).map(|_| once(&all, &text)).fold(f64::INFINITY, f64::min);
        }
        worst[..60].sort_by(by_cost);
        println!("\n{} hostile texts; the costliest, 32 KB each:   µs/KB", worst.len());
        for (us, name, unit) in worst.iter().take(30) {
            println!("  {:<40} {us:>8.0}  {}", name, unit.escape_debug().take(60).collect::<String>());
        }
        let middle = worst.get(worst.len() / 2).map_or(0.0, |w| w.0);
        println!("  {:<40} {middle:>8.0}", "the median");
        if let Some((_, name, unit)) = worst.first() {
            for shift in [16, 18, 20] {
                let text = repeated(unit, 1 << shift);
                println!("  {:<40} {:>8.0}", format!("{name}, {} KB", text.len() >> 10), once(&all, &text));
            }
        }
    }
}

/// What it takes to make the scanner of some families.
fn made(name: &str, families: &[Family]) {
    let before = Instant::now();
    drop(std::hint::black_box(scanner(families)));
    println!("  {name:<26} {:>8.1} {:>13.1}", before.elapsed().as_secs_f64() * 1e3, resident());
}

/// The process's resident memory in MB; 0 where the system does not tell.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// What the texts of a file cost when they are new, and again.
fn texts(file: &str) {
    let file = std::fs::read_to_string(file).expect("the file can be read");
    let rows = file.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON lines"));
    let texts: Vec<String> = rows.filter_map(|row| row["text"].as_str().map(str::to_owned)).collect();
    let kb = texts.iter().map(String::len).sum::<usize>() as f64 / 1024.0;
    println!("{} texts, {kb:.0} KB          µs/KB  again", texts.len());
    let mut sets: Vec<(String, Vec<Family>)> = Family::ALL.map(|f| (format!("{f:?}"), vec![f])).to_vec();
    sets.push(("all together".to_owned(), Family::ALL.to_vec()));
    for (name, families) in sets {
        let scanner = scanner(&families);
        let pass = || {
            let start = cpu();
            texts.iter().for_each(|text| drop(std::hint::black_box(scanner.scan(text))));
            (cpu() - start) / kb
        };
        println!("  {name:<26} {:>8.1} {:>6.1}", pass(), pass());
    }
}

/// Microseconds that this thread has had of a processor; the clock's, where the system does not tell.
fn cpu() -> f64 {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| BEGIN.elapsed().as_secs_f64() * 1e6, |ns| ns / 1e3)
}

fn scanner(families: &[Family]) -> Scanner {
    Scanner::new(families, &[]).expect("no custom patterns")
}

fn prose(len: usize) -> String {
    let mut text = PROSE.repeat(len / PROSE.len() + 1);
    while !text.is_char_boundary(len) {
        text.push(' ');
    }
    text.truncate(len);
    text
}

fn repeated(unit: &str, len: usize) -> String {
    unit.repeat(len / unit.len() + 1)
}

/// The least of many scans, microseconds per KB: what else the machine does adds to the others.
fn cost(scanner: &Scanner, text: &str) -> f64 {
    let until = Instant::now() + Duration::from_millis(300);
    let mut least = f64::INFINITY;
    let mut count = 0;
    while count < 5 || Instant::now() < until {
        least = least.min(once(scanner, text));
        count += 1;
    }
    least
}

fn once(scanner: &Scanner, text: &str) -> f64 {
    let start = Instant::now();
    let found = scanner.scan(text);
    let us = start.elapsed().as_secs_f64() * 1e6;
    std::hint::black_box(found);
    us / (text.len() as f64 / 1024.0)
}
