//! What belongs to a person's own account: password, second factor, sessions, personal tokens.

use std::{ops::Deref, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use qrcode::{QrCode, render::svg};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_model::{Role, clock::rfc3339};
use tappass_store::{PersonalToken, Proof, UserSession};
use uuid::Uuid;

use crate::{
    body,
    caller::Own,
    error::ApiError,
    params::{ListQuery, Listed, Params},
    record::Change,
    state::App,
};

const DAY: u64 = 24 * 60 * 60;

/// `POST /auth/password`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The one in use. Not needed by who has none, because an issuer signs them in.
    current_password: Option<String>,
    /// At least ten characters.
    new_password: String,
}

/// `POST /auth/second-factor`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// The password. Not needed by who has none.
    password: Option<String>,
}

/// A second factor that was begun.
#[derive(Serialize, JsonSchema)]
pub struct Enrolled {
    /// For the authenticator app, to be typed. Shown this once.
    secret: String,
    /// The same, as apps read it.
    uri: String,
    /// The same as a QR code: a picture in a `data:` address (SVG).
    qr: String,
}

/// `POST /auth/second-factor/confirm`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// What the app shows.
    code: String,
}

/// What helps when the phone is lost.
#[derive(Serialize, JsonSchema)]
pub struct Confirmed {
    /// Each signs in once in place of the app's code. Shown this once.
    recovery_codes: Vec<String>,
}

impl Confirmed {
    fn of(codes: &[impl Deref<Target = String>]) -> Self {
        Self { recovery_codes: codes.iter().map(|code| code.to_string()).collect() }
    }
}

/// `POST /auth/second-factor/disable`, `POST /auth/second-factor/recovery-codes`: one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShownAgain {
    password: Option<String>,
    /// The app's, or a recovery code.
    code: Option<String>,
}

/// `GET /auth/second-factor`
#[derive(Debug, Serialize, JsonSchema)]
pub struct FactorView {
    enabled: bool,
    confirmed_at: Option<String>,
    recovery_codes_left: i64,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionRow {
    session_id: Uuid,
    /// Where it acts.
    org_id: Uuid,
    /// What it stands on: `password`, or `issuer`.
    proof: &'static str,
    /// The network address from which it was begun.
    from: Option<String>,
    created_at: String,
    expires_at: String,
    /// Whether it is the one in use.
    current: bool,
}

/// `POST /auth/tokens`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for, as the list shows it.
    name: String,
    /// The most it may do; the maker's own role unless said otherwise. It never does more than its maker may now.
    role: Option<Role>,
    /// 1 to 366; 90 unless said otherwise.
    expires_in_days: Option<u64>,
}

/// A new personal token.
#[derive(Serialize, JsonSchema)]
pub struct TokenMade {
    #[serde(flatten)]
    view: PersonalTokenView,
    /// Works as a bearer. Shown this once.
    token: String,
}

/// A personal token, without what makes it one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PersonalTokenView {
    token_id: Uuid,
    name: String,
    role: Role,
    /// Tells tokens apart.
    hint: String,
    created_at: String,
    expires_at: String,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

impl SessionRow {
    pub(super) fn of(session: &UserSession, current: Option<Uuid>) -> Self {
        Self {
            current: current == Some(session.session_id),
            session_id: session.session_id,
            org_id: session.org_id,
            proof: match session.proof {
                Proof::Password => "password",
                Proof::Issuer => "issuer",
            },
            from: session.address.map(|address| address.to_string()),
            created_at: rfc3339(session.created_at),
            expires_at: rfc3339(session.expires_at),
        }
    }
}

impl From<PersonalToken> for PersonalTokenView {
    fn from(token: PersonalToken) -> Self {
        Self {
            token_id: token.token_id,
            name: token.name,
            role: token.role,
            hint: token.hint,
            created_at: rfc3339(token.created_at),
            expires_at: rfc3339(token.expires_at),
            last_used_at: token.last_used_at.map(rfc3339),
            revoked_at: token.revoked_at.map(rfc3339),
        }
    }
}

