//! Tool calls of an agent's own, and coding agents' hooks.

use http::{Method, StatusCode};

use crate::{
    call::verdict::Decision,
    router::table::{Auth, Route},
    routes::{govern, hooks},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::POST,
            "/govern",
            Auth::Agent,
            govern::ask,
            "Whether the agent may make a tool call of its own; 200 with the outcome, whatever it is",
        )
        .takes::<govern::Question>()
        .gives::<Decision>(ok),
        Route::new(
            Method::POST,
            "/govern/execution",
            Auth::Agent,
            govern::report,
            "Reports what a tool returned; it is scanned, and masked where it must be",
        )
        .takes::<govern::Execution>()
        .gives::<Decision>(ok),
        Route::new(
            Method::POST,
            "/hooks",
            Auth::Agent,
            hooks::one,
            "An event of a coding agent's hook, answered as that agent's hooks answer",
        )
        .asks::<hooks::HookQuery>()
        .takes::<serde_json::Value>()
        .gives::<serde_json::Value>(ok),
        Route::new(
            Method::POST,
            "/hooks/batch",
            Auth::Agent,
            hooks::batch,
            "Several of them, each answered by itself",
        )
        .asks::<hooks::HookQuery>()
        .takes::<Vec<serde_json::Value>>()
        .gives::<hooks::Answers>(ok),
    ]
}
