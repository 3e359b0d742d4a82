//! Capability tokens: what they may cover, what is made of them, and the keys that sign them.

use http::{Method, StatusCode};
use tappass_model::TokenScope;

use crate::{
    params::Listed,
    router::table::{ADMIN, Auth, ORG_ADMIN, Route},
    routes::{agents, scopes, token_keys, tokens},
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let (ok, created) = (StatusCode::OK, StatusCode::CREATED);
    vec![
        Route::new(
            Method::PUT,
            "/agents/{agent}/scope",
            ORG_ADMIN,
            scopes::set,
            "Sets what an agent's capability tokens may cover",
        )
        .takes::<TokenScope>()
        .gives::<agents::AgentView>(ok),
        Route::new(
            Method::DELETE,
            "/agents/{agent}/scope",
            ORG_ADMIN,
            scopes::clear,
            "Removes an agent's scope: it gets tokens only where it asks",
        )
        .gives::<agents::AgentView>(ok),
        Route::new(
            Method::POST,
            "/tokens/attenuate",
            Auth::Agent,
            tokens::attenuate,
            "Makes a narrower capability token of one of the agent's",
        )
        .takes::<tokens::Attenuate>()
        .gives::<tokens::CapabilityTokenView>(ok),
        Route::new(
            Method::POST,
            "/tokens/verify",
            Auth::Agent,
            tokens::verify,
            "Whether a use is within a capability token; uses it up",
        )
        .takes::<tokens::Verify>()
        .gives::<tokens::Verified>(ok),
        Route::new(
            Method::GET,
            "/.well-known/jwks.json",
            Auth::Public,
            tokens::jwks,
            "The keys that verify capability tokens (RFC 7517)",
        ),
        Route::new(
            Method::GET,
            "/admin/token-keys",
            ADMIN,
            token_keys::list,
            "The keys that sign capability tokens",
        )
        .gives::<Listed<token_keys::TokenKeyView>>(ok),
        Route::new(
            Method::POST,
            "/admin/token-keys",
            ADMIN,
            token_keys::generate,
            "Makes a key that is published now and signs from the next rotation on",
        )
        .gives::<token_keys::TokenKeyView>(created),
        Route::new(
            Method::POST,
            "/admin/token-keys/rotate",
            ADMIN,
            token_keys::rotate,
            "Lets the waiting key, or a new one, sign in the place of the present",
        )
        .gives::<token_keys::TokenKeyView>(ok),
    ]
}
