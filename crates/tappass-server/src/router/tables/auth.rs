//! Signing up, in and out.

use http::{Method, StatusCode};

use crate::{
    router::table::{Auth, MEMBER, Route},
    routes::auth,
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            Method::POST,
            "/auth/signup",
            Auth::Public,
            auth::signup,
            "Makes an account and its organisation",
        )
        .takes::<auth::Signup>()
        .gives::<auth::Session>(StatusCode::CREATED),
        Route::new(Method::POST, "/auth/login", Auth::Public, auth::login, "Begins a session")
            .takes::<auth::Login>()
            .gives::<auth::Session>(ok),
        Route::new(Method::POST, "/auth/logout", Auth::Own, auth::logout, "Ends the session")
            .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(
            Method::POST,
            "/auth/refresh",
            Auth::Own,
            auth::refresh,
            "A new session for the one in use",
        )
        .gives::<auth::Session>(ok),
        Route::new(Method::GET, "/auth/me", MEMBER, auth::me, "Who you are").gives::<auth::Me>(ok),
    ]
}
