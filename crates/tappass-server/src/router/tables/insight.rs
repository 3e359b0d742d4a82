//! What the dashboard shows.

use http::{Method, StatusCode};

use crate::{
    insight::{
        overview::Overview,
        readiness::{EnforcePreview, Readiness},
    },
    params::Listed,
    router::table::{AUDITOR, DEVELOPER, Route},
    routes::insight,
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::GET,
            "/insight/overview",
            AUDITOR,
            insight::show_overview,
            "Calls, findings, costs and latencies of a window, beside the one before",
        )
        .asks::<insight::OverviewQuery>()
        .gives::<Overview>(ok),
        Route::new(
            Method::GET,
            "/insight/readiness",
            AUDITOR,
            insight::show_readiness,
            "What enforce would have refused, by rule, agent and example",
        )
        .asks::<insight::ReadinessQuery>()
        .gives::<Readiness>(ok),
        Route::new(
            Method::GET,
            "/insight/readiness/{agent}/enforce",
            AUDITOR,
            insight::enforce,
            "What enforce would have meant for an agent, and the change that makes it so",
        )
        .asks::<insight::PreviewQuery>()
        .gives::<EnforcePreview>(ok),
        Route::new(
            Method::GET,
            "/insight/marks/{event}",
            AUDITOR,
            insight::marks,
            "What a call's steps found, how it is marked, and what false alarms propose",
        )
        .gives::<Listed<insight::Marked>>(ok),
        Route::new(
            Method::PUT,
            "/insight/marks/{event}",
            DEVELOPER,
            insight::mark,
            "Marks a finding right or a false alarm",
        )
        .takes::<insight::NewMark>()
        .gives::<insight::Marked>(ok),
        Route::new(
            Method::DELETE,
            "/insight/marks/{event}",
            DEVELOPER,
            insight::unmark,
            "Takes marks on a call back",
        )
        .asks::<insight::UnmarkQuery>()
        .gives_nothing(StatusCode::NO_CONTENT),
    ]
}
