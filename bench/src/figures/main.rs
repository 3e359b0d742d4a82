//! How quickly the dashboard's figures are read at a million audit events on the embedded database.
//!
//! `cargo run --release -p tappass-bench --bin figures`; what the figures mean is in `bench/README.md`. Nothing is
//! asserted of any time: a run fails only when an answer does.

#![expect(clippy::print_stdout, reason = "what it measured is what it prints")]

mod fill;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use clap::Parser;
use http::{Request, header};
use http_body_util::BodyExt as _;
use tappass_server::{App, Config, Gateway, Setup, Storage, insight::fold_all};

/// Fills an embedded database with audit events and measures pages and routes over it.
#[derive(Parser)]
struct Arguments {
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 40)]
    rounds: usize,
}

const ADMIN: &str = "figures-Zk4WvT9rQx2LmB7cYd1HsN8pGf3J";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dir = tempfile::tempdir()?;
    let config =
        Config { port: 0, storage: Storage::Local, data_dir: dir.path().to_owned(), ..Config::default() };
    let env = |name: &str| (name == "TAPPASS_ADMIN_API_KEY").then(|| ADMIN.to_owned());
    let setup = Setup { env: std::sync::Arc::new(env), ..Setup::new(config) };
    let app = Box::pin(App::open(setup)).await?.0;

    let started = Instant::now();
    let sample = fill::fill(&app, arguments.events).await?;
    println!("| filling {} events | {:.0} s |", arguments.events, started.elapsed().as_secs_f64());
    let started = Instant::now();
    fold_all(&app).await?;
    let took = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = arguments.events as f64 / took;
    println!("| counting them | {took:.0} s, {rate:.0} events/s |");
    let file = tokio::fs::metadata(dir.path().join("tappass.db")).await?;
    println!("| the database | {} MB |\n", file.len() / 1_000_000);

    let gateway = Gateway::new(app);
    let (agent, event, deep, past) = (&sample.agent, &sample.event, &sample.deep, &sample.past);
    println!("| asked for | median ms | p95 | most | first | KB |\n|---|---|---|---|---|---|");
    for path in [
        "/insight/overview?window=24h".to_owned(),
        "/insight/overview?window=7d".to_owned(),
        "/insight/overview?window=30d".to_owned(),
        format!("/insight/overview?window=30d&agent_id={agent}"),
        "/insight/readiness?window=7d".to_owned(),
        "/insight/readiness?window=30d".to_owned(),
        format!("/insight/readiness?window=30d&examples=50&agent_id={agent}"),
        format!("/insight/readiness/{agent}/enforce"),
        "/audit".to_owned(),
        format!("/audit?agent_id={agent}"),
        "/audit?event_type=llm_call_blocked".to_owned(),
        "/audit?action=block".to_owned(),
        format!("/audit?agent_id={agent}&action=block"),
        "/audit?event_type=signin_failed".to_owned(),
        format!("/audit?until={past}"),
        format!("/audit?since={past}&event_type=llm_call_blocked"),
        format!("/audit?agent_id={agent}&until={past}"),
        format!("/audit?cursor={deep}"),
        format!("/audit/{event}"),
        format!("/audit/{event}/explain"),
        "/app?window=7d".to_owned(),
        "/app?window=30d".to_owned(),
        "/app/readiness?window=7d".to_owned(),
        "/app/readiness?window=30d".to_owned(),
        "/app/audit".to_owned(),
        format!("/app/calls/{event}"),
    ] {
        measure(&gateway, &path, arguments.rounds).await?;
    }
    Ok(())
}

async fn measure(gateway: &Gateway, path: &str, rounds: usize) -> Result<()> {
    let mut took = Vec::with_capacity(rounds);
    let mut size = 0;
    for _ in 0..rounds.max(2) {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {ADMIN}"));
        let started = Instant::now();
        let answer = gateway.call(request.body(Body::empty())?).await;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        took.push(started.elapsed());
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        size = body.len();
    }
    let first = *took.first().context("a round")?;
    took.sort_unstable();
    let at = |share: usize| took.get((took.len() - 1) * share / 100).copied().unwrap_or_default();
    let ms = |d: Duration| format!("{:.1}", d.as_secs_f64() * 1e3);
    // Ids and times change with each run.
    let shown: String = path.chars().take(64).collect();
    println!(
        "| `{shown}` | {} | {} | {} | {} | {} |",
        ms(at(50)),
        ms(at(95)),
        ms(at(100)),
        ms(first),
        size / 1000
    );
    Ok(())
}
