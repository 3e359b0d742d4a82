//! `/app/sign-up`, `/app/forgotten`, `/app/reset`, `/app/invitation`: the ways in for whoever has no session yet. The
//! token of a mailed link stands behind a `#`, which no server gets: `app.js` puts it into the form.

use askama::Template;
use axum::{extract::State, response::Response};
use http::HeaderMap;

use crate::{
    cookies::Cookie,
    dashboard::{assets, page},
    error::ApiError,
    state::App,
};

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUp;

#[derive(Template)]
#[template(path = "forgotten.html")]
struct Forgotten {
    mails: bool,
}

#[derive(Template)]
#[template(path = "reset.html")]
struct Reset;

#[derive(Template)]
#[template(path = "invitation.html")]
struct Invitation {
    /// Whose session the browser has, and the token of its pages.
    signed_in: Option<(String, String)>,
}

/// An account with an organisation of its own.
///
/// # Errors
/// 500 when the template fails.
pub async fn sign_up() -> Result<Response, ApiError> {
    page::show(&SignUp)
}

/// A link to a new password, by mail.
///
/// # Errors
/// 500 when the template fails.
pub async fn forgotten(State(app): State<App>) -> Result<Response, ApiError> {
    page::show(&Forgotten { mails: app.mailer.is_some() })
}

/// A new password, by a link.
///
/// # Errors
/// 500 when the template fails.
pub async fn reset() -> Result<Response, ApiError> {
    page::show(&Reset)
}

/// Into an organisation, by a link: with the account that is signed in, or another.
///
/// # Errors
/// 500 when the template fails.
pub async fn invitation(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    let mut signed_in = None;
    if let Ok(Some(token)) = Cookie::Session.read(&app, &headers)
        && let Ok(person) = app.authenticator.person(&token).await
    {
        signed_in = Some((person.email, app.authenticator.csrf_token(person.session_id)));
    }
    page::show(&Invitation { signed_in })
}
