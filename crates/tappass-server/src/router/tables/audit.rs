//! The audit log.

use http::{Method, StatusCode};

use crate::{
    params::Listed,
    router::table::{AUDITOR, Auth, ORG_ADMIN, Route},
    routes::{audit, client_events, debug, explain, follow},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    let told = |path, summary| {
        Route::new(Method::POST, path, Auth::Agent, client_events::one, summary)
            .takes::<client_events::ClientEvent>()
            .gives::<client_events::Accepted>(StatusCode::ACCEPTED)
    };
    vec![
        told("/events", "Something that happened at an agent, for the log; under one id it is recorded once"),
        told("/audit", "The same as /events"),
        Route::new(
            Method::POST,
            "/audit/batch",
            Auth::Agent,
            client_events::batch,
            "At most 100 of them: all, or none where one of them is malformed",
        )
        .takes::<Vec<client_events::ClientEvent>>()
        .gives::<client_events::Accepted>(StatusCode::ACCEPTED),
        Route::new(Method::GET, "/audit", AUDITOR, audit::list, "Events, the newest first")
            .asks::<audit::AuditQuery>()
            .gives::<Listed<serde_json::Value>>(ok),
        Route::new(
            Method::GET,
            "/audit/verify",
            AUDITOR,
            audit::verify,
            "Whether the log is whole and unaltered",
        )
        .asks::<audit::VerifyQuery>()
        .gives::<audit::Verdict>(ok),
        Route::new(
            Method::GET,
            "/audit/export",
            AUDITOR,
            audit::export,
            "The whole log, to be verified elsewhere; or a table of it",
        )
        .asks::<audit::ExportQuery>(),
        Route::new(
            Method::GET,
            "/audit/stream",
            AUDITOR,
            follow::stream,
            "Events as they come, resumable by Last-Event-ID",
        )
        .asks::<audit::AuditQuery>(),
        Route::new(
            Method::GET,
            "/admin/debug",
            ORG_ADMIN,
            debug::list,
            "Traces kept for support, without any text",
        )
        .asks::<debug::DebugQuery>()
        .gives::<Listed<serde_json::Value>>(ok),
        Route::new(
            Method::POST,
            "/audit/checkpoint",
            AUDITOR,
            audit::checkpoint,
            "Signs the log as it is now",
        ),
        Route::new(Method::GET, "/audit/{event}", AUDITOR, audit::show, "One event"),
        Route::new(
            Method::GET,
            "/audit/{event}/explain",
            AUDITOR,
            explain::explain,
            "Why a call was decided as it was, as recorded with it",
        )
        .gives::<explain::Explanation>(ok),
    ]
}
