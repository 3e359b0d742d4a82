//! The dashboard's pages. What they change, they change through the other tables' routes.

use http::Method;

use crate::{
    dashboard::{assets, pages},
    error::ErrorShape,
    router::table::{AUDITOR, Auth, Route},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    vec![
        Route::page("/app/sign-in", Auth::Public, pages::sign_in::show, "Sign in"),
        Route::page("/app/audit", AUDITOR, pages::audit::show, "The audit trail, live"),
        Route::page("/app/calls/{event}", AUDITOR, pages::call::show, "One call, step by step"),
        Route::page("/app/agents", AUDITOR, pages::agents::show, "Agents"),
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
