//! `tappass account`: one's own password and second factor.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    error::Exit,
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// Your own account: password and second factor
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Change your password; your other sessions end
    Password,
    /// Your second factor: codes of an authenticator app
    #[command(subcommand, name = "2fa")]
    SecondFactor(SecondFactor),
}

/// `tappass account 2fa`
#[derive(Debug, Subcommand)]
pub enum SecondFactor {
    /// Whether there is one, and how many recovery codes are left
    Status(Format),
    /// Set one up: prints the app's secret, asks for its first code, prints the recovery codes; each once
    Enrol,
    /// Get new recovery codes; those before work no more
    RecoveryCodes,
    /// Remove it
    Disable,
}

impl Account {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::Password => {
                let current = prompt::secret("The password in use", false)?;
                let new = prompt::secret("New password", true)?;
                let body = json!({"current_password": current, "new_password": new});
                client.post(&["auth", "password"], &body).await?;
                out.note("the password is changed; your other sessions have ended");
            }
            Self::SecondFactor(SecondFactor::Status(format)) => status(client, format, out).await?,
            Self::SecondFactor(SecondFactor::Enrol) => enrol(client, out).await?,
            Self::SecondFactor(SecondFactor::RecoveryCodes) => {
                let body = json!({"password": prompt::secret("Password", false)?});
                let done = client.post(&["auth", "second-factor", "recovery-codes"], &body).await?;
                out.note("each of these signs in once in place of a code, keep them safe; those before work no more:");
                print_codes(&done, out)?;
            }
            Self::SecondFactor(SecondFactor::Disable) => {
                let body = json!({"password": prompt::secret("Password", false)?});
                client.post(&["auth", "second-factor", "disable"], &body).await?;
                out.note("the second factor is removed");
            }
        }
        Ok(Exit::Done)
    }
}

async fn status(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let factor = client.call(Method::GET, &["auth", "second-factor"], &[], None).await?;
    if format.json {
        return Ok(out.json(&factor)?);
    }
    let mut table = Table::new(["enabled", "since", "recovery codes left"]);
    table.row(["enabled", "confirmed_at", "recovery_codes_left"].map(|field| cell(&factor, field)));
    Ok(out.table(&table, "")?)
}

async fn enrol(client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let body = json!({"password": prompt::secret("Password", false)?});
    let begun = client.post(&["auth", "second-factor"], &body).await?;
    out.note("add this secret to your authenticator app, by hand or as a QR code of the address below it:");
    out.line(&safe::text(&cell(&begun, "secret")))?;
    out.line(&safe::text(&cell(&begun, "uri")))?;
    let code = prompt::secret("The code that it shows", false)?;
    let done = client.post(&["auth", "second-factor", "confirm"], &json!({"code": code})).await?;
    out.note("the second factor is set up; each of these signs in once in place of a code, keep them safe:");
    print_codes(&done, out)
}

fn print_codes(done: &Value, out: &mut Out) -> anyhow::Result<()> {
    for code in done.get("recovery_codes").and_then(Value::as_array).into_iter().flatten() {
        out.line(&safe::text(code.as_str().unwrap_or_default()))?;
    }
    Ok(())
}
