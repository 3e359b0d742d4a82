//! People sign up, log in and out.

use std::net::{IpAddr, Ipv4Addr};

use axum::{
    Extension, Json,
    extract::{FromRequest, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_identity::{AccountError, SignedIn, accounts::MAX_FAILURES};
use tappass_model::{Role, clock::rfc3339};
use tappass_store::{Org, User};
use uuid::Uuid;

use crate::{
    body::{RawJson, typed},
    caller::{ByCookie, Caller, Own},
    cookies::Cookie,
    error::ApiError,
    middleware::client_address,
    record::Change,
    state::App,
};

/// `POST /auth/signup`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signup {
    /// The address to log in with.
    email: String,
    /// At least ten characters.
    password: String,
    /// The organisation's name.
    org_name: String,
    /// For a browser: the session goes into a cookie, which no script can read, and not into the answer.
    #[serde(default)]
    cookie: bool,
}

/// `POST /auth/login`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The address.
    email: String,
    /// The password.
    password: String,
    /// The second factor's: six digits of the app, or a recovery code. Needed where the answer without it is 401 with
    /// the code `second_factor_needed`.
    code: Option<String>,
    /// For a browser: the session goes into a cookie, which no script can read, and not into the answer.
    #[serde(default)]
    cookie: bool,
}

/// Someone who has just signed in.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Session {
    user: UserView,
    org: OrgView,
    session: SessionView,
}

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserView {
    user_id: Uuid,
    email: String,
    role: Role,
}

/// An organisation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrgView {
    org_id: Uuid,
    name: String,
}

/// A session's token. Works as a bearer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionView {
    /// Not there when the session is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    expires_at: String,
    /// What a browser's page must send as `x-csrf-token` with all that changes something.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

/// `GET /auth/me`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    /// Null for the admin key.
    user: Option<UserView>,
    /// Null for the admin key.
    org: Option<OrgView>,
    role: Role,
    /// When the session ends; null for the admin key.
    expires_at: Option<String>,
    /// What a browser's page sends as `x-csrf-token`; null without a session.
    csrf_token: Option<String>,
}

impl Session {
    pub(crate) fn of(signed_in: &SignedIn) -> Self {
        Self {
            user: user_view(&signed_in.user, signed_in.role),
            org: OrgView::of(&signed_in.org),
            session: SessionView {
                token: Some(signed_in.token.expose().to_owned()),
                expires_at: rfc3339(signed_in.session.expires_at),
                csrf_token: None,
            },
        }
    }

    /// The answer to whoever has signed in. With `cookie` the session's token is in a cookie only, which no script can
    /// read.
    pub(crate) fn answer(app: &App, done: &SignedIn, cookie: bool) -> Response {
        let mut session = Self::of(done);
        if !cookie {
            return Json(session).into_response();
        }
        session.session.token = None;
        session.session.csrf_token = Some(app.authenticator.csrf_token(done.session.session_id));
        let left = done.session.expires_at.as_second() - app.clock.now().as_second();
        let set = Cookie::Session.set(app, done.token.expose(), left.max(0));
        ([(header::SET_COOKIE, set)], Json(session)).into_response()
    }
}

fn user_view(user: &User, role: Role) -> UserView {
    UserView { user_id: user.user_id, email: user.email.clone(), role }
}

impl OrgView {
    pub(super) fn of(org: &Org) -> Self {
        Self { org_id: org.org_id, name: org.name.clone() }
    }
}

/// `POST /auth/signup`
pub async fn signup(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let from = client_address(&request, &app.config.trusted_proxies);
    let headers = request.headers().clone();
    let RawJson(bytes) = RawJson::from_request(request, &app).await?;
    let new: Signup = typed(&bytes)?;
    if new.cookie {
        app.same_origin(&headers)?;
    }
    let done = app.accounts.sign_up(&new.email, &new.password, &new.org_name, from).await?;
    app.begins_with_license(done.org.org_id).await;
    let details = json!({"signup": true, "from": from, "org_name": done.org.name, "session_id": done.session.session_id});
    app.changed(Change::by(EventType::Signin, done.org.org_id, &done.user.email).details(details)).await?;
    if new.cookie {
        end_session_of_cookie(&app, &headers).await?;
    }
    Ok((StatusCode::CREATED, Session::answer(&app, &done, new.cookie)).into_response())
}

/// `POST /auth/login`
pub async fn login(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    // Without a socket (tests of the routes alone) there is no address.
    let from =
        client_address(&request, &app.config.trusted_proxies).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let headers = request.headers().clone();
    let RawJson(bytes) = RawJson::from_request(request, &app).await?;
    let given: Login = typed(&bytes)?;
    if given.cookie {
        // Else another site could sign somebody in as somebody else.
        app.same_origin(&headers)?;
    }
    match app.accounts.log_in(&given.email, &given.password, given.code.as_deref(), from).await {
        Ok(done) => {
            let details = json!({"from": from, "session_id": done.session.session_id});
            app.changed(Change::by(EventType::Signin, done.org.org_id, &done.user.email).details(details))
                .await?;
            if given.cookie {
                end_session_of_cookie(&app, &headers).await?;
            }
            Ok(Session::answer(&app, &done, given.cookie))
        }
        Err(error) => {
            failed_login(&app, &given.email, from, &error).await?;
            Err(error.into())
        }
    }
}

