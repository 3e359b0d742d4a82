//! Links that let people in: how they get to whom they are for, accepting an invitation, setting a forgotten password.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Extension,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_identity::{LinkToken, SignedIn};

use super::auth::{Session, end_session_of_cookie, failed_login};
use crate::{
    body::{self, RawJson, typed},
    caller::{ByCookie, Own},
    error::ApiError,
    mail::MailError,
    middleware::client_address,
    record::Change,
    state::App,
};

/// `POST /auth/invitations/accept`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// The invitation's.
    token: String,
    /// For a new account: at least ten characters. Where the address has an account: its password.
    password: String,
    /// The second factor's, where the account has one.
    code: Option<String>,
    /// For a browser: the session goes into a cookie, which no script can read, and not into the answer.
    #[serde(default)]
    cookie: bool,
}

/// `POST /auth/invitations/join`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The invitation's.
    token: String,
}

/// `POST /auth/password/reset`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// The link's.
    token: String,
    /// At least ten characters.
    new_password: String,
}

/// `POST /auth/password/forgotten`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forgotten {
    /// The address to log in with.
    email: String,
}

/// How a new link gets to whom it is for.
#[derive(Default, Serialize, JsonSchema)]
pub struct Handed {
    /// Opens the link, once. Shown this once: give it to whom it is for, and to nobody else. Not there when it was
    /// mailed.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Whether the mail server has it, for their address.
    mailed: bool,
    /// Why it was not mailed although it should have been.
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_error: Option<String>,
}

impl Handed {
    pub(super) const fn is_mailed(&self) -> bool {
        self.mailed
    }

    /// Shows the token, unless it was mailed.
    pub(super) fn or_shown(self, token: &LinkToken) -> Self {
        Self { token: (!self.mailed).then(|| token.to_string()), ..self }
    }
}

impl From<Result<(), MailError>> for Handed {
    fn from(sent: Result<(), MailError>) -> Self {
        Self { token: None, mailed: sent.is_ok(), mail_error: sent.err().map(|error| error.to_string()) }
    }
}

/// `POST /auth/password/forgotten`: the same answer at the same time, whether there is such an account or not.
pub async fn forgotten(State(app): State<App>, request: Request) -> Result<StatusCode, ApiError> {
    let from = client_address(&request, &app.config.trusted_proxies);
    let RawJson(bytes) = RawJson::from_request(request, &app).await?;
    let given: Forgotten = typed(&bytes)?;
    if app.mailer.is_none() {
        let detail = "The gateway sends no mail; an administrator of your organisation can make you a link.";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "mail_not_configured", detail));
    }
    let own = app.clone();
    app.life.tasks.spawn(async move {
        if let Err(error) = mail_reset(&own, &given.email, from).await {
            tracing::warn!(?error, "a link to a new password was not made");
        }
    });
    Ok(StatusCode::ACCEPTED)
}

async fn mail_reset(app: &App, email: &str, from: Option<IpAddr>) -> Result<(), ApiError> {
    let Some(mailer) = &app.mailer else { return Ok(()) };
    let Some((user, reset, token)) = app.accounts.forgotten(email).await? else { return Ok(()) };
    let letter = mailer.reset(&reset, &token);
    let sent = app.post(&user.email, letter).await;
    let details = json!({"password_reset": "asked for", "from": from, "mailed": sent.is_ok()});
    app.changed_for_person(user.user_id, &user.email, EventType::ConfigChanged, details).await
}

/// `POST /auth/invitations/accept`
pub async fn accept(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let from =
        client_address(&request, &app.config.trusted_proxies).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let headers = request.headers().clone();
    let RawJson(bytes) = RawJson::from_request(request, &app).await?;
    let given: Accept = typed(&bytes)?;
    if given.cookie {
        app.same_origin(&headers)?;
    }
    let done = match app.accounts.accept(&given.token, &given.password, given.code.as_deref(), from).await {
        Ok(done) => done,
        Err(error) => {
            if let Some(email) = app.accounts.invited(&given.token).await? {
                failed_login(&app, &email, from, &error).await?;
            }
            return Err(error.into());
        }
    };
    joined(&app, &done, Some(from)).await?;
    if given.cookie {
        end_session_of_cookie(&app, &headers).await?;
    }
    Ok((StatusCode::CREATED, Session::answer(&app, &done, given.cookie)).into_response())
}

/// `POST /auth/invitations/join`: for who is signed in with the address that is invited.
pub async fn join(
    State(app): State<App>,
    cookie: Option<Extension<ByCookie>>,
    Own(person): Own,
    body::Json(given): body::Json<Join>,
) -> Result<Response, ApiError> {
    let done = app.accounts.accept_as(&person, &given.token).await?;
    joined(&app, &done, None).await?;
    app.accounts.log_out(&person).await?;
    Ok((StatusCode::CREATED, Session::answer(&app, &done, cookie.is_some())).into_response())
}

/// `POST /auth/password/reset`
pub async fn set_password(
    State(app): State<App>,
    body::Json(given): body::Json<SetPassword>,
) -> Result<StatusCode, ApiError> {
    let (user, reset) = app.accounts.set_by_link(&given.token, &given.new_password).await?;
    let details = json!({"password": "set by a link", "sessions": "ended", "personal_tokens": "revoked",
        "second_factor": if reset.second_factor { "removed" } else { "as it was" }});
    app.changed_for_person(user.user_id, &user.email, EventType::ConfigChanged, details).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn joined(app: &App, done: &SignedIn, from: Option<IpAddr>) -> Result<(), ApiError> {
    let details = json!({"member": done.user.user_id, "email": done.user.email, "role": done.role,
        "joined": "by invitation"});
    let by = |event| Change::by(event, done.org.org_id, &done.user.email);
    app.changed(by(EventType::ConfigChanged).details(details)).await?;
    let details = json!({"from": from, "session_id": done.session.session_id});
    app.changed(by(EventType::Signin).details(details)).await
}
