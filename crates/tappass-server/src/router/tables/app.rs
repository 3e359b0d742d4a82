//! The dashboard's pages. What they change, they change through the other tables' routes.

use http::Method;

use crate::{
    dashboard::{assets, page, pages},
    error::ErrorShape,
    router::table::{AUDITOR, Auth, MEMBER, ORG_ADMIN, Route},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    vec![
        Route::page("/", Auth::Public, page::home, "To the dashboard"),
        Route::page("/app/sign-in", Auth::Public, pages::sign_in::show, "Sign in"),
        Route::page("/app", AUDITOR, pages::overview::show, "What the agents did"),
        Route::page("/app/readiness", AUDITOR, pages::readiness::show, "What enforce would have refused"),
        Route::page(
            "/app/readiness/proposals/{event}",
            AUDITOR,
            pages::readiness::proposals,
            "What false alarms in a call propose",
        ),
        Route::page("/app/audit", AUDITOR, pages::audit::show, "The audit trail, live"),
        Route::page("/app/calls/{event}", AUDITOR, pages::call::show, "One call, step by step"),
        Route::page(
            "/app/calls/{event}/text",
            ORG_ADMIN,
            pages::call_text::show,
            "What a call said where something was found, masked",
        ),
        Route::page("/app/sessions", AUDITOR, pages::sessions::show, "Sessions with calls lately"),
        Route::page("/app/sessions/{session}", AUDITOR, pages::sessions::session, "One session"),
        Route::page("/app/agents", AUDITOR, pages::agents::show, "Agents"),
        Route::page("/app/pipelines", AUDITOR, pages::pipelines::show, "Pipelines"),
        Route::page(
            "/app/pipelines/{name}",
            AUDITOR,
            pages::pipeline::show,
            "One pipeline: its steps, its text, its versions",
        ),
        Route::page("/app/agents/{agent}", AUDITOR, pages::agent::show, "One agent"),
        Route::page("/app/approvals", ORG_ADMIN, pages::approvals::show, "What waits for a person"),
        Route::page("/app/tools", ORG_ADMIN, pages::tools::show, "MCP servers and their tools"),
        Route::page("/app/tools/{server}", ORG_ADMIN, pages::tools::server, "One MCP server"),
        Route::page("/app/status", MEMBER, pages::status::show, "How everything is, and what mends it"),
        Route::page(
            "/app/sign-up",
            Auth::Public,
            pages::entrance::sign_up,
            "An account and its organisation",
        ),
        Route::page("/app/forgotten", Auth::Public, pages::entrance::forgotten, "A link to a new password"),
        Route::page("/app/reset", Auth::Public, pages::entrance::reset, "A new password, by a link"),
        Route::page("/app/invitation", Auth::Public, pages::entrance::invitation, "An invitation, accepted"),
        Route::page("/app/account", Auth::Own, pages::account::show, "One's own account"),
        Route::page(
            "/app/credentials",
            AUDITOR,
            pages::credentials::show,
            "Keys of providers, without their values",
        ),
        Route::page("/app/people", AUDITOR, pages::people::show, "People and their roles"),
        Route::page("/app/people/{user}", ORG_ADMIN, pages::people::person, "One of them"),
        Route::page("/app/settings", AUDITOR, pages::settings::show, "What holds for the organisation"),
        Route {
            shape: ErrorShape::Page,
            ..Route::new(
                Method::GET,
                "/app/static/{build}/{*file}",
                Auth::Open,
                assets::serve,
                "Styles, scripts and fonts",
            )
        },
    ]
}
