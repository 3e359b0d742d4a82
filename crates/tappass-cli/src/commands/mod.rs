//! The commands, one file a verb.

pub mod account;
pub mod agents;
pub mod approvals;
pub mod audit;
mod browser;
pub mod chat;
pub mod completions;
pub mod credentials;
pub mod demo;
pub mod detect;
pub mod down;
pub mod gov;
pub mod hooks;
pub mod init;
pub mod keys;
pub mod license;
pub mod login;
pub mod logs;
pub mod mcp;
pub mod people;
pub mod run;
pub mod status;
pub mod tokens;
pub mod up;

use reqwest::Url;
use tappass_identity::{ServerSecrets, secrets::SECRETS_FILE};
use tappass_model::{Clock as _, SystemClock};
use tappass_server::{Overrides, config};

use crate::{
    args::{Cli, Command, Target},
    client::Client,
    error::{CliError, Exit},
    lockfile,
    output::Out,
    settings::{self, Settings, Token},
};

/// Does what was typed.
pub(crate) async fn dispatch(cli: Cli, out: &mut Out) -> anyhow::Result<Exit> {
    let server = &cli.target;
    match cli.command {
        Command::Up(up) => Box::pin(up.run(out)).await,
        Command::Demo(demo) => Box::pin(demo.run(out)).await,
        Command::Down(down) => Box::pin(down.run(out)).await,
        Command::Status(status) => Box::pin(status.run(server, out)).await,
        Command::Completions(completions) => completions.run(out),
        Command::Detect(detect) => detect.run(out),
        Command::Run(run) => run.run(server),
        Command::Hooks(hooks) => Box::pin(hooks.run(server, out)).await,
        Command::Init(init) => Box::pin(init.run(server, out)).await,
        Command::Signup(signup) => Box::pin(signup.run(server, out)).await,
        Command::Login(login) => Box::pin(login.run(server, out)).await,
        Command::Logout => Box::pin(login::logout(server, out)).await,
        Command::Agents(agents) => Box::pin(agents.run(&connect(server, out)?, out)).await,
        Command::People(people) => Box::pin(people.run(&connect(server, out)?, out)).await,
        Command::Account(account) => Box::pin(account.run(&connect(server, out)?, out)).await,
        Command::Tokens(tokens) => Box::pin(tokens.run(&connect(server, out)?, out)).await,
        Command::Approvals(approvals) => Box::pin(approvals.run(&connect(server, out)?, out)).await,
        Command::Mcp(mcp) => Box::pin(mcp.run(&connect(server, out)?, out)).await,
        Command::Keys(keys) => Box::pin(keys.run(&connect(server, out)?, out)).await,
        Command::Credentials(credentials) => Box::pin(credentials.run(&connect(server, out)?, out)).await,
        Command::Vault(vault) => Box::pin(vault.run(&connect(server, out)?, out)).await,
        Command::License(license) => Box::pin(license.run(server, out)).await,
        Command::Gov(gov) => Box::pin(gov.run(server, out)).await,
        Command::Logs(logs) => Box::pin(logs.run(&connect(server, out)?, out)).await,
        Command::Audit(audit) => Box::pin(audit.run(server, out)).await,
        Command::Chat(chat) => Box::pin(chat.run(server, out)).await,
    }
}

/// Which server, and who asks.
pub(crate) fn find(target: &Target) -> anyhow::Result<Settings> {
    Settings::load(target, &settings::env, SystemClock.now(), local_admin_key)
}

/// The admin key of the server that runs at this address on this machine's data directory. A process that merely
/// listens there does not get it: the server shows that it is ours by the lock it holds.
fn local_admin_key(url: &Url) -> anyhow::Result<Option<Token>> {
    let dir = config::load(&Overrides::default(), settings::env)
        .map_err(|e| CliError::usage(e.to_string()))?
        .data_dir;
    let port =
        lockfile::holder(&dir).ok().flatten().and_then(|s| Url::parse(&s.url).ok()?.port_or_known_default());
    if port.is_none() || port != url.port_or_known_default() {
        return Ok(None);
    }
    if let Some(secret) = settings::env("TAPPASS_ADMIN_API_KEY") {
        return Ok(Some(Token {
            secret,
            origin: "the environment variable TAPPASS_ADMIN_API_KEY".to_owned(),
        }));
    }
    let origin = dir.join(SECRETS_FILE).display().to_string();
    let key = ServerSecrets::kept_admin_key(&dir)?;
    Ok(key.map(|key| Token { secret: key.as_str().to_owned(), origin }))
}

/// A client; tells on stderr where its token is from when that may surprise.
pub(crate) fn connect(target: &Target, out: &mut Out) -> anyhow::Result<Client> {
    let settings = find(target)?;
    for note in &settings.notes {
        out.note(note);
    }
    Client::new(settings)
}
