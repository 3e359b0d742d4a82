//! `tappass license`: shown by a server, verified and issued without one.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tappass_identity::{
    Zeroizing,
    license::{License, PUBLIC_KEY, public_key, public_key_text, signing_key},
};
use tappass_model::{Clock as _, Ids as _, SystemClock, SystemIds};

use super::connect;
use crate::{
    args::{Format, Target},
    error::{CliError, Exit},
    output::Out,
    safe, settings,
    table::{Table, cell},
};

/// The licence: shown, verified, issued
#[derive(Debug, Subcommand)]
pub enum Licenses {
    /// The licence of the server, and how it stands
    Show(Format),
    /// What a licence says, once its signature holds; without a server
    Verify {
        /// The file with the licence; - for stdin [default: the environment variable TAPPASS_LICENSE]
        file: Option<PathBuf>,
        /// The key that it is signed for [env: TAPPASS_LICENSE_PUBLIC_KEY] [default: the program's own]
        #[arg(long, value_name = "BASE64")]
        public_key: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Sign a licence, for the holder of the signing key
    Issue(Issue),
}

/// `tappass license issue`
#[derive(Debug, Args)]
pub struct Issue {
    /// The file with the signing key, as `openssl genpkey -algorithm ed25519 -out FILE` writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Whose licence it is
    #[arg(long, value_name = "NAME")]
    customer: String,
    /// What they have
    #[arg(long, value_name = "NAME")]
    plan: String,
    /// How many agents may be registered [default: any number]
    #[arg(long, value_name = "N")]
    agents: Option<u64>,
    /// What is named beside the plan, with commas between
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    features: Vec<String>,
    /// The last day, in UTC: 2027-12-31
    #[arg(long, value_name = "DATE")]
    expires: jiff::civil::Date,
}

impl Licenses {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::Show(format) => {
                let license = connect(target, out)?.get(&["admin", "license"], &[]).await?;
                print(&license, format, out)?;
            }
            Self::Verify { file, public_key, format } => verify(file.as_deref(), public_key, format, out)?,
            Self::Issue(issue) => issue.run(out)?,
        }
        Ok(Exit::Done)
    }
}

impl Issue {
    fn run(self, out: &mut Out) -> anyhow::Result<()> {
        let path = self.key.display().to_string();
        let pem = std::fs::read_to_string(&self.key).with_context(|| format!("cannot read {path}"))?;
        let key = signing_key(&Zeroizing::new(pem)).ok_or_else(|| {
            CliError::usage(format!("{path} holds no Ed25519 private key in PEM"))
                .mend("make one with: openssl genpkey -algorithm ed25519 -out FILE")
        })?;
        // To the end of that day.
        let end = self.expires.tomorrow().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
        let exp = end.map_err(|e| CliError::usage(format!("--expires: {e}")))?.timestamp().as_second();
        let now = SystemClock.now().as_second();
        if exp <= now {
            return Err(CliError::usage("--expires is over already").into());
        }
        let (customer, plan) = (self.customer.trim().to_owned(), self.plan.trim().to_owned());
        if customer.is_empty() || plan.is_empty() {
            return Err(CliError::usage("--customer and --plan must not be empty").into());
        }
        let Self { agents, features, .. } = self;
        let license = License { jti: SystemIds.uuid(), customer, plan, agents, features, iat: now, exp };
        out.note(&format!(
            "signed for the public key {}, which servers know as TAPPASS_LICENSE_PUBLIC_KEY where it is not the program's own",
            public_key_text(&key)
        ));
        Ok(out.line(&license.issue(&key))?)
    }
}

fn verify(file: Option<&Path>, key: Option<String>, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let text = match file {
        Some(file) if file == Path::new("-") => {
            let mut text = String::new();
            io::stdin().lock().take(64 * 1024).read_to_string(&mut text).context("cannot read stdin")?;
            text
        }
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => settings::env("TAPPASS_LICENSE").ok_or_else(|| {
            CliError::usage("there is no licence to verify").mend("name a file, or set TAPPASS_LICENSE")
        })?,
    };
    let key = key.or_else(|| settings::env("TAPPASS_LICENSE_PUBLIC_KEY"));
    let key = public_key(key.as_deref().unwrap_or(PUBLIC_KEY)).map_err(|e| CliError::usage(e.to_string()))?;
    let license = License::read(&text, &key).map_err(|e| CliError::failed(e.to_string()))?;
    let view = json!({"customer": license.customer, "plan": license.plan, "agents": license.agents,
        "features": license.features, "expires_at": license.expires_at().to_string()});
    print(&view, format, out)?;
    if license.expires_at() <= SystemClock.now() {
        out.warn("it has expired");
    }
    Ok(())
}

fn print(license: &Value, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format.json {
        return Ok(out.json(license)?);
    }
    let mut table = Table::new(["field", "value"]);
    for field in ["standing", "detail", "customer", "plan", "expires_at", "registered"] {
        if !license[field].is_null() {
            table.row([field.to_owned(), safe::text(&cell(license, field))]);
        }
    }
    table.row([
        "agents".to_owned(),
        license["agents"].as_u64().map_or_else(|| "any number".to_owned(), |n| n.to_string()),
    ]);
    let features: Vec<&str> =
        license["features"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !features.is_empty() {
        table.row(["features".to_owned(), features.join(", ")]);
    }
    Ok(out.table(&table, "nothing is known about it")?)
}