/// `POST /auth/password`
pub async fn password(
    State(app): State<App>,
    Own(person): Own,
    body::Json(new): body::Json<NewPassword>,
) -> Result<StatusCode, ApiError> {
    let done = app.accounts.change_password(&person, new.current_password.as_deref(), &new.new_password);
    app.noting_failure(&person, done.await).await?;
    let details = json!({"password": "changed", "other_sessions": "ended"});
    app.changed_for_person(person.user_id, &person.email, EventType::ConfigChanged, details).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /auth/second-factor`
pub async fn factor(State(app): State<App>, Own(person): Own) -> Result<Json<FactorView>, ApiError> {
    let factor = app.accounts.second_factor(person.user_id).await?;
    Ok(Json(FactorView {
        enabled: factor.is_some(),
        confirmed_at: factor.as_ref().and_then(|f| f.confirmed_at).map(rfc3339),
        recovery_codes_left: factor.map_or(0, |f| f.codes_left),
    }))
}

/// `POST /auth/second-factor`
pub async fn enrol(
    State(app): State<App>,
    Own(person): Own,
    body::Json(given): body::Json<Enrol>,
) -> Result<(StatusCode, Json<Enrolled>), ApiError> {
    let begun = app.accounts.enrol_factor(&person, given.password.as_deref()).await;
    let begun = app.noting_failure(&person, begun).await?;
    let qr = qr_code(&begun.uri)?;
    let enrolled = Enrolled { secret: begun.secret.to_string(), uri: begun.uri.to_string(), qr };
    Ok((StatusCode::CREATED, Json(enrolled)))
}

/// A text as a QR code, in black on white whatever surrounds it.
fn qr_code(text: &str) -> Result<String, ApiError> {
    let code = QrCode::new(text).map_err(ApiError::internal)?;
    let svg = code.render::<svg::Color<'_>>().min_dimensions(220, 220).build();
    Ok(format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg)))
}

/// `POST /auth/second-factor/confirm`
pub async fn confirm(
    State(app): State<App>,
    Own(person): Own,
    body::Json(given): body::Json<Confirm>,
) -> Result<Json<Confirmed>, ApiError> {
    let codes = app.accounts.confirm_factor(&person, &given.code).await;
    let codes = app.noting_failure(&person, codes).await?;
    let details = json!({"second_factor": "enabled"});
    app.changed_for_person(person.user_id, &person.email, EventType::ConfigChanged, details).await?;
    Ok(Json(Confirmed::of(&codes)))
}

/// `POST /auth/second-factor/recovery-codes`
pub async fn renew_codes(
    State(app): State<App>,
    Own(person): Own,
    body::Json(given): body::Json<ShownAgain>,
) -> Result<Json<Confirmed>, ApiError> {
    let codes = app.accounts.renew_codes(&person, given.password.as_deref(), given.code.as_deref()).await;
    let codes = app.noting_failure(&person, codes).await?;
    let details = json!({"second_factor": "recovery codes renewed"});
    app.changed_for_person(person.user_id, &person.email, EventType::ConfigChanged, details).await?;
    Ok(Json(Confirmed::of(&codes)))
}

/// `POST /auth/second-factor/disable`
pub async fn disable(
    State(app): State<App>,
    Own(person): Own,
    body::Json(given): body::Json<ShownAgain>,
) -> Result<StatusCode, ApiError> {
    let done = app.accounts.disable_factor(&person, given.password.as_deref(), given.code.as_deref()).await;
    app.noting_failure(&person, done).await?;
    let details = json!({"second_factor": "disabled"});
    app.changed_for_person(person.user_id, &person.email, EventType::ConfigChanged, details).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /auth/sessions`: one's own that last, in all organisations.
pub async fn sessions(
    State(app): State<App>,
    Own(person): Own,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<SessionRow>>, ApiError> {
    let page = app.store.users().own_sessions(person.user_id, app.clock.now(), &query.page()).await?;
    Ok(Json(Listed::of(page, |session| SessionRow::of(&session, Some(person.session_id)))))
}

/// `DELETE /auth/sessions/{login}`
pub async fn end_session(
    State(app): State<App>,
    Own(person): Own,
    Path(login): Path<String>,
) -> Result<StatusCode, ApiError> {
    let login: Uuid = login.parse().map_err(|_| ApiError::not_found())?;
    if !app.store.users().revoke_own_session(person.user_id, login, app.clock.now()).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"session_ended": login});
    let change = Change::by(EventType::ConfigChanged, person.org_id, &person.email).details(details);
    app.changed(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /auth/tokens`: one's own in the organisation one acts in.
pub async fn tokens(
    State(app): State<App>,
    Own(person): Own,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<PersonalTokenView>>, ApiError> {
    let page = app.store.personal_tokens().list(person.org_id, person.user_id, &query.page()).await?;
    Ok(Json(Listed::of(page, PersonalTokenView::from)))
}

/// `POST /auth/tokens`
pub async fn make_token(
    State(app): State<App>,
    Own(person): Own,
    body::Json(new): body::Json<NewToken>,
) -> Result<(StatusCode, Json<TokenMade>), ApiError> {
    if person.factor_missing {
        return Err(ApiError::factor_missing());
    }
    let (role, days) = (new.role.unwrap_or(person.role), new.expires_in_days.unwrap_or(90));
    let life = Duration::from_secs(days.saturating_mul(DAY));
    let (token, secret) = app.authenticator.issue_token(&person, &new.name, role, life).await?;
    let details = json!({"personal_token": token.token_id, "name": token.name, "token": token.hint,
        "role": token.role, "expires_at": rfc3339(token.expires_at)});
    app.changed(Change::by(EventType::KeyCreated, person.org_id, &person.email).details(details)).await?;
    let made = TokenMade { view: token.into(), token: secret.expose().to_owned() };
    Ok((StatusCode::CREATED, Json(made)))
}

/// `DELETE /auth/tokens/{token}`
pub async fn revoke_token(
    State(app): State<App>,
    Own(person): Own,
    Path(token): Path<String>,
) -> Result<StatusCode, ApiError> {
    let token: Uuid = token.parse().map_err(|_| ApiError::not_found())?;
    let (tokens, now) = (app.store.personal_tokens(), app.clock.now());
    if !tokens.revoke(person.org_id, person.user_id, token, now).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"personal_token": token});
    app.changed(Change::by(EventType::KeyRevoked, person.org_id, &person.email).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}
