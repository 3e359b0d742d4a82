//! What an organisation sets for all its agents: flags that are locked, what is kept of calls; and what is made of that.

use http::{Method, StatusCode};

use tappass_model::OrgFlags;

use crate::{
    kept::Payloads,
    replay::Replayed,
    router::table::{AUDITOR, DEVELOPER, MEMBER, ORG_ADMIN, Route},
    routes::{org_flags, payloads, replay},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::GET,
            "/settings/flags",
            MEMBER,
            org_flags::show,
            "The flags that are locked for every agent, and the defaults",
        )
        .gives::<org_flags::OrgFlagsView>(ok),
        Route::new(
            Method::PUT,
            "/settings/flags",
            ORG_ADMIN,
            org_flags::put,
            "Locks flags for every agent and sets defaults; a call may only tighten a lock",
        )
        .takes::<OrgFlags>()
        .gives::<org_flags::OrgFlagsView>(ok),
        Route::new(
            Method::GET,
            "/settings/payloads",
            AUDITOR,
            payloads::show,
            "Whether and how long what calls say is kept",
        )
        .gives::<payloads::PayloadsView>(ok),
        Route::new(
            Method::PUT,
            "/settings/payloads",
            ORG_ADMIN,
            payloads::put,
            "Keeps what calls say, sealed, for so many days; 0: not",
        )
        .takes::<Payloads>()
        .gives::<payloads::PayloadsView>(ok),
        Route::new(
            Method::DELETE,
            "/settings/payloads/kept",
            ORG_ADMIN,
            payloads::forget,
            "Forgets all that is kept, at once",
        )
        .gives::<payloads::Forgotten>(ok),
        Route::new(
            Method::POST,
            "/pipelines/replay",
            DEVELOPER,
            replay::run,
            "What a changed pipeline would have done with past calls",
        )
        .takes::<replay::ReplayRequest>()
        .gives::<Replayed>(ok),
    ]
}
