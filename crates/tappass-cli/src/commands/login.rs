//! `tappass signup`, `login` and `logout`: a person's session, kept in the configuration file.

use clap::Args;
use serde_json::{Value, json};

use super::{browser, find};
use crate::{
    args::Target,
    client::Client,
    error::{CliError, Exit},
    output::Out,
    prompt, safe, settings,
};

/// Make an account and an organisation
#[derive(Debug, Args)]
pub struct Signup {
    /// Your e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The organisation's name [default: what follows the @ of the address]
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
}

/// Sign in
#[derive(Debug, Args)]
pub struct Login {
    /// Your e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Accept an invitation: asks for its token, and for the password of your account, new or old
    #[arg(long, conflicts_with = "email")]
    invitation: bool,
    /// Set a new password first: asks for the token that was mailed to you, or that an admin gave you
    #[arg(long, conflicts_with = "invitation")]
    reset: bool,
    /// Sign in in a browser on this machine, with Google or another issuer that the gateway knows
    #[arg(long, value_name = "ISSUER", value_parser = ["google", "oidc"], conflicts_with_all = ["email", "invitation", "reset"])]
    with: Option<String>,
    /// Make an organisation of this name, if you have no account yet
    #[arg(long, value_name = "NAME", requires = "with")]
    org_name: Option<String>,
    /// You have forgotten your password: has a link mailed to you, then as --reset
    #[arg(long, conflicts_with_all = ["invitation", "reset", "with"])]
    forgotten: bool,
}

impl Signup {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        let client = nobody(target)?;
        let email = email(self.email)?;
        let password = prompt::secret("Password", true)?;
        let answer = sign_up(&client, &email, &password, self.org.as_deref()).await?;
        keep(&client, &answer, out)
    }
}

impl Login {
    pub(crate) async fn run(self, target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
        let client = nobody(target)?;
        if let Some(issuer) = &self.with {
            let answer = browser::sign_in(&client, issuer, self.org_name.as_deref(), out).await?;
            return keep(&client, &answer, out);
        }
        if self.invitation {
            let token = prompt::secret("The invitation's token", false)?;
            let password = prompt::secret("Password", false)?;
            let body = json!({"token": token, "password": password});
            let answer = with_code(&client, &["auth", "invitations", "accept"], body).await?;
            return keep(&client, &answer, out);
        }
        let mut address = self.email;
        if self.forgotten {
            let to = email(address)?;
            client.post(&["auth", "password", "forgotten"], &json!({"email": to})).await?;
            out.note("where there is an account of that address, a link is on its way to it");
            address = Some(to);
        }
        if self.reset || self.forgotten {
            let token = prompt::secret("The link's token", false)?;
            let password = prompt::secret("New password", true)?;
            let body = json!({"token": token, "new_password": password});
            client.post(&["auth", "password", "reset"], &body).await?;
            out.note("the password is set, and everything that was signed in has ended");
        }
        let email = email(address)?;
        let password = prompt::secret("Password", false)?;
        let answer = sign_in(&client, &email, &password).await?;
        keep(&client, &answer, out)
    }
}

/// Makes an account with an organisation: the session.
pub(super) async fn sign_up(
    client: &Client,
    email: &str,
    password: &str,
    org: Option<&str>,
) -> Result<Value, CliError> {
    let org = org.unwrap_or_else(|| email.rsplit('@').next().unwrap_or(email));
    let body = json!({"email": email, "password": password, "org_name": org});
    client.post(&["auth", "signup"], &body).await
}

/// Signs in: the session. Where the account has a second factor, its code is asked.
pub(super) async fn sign_in(client: &Client, email: &str, password: &str) -> anyhow::Result<Value> {
    with_code(client, &["auth", "login"], json!({"email": email, "password": password})).await
}

/// Signs in on some way; where the account has a second factor, asks for its code and signs in with that.
async fn with_code(client: &Client, path: &[&str], mut body: Value) -> anyhow::Result<Value> {
    match client.post(path, &body).await {
        Err(e) if e.code.as_deref() == Some("second_factor_needed") => {
            body["code"] = Value::String(prompt::secret("Code of the app, or a recovery code", false)?);
            Ok(client.post(path, &body).await?)
        }
        other => Ok(other?),
    }
}

/// Ends the session, on the server and here.
pub(crate) async fn logout(target: &Target, out: &mut Out) -> anyhow::Result<Exit> {
    let file = settings::file(&settings::env);
    let saved = settings::saved(&file)?;
    let Some(token) = saved.token else {
        out.note("not signed in");
        return Ok(Exit::Done);
    };
    let mut settings = find(&Target { server: target.server.clone().or(saved.url), org: None })?;
    settings.token = Some(settings::Token { secret: token, origin: file.display().to_string() });
    let ended = Client::new(settings)?.post(&["auth", "logout"], &json!({})).await;
    settings::save(&file, "client", &[("token", None), ("expires_at", None)])?;
    match ended {
        // A session that has ended already is what was wanted.
        Ok(_) | Err(CliError { exit: Exit::Denied, .. }) => out.note("signed out"),
        Err(e) => {
            return Err(CliError {
                what: format!("the token is gone from here, but the server was not told: {}", e.what),
                ..e
            }
            .into());
        }
    }
    Ok(Exit::Done)
}

/// A client that shows no token: whoever signs in is nobody yet.
fn nobody(target: &Target) -> anyhow::Result<Client> {
    let mut settings = find(target)?;
    settings.token = None;
    Client::new(settings)
}

fn email(given: Option<String>) -> anyhow::Result<String> {
    given.map_or_else(|| prompt::line("E-mail", "--email ADDRESS"), Ok)
}

pub(super) fn keep(client: &Client, answer: &Value, out: &mut Out) -> anyhow::Result<Exit> {
    let text = |path: &str| answer.pointer(path).and_then(Value::as_str);
    let token = text("/session/token").ok_or_else(|| CliError::failed("the server gave no session"))?;
    let file = settings::file(&settings::env);
    let url = client.settings().url.as_str().trim_end_matches('/');
    let keys = [("url", Some(url)), ("token", Some(token)), ("expires_at", text("/session/expires_at"))];
    settings::save(&file, "client", &keys)?;
    let who = safe::text(text("/user/email").unwrap_or("you"));
    let org =
        text("/org/name").map(|name| format!(", organisation {}", safe::text(name))).unwrap_or_default();
    out.note(&format!("signed in to {url} as {who}{org}; the session is kept in {}", file.display()));
    if settings::env("TAPPASS_TOKEN").is_some() {
        out.warn("TAPPASS_TOKEN is set and goes before this session");
    }
    Ok(Exit::Done)
}
