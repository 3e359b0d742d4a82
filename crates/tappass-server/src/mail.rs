//! Mail: links that let people in, sent to their addresses by the operator's SMTP server. Plain text, over TLS always.

use std::time::Duration;

use jiff::Timestamp;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};
use reqwest::Url;
use tappass_store::{Invitation, PasswordReset};
use uuid::Uuid;

use crate::{
    config::{Relay, Smtp},
    state::App,
};

/// How long a mail may take, from connecting to the server's word that it has it.
const DEADLINE: Duration = Duration::from_secs(15);
/// How many mails one organisation may send in an hour: whoever signs up can invite any address.
const HOURLY: u32 = 60;
/// How much of the server's words is told.
const TOLD: usize = 200;

/// Why a mail was not sent. Each is a sentence for the admin who wanted it.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The address cannot be written into a mail.
    #[error("mail cannot be sent to this address")]
    Address,
    /// The server did not take it, or is not there.
    #[error("the mail server did not take it: {0}")]
    Server(String),
    /// It took too long.
    #[error("the mail server took longer than {} s", DEADLINE.as_secs())]
    Late,
    /// The organisation has sent too many.
    #[error("the organisation has sent {HOURLY} mails within the hour")]
    TooMany,
}

/// What is written to somebody.
#[derive(Debug)]
pub struct Letter {
    subject: &'static str,
    text: String,
}

/// Sends letters.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    base_url: String,
    host: String,
}

impl Mailer {
    /// As configured; links lead below `base_url`. Nobody is connected to yet.
    ///
    /// # Errors
    /// A wrong configuration, or no certificates to check the server's with.
    pub fn new(config: &Smtp, base_url: &str) -> anyhow::Result<Self> {
        let relay = config
            .relay()
            .map_err(|(field, message)| anyhow::anyhow!("configuration: `{field}`: {message}"))?;
        let Relay { host, port, wrapped, login, from } = relay;
        let tls = TlsParameters::new(host.clone())?;
        let mut transport = if wrapped {
            AsyncSmtpTransport::<Tokio1Executor>::relay(&host)?.tls(Tls::Wrapper(tls))
        } else {
            AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&host)?.tls(Tls::Required(tls))
        };
        if let Some(port) = port {
            transport = transport.port(port);
        }
        if let Some((user, password)) = login {
            transport = transport.credentials(Credentials::new(user, password));
        }
        let ours = Url::parse(base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let ours = ours.unwrap_or_else(|| "localhost".to_owned());
        let transport = transport.hello_name(ClientId::Domain(ours.clone())).timeout(Some(DEADLINE)).build();
        Ok(Self { transport, from, base_url: base_url.trim_end_matches('/').to_owned(), host: ours })
    }

    /// An invitation. The words of whoever invites stand in quotes: whoever signs up chooses them.
    #[must_use]
    pub fn invitation(&self, made: &Invitation, org: &str, token: &str) -> Letter {
        let (base, by) = (&self.base_url, &made.invited_by);
        let (role, until) = (made.role.as_str(), until(made.expires_at));
        let text = format!(
            "{by} invites you to join the organisation {org:?} at {base}, as {role}.\n\n\
             To accept, open this link. It works once, until {until}:\n\n\
             {base}/app/invitation#{token}\n\n\
             At a terminal, `tappass login --invitation --server {base}` asks for what follows the #.\n\n\
             If you do not know what this is about, leave it: without the link nothing happens.\n"
        );
        Letter { subject: "An invitation to TapPass", text }
    }

    /// A link to a new password.
    #[must_use]
    pub fn reset(&self, made: &PasswordReset, token: &str) -> Letter {
        let (base, until) = (&self.base_url, until(made.expires_at));
        let also = if made.second_factor { " It removes your second factor too." } else { "" };
        let text = format!(
            "To set a new password at {base}, open this link. It works once, until {until}:\n\n\
             {base}/app/reset#{token}\n\n\
             At a terminal, `tappass login --reset --server {base}` asks for what follows the #.\n\n\
             Everything that is signed in as you then ends.{also}\n\n\
             If you have not asked for this, leave it: your password stays as it is.\n"
        );
        Letter { subject: "A new password for TapPass", text }
    }

    async fn send(&self, to: &str, letter: Letter, id: Uuid) -> Result<(), MailError> {
        let to = to.parse().map_err(|_| MailError::Address)?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .message_id(Some(format!("<{id}@{}>", self.host)))
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text)
            .map_err(|_| MailError::Address)?;
        match tokio::time::timeout(DEADLINE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(MailError::Server(told(&error.to_string()))),
            Err(_) => Err(MailError::Late),
        }
    }
}

impl App {
    /// Sends a letter for an organisation, on a task of its own: it goes on where whoever waits for it leaves.
    ///
    /// # Errors
    /// [`MailError`]
    pub(crate) async fn deliver(&self, org_id: Uuid, to: &str, letter: Letter) -> Result<(), MailError> {
        let hour = Duration::from_secs(60 * 60);
        if !self.shared.take(&format!("mail:{org_id}"), HOURLY, hour).await.allowed {
            return Err(MailError::TooMany);
        }
        let (app, to) = (self.clone(), to.to_owned());
        let task = self.life.tasks.spawn(async move { app.post(&to, letter).await });
        task.await.unwrap_or(Err(MailError::Late))
    }

    /// Sends a letter; what goes wrong is in the log too.
    pub(crate) async fn post(&self, to: &str, letter: Letter) -> Result<(), MailError> {
        let Some(mailer) = &self.mailer else { return Err(MailError::Server("there is none".to_owned())) };
        let sent = mailer.send(to, letter, self.ids.uuid()).await;
        if let Err(error) = &sent {
            tracing::warn!(%error, "a mail was not sent");
        }
        sent
    }
}

/// A time as people read it.
fn until(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The beginning of what a server said, in one line.
fn told(text: &str) -> String {
    text.chars().take(TOLD).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
