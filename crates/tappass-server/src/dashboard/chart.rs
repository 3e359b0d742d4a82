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
    /// Where it stands for hours: its first (RFC 3339), and how many.
    pub hours: Option<(String, u32)>,
}

/// One series: its name and its colour (a class `fill-…`).
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// The name, for the legend and for titles.
    pub name: &'static str,
    /// `calls`, `ok`, `warn`, `bad`, `ask`, `info` or `accent`.
    pub fill: &'static str,
}

const LEFT: f64 = 34.0;
const BOTTOM: f64 = 18.0;

/// Stacked bars over time. `width` and `height` in pixels, as large as the chart is shown: then its words are as large as
/// those around it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "pixels")]
pub fn bars(name: &str, series: &[Series], bars: &[Bar], (width, height): (u32, u32)) -> Html {
    let (whole, height) = (f64::from(width), f64::from(height));
    let plot = height - BOTTOM - 6.0;
    let most = bars.iter().map(|bar| bar.parts.iter().sum::<u64>()).max().unwrap_or(0);
    let top = nice(most);
    let slot = (whole - LEFT) / (bars.len().max(1) as f64);
    let width = (slot * 0.78).clamp(1.0, 34.0);
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {whole} {height}" role="img" aria-label="{}">"#,
        escape(name)
    );
    for (value, share) in [(0, 0.0), (top / 2, 0.5), (top, 1.0)] {
        let y = 6.0 + plot - plot * share;
        let _ = write!(
            svg,
            r#"<line class="axis" x1="{LEFT}" x2="{whole}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            y + 4.0,
            short(&value)
        );
    }
    for (i, bar) in bars.iter().enumerate() {
        let x = LEFT + slot * (i as f64) + (slot - width) / 2.0;
        let told: Vec<String> =
            series.iter().zip(&bar.parts).map(|(s, n)| format!("{}: {}", s.name, short(n))).collect();
        let hours = bar.hours.as_ref();
        let hours = hours.map(|(at, n)| format!(r#" data-at="{}" data-hours="{n}""#, escape(at)));
        let _ = write!(
            svg,
            "<g{}><title>{}\n{}</title>",
            hours.as_deref().unwrap_or_default(),
            escape(&bar.title),
            escape(&told.join("\n"))
        );
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
        if !bar.label.is_empty() || bar.hours.is_some() {
            let _ = write!(
                svg,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                x + width / 2.0,
                height - 3.0,
                escape(&bar.label)
            );
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    Html(svg)
}

/// The same in at most so many bars, for where there is less room: neighbours are added up.
#[must_use]
pub fn fewer(bars: &[Bar], most: usize) -> Vec<Bar> {
    let size = bars.len().div_ceil(most.max(1)).max(1);
    let merge = |run: &[Bar]| {
        let mut merged = Bar::default();
        for bar in run {
            if merged.title.is_empty() {
                merged.title.clone_from(&bar.title);
            }
            merged.hours = match (merged.hours, &bar.hours) {
                (Some((at, n)), Some((_, more))) => Some((at, n + more)),
                (None, first) => first.clone(),
                (known, None) => known,
            };
            if merged.label.is_empty() {
                merged.label.clone_from(&bar.label);
            }
            merged.parts.resize(bar.parts.len(), 0);
            merged.parts.iter_mut().zip(&bar.parts).for_each(|(sum, n)| *sum += n);
        }
        merged
    };
    bars.chunks(size).map(merge).collect()
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

/// A line without axes, for a tile beside its figure: how it went, not how much.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "pixels")]
pub fn spark(values: &[u64], fill: &str) -> Html {
    const POINTS: usize = 48;
    let size = values.len().div_ceil(POINTS).max(1);
    let sums: Vec<u64> = values.chunks(size).map(|chunk| chunk.iter().sum()).collect();
    let most = sums.iter().copied().max().unwrap_or(0);
    if most == 0 || sums.len() < 2 {
        return Html(r#"<svg class="spark" viewBox="0 0 100 24" aria-hidden="true"></svg>"#.to_owned());
    }
    let point = |(i, n): (usize, &u64)| {
        let x = 100.0 * (i as f64) / ((sums.len() - 1) as f64);
        format!("{x:.1},{:.1}", 23.0 - 21.0 * (*n as f64) / (most as f64))
    };
    let line = sums.iter().enumerate().map(point).collect::<Vec<_>>().join(" ");
    Html(format!(
        r#"<svg class="spark fill-{}" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><polygon points="0,24 {line} 100,24"/><polyline points="{line}"/></svg>"#,
        escape(fill)
    ))
}

/// A share with the interval in which it lies, on a line from nothing to all.
#[must_use]
pub fn interval(share: Option<f64>, low: Option<f64>, high: Option<f64>) -> Html {
    let (Some(share), Some(low), Some(high)) = (share, low, high) else { return Html::default() };
    Html(format!(
        r#"<svg class="interval" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="all" y="3" width="100" height="4" rx="2"/><rect class="fill-accent" x="{:.1}" y="3" width="{:.1}" height="4" rx="2" opacity=".45"/><rect class="fill-accent" x="{:.1}" width="2.4" height="10" rx="1"/></svg>"#,
        low * 100.0,
        ((high - low) * 100.0).max(1.0),
        (share * 97.6)
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

/// The next round number of which the half is whole: little more than the most, so that bars fill their chart.
fn nice(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for times in [2, 3, 4, 6, 8, 10] {
            let candidate = power.saturating_mul(times);
            if candidate >= most && (candidate.is_multiple_of(2) || candidate == u64::MAX) {
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
            (7, 8),
            (9, 10),
            (22, 30),
            (11, 20),
            (99, 100),
            (101, 200),
            (250, 300),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(nice(most), top, "{most}");
        }
    }

    #[test]
    fn fewer_bars_say_the_same_in_all() {
        let bar = |n| Bar {
            title: format!("{n}"),
            label: if n == 3 { "x".to_owned() } else { String::new() },
            parts: vec![n, 1],
            hours: Some((format!("{n}:00"), 1)),
        };
        let all: Vec<Bar> = (0..10).map(bar).collect();
        let merged = fewer(&all, 4);
        assert_eq!(merged.len(), 4);
        assert_eq!(merged.iter().map(|b| b.parts[0]).sum::<u64>(), 45);
        assert_eq!(merged[1].hours, Some(("3:00".to_owned(), 3)));
        assert_eq!((merged[1].title.as_str(), merged[1].label.as_str()), ("3", "x"));
    }

    #[test]
    fn a_little_is_seen_and_nothing_is_not() {
        let bar =
            |parts: [u64; 2]| Bar { title: "<now>".to_owned(), parts: parts.to_vec(), ..Bar::default() };
        let chart = bars("calls", &SERIES, &[bar([1_000_000, 1]), bar([0, 0])], (720, 160)).0;
        assert_eq!(chart.matches("fill-bad").count(), 1);
        assert!(chart.contains(r#"height="1.5""#) && chart.contains("&lt;now&gt;"));
        assert!(bars("none", &SERIES, &[], (720, 160)).0.ends_with("</svg>"));
    }
}
