//! The vault.

use http::{Method, StatusCode};

use crate::{
    params::Listed,
    router::table::{AUDITOR, ORG_ADMIN, Route},
    routes::credentials,
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let (ok, none) = (StatusCode::OK, StatusCode::NO_CONTENT);
    vec![
        Route::new(
            Method::GET,
            "/credentials",
            AUDITOR,
            credentials::list,
            "The organisation's credentials, without their values",
        )
        .gives::<Listed<credentials::CredentialView>>(ok),
        Route::new(
            Method::PUT,
            "/credentials/{provider}",
            ORG_ADMIN,
            credentials::set,
            "Sets the organisation's own key of a provider, or another credential",
        )
        .takes::<credentials::NewCredential>()
        .gives::<credentials::CredentialView>(ok),
        Route::new(
            Method::POST,
            "/credentials/{provider}/test",
            ORG_ADMIN,
            credentials::test,
            "Has the provider list its models with the organisation's key",
        )
        .gives::<credentials::Tried>(ok),
        Route::new(
            Method::DELETE,
            "/credentials/{provider}",
            ORG_ADMIN,
            credentials::remove,
            "Removes a credential",
        )
        .gives_nothing(none),
        Route::new(
            Method::POST,
            "/admin/vault/rotate",
            ORG_ADMIN,
            credentials::rotate,
            "Makes a new data key for the organisation and seals its credentials anew",
        )
        .gives::<credentials::Rotated>(ok),
    ]
}
