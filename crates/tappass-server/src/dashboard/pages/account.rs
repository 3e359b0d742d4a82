//! `/app/account`: one's own password, second factor, sessions, tokens, identities and organisations.

use askama::Template;
use axum::{extract::State, response::Response};
use tappass_model::Role;
use tappass_store::{LinkedIdentity, Org, PageRequest, PersonalToken, Proof, SecondFactor, UserSession};

use crate::{
    caller::Own,
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    state::App,
};

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    has_password: bool,
    by_issuer: bool,
    factor: Option<SecondFactor>,
    factor_missing: bool,
    orgs: Vec<(Org, Role, bool)>,
    sessions: Vec<Session>,
    tokens: Vec<Token>,
    roles: Vec<Role>,
    identities: Vec<LinkedIdentity>,
    ways: Vec<(String, &'static str)>,
}

struct Session {
    it: UserSession,
    org: String,
    current: bool,
}

struct Token {
    it: PersonalToken,
    ended: bool,
}

/// What is one's own.
///
/// # Errors
/// 404 when the account is gone.
pub async fn show(State(app): State<App>, viewer: Viewer, Own(person): Own) -> Result<Response, ApiError> {
    let (users, all) = (app.store.users(), PageRequest { limit: 200, cursor: None });
    let account = users.account(person.user_id).await?.ok_or_else(ApiError::not_found)?;
    let orgs = users.orgs(person.user_id).await?;
    let now = app.clock.now();
    let sessions = users.own_sessions(person.user_id, now, &all).await?.items;
    let name = |org_id| orgs.iter().find(|(org, _)| org.org_id == org_id).map(|(org, _)| org.name.clone());
    let sessions = sessions.into_iter().map(|it| Session {
        org: name(it.org_id).unwrap_or_default(),
        current: it.session_id == person.session_id,
        it,
    });
    let tokens = app.store.personal_tokens().list(person.org_id, person.user_id, &all).await?.items;
    let has_ended = |it: &PersonalToken| it.revoked_at.is_some() || it.expires_at <= now;
    page::show(&Account {
        shell: viewer.shell("/app/account"),
        has_password: account.password_hash.is_some(),
        by_issuer: person.proof == Proof::Issuer,
        factor: app.accounts.second_factor(person.user_id).await?,
        factor_missing: person.factor_missing,
        sessions: sessions.collect(),
        tokens: tokens.into_iter().map(|it| Token { ended: has_ended(&it), it }).collect(),
        roles: up_to(person.role),
        identities: app.store.identities().of(person.user_id).await?,
        ways: app
            .sso
            .configured()
            .map(|one| (one.issuer().name.clone(), one.issuer().provider.id()))
            .collect(),
        orgs: orgs.into_iter().map(|(org, role)| (org.clone(), role, org.org_id == person.org_id)).collect(),
    })
}

/// The roles that somebody of this one may give, from the least; running the platform is not given here.
pub(super) fn up_to(role: Role) -> Vec<Role> {
    let all = [Role::Member, Role::Auditor, Role::Developer, Role::OrgAdmin];
    all.into_iter().filter(|one| *one <= role).collect()
}
