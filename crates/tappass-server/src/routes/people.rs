//! The people of an organisation: who belongs to it and as what, their sessions and tokens, invitations and resets.

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_audit::EventType;
use tappass_identity::{Inviter, LinkToken};
use tappass_model::{Role, clock::rfc3339};
use tappass_store::{Invitation, Member, Membership, PasswordReset};
use uuid::Uuid;

use super::{
    account::{PersonalTokenView, SessionRow},
    links::Handed,
};
use crate::{
    body,
    error::ApiError,
    params::{ListQuery, Listed, Params},
    record::Change,
    scope::Scope,
    state::App,
};

/// A person of the organisation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MemberView {
    user_id: Uuid,
    email: String,
    role: Role,
    /// When their account was made.
    created_at: String,
}

/// `PATCH /people/{user}`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// At most one's own.
    role: Role,
}

/// `POST /people/{user}/reset`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// Whether the link removes their second factor too: the phone is lost, and the recovery codes.
    #[serde(default)]
    second_factor: bool,
    /// Whether the link goes to their address where the gateway sends mail; it does unless said otherwise. Else it is
    /// shown to whoever makes it.
    mail: Option<bool>,
}

/// A link with which somebody sets a new password.
#[derive(Serialize, JsonSchema)]
pub struct ResetMade {
    email: String,
    expires_at: String,
    /// The link's token is for `POST /auth/password/reset`.
    #[serde(flatten)]
    handed: Handed,
}

/// `POST /invitations`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// Who.
    email: String,
    /// As what: at most one's own role. `member` unless said otherwise.
    role: Option<Role>,
    /// Whether the link goes to the address where the gateway sends mail; it does unless said otherwise. Else it is
    /// shown to whoever makes it.
    mail: Option<bool>,
}

/// An invitation that is open.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InvitationView {
    invitation_id: Uuid,
    email: String,
    role: Role,
    invited_by: String,
    created_at: String,
    expires_at: String,
}

/// A new invitation.
#[derive(Serialize, JsonSchema)]
pub struct Invited {
    #[serde(flatten)]
    invitation: InvitationView,
    /// The link's token is for `POST /auth/invitations/accept`.
    #[serde(flatten)]
    handed: Handed,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user.user_id,
            email: member.user.email,
            role: member.role,
            created_at: rfc3339(member.user.created_at),
        }
    }
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            invitation_id: invitation.invitation_id,
            email: invitation.email,
            role: invitation.role,
            invited_by: invitation.invited_by,
            created_at: rfc3339(invitation.created_at),
            expires_at: rfc3339(invitation.expires_at),
        }
    }
}

