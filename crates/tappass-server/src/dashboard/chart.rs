//! Charts as SVG: made by the server, readable without a script, and by those who cannot see them.

use std::fmt::Write;

use super::format::{Html, escape, short};

/// One bar of a chart: its name, and the parts it is stacked of, from the bottom.
#[derive(Debug, Clone, Default)]
pub struct Bar {
    /// What it stands for, said when it is pointed at: `Mon 3 Nov, 14:00`.
    pub title: String,
    /// What stands below it; empty for most.
    pub label: String,
    /// How much of each series.
    pub parts: Vec<u64>,
}

/// One series: its name and its colour (a class `fill-…`).
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// The name, for the legend and for titles.
    pub name: &'static str,
    /// `calls`, `ok`, `warn`, `bad`, `ask`, `info` or `accent`.
    pub fill: &'static str,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 34.0;
const BOTTOM: f64 = 18.0;

/// Stacked bars over time. `height` in units of which the width is 720.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "pixels")]
pub fn bars(name: &str, series: &[Series], bars: &[Bar], height: u32) -> Html {
    let height = f64::from(height);
    let plot = height - BOTTOM - 6.0;
    let most = bars.iter().map(|bar| bar.parts.iter().sum::<u64>()).max().unwrap_or(0);
    let top = nice(most);
    let slot = (WIDTH - LEFT) / (bars.len().max(1) as f64);
    let width = (slot * 0.78).clamp(1.0, 34.0);
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{}">"#,
        escape(name)
    );
    for (value, share) in [(0, 0.0), (top / 2, 0.5), (top, 1.0)] {
        let y = 6.0 + plot - plot * share;
        let _ = write!(
            svg,
            r#"<line class="axis" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            y + 4.0,
            short(&value)
        );
    }
    for (i, bar) in bars.iter().enumerate() {
        let x = LEFT + slot * (i as f64) + (slot - width) / 2.0;
        let told: Vec<String> =
            series.iter().zip(&bar.parts).map(|(s, n)| format!("{}: {}", s.name, short(n))).collect();
        let _ = write!(svg, "<g><title>{}\n{}</title>", escape(&bar.title), escape(&told.join("\n")));
        // A place to point at, also where there is nothing.
        let _ = write!(
            svg,
            r#"<rect x="{:.1}" y="6" width="{slot:.1}" height="{plot:.1}" fill="transparent"/>"#,
            LEFT + slot * (i as f64)
        );
        let mut y = 6.0 + plot;
        for (s, n) in series.iter().zip(&bar.parts).filter(|(_, n)| **n > 0) {
            // What is there is seen, however little it is.
            let h = (plot * (*n as f64) / (top as f64)).max(1.5);
            y -= h;
            let _ = write!(
                svg,
                r#"<rect class="fill-{}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{h:.1}" rx="1.5"/>"#,
                s.fill
            );
        }
        svg.push_str("</g>");
        if !bar.label.is_empty() {
            let _ = write!(
                svg,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                x + width / 2.0,
                height - 3.0,
                escape(&bar.label)
            );
        }
    }
    svg.push_str("</svg>");
    Html(svg)
}

/// The names of the series with their colours.
#[must_use]
pub fn legend(series: &[Series]) -> Html {
    let items: String = series
        .iter()
        .map(|s| {
            format!(
                r#"<li><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="fill-{}" width="10" height="10" rx="2"/></svg>{}</li>"#,
                s.fill,
                escape(s.name)
            )
        })
        .collect();
    Html(format!(r#"<ul class="legend">{items}</ul>"#))
}

/// A share of a whole as a small bar, for tables.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "pixels")]
pub fn share(part: &u64, whole: &u64, fill: &str) -> Html {
    let width = if *whole == 0 { 0.0 } else { 100.0 * (*part as f64) / (*whole as f64) };
    Html(format!(
        r#"<svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="fill-{}" width="{width:.1}" height="6" rx="1"/></svg>"#,
        escape(fill)
    ))
}

/// A stretch of a line of time that is `whole` long; what is shorter than a pixel is a pixel wide.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "pixels")]
pub fn span(start: &u64, length: &u64, whole: &u64, fill: &str) -> Html {
    let scale = |n: u64| 1000.0 * (n as f64) / ((*whole).max(1) as f64);
    let x = scale(*start).min(996.0);
    let width = scale(*length).max(4.0);
    Html(format!(
        r#"<svg class="span" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true"><rect class="fill-{}" x="{x:.1}" width="{width:.1}" height="8"/></svg>"#,
        escape(fill)
    ))
}

/// The next round number: 1, 2 or 5 times a power of ten, and even, so that its half is whole.
fn nice(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for times in [2, 4, 10] {
            let candidate = power.saturating_mul(times);
            if candidate >= most {
                return candidate;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: [Series; 2] =
        [Series { name: "calls", fill: "calls" }, Series { name: "blocked", fill: "bad" }];

    #[test]
    fn the_top_is_round_and_holds_the_most() {
        for (most, top) in [
            (0, 2),
            (2, 2),
            (3, 4),
            (7, 10),
            (11, 20),
            (99, 100),
            (101, 200),
            (250, 400),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(nice(most), top, "{most}");
        }
    }

    #[test]
    fn a_little_is_seen_and_nothing_is_not() {
        let bar =
            |parts: [u64; 2]| Bar { title: "<now>".to_owned(), label: String::new(), parts: parts.to_vec() };
        let chart = bars("calls", &SERIES, &[bar([1_000_000, 1]), bar([0, 0])], 160).0;
        assert_eq!(chart.matches("fill-bad").count(), 1);
        assert!(chart.contains(r#"height="1.5""#) && chart.contains("&lt;now&gt;"));
        assert!(bars("none", &SERIES, &[], 160).0.ends_with("</svg>"));
    }
}
