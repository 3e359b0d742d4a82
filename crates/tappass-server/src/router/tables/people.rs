//! People: their own accounts, and an organisation's.

use http::{Method, StatusCode};

use crate::{
    params::{ListQuery, Listed},
    router::table::{AUDITOR, Auth, MEMBER, ORG_ADMIN, Route},
    routes::{account, auth, links, orgs, people},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    [own(), organisations(), members()].into_iter().flatten().collect()
}

/// What belongs to one's own account.
fn own() -> Vec<Route> {
    let (ok, created, none) = (StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT);
    let own = Auth::Own;
    vec![
        Route::new(
            Method::POST,
            "/auth/password",
            own,
            account::password,
            "Changes one's password; the other sessions end",
        )
        .takes::<account::NewPassword>()
        .gives_nothing(none),
        Route::new(
            Method::POST,
            "/auth/password/reset",
            Auth::Public,
            links::set_password,
            "Sets a password by a link; all sessions and personal tokens end",
        )
        .takes::<links::SetPassword>()
        .gives_nothing(none),
        Route::new(
            Method::POST,
            "/auth/password/forgotten",
            Auth::Public,
            links::forgotten,
            "Mails a link to a new password; tells nobody whether there is such an account",
        )
        .takes::<links::Forgotten>()
        .gives_nothing(StatusCode::ACCEPTED),
        Route::new(Method::GET, "/auth/second-factor", own, account::factor, "One's second factor")
            .gives::<account::FactorView>(ok),
        Route::new(
            Method::POST,
            "/auth/second-factor",
            own,
            account::enrol,
            "Begins a second factor for an authenticator app (RFC 6238)",
        )
        .takes::<account::Enrol>()
        .gives::<account::Enrolled>(created),
        Route::new(
            Method::POST,
            "/auth/second-factor/confirm",
            own,
            account::confirm,
            "Confirms it with its first code; gives the recovery codes, once",
        )
        .takes::<account::Confirm>()
        .gives::<account::Confirmed>(ok),
        Route::new(
            Method::POST,
            "/auth/second-factor/disable",
            own,
            account::disable,
            "Removes it, with the password or a code",
        )
        .takes::<account::ShownAgain>()
        .gives_nothing(none),
        Route::new(
            Method::POST,
            "/auth/second-factor/recovery-codes",
            own,
            account::renew_codes,
            "Gives other recovery codes, once; those before end. With the password or a code",
        )
        .takes::<account::ShownAgain>()
        .gives::<account::Confirmed>(ok),
        Route::new(
            Method::GET,
            "/auth/sessions",
            own,
            account::sessions,
            "One's sessions, in all organisations",
        )
        .asks::<ListQuery>()
        .gives::<Listed<account::SessionRow>>(ok),
        Route::new(
            Method::DELETE,
            "/auth/sessions/{login}",
            own,
            account::end_session,
            "Ends one of one's sessions at once",
        )
        .gives_nothing(none),
        Route::new(
            Method::GET,
            "/auth/tokens",
            own,
            account::tokens,
            "One's personal tokens in the organisation one acts in",
        )
        .asks::<ListQuery>()
        .gives::<Listed<account::PersonalTokenView>>(ok),
        Route::new(
            Method::POST,
            "/auth/tokens",
            own,
            account::make_token,
            "Makes a personal token; it is shown once",
        )
        .takes::<account::NewToken>()
        .gives::<account::TokenMade>(created),
        Route::new(Method::DELETE, "/auth/tokens/{token}", own, account::revoke_token, "Revokes one at once")
            .gives_nothing(none),
    ]
}

