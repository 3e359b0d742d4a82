//! Sessions, as agents make them and as auditors read them.

use http::{Method, StatusCode};

use crate::{
    params::{ListQuery, Listed},
    router::table::{AUDITOR, Auth, Route},
    routes::sessions,
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::POST,
            "/sessions",
            Auth::Agent,
            sessions::create,
            "Makes a session of the agent's own",
        )
        .takes::<sessions::NewSession>()
        .gives::<sessions::Created>(StatusCode::CREATED),
        Route::new(
            Method::PATCH,
            "/sessions/{session}",
            Auth::Agent,
            sessions::change,
            "Names it, says something of it, ends it",
        )
        .takes::<sessions::SessionChange>()
        .gives::<sessions::SessionView>(ok),
        Route::new(
            Method::GET,
            "/sessions",
            AUDITOR,
            sessions::list,
            "Sessions that agents made, the newest first",
        )
        .asks::<ListQuery>()
        .gives::<Listed<sessions::SessionView>>(ok),
        Route::new(
            Method::GET,
            "/sessions/{session}",
            AUDITOR,
            sessions::show,
            "One of them, with what is remembered of it",
        )
        .gives::<sessions::SessionDetail>(ok),
    ]
}
