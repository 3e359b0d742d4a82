//! `/app`: what the agents did, and what is new.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::State, response::Response};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    dashboard::{
        Viewer, assets,
        chart::{self, Bar, Series},
        format::{self, Html},
        page::{self, Shell},
    },
    error::ApiError,
    insight::{
        WindowView,
        overview::{Overview, Point, overview},
    },
    params::Params,
    routes::insight::OverviewQuery,
    state::App,
};

/// The windows that the page offers: what is asked for, and how it is said.
pub(super) const WINDOWS: [(&str, &str); 3] = [("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")];

const OUTCOMES: [Series; 4] = [
    Series { name: "passed", fill: "calls" },
    Series { name: "masked", fill: "info" },
    Series { name: "enforce would have refused", fill: "warn" },
    Series { name: "refused", fill: "bad" },
];
/// Bars in a narrow chart.
const SLIM: usize = 42;
const FINDINGS: [Series; 1] = [Series { name: "findings", fill: "info" }];
const TOKENS: [Series; 1] = [Series { name: "tokens", fill: "accent" }];

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    from: String,
    o: Overview,
    /// How the window is said: `7 days`.
    span: String,
    windows: [(&'static str, &'static str); 3],
    agents: Vec<String>,
    /// What the filters say, as it stands in addresses.
    filters: String,
    tiles: Vec<Tile>,
    outcomes: (Html, Html),
    legend: Html,
    findings: Html,
    tokens: Html,
    /// Whether anything has been called, now or in the window before.
    quiet: bool,
    base_url: String,
    may_register: bool,
}

impl OverviewPage {
    /// The kinds of findings that are new, each once, with the steps that find it.
    fn new_kinds(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for found in &self.o.new.kinds {
            let kind = if found.kind.is_empty() { &found.step } else { &found.kind };
            kinds.entry(kind).or_default().push(&found.step);
        }
        kinds
    }
}

/// One figure, beside that of the window before.
struct Tile {
    name: &'static str,
    value: String,
    change: String,
    note: String,
    href: String,
    line: Html,
}

/// The overview.
///
/// # Errors
/// 400 for a window that is none.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Params(query): Params<OverviewQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let window = WindowView::parse(query.window.as_deref(), app.clock.now())?;
    let agent = query.agent_id.as_deref().filter(|agent| !agent.is_empty());
    let from = super::log_end(&app, org).await?;
    let o = overview(&app.store, org, window, agent).await?;
    let filters = match agent {
        Some(agent) => format!("window={}&agent_id={agent}", o.window.name),
        None => format!("window={}", o.window.name),
    };
    page::show(&OverviewPage {
        shell: viewer.shell("/app"),
        from,
        span: said(&o.window.name),
        windows: WINDOWS,
        agents: super::agent_ids(&app, org).await?,
        tiles: tiles(&o, &filters),
        outcomes: outcomes(&o),
        legend: chart::legend(&OUTCOMES),
        findings: simple(&o, "Findings over time", &FINDINGS, |p| p.findings),
        tokens: simple(&o, "Tokens over time", &TOKENS, |p| p.tokens),
        quiet: o.totals.calls + o.before.calls == 0,
        base_url: app.base_url(),
        may_register: viewer.develops(),
        filters,
        o,
    })
}

/// A window in words.
pub(super) fn said(name: &str) -> String {
    let known = WINDOWS.iter().find(|(asked, _)| *asked == name);
    known.map_or_else(|| name.to_owned(), |(_, said)| (*said).to_owned())
}

fn tiles(o: &Overview, filters: &str) -> Vec<Tile> {
    let (now, before) = (&o.totals, &o.before);
    let of =
        |pick: fn(&Point) -> u64, fill| chart::spark(&o.series.iter().map(pick).collect::<Vec<_>>(), fill);
    let change = |now, before| if o.comparable { change(now, before) } else { String::new() };
    let counted = |name, n: u64, was: u64, note: String, href: String, line| Tile {
        name,
        value: format::short(&n),
        change: change(as_float(n), as_float(was)),
        note,
        href,
        line,
    };
    let readiness = format!("/app/readiness?{filters}");
    let share = |part: u64| format::percent(&(as_float(part) / as_float(now.calls.max(1))));
    let gateway = now.gateway_ms.p50.zip(before.gateway_ms.p50);
    vec![
        counted(
            "Calls",
            now.calls,
            before.calls,
            errors(now.errors),
            format!("/app/audit{}", audit(o)),
            of(|p| p.calls, "calls"),
        ),
        counted(
            "Findings",
            now.findings,
            before.findings,
            format!("in {} of calls", share(now.flagged)),
            "#steps".to_owned(),
            of(|p| p.findings, "info"),
        ),
        counted(
            "Would be refused",
            now.would_block,
            before.would_block,
            format!("{} of calls, by enforce", share(now.would_block)),
            readiness.clone(),
            of(|p| p.would_block, "warn"),
        ),
        counted(
            "Refused",
            now.blocked,
            before.blocked,
            format!("{} of calls", share(now.blocked)),
            readiness,
            of(|p| p.blocked, "bad"),
        ),
        Tile {
            name: "Cost",
            value: format::dollars(&now.cost_usd),
            change: change(now.cost_usd, before.cost_usd),
            note: format!("{} tokens", format::short(&(now.tokens_in + now.tokens_out))),
            href: "#models".to_owned(),
            line: of(|p| micro(p.cost_usd), "accent"),
        },
        Tile {
            name: "Gateway time",
            value: format::millis(&now.gateway_ms.p50),
            change: gateway.map(|(now, before)| change(now, before)).unwrap_or_default(),
            note: match now.upstream_ms.p50 {
                Some(_) => format!("median; provider {}", format::millis(&now.upstream_ms.p50)),
                None => "no provider was called".to_owned(),
            },
            href: "#models".to_owned(),
            line: Html::default(),
        },
    ]
}

