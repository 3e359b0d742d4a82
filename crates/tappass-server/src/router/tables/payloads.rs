//! What calls say, where it is kept, and what is made of it.

use http::{Method, StatusCode};

use crate::{
    kept::Payloads,
    replay::Replayed,
    router::table::{AUDITOR, DEVELOPER, ORG_ADMIN, Route},
    routes::{payloads, replay},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
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
