//! Cookies (RFC 6265): a person's session in a browser, and a sign-in under way. Who speaks HTTP by program uses a
//! bearer and never sees one.

use http::{HeaderMap, HeaderValue, header};

use crate::{error::ApiError, state::App};

/// A cookie of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// A person's session.
    Session,
    /// A sign-in under way at an issuer.
    SignIn,
}

impl Cookie {
    /// Its name. Over HTTPS it has the prefix that lets no other host, no path and no plain HTTP set it.
    pub(crate) const fn name(self, https: bool) -> &'static str {
        match (self, https) {
            (Self::Session, true) => "__Host-tappass_session",
            (Self::Session, false) => "tappass_session",
            (Self::SignIn, true) => "__Host-tappass_sign_in",
            (Self::SignIn, false) => "tappass_sign_in",
        }
    }

    /// Its value in a request.
    ///
    /// # Errors
    /// 400 when it is there twice: one of them was set by somebody else, and which cannot be told.
    pub fn read(self, app: &App, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
        let name = self.name(app.is_https());
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut found = pairs
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned());
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                let detail = format!("The cookie {name} is there twice: remove the cookies of this site.");
                Err(ApiError::bad_request("two_credentials", detail))
            }
            (one, _) => Ok(one.filter(|value| !value.is_empty())),
        }
    }

    /// What sets it, for `seconds` from now; with 0 it is taken away. `value` must be made of a cookie's characters.
    #[must_use]
    pub fn set(self, app: &App, value: &str, seconds: i64) -> HeaderValue {
        let https = app.is_https();
        let secure = if https { "; Secure" } else { "" };
        let name = self.name(https);
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// What takes it away.
    #[must_use]
    pub fn clear(self, app: &App) -> HeaderValue {
        self.set(app, "", 0)
    }
}

impl App {
    /// Whether people reach the gateway over HTTPS: by its own address, whatever a request says of itself.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.config.base_url.as_deref().is_some_and(|base| base.starts_with("https://"))
    }
}