/// `GET /people`
pub async fn list(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<MemberView>>, ApiError> {
    let page = app.store.users().list(scope.org_id, &query.page()).await?;
    Ok(Json(Listed::of(page, MemberView::from)))
}

/// `PATCH /people/{user}`
pub async fn set_role(
    State(app): State<App>,
    scope: Scope,
    Path(user): Path<String>,
    body::Json(new): body::Json<NewRole>,
) -> Result<Json<MemberView>, ApiError> {
    let member = below(&app, &scope, &user).await?;
    if new.role > scope.role() {
        return Err(above());
    }
    let (user, now) = (&member.user, app.clock.now());
    settled(app.store.users().set_role(scope.org_id, user.user_id, new.role, now).await?)?;
    // Developer keys may have ended with it.
    app.authenticator.forget();
    let changes = json!({"role": [member.role, new.role]});
    let details = json!({"member": user.user_id, "email": user.email, "changes": changes});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(Json(Member { role: new.role, ..member }.into()))
}

/// `DELETE /people/{user}`
pub async fn remove(
    State(app): State<App>,
    scope: Scope,
    Path(user): Path<String>,
) -> Result<StatusCode, ApiError> {
    let member = below(&app, &scope, &user).await?;
    settled(app.store.users().remove(scope.org_id, member.user.user_id, app.clock.now()).await?)?;
    app.authenticator.forget();
    let details = json!({"member": member.user.user_id, "email": member.user.email, "role": member.role,
        "removed": true});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /people/{user}/reset`
pub async fn reset(
    State(app): State<App>,
    scope: Scope,
    Path(user): Path<String>,
    body::Json(given): body::Json<Reset>,
) -> Result<(StatusCode, Json<ResetMade>), ApiError> {
    let member = below(&app, &scope, &user).await?;
    let mailer = app.mailer.as_ref().filter(|_| given.mail.unwrap_or(true));
    let (mut reset, mut token) =
        make_reset(&app, &scope, &member, given.second_factor, mailer.is_some()).await?;
    let mut handed = Handed::default();
    if let Some(mailer) = mailer {
        let letter = mailer.reset(&reset, &token);
        handed = app.deliver(scope.org_id, &member.user.email, letter).await.into();
        if !handed.is_mailed() {
            (reset, token) = make_reset(&app, &scope, &member, given.second_factor, false).await?;
        }
    }
    let expires_at = rfc3339(reset.expires_at);
    let made = ResetMade { email: member.user.email, expires_at, handed: handed.or_shown(&token) };
    Ok((StatusCode::CREATED, Json(made)))
}

/// A link, made and recorded. What is mailed is shown to nobody, so for what could not be mailed another one is made.
async fn make_reset(
    app: &App,
    scope: &Scope,
    member: &Member,
    second_factor: bool,
    mailed: bool,
) -> Result<(PasswordReset, LinkToken), ApiError> {
    let made = app.accounts.reset(scope.org_id, by(scope), member, second_factor, mailed).await?;
    let details = json!({"member": member.user.user_id, "email": member.user.email,
        "password_reset": "link made", "second_factor": second_factor, "mailed": mailed});
    app.changed(Change::new(EventType::ConfigChanged, scope).details(details)).await?;
    Ok(made)
}

/// `GET /people/{user}/sessions`
pub async fn sessions(
    State(app): State<App>,
    scope: Scope,
    Path(user): Path<String>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<SessionRow>>, ApiError> {
    let member = member(&app, &scope, &user).await?;
    let (users, now) = (app.store.users(), app.clock.now());
    let page = users.sessions(scope.org_id, member.user.user_id, now, &query.page()).await?;
    let current = scope.person.as_ref().map(|person| person.session_id);
    Ok(Json(Listed::of(page, |session| SessionRow::of(&session, current))))
}

/// `DELETE /people/{user}/sessions`: all of them in this organisation, and the personal tokens.
pub async fn end_sessions(
    State(app): State<App>,
    scope: Scope,
    Path(user): Path<String>,
) -> Result<StatusCode, ApiError> {
    let member = below(&app, &scope, &user).await?;
    let (user, now) = (member.user.user_id, app.clock.now());
    let sessions = app.store.users().revoke_sessions(scope.org_id, user, now).await?;
    let tokens = app.store.personal_tokens().revoke_all(scope.org_id, user, now).await?;
    let details = json!({"member": user, "email": member.user.email, "sessions_ended": sessions,
        "personal_tokens_revoked": tokens});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /people/{user}/sessions/{login}`
pub async fn end_session(
    State(app): State<App>,
    scope: Scope,
    Path((user, login)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let member = below(&app, &scope, &user).await?;
    let login: Uuid = login.parse().map_err(|_| ApiError::not_found())?;
    let (users, now) = (app.store.users(), app.clock.now());
    if !users.revoke_session(scope.org_id, member.user.user_id, login, now).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"member": member.user.user_id, "email": member.user.email, "session_ended": login});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /people/{user}/tokens`
pub async fn tokens(
    State(app): State<App>,
    scope: Scope,
    Path(user): Path<String>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<PersonalTokenView>>, ApiError> {
    let member = member(&app, &scope, &user).await?;
    let page = app.store.personal_tokens().list(scope.org_id, member.user.user_id, &query.page()).await?;
    Ok(Json(Listed::of(page, PersonalTokenView::from)))
}

/// `DELETE /people/{user}/tokens/{token}`
pub async fn revoke_token(
    State(app): State<App>,
    scope: Scope,
    Path((user, token)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let member = below(&app, &scope, &user).await?;
    let token: Uuid = token.parse().map_err(|_| ApiError::not_found())?;
    let (tokens, now) = (app.store.personal_tokens(), app.clock.now());
    if !tokens.revoke(scope.org_id, member.user.user_id, token, now).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"member": member.user.user_id, "email": member.user.email, "personal_token": token});
    app.changed(Change::new(EventType::KeyRevoked, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /invitations`
pub async fn invitations(
    State(app): State<App>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Listed<InvitationView>>, ApiError> {
    let page = app.store.invitations().list(scope.org_id, app.clock.now(), &query.page()).await?;
    Ok(Json(Listed::of(page, InvitationView::from)))
}

/// `POST /invitations`
pub async fn invite(
    State(app): State<App>,
    scope: Scope,
    body::Json(new): body::Json<Invite>,
) -> Result<(StatusCode, Json<Invited>), ApiError> {
    let org = app.store.orgs().get(scope.org_id).await?.ok_or_else(ApiError::not_found)?;
    let mailer = app.mailer.as_ref().filter(|_| new.mail.unwrap_or(true));
    let (mut invitation, mut token) = make_invitation(&app, &scope, &new, mailer.is_some()).await?;
    let mut handed = Handed::default();
    if let Some(mailer) = mailer {
        let letter = mailer.invitation(&invitation, &org.name, &token);
        handed = app.deliver(scope.org_id, &invitation.email, letter).await.into();
        if !handed.is_mailed() {
            (invitation, token) = make_invitation(&app, &scope, &new, false).await?;
        }
    }
    let made = Invited { invitation: invitation.into(), handed: handed.or_shown(&token) };
    Ok((StatusCode::CREATED, Json(made)))
}

/// As [`make_reset`].
async fn make_invitation(
    app: &App,
    scope: &Scope,
    new: &Invite,
    mailed: bool,
) -> Result<(Invitation, LinkToken), ApiError> {
    let role = new.role.unwrap_or(Role::Member);
    let made = app.accounts.invite(scope.org_id, by(scope), &new.email, role, mailed).await?;
    let (invitation, token) = made.ok_or_else(ApiError::not_found)?;
    let details = json!({"invited": invitation.email, "role": role, "invitation": invitation.invitation_id,
        "mailed": mailed});
    app.changed(Change::new(EventType::ConfigChanged, scope).details(details)).await?;
    Ok((invitation, token))
}

/// `DELETE /invitations/{invitation}`
pub async fn take_back(
    State(app): State<App>,
    scope: Scope,
    Path(invitation): Path<String>,
) -> Result<StatusCode, ApiError> {
    let invitation: Uuid = invitation.parse().map_err(|_| ApiError::not_found())?;
    if !app.store.invitations().revoke(scope.org_id, invitation, app.clock.now()).await? {
        return Err(ApiError::not_found());
    }
    let details = json!({"invitation": invitation, "taken_back": true});
    app.changed(Change::new(EventType::ConfigChanged, &scope).details(details)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn by(scope: &Scope) -> Inviter<'_> {
    let user_id = scope.person.as_ref().map(|person| person.user_id);
    Inviter { name: &scope.actor, user_id, role: scope.role() }
}

async fn member(app: &App, scope: &Scope, user: &str) -> Result<Member, ApiError> {
    let user: Uuid = user.parse().map_err(|_| ApiError::not_found())?;
    app.store.users().get(scope.org_id, user).await?.ok_or_else(ApiError::not_found)
}

/// A member on whom whoever acts may act: nobody of a higher role.
async fn below(app: &App, scope: &Scope, user: &str) -> Result<Member, ApiError> {
    let member = member(app, scope, user).await?;
    if member.role > scope.role() { Err(above()) } else { Ok(member) }
}

fn above() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "above_your_role", "That is above your own role.")
}

fn settled(done: Membership) -> Result<(), ApiError> {
    match done {
        Membership::Changed => Ok(()),
        Membership::Missing => Err(ApiError::not_found()),
        Membership::LastAdmin => Err(ApiError::conflict(
            "last_admin",
            "Nobody else governs this organisation: give somebody the role org_admin first.",
        )),
    }
}
