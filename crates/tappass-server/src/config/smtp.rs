//! Where mail goes: the `[server.smtp]` table.

use std::fmt;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operator's SMTP server. Without it, links are shown to the admins who make them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// `smtps://user:password@mail.example.com`, TLS from the first byte; or `smtp://…`, where the server must offer
    /// STARTTLS. What a URL cannot hold is percent-encoded.
    #[serde(skip_serializing)]
    pub url: String,
    /// The password, where it does not stand in the address.
    #[serde(skip_serializing)]
    pub password: Option<String>,
    /// Whom mail is from: `TapPass <tappass@example.com>`.
    pub from: String,
}

/// Without address and password.
impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("from", &self.from).finish_non_exhaustive()
    }
}

/// What [`Smtp`] says, read.
pub(crate) struct Relay {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port, if not the usual one.
    pub port: Option<u16>,
    /// Whether TLS begins with the first byte; else with STARTTLS.
    pub wrapped: bool,
    /// Who we are to it: name and password.
    pub login: Option<(String, String)>,
    /// Whom mail is from.
    pub from: Mailbox,
}

impl Smtp {
    /// What is configured.
    ///
    /// # Errors
    /// The field at fault and a sentence, which repeats nothing of the address: a password may stand in it.
    pub(crate) fn relay(&self) -> Result<Relay, (&'static str, String)> {
        let wrong =
            |what: &str| ("smtp.url", format!("{what}: set TAPPASS_SMTP_URL=smtps://user@mail.example.com"));
        let url = Url::parse(&self.url).map_err(|_| wrong("is not the address of an SMTP server"))?;
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| wrong("names no server"))?;
        let wrapped = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            _ => return Err(wrong("begins neither with smtps:// nor with smtp://")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has more than user, password, server and port"));
        }
        let plain = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
                .map_err(|_| wrong("has a user or a password that is not UTF-8"))
        };
        let user = plain(url.username())?;
        let own = self.password.clone().filter(|p| !p.is_empty());
        let password = match (url.password(), own) {
            (Some(_), Some(_)) => return Err(wrong("has a password, and there is another in smtp.password")),
            (Some(inside), None) => Some(plain(inside)?),
            (None, own) => own,
        };
        let login = match (user.is_empty(), password) {
            (true, None) => None,
            (false, Some(password)) => Some((user, password)),
            (true, Some(_)) => return Err(wrong("names no user, and there is a password")),
            (false, None) => {
                return Err((
                    "smtp.password",
                    "is missing for the user: set TAPPASS_SMTP_PASSWORD".to_owned(),
                ));
            }
        };
        let from = self.from.parse().map_err(|_| {
            ("smtp.from", "is no sender: set TAPPASS_SMTP_FROM=\"TapPass <tappass@example.com>\"".to_owned())
        })?;
        Ok(Relay { host: host.to_owned(), port: url.port(), wrapped, login, from })
    }
}