/// Organisations, and the way into them.
fn organisations() -> Vec<Route> {
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        Route::new(Method::GET, "/auth/orgs", Auth::Own, orgs::list, "The organisations one belongs to")
            .gives::<Listed<orgs::OwnOrg>>(ok),
        Route::new(
            Method::POST,
            "/auth/orgs",
            Auth::Own,
            orgs::found,
            "Makes another organisation, which one governs",
        )
        .takes::<orgs::NewOrg>()
        .gives::<auth::OrgView>(created),
        Route::new(
            Method::POST,
            "/auth/switch-org",
            Auth::Own,
            orgs::switch,
            "A session in another of one's organisations for the one in use",
        )
        .takes::<orgs::Switch>()
        .gives::<auth::Session>(ok),
        Route::new(
            Method::GET,
            "/auth/orgs/{org}",
            MEMBER,
            orgs::show,
            "An organisation and what it sets for all its people",
        )
        .gives::<orgs::TermsView>(ok),
        Route::new(
            Method::PATCH,
            "/auth/orgs/{org}",
            ORG_ADMIN,
            orgs::change,
            "Changes its name, and whether its people need a second factor",
        )
        .takes::<orgs::TermsChange>()
        .gives::<orgs::TermsView>(ok),
        Route::new(
            Method::POST,
            "/auth/invitations/accept",
            Auth::Public,
            links::accept,
            "Accepts an invitation by its link and signs in; makes the account if there is none",
        )
        .takes::<links::Accept>()
        .gives::<auth::Session>(created),
        Route::new(
            Method::POST,
            "/auth/invitations/join",
            Auth::Own,
            links::join,
            "Accepts an invitation of one's own address; the session moves there",
        )
        .takes::<links::Join>()
        .gives::<auth::Session>(created),
    ]
}

/// An organisation's people.
fn members() -> Vec<Route> {
    let (ok, created, none) = (StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT);
    vec![
        Route::new(
            Method::GET,
            "/people",
            AUDITOR,
            people::list,
            "The organisation's people and their roles",
        )
        .asks::<ListQuery>()
        .gives::<Listed<people::MemberView>>(ok),
        Route::new(
            Method::PATCH,
            "/people/{user}",
            ORG_ADMIN,
            people::set_role,
            "Gives somebody another role",
        )
        .takes::<people::NewRole>()
        .gives::<people::MemberView>(ok),
        Route::new(
            Method::DELETE,
            "/people/{user}",
            ORG_ADMIN,
            people::remove,
            "Removes somebody; their sessions, tokens and developer keys here end",
        )
        .gives_nothing(none),
        Route::new(
            Method::POST,
            "/people/{user}/reset",
            ORG_ADMIN,
            people::reset,
            "A link with which somebody sets a new password; shown once",
        )
        .takes::<people::Reset>()
        .gives::<people::ResetMade>(created),
        Route::new(
            Method::GET,
            "/people/{user}/sessions",
            ORG_ADMIN,
            people::sessions,
            "Somebody's sessions in this organisation",
        )
        .asks::<ListQuery>()
        .gives::<Listed<account::SessionRow>>(ok),
        Route::new(
            Method::DELETE,
            "/people/{user}/sessions",
            ORG_ADMIN,
            people::end_sessions,
            "Ends all of them, and the personal tokens",
        )
        .gives_nothing(none),
        Route::new(
            Method::DELETE,
            "/people/{user}/sessions/{login}",
            ORG_ADMIN,
            people::end_session,
            "Ends one of them at once",
        )
        .gives_nothing(none),
        Route::new(
            Method::GET,
            "/people/{user}/tokens",
            ORG_ADMIN,
            people::tokens,
            "Somebody's personal tokens in this organisation",
        )
        .asks::<ListQuery>()
        .gives::<Listed<account::PersonalTokenView>>(ok),
        Route::new(
            Method::DELETE,
            "/people/{user}/tokens/{token}",
            ORG_ADMIN,
            people::revoke_token,
            "Revokes one at once",
        )
        .gives_nothing(none),
        Route::new(
            Method::GET,
            "/invitations",
            ORG_ADMIN,
            people::invitations,
            "The invitations that are open",
        )
        .asks::<ListQuery>()
        .gives::<Listed<people::InvitationView>>(ok),
        Route::new(
            Method::POST,
            "/invitations",
            ORG_ADMIN,
            people::invite,
            "Invites somebody; the link is shown once",
        )
        .takes::<people::Invite>()
        .gives::<people::Invited>(created),
        Route::new(
            Method::DELETE,
            "/invitations/{invitation}",
            ORG_ADMIN,
            people::take_back,
            "Takes an invitation back",
        )
        .gives_nothing(none),
    ]
}
