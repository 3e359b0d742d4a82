//! The figures for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::run::Report;
use crate::stats::Spread;

/// Writes one line to the standard output and sends it off.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Says on the standard error what is going on.
pub fn progress(what: &str) -> io::Result<()> {
    writeln!(io::stderr(), "measuring: {what}")
}

/// Prints all figures.
pub fn print(report: &Report) -> io::Result<()> {
    line(&render(report))
}

fn render(report: &Report) -> String {
    let mut out = String::new();
    for connections in [64, 1] {
        let mut rows = vec![row(["", "calls/s", "p50 ms", "p99 ms", "CPU us/call", "resident MB"])];
        for load in report.load.iter().filter(|load| load.connections == connections) {
            rows.push(vec![
                load.subject.to_owned(),
                spread(load.throughput, 0),
                spread(load.p50_ms, 3),
                spread(load.p99_ms, 3),
                spread(load.cpu_us, 0),
                format!("{:.1}", load.resident_mb),
            ]);
        }
        table(
            &mut out,
            &format!("Load, connections: {connections} ({} processors)", report.processors),
            &rows,
        );
    }
    for kind in [crate::measure::UNPAUSED, crate::upstream::PACED] {
        let mut rows = vec![row(["", "first chunk ms", "first text ms", "total ms"])];
        for stream in report.streams.iter().filter(|stream| stream.kind == kind) {
            rows.push(vec![
                stream.subject.to_owned(),
                spread(stream.first_chunk_ms, 2),
                spread(stream.first_text_ms, 2),
                spread(stream.total_ms, 2),
            ]);
        }
        table(&mut out, &format!("Streams of {} chunks, {kind}", crate::upstream::CHUNKS), &rows);
    }
    let aims = aims(report);
    if aims.len() > 1 {
        table(&mut out, "Beside the bare proxy", &aims);
    }
    if let Some(audit) = &report.audit {
        let _ = writeln!(
            out,
            "\naudit log: verified, {} events after {} calls under load",
            audit.events, audit.calls
        );
    }
    out
}

/// What the gateway is to reach, and what it did.
fn aims(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![row(["", "median (min to max)", "aim"])];
    let mut aim = |figure: String, value: String, aim: &str| rows.push(vec![figure, value, aim.to_owned()]);
    for load in &report.load {
        let Some(beside) = &load.beside_bare else { continue };
        let name = load.subject;
        if load.connections > 1 {
            aim(
                format!("throughput, share of bare ({name})"),
                spread(beside.throughput_ratio, 2),
                "0.5 and more",
            );
            aim(format!("added CPU us/call ({name})"), spread(beside.added_cpu_us, 0), "under 150");
            aim(format!("resident MB under load ({name})"), format!("{:.1}", load.resident_mb), "under 60");
        } else {
            aim(format!("added p50 ms, one connection ({name})"), spread(beside.added_p50_ms, 3), "");
        }
    }
    for stream in &report.streams {
        let Some(beside) = &stream.beside_bare else { continue };
        let name = format!("{}, {}", stream.kind, stream.subject);
        let (total, first) =
            if stream.kind == crate::measure::UNPAUSED { ("under 3", "under 2") } else { ("", "under 2") };
        aim(format!("stream, added total ms ({name})"), spread(beside.added_total_ms, 2), total);
        aim(
            format!("stream, added to first chunk ms ({name})"),
            spread(beside.added_first_chunk_ms, 2),
            first,
        );
        aim(format!("stream, added to first text ms ({name})"), spread(beside.added_first_text_ms, 2), "");
    }
    if let Some(crowd) = &report.crowd {
        let name = |when: &str| format!("resident MB, {} streams at once: {when}", crowd.streams);
        aim(name("before"), format!("{:.1}", crowd.before_mb), "");
        aim(name("open"), format!("{:.1}", crowd.open_mb), "under 250");
        aim(name("ended"), format!("{:.1}", crowd.after_mb), "as before");
    }
    if let Some(start) = &report.start {
        aim("start to healthy ms, fresh directory".to_owned(), spread(start.fresh_health_ms, 0), "under 300");
        aim("start to healthy ms".to_owned(), spread(start.health_ms, 0), "under 300");
        aim("start to first governed answer ms".to_owned(), spread(start.governed_ms, 0), "under 300");
    }
    rows
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn spread(spread: Spread, decimals: usize) -> String {
    format!("{:.*} ({:.*} to {:.*})", decimals, spread.median, decimals, spread.min, decimals, spread.max)
}

/// Adds `rows` under `title`, the first column to the left and the others to the right.
fn table(out: &mut String, title: &str, rows: &[Vec<String>]) {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let _ = writeln!(out, "\n{title}");
    for row in rows {
        let mut line = format!("  {:<w$}", row[0], w = width(0));
        for (column, cell) in row.iter().enumerate().skip(1) {
            let _ = write!(line, "  {cell:>w$}", w = width(column));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut out = String::new();
        table(&mut out, "T", &[row(["", "ms"]), row(["bare", "1.25"])]);
        assert_eq!(out, "\nT\n          ms\n  bare  1.25\n");
    }
}
