//! `tappass people`: who belongs to the organisation, and as what.

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::Format,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    prompt, safe,
    table::{Table, cell},
};

/// The organisation's people, their roles and invitations
#[derive(Debug, Subcommand)]
pub enum People {
    /// Everyone, and as what
    List {
        /// Show the invitations that are open instead
        #[arg(long)]
        invited: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Invite someone, by mail where the server sends any; else the link's token is printed once
    Invite {
        /// Their e-mail address
        email: String,
        /// As what
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Take an invitation back
    Uninvite {
        /// Its id, from `tappass people list --invited`
        invitation: String,
    },
    /// Give someone another role
    Role {
        /// Their e-mail address or id
        who: String,
        /// At most your own
        #[arg(value_enum)]
        role: Role,
    },
    /// Remove someone; their sessions, personal tokens and developer keys here end at once
    Remove {
        /// Their e-mail address or id
        who: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let someone set a new password, by a mailed link; without mail its token is printed once
    Reset {
        /// Their e-mail address or id
        who: String,
        /// Remove their second factor too: the phone is lost, and the recovery codes
        #[arg(long)]
        second_factor: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Someone's sessions in this organisation
    Sessions {
        /// Their e-mail address or id
        who: String,
        /// End all of them, and their personal tokens
        #[arg(long)]
        end: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
}

/// What a person may do, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Role {
    /// Runs the platform, across organisations
    PlatformAdmin,
    /// Governs the organisation
    OrgAdmin,
    /// Registers and runs agents
    Developer,
    /// Reads all, changes nothing
    Auditor,
    /// Sees what is theirs
    Member,
}

impl Role {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl People {
    pub(crate) async fn run(self, client: &Client, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::List { invited: false, format } => list(client, format, out).await?,
            Self::List { invited: true, format } => invitations(client, format, out).await?,
            Self::Invite { email, role, format } => invite(client, &email, role, format, out).await?,
            Self::Uninvite { invitation } => {
                client.call(Method::DELETE, &["invitations", &invitation], &[], None).await?;
                out.note("the invitation is taken back");
            }
            Self::Role { who, role } => {
                let id = find(client, &who).await?;
                let body = json!({"role": role.name()});
                let now = client.call(Method::PATCH, &["people", &id], &[], Some(&body)).await?;
                let email = safe::text(&cell(&now, "email"));
                out.note(&format!("{email} is {} from now on", safe::text(&cell(&now, "role"))));
            }
            Self::Remove { who, yes } => {
                let id = find(client, &who).await?;
                let name = safe::text(&who);
                if !yes {
                    prompt::confirm(&format!("Remove {name} from the organisation?"), "--yes")?;
                }
                client.call(Method::DELETE, &["people", &id], &[], None).await?;
                out.note(&format!("{name} is removed"));
            }
            Self::Reset { who, second_factor, format } => {
                let id = find(client, &who).await?;
                let body = json!({"second_factor": second_factor});
                let made = client.post(&["people", &id, "reset"], &body).await?;
                if format.json {
                    out.json(&made)?;
                } else if !mailed(&made, out) {
                    let until = safe::text(&cell(&made, "expires_at"));
                    out.note(&format!(
                        "for {} alone, good once until {until}:",
                        safe::text(&cell(&made, "email"))
                    ));
                    out.note("with it, `tappass login --reset` sets a new password");
                    out.line(&safe::text(&cell(&made, "token")))?;
                }
            }
            Self::Sessions { who, end, format } => sessions(client, &who, end, format, out).await?,
        }
        Ok(Exit::Done)
    }
}

async fn list(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let people = client.list(&["people"], &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(people))?);
    }
    let mut table = Table::new(["e-mail", "role", "since", "id"]);
    for person in &people {
        table.row(["email", "role", "created_at", "user_id"].map(|field| cell(person, field)));
    }
    Ok(out.table(&table, "nobody yet; `tappass people invite EMAIL` asks someone in")?)
}

async fn invitations(client: &Client, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let open = client.list(&["invitations"], &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(open))?);
    }
    let mut table = Table::new(["e-mail", "role", "invited by", "until", "id"]);
    for one in &open {
        table.row(
            ["email", "role", "invited_by", "expires_at", "invitation_id"].map(|field| cell(one, field)),
        );
    }
    Ok(out.table(&table, "no invitation is open")?)
}

async fn invite(
    client: &Client,
    email: &str,
    role: Role,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<()> {
    let made = client.post(&["invitations"], &json!({"email": email, "role": role.name()})).await?;
    if format.json {
        return Ok(out.json(&made)?);
    }
    if mailed(&made, out) {
        return Ok(());
    }
    let (email, until) = (safe::text(&cell(&made, "email")), safe::text(&cell(&made, "expires_at")));
    out.note(&format!("{email} is invited as {}; for them alone, good once until {until}:", role.name()));
    out.note(&format!(
        "with it, `tappass login --invitation --server {}` lets them in",
        client.settings().url
    ));
    Ok(out.line(&safe::text(&cell(&made, "token")))?)
}

async fn sessions(
    client: &Client,
    who: &str,
    end: bool,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<()> {
    let id = find(client, who).await?;
    let path = ["people", &id, "sessions"];
    if end {
        client.call(Method::DELETE, &path, &[], None).await?;
        out.note(&format!("{} is signed out everywhere in this organisation", safe::text(who)));
        return Ok(());
    }
    let sessions = client.list(&path, &[]).await?;
    if format.json {
        return Ok(out.json(&Value::Array(sessions))?);
    }
    let mut table = Table::new(["begun", "from", "by", "until", "id"]);
    for one in &sessions {
        table.row(["created_at", "from", "proof", "expires_at", "session_id"].map(|field| cell(one, field)));
    }
    Ok(out.table(&table, "not signed in")?)
}

/// Whether the link went out by mail, which is said; also why it did not where it should have.
fn mailed(made: &Value, out: &mut Out) -> bool {
    if let Some(why) = made.get("mail_error").and_then(Value::as_str) {
        out.warn(&format!("not mailed: {}", safe::text(why)));
    }
    let mailed = made.get("mailed").and_then(Value::as_bool).unwrap_or_default();
    if mailed {
        let (email, until) = (safe::text(&cell(made, "email")), safe::text(&cell(made, "expires_at")));
        out.note(&format!("the link is on its way to {email}, good once until {until}"));
    }
    mailed
}

/// A person's id, from that or from their address.
async fn find(client: &Client, who: &str) -> anyhow::Result<String> {
    if !who.contains('@') {
        return Ok(who.to_owned());
    }
    let people = client.list(&["people"], &[]).await?;
    let same = |person: &&Value| cell(person, "email").to_lowercase() == who.trim().to_lowercase();
    people.iter().find(same).map(|person| cell(person, "user_id")).ok_or_else(|| {
        let what = format!("nobody here has the address {}", safe::text(who));
        CliError::failed(what).mend("`tappass people list` shows everyone").into()
    })
}
