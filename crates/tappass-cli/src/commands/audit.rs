//! `tappass audit`: verify the log, take it away, seal it.

use std::{
    fs::File,
    io::{self, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use tappass_audit::{Expect, verify_export};

use super::connect;
use crate::{
    args::{Format, Target},
    client::Client,
    error::{CliError, Exit},
    output::Out,
    safe,
    table::cell,
};

/// Verify, export and seal the audit log
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Verify the chain and the signatures: on the server, or an export without one
    Verify(Verify),
    /// The whole log as JSON Lines, with all that is needed to verify it anywhere
    Export(Export),
    /// Sign the log's state now
    Checkpoint(Format),
}

/// `tappass audit verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Verify this export, here; needs no server
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// The key that must have signed it, base64, got on another way than the export; may be repeated
    #[arg(long, value_name = "KEY", requires = "export")]
    public_key: Vec<String>,
    /// A state seen before, which the log must have been in; with --export it may be repeated
    #[arg(long, value_name = "SIZE:ROOT")]
    expect: Vec<Expect>,
    #[command(flatten)]
    format: Format,
}

/// `tappass audit export`
#[derive(Debug, Args)]
pub struct Export {
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Audit {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::Verify(verify) => verify.run(target, out).await,
            Self::Export(export) => export.run(&connect(target, out)?, out).await,
            Self::Checkpoint(format) => checkpoint(&connect(target, out)?, format, out).await,
        }
    }
}

impl Verify {
    async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        let unsigned = self.export.is_some() && self.public_key.is_empty();
        let report = match self.export {
            Some(path) => offline(path, self.public_key, self.expect).await?,
            None if self.expect.len() > 1 => {
                return Err(CliError::usage("the server compares with one state")
                    .mend("give --expect once, or --export FILE")
                    .into());
            }
            None => {
                let query: Vec<_> = self.expect.iter().map(|e| ("expect", e.to_string())).collect();
                connect(target, out)?.patiently(Method::GET, &["audit", "verify"], &query, None).await?
            }
        };
        let intact = report.get("ok").and_then(Value::as_bool).unwrap_or(false);
        if self.format.json {
            out.json(&report)?;
        } else {
            tell(&report, intact, out)?;
        }
        if unsigned && intact {
            let key = safe::text(&cell(&report, "public_key"));
            out.warn(&format!(
                "the signatures are by the key that the export itself names, {key}: compare it with \
                the gateway's, or give that with --public-key"
            ));
        }
        if intact { Ok(Exit::Done) } else { Ok(Exit::Integrity) }
    }
}

async fn offline(path: PathBuf, keys: Vec<String>, expect: Vec<Expect>) -> anyhow::Result<Value> {
    let verified = tokio::task::spawn_blocking(move || {
        let file =
            File::open(&path).map_err(|e| CliError::usage(format!("cannot read {}: {e}", path.display())))?;
        verify_export(BufReader::new(file), keys, expect).map_err(|e| {
            CliError::usage(format!("{}: {e}", path.display()))
                .mend("`tappass audit export -o FILE` makes one")
        })
    });
    Ok(serde_json::to_value(verified.await??)?)
}

/// The verdict for people: stdout for what holds, with what to keep; the damage too, for it is what was asked.
fn tell(report: &Value, intact: bool, out: &mut Out) -> io::Result<()> {
    let [events, checkpoints, tail] =
        ["events", "checkpoints", "unsealed_tail"].map(|f| safe::text(&cell(report, f)));
    if intact {
        out.line(&format!("signed by {}", safe::text(&cell(report, "public_key"))))?;
        out.line(&format!(
            "intact: {events} events, {checkpoints} signed checkpoints, {tail} events not signed yet"
        ))?;
        if let (Some(size), Some(root)) =
            (report.pointer("/sealed/size"), report.pointer("/sealed/root").and_then(Value::as_str))
        {
            out.line(&format!(
                "keep this to prove the next time that nothing was rolled back: --expect {size}:{}",
                safe::text(root)
            ))?;
        }
        return Ok(());
    }
    let [seq, id, reason] =
        ["seq", "event_id", "reason"].map(|f| safe::text(&cell(report, &format!("first_bad.{f}"))));
    out.line(&format!("BROKEN at event {seq} ({id}): {reason}"))?;
    out.line(&format!(
        "{events} events and {checkpoints} checkpoints were read; those before event {seq} hold"
    ))
}

impl Export {
    async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        let mut response = client.open(Method::GET, &["audit", "export"], &[]).await?;
        let Some(path) = self.output else {
            while let Some(piece) = response.chunk().await.context("the server broke off the export")? {
                out.bytes(&piece)?;
            }
            return Ok(Exit::Done);
        };
        let cannot = || format!("cannot write {}", path.display());
        let mut options = File::options();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&path).with_context(cannot)?;
        let mut size = 0;
        while let Some(piece) = response.chunk().await.context("the server broke off the export")? {
            file.write_all(&piece).with_context(cannot)?;
            size += piece.len();
        }
        file.sync_all().with_context(cannot)?;
        let path = path.display();
        out.note(&format!("{size} bytes in {path}; verify them with `tappass audit verify --export {path}`"));
        Ok(Exit::Done)
    }
}

async fn checkpoint(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let checkpoint = client.post(&["audit", "checkpoint"], &json!({})).await?;
    if format.json {
        out.json(&checkpoint)?;
    } else {
        let [size, root, time] = ["size", "root", "time"].map(|f| safe::text(&cell(&checkpoint, f)));
        out.line(&format!("signed {time}: {size} events, root {root}"))?;
    }
    Ok(Exit::Done)
}