/// Ends the session that a browser brought along when it signs in anew: nobody goes on with the old one.
pub(crate) async fn end_session_of_cookie(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    if let Ok(Some(token)) = Cookie::Session.read(app, headers)
        && let Ok(person) = app.authenticator.person(&token).await
    {
        app.accounts.log_out(&person).await?;
    }
    Ok(())
}

/// Recorded in the organisations of the account that was tried. Where there is none, there is no log to record it in.
pub(super) async fn failed_login(
    app: &App,
    email: &str,
    from: IpAddr,
    error: &AccountError,
) -> Result<(), ApiError> {
    let locked = match error {
        AccountError::Wrong | AccountError::WrongCode => false,
        AccountError::Locked { .. } => true,
        _ => return Ok(()),
    };
    let Some(account) = app.store.users().credentials(email).await? else { return Ok(()) };
    let details =
        json!({"from": from, "locked": locked, "second_factor": matches!(error, AccountError::WrongCode)});
    for (org, _) in app.store.users().orgs(account.user.user_id).await? {
        let change =
            Change::by(EventType::SigninFailed, org.org_id, &account.user.email).details(details.clone());
        app.changed(change).await?;
    }
    Ok(())
}

/// `POST /auth/logout`
pub async fn logout(
    State(app): State<App>,
    cookie: Option<Extension<ByCookie>>,
    Own(person): Own,
) -> Result<Response, ApiError> {
    app.accounts.log_out(&person).await?;
    let details = json!({"session_ended": person.session_id});
    app.changed(Change::by(EventType::ConfigChanged, person.org_id, &person.email).details(details)).await?;
    if cookie.is_none() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, Cookie::Session.clear(&app))]).into_response())
}

/// `POST /auth/refresh`: a new session for the one in use, which ends.
pub async fn refresh(
    State(app): State<App>,
    cookie: Option<Extension<ByCookie>>,
    Own(person): Own,
) -> Result<Response, ApiError> {
    let renewed = app.accounts.renew(&person, person.org_id).await?.ok_or_else(ApiError::not_found)?;
    Ok(Session::answer(&app, &renewed, cookie.is_some()))
}

/// `GET /auth/me`
pub async fn me(State(app): State<App>, caller: Caller) -> Result<Json<Me>, ApiError> {
    let Caller::Person(person) = caller else {
        let role = Role::PlatformAdmin;
        return Ok(Json(Me { user: None, org: None, role, expires_at: None, csrf_token: None }));
    };
    let org = app.store.orgs().get(person.org_id).await?;
    Ok(Json(Me {
        user: Some(UserView { user_id: person.user_id, email: person.email, role: person.role }),
        org: org.as_ref().map(OrgView::of),
        role: person.role,
        expires_at: Some(rfc3339(person.expires_at)),
        csrf_token: Some(app.authenticator.csrf_token(person.session_id)),
    }))
}

impl From<AccountError> for ApiError {
    fn from(e: AccountError) -> Self {
        match e {
            AccountError::Email | AccountError::OrgName => {
                Self::unprocessable("invalid_body", format!("{e}."))
            }
            AccountError::Password(_) => Self::unprocessable("weak_password", format!("{e}.")),
            AccountError::Taken => Self::conflict("email_taken", format!("{e}.")),
            AccountError::Wrong => Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", format!("{e}.")),
            AccountError::Locked { retry_after } => {
                let wait = retry_after.as_secs().max(1);
                Self::too_many(
                    wait,
                    format!("{MAX_FAILURES} failed logins; try again in {} minutes.", wait.div_ceil(60)),
                )
            }
            AccountError::NotVouched => Self::new(StatusCode::FORBIDDEN, "not_vouched", format!("{e}.")),
            AccountError::NoAccount => Self::new(StatusCode::FORBIDDEN, "no_account", format!("{e}.")),
            AccountError::Used => Self::bad_request("sign_in_used", format!("{e}.")),
            AccountError::NoOrg => Self::new(StatusCode::FORBIDDEN, "no_organisation", format!("{e}.")),
            AccountError::CodeNeeded => {
                Self::new(StatusCode::UNAUTHORIZED, "second_factor_needed", format!("{e}."))
            }
            AccountError::WrongCode => Self::new(StatusCode::UNAUTHORIZED, "wrong_code", format!("{e}.")),
            AccountError::NoFactor => Self::conflict("no_second_factor", format!("{e}.")),
            AccountError::FactorExists => Self::conflict("second_factor_exists", format!("{e}.")),
            AccountError::Member => Self::conflict("already_member", format!("{e}.")),
            AccountError::AboveMaker => Self::new(StatusCode::FORBIDDEN, "above_your_role", format!("{e}.")),
            AccountError::Elsewhere => Self::new(StatusCode::FORBIDDEN, "member_elsewhere", format!("{e}.")),
            AccountError::Link => Self::unprocessable("invalid_link", format!("{e}.")),
            AccountError::Token(_) => Self::unprocessable("invalid_token", format!("{e}.")),
            AccountError::Seal(e) => Self::internal(e),
            AccountError::Hash(e) => Self::internal(e),
            AccountError::Store(e) => e.into(),
        }
    }
}
