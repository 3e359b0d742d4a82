//! Signing in at other issuers: the same routes for each.

use axum::extract::{Request, State};
use http::{Method, StatusCode};
use tappass_identity::oidc::Provider;

use crate::{
    caller::Caller,
    error::ErrorShape,
    params::Params,
    router::table::{Auth, Route},
    routes::{auth::Session, sso},
    state::App,
};

/// The paths of an issuer: to begin, to come back, to bind, and for a token.
const fn paths(provider: Provider) -> [&'static str; 4] {
    match provider {
        Provider::Google => {
            ["/auth/google", "/auth/google/callback", "/auth/google/link", "/auth/google-token"]
        }
        Provider::Oidc => ["/auth/oidc", "/auth/oidc/callback", "/auth/oidc/link", "/auth/oidc-token"],
    }
}

fn of(provider: Provider) -> Vec<Route> {
    let [begin, callback, link, token] = paths(provider);
    let ok = StatusCode::OK;
    vec![
        Route {
            shape: ErrorShape::SignIn,
            ..Route::new(
                Method::GET,
                begin,
                Auth::Public,
                move |State(app): State<App>, Params(asked)| sso::begin(provider, app, asked),
                "Sends a browser to the issuer to sign in",
            )
            .asks::<sso::Begin>()
            .gives_nothing(StatusCode::SEE_OTHER)
        },
        Route {
            shape: ErrorShape::SignIn,
            ..Route::new(
                Method::GET,
                callback,
                Auth::Public,
                move |State(app): State<App>, request: Request| sso::callback(provider, app, request),
                "Where the issuer sends the browser back to",
            )
            .asks::<sso::Answer>()
            .gives::<Session>(ok)
        },
        Route::new(
            Method::POST,
            link,
            Auth::Own,
            move |State(app): State<App>, caller: Caller| sso::link(provider, app, caller),
            "Binds an identity at the issuer to the account that is signed in",
        )
        .gives::<sso::Linking>(ok),
        Route::new(
            Method::POST,
            token,
            Auth::Public,
            move |State(app): State<App>, request: Request| sso::token(provider, app, request),
            "Begins a session by an ID token of the issuer",
        )
        .takes::<sso::Token>()
        .gives::<Session>(ok),
    ]
}

/// Its lines.
pub fn routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    let mut routes: Vec<Route> = Provider::ALL.into_iter().flat_map(of).collect();
    routes.extend([
        Route::new(
            Method::GET,
            "/auth/providers",
            Auth::Public,
            sso::ways,
            "Which issuers one can sign in at",
        )
        .gives::<sso::Ways>(ok),
        Route::new(
            Method::POST,
            "/auth/cli",
            Auth::Public,
            sso::collect,
            "The session that a browser has made for a program on its machine",
        )
        .takes::<sso::Collect>()
        .gives::<Session>(ok),
        Route::new(
            Method::GET,
            "/auth/identities",
            Auth::Own,
            sso::identities,
            "Your identities at other issuers",
        )
        .gives::<sso::Identities>(ok),
        Route::new(
            Method::DELETE,
            "/auth/identities/{identity}",
            Auth::Own,
            sso::unlink,
            "Unbinds one of your identities",
        )
        .gives_nothing(StatusCode::NO_CONTENT),
    ]);
    routes
}
