//! `/app/people` and `/app/people/{user}`: who belongs to the organisation, and as what.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use tappass_model::Role;
use tappass_store::{Invitation, Member, PageRequest, PersonalToken, UserSession};
use uuid::Uuid;

use super::account::up_to;
use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    params::{ListQuery, Params},
    state::App,
};

#[derive(Template)]
#[template(path = "people.html")]
struct People {
    shell: Shell,
    members: Vec<(Member, bool)>,
    next: Option<String>,
    invitations: Vec<Invitation>,
    governs: bool,
    roles: Vec<Role>,
    base_url: String,
    mails: bool,
}

#[derive(Template)]
#[template(path = "person.html")]
struct Person {
    shell: Shell,
    member: Member,
    me: bool,
    /// Nobody acts on somebody of a higher role.
    may_act: bool,
    /// Without them nobody would govern the organisation.
    last_admin: bool,
    roles: Vec<(Role, bool)>,
    sessions: Vec<UserSession>,
    tokens: Vec<PersonalToken>,
    base_url: String,
    mails: bool,
}

/// Everyone, and who is invited.
///
/// # Errors
/// 400 for a cursor that is none.
pub async fn show(
    State(app): State<App>,
    viewer: Viewer,
    Params(query): Params<ListQuery>,
) -> Result<Response, ApiError> {
    let org = viewer.scope.org_id;
    let page = app.store.users().list(org, &query.page()).await?;
    let governs = viewer.governs();
    let all = PageRequest { limit: 200, cursor: None };
    let invitations = if governs {
        app.store.invitations().list(org, app.clock.now(), &all).await?.items
    } else {
        Vec::new()
    };
    let me = own_id(&viewer);
    page::show(&People {
        shell: viewer.shell("/app/people"),
        members: page.items.into_iter().map(|m| (m.clone(), Some(m.user.user_id) == me)).collect(),
        next: page.next,
        invitations,
        governs,
        roles: up_to(viewer.scope.role()),
        base_url: app.base_url(),
        mails: app.mailer.is_some(),
    })
}

/// One of them.
///
/// # Errors
/// 404 for somebody of another organisation as for nobody.
pub async fn person(
    State(app): State<App>,
    viewer: Viewer,
    Path(user): Path<String>,
) -> Result<Response, ApiError> {
    let (org, all) = (viewer.scope.org_id, PageRequest { limit: 200, cursor: None });
    let user: Uuid = user.parse().map_err(|_| ApiError::not_found())?;
    let member = app.store.users().get(org, user).await?.ok_or_else(ApiError::not_found)?;
    let role = viewer.scope.role();
    let sessions = app.store.users().sessions(org, user, app.clock.now(), &all).await?.items;
    let tokens = app.store.personal_tokens().list(org, user, &all).await?.items;
    let now = app.clock.now();
    page::show(&Person {
        shell: viewer.shell("/app/people"),
        me: own_id(&viewer) == Some(user),
        may_act: member.role <= role,
        last_admin: member.role >= Role::OrgAdmin && !governed_by_another(&app, org, user).await?,
        roles: up_to(role).into_iter().map(|one| (one, one == member.role)).collect(),
        member,
        sessions,
        tokens: tokens.into_iter().filter(|t| t.revoked_at.is_none() && t.expires_at > now).collect(),
        base_url: app.base_url(),
        mails: app.mailer.is_some(),
    })
}

fn own_id(viewer: &Viewer) -> Option<Uuid> {
    viewer.scope.person.as_ref().map(|person| person.user_id)
}

/// Whether somebody else governs the organisation too: as the server will say, but beforehand.
async fn governed_by_another(app: &App, org: Uuid, user: Uuid) -> Result<bool, ApiError> {
    let mut page = PageRequest { limit: 500, cursor: None };
    loop {
        let members = app.store.users().list(org, &page).await?;
        if members.items.iter().any(|m| m.role >= Role::OrgAdmin && m.user.user_id != user) {
            return Ok(true);
        }
        match members.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(false),
        }
    }
}
