//! What can be typed. Every command is here; its own arguments are in its file in `commands`.

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    account, agents, approvals, audit, chat, completions, credentials, demo, detect, down, gov, hooks, init,
    keys, license, login, logs, mcp, people, run, status, tokens, up,
};

/// The gateway that every call of a company's AI agents passes through.
#[derive(Debug, Parser)]
#[command(name = "tappass", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Whom to ask.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server
    Up(up::Up),
    /// Look around: a server with a simulated week of five agents, without a network; nothing of it stays
    Demo(demo::Demo),
    /// Stop the server, data kept
    Down(down::Down),
    /// Sign in, make the first agent, and write its .env
    Init(init::Init),
    /// Agents, their state and their keys
    #[command(subcommand)]
    Agents(agents::Agents),
    /// The organisation's people, their roles and invitations
    #[command(subcommand)]
    People(people::People),
    /// What is governed, and how
    #[command(subcommand)]
    Gov(gov::Gov),
    /// The human in the loop: what waits for a person, and the decision
    #[command(subcommand)]
    Approvals(approvals::Approvals),
    /// MCP servers that agents reach through the gateway
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    /// The keys that sign capability tokens
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The organisation's own keys of providers, in the vault
    #[command(subcommand)]
    Credentials(credentials::Credentials),
    /// The keys that seal what organisations entrust
    #[command(subcommand)]
    Vault(credentials::Vault),
    /// The licence: shown, verified, issued
    #[command(subcommand)]
    License(license::Licenses),
    /// Verify, export and seal the audit log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// One governed call from the terminal
    Chat(chat::Chat),
    /// Run the detectors on a text, without a server
    Detect(detect::Detect),
    /// Run a program with its model calls going through the gateway
    Run(run::Run),
    /// Coding agents that ask the gateway before they act
    #[command(subcommand)]
    Hooks(hooks::Hooks),
    /// Write the shell's completion script to stdout
    Completions(completions::Completions),
    /// How the gateway is: each part, the likely cause, the command that mends it
    Status(status::Status),
    /// The audit trail, live with -f
    Logs(logs::Logs),
    /// Make an account and an organisation
    Signup(login::Signup),
    /// Sign in
    Login(login::Login),
    /// Sign out
    Logout,
    /// Your own account: password and second factor
    #[command(subcommand)]
    Account(account::Account),
    /// Your personal tokens: they act for you in scripts, never for more than you may
    #[command(subcommand)]
    Tokens(tokens::Tokens),
}

/// Who uses which commands: the headings of the help. A test keeps it complete.
pub const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Run the gateway",
        &["up", "down", "demo", "init", "agents", "people", "keys", "credentials", "vault", "license"],
    ),
    ("Govern", &["gov", "approvals", "mcp"]),
    ("Audit", &["audit"]),
    ("Build", &["chat", "run", "hooks", "detect", "completions"]),
    ("Everyone", &["status", "logs", "signup", "login", "logout", "account", "tokens"]),
];

/// Whom to ask.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// The server to ask [env: TAPPASS_URL] [default: the one signed in to, else http://127.0.0.1:9620]
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    pub server: Option<String>,
    /// The organisation to act in, by its UUID, for those who may in several
    #[arg(long, global = true, value_name = "UUID", help_heading = "Server")]
    pub org: Option<String>,
}

/// How a read is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}
