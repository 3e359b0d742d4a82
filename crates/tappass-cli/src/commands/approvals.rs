//! `tappass approvals`: what waits for a person, and the decision.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    error::Exit,
    output::{
        Out,
        style::{BOLD, RESET},
    },
    safe,
    table::{Table, cell},
};

/// The human in the loop
#[derive(Debug, Subcommand)]
pub enum Approvals {
    /// What waits for somebody, the newest first
    List(List),
    /// One of them, with all that was asked
    Show {
        /// Its id
        approval: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Let the call go on, once
    Approve(Decision),
    /// Say no
    Deny(Decision),
}

/// `tappass approvals list`
#[derive(Debug, Args)]
pub struct List {
    /// Those in this state
    #[arg(long, value_enum, default_value_t = State::Pending)]
    state: State,
    /// How it is printed.
    #[command(flatten)]
    format: Format,
}

/// A decision.
#[derive(Debug, Args)]
pub struct Decision {
    /// The approval's id
    approval: String,
    /// Why; the agent is told, and the audit log keeps it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

/// Where an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Nobody has decided
    Pending,
    /// May be used once, or has been
    Approved,
    /// Somebody said no
    Denied,
    /// Its time was over
    #[value(name = "timed_out")]
    TimedOut,
    /// The agent took it back
    Cancelled,
    /// All of them
    All,
}

impl Approvals {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::List(list) => list.run(client, out).await?,
            Self::Show { approval, format } => show(client, &approval, format, out).await?,
            Self::Approve(decision) => decision.run("approve", client, out).await?,
            Self::Deny(decision) => decision.run("deny", client, out).await?,
        }
        Ok(Exit::Done)
    }
}

impl List {
    async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let name = self.state.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
        let query = if self.state == State::All { Vec::new() } else { vec![("state", name)] };
        let approvals = client.list(&["admin", "approvals"], &query).await?;
        if self.format.json {
            return Ok(out.json(&Value::Array(approvals))?);
        }
        let mut table = Table::new(["id", "agent", "what", "rule", "until", "state"]).spare(&[3, 5]);
        for approval in &approvals {
            table.row(
                ["approval_id", "agent_id", "summary", "rule", "expires_at", "state"]
                    .map(|field| cell(approval, field)),
            );
        }
        let none = match self.state {
            State::Pending => "nothing waits for anybody; --state all shows what was decided",
            _ => "there is none",
        };
        Ok(out.table(&table, none)?)
    }
}

async fn show(client: &Client, approval: &str, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let approval = client.get(&["admin", "approvals", approval], &[]).await?;
    if format.json {
        return Ok(out.json(&approval)?);
    }
    let whole = ["tool_call", "request"];
    let mut table = Table::new(["field", "value"]);
    let fields = approval.as_object().into_iter().flatten();
    for (field, value) in fields.filter(|(k, v)| !v.is_null() && *v != "" && !whole.contains(&k.as_str())) {
        table.row([field.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
    }
    out.table(&table, "nothing is known about it")?;
    for part in whole {
        let Some(value) = approval.get(part).filter(|v| !v.is_null()) else { continue };
        out.line("")?;
        out.line(&format!("{BOLD}{}{RESET}", part.replace('_', " ")))?;
        out.line(&safe::json(&format!("{value:#}")))?;
    }
    Ok(())
}

impl Decision {
    async fn run(self, decision: &str, client: &Client, out: &mut Out) -> anyhow::Result<()> {
        let body = json!({"decision": decision, "reason": self.reason});
        let decided = client.post(&["admin", "approvals", &self.approval, "decide"], &body).await?;
        let get = |field| safe::text(&cell(&decided, field));
        let said = if decision == "approve" {
            format!("approved: the call of {} may go on, once, until {}", get("agent_id"), get("expires_at"))
        } else {
            format!("denied: the call of {} may not go on", get("agent_id"))
        };
        out.note(&said);
        Ok(())
    }
}