fn errors(n: u64) -> String {
    match n {
        0 => "no provider errors".to_owned(),
        1 => "1 provider error".to_owned(),
        n => format!("{} provider errors", format::short(&n)),
    }
}

/// The audit trail's filter that shows the same agent's calls.
fn audit(o: &Overview) -> String {
    o.agent_id.as_ref().map(|agent| format!("?agent_id={agent}")).unwrap_or_default()
}

/// `+12 %`, `−3 %`, `new`; nothing where nothing was and is.
pub(super) fn change(now: f64, before: f64) -> String {
    if before == 0.0 {
        return if now == 0.0 { String::new() } else { "new".to_owned() };
    }
    let percent = (now / before - 1.0) * 100.0;
    match percent {
        p if p.abs() < 0.5 => "±0 %".to_owned(),
        p if p >= 1000.0 => format!("×{:.0}", now / before),
        p if p > 0.0 => format!("+{p:.0} %"),
        p => format!("−{:.0} %", p.abs()),
    }
}

/// For wide windows and for narrow ones.
fn outcomes(o: &Overview) -> (Html, Html) {
    let parts = |p: &Point| {
        let rest = p.calls.saturating_sub(p.masked + p.would_block + p.blocked);
        vec![rest, p.masked, p.would_block, p.blocked]
    };
    let (name, bars) = ("Calls over time, by what came of them", bars(o, parts));
    (
        chart::bars(name, &OUTCOMES, &bars, (1100, 220)),
        chart::bars(name, &OUTCOMES, &chart::fewer(&bars, SLIM), (360, 190)),
    )
}

fn simple(o: &Overview, name: &str, series: &[Series], pick: fn(&Point) -> u64) -> Html {
    chart::bars(name, series, &chart::fewer(&bars(o, |p| vec![pick(p)]), SLIM), (360, 150))
}

/// A bar for each point. Where there are many, a label stands at each day, or every fifth. Hours are told in UTC, and by
/// `static/app.js` in the zone of who looks; days are those of UTC.
fn bars(o: &Overview, parts: impl Fn(&Point) -> Vec<u64>) -> Vec<Bar> {
    let hourly = o.slot_seconds < 86_400;
    let bar = |(i, point): (usize, &Point)| {
        let at: Timestamp = point.at.parse().unwrap_or_default();
        let at = at.to_zoned(TimeZone::UTC);
        let label = match (hourly, o.series.len()) {
            (true, ..=24) => (at.hour() % 3 == 0).then(|| at.strftime("%H:%M").to_string()),
            (true, _) => (at.hour() == 0).then(|| at.strftime("%a %-d").to_string()),
            (false, n) => {
                ((n - 1 - i).is_multiple_of(n.div_ceil(7))).then(|| at.strftime("%-d %b").to_string())
            }
        };
        Bar {
            hours: if hourly { Some((point.at.clone(), 1)) } else { None },
            title: at.strftime(if hourly { "%a %-d %b, %H:%M UTC" } else { "%a %-d %b" }).to_string(),
            label: label.unwrap_or_default(),
            parts: parts(point),
        }
    };
    o.series.iter().enumerate().map(bar).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for a line of forty pixels")]
fn micro(usd: f64) -> u64 {
    (usd * 1e6) as u64
}

#[expect(clippy::cast_precision_loss, reason = "a share, to a tenth of a percent")]
pub(super) const fn as_float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::change;

    #[test]
    fn a_change_is_said_against_the_window_before() {
        assert_eq!([change(0.0, 0.0), change(3.0, 0.0), change(112.0, 100.0)], ["", "new", "+12 %"]);
        assert_eq!(
            [change(97.0, 100.0), change(100.1, 100.0), change(2000.0, 100.0)],
            ["−3 %", "±0 %", "×20"]
        );
    }
}
