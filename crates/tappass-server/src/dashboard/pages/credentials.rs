//! `/app/credentials`: the organisation's own keys of providers. Names only: values go in and never come out.

use askama::Template;
use axum::{extract::State, response::Response};
use tappass_provider::own;
use tappass_store::Credential;

use crate::{
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    state::App,
};

#[derive(Template)]
#[template(path = "credentials.html")]
struct Credentials {
    shell: Shell,
    credentials: Vec<(Credential, bool)>,
    providers: Vec<Provider>,
    governs: bool,
}

/// A provider of which the organisation can have a key of its own.
struct Provider {
    id: &'static str,
    /// Whether the organisation has one.
    own: bool,
    /// Whether the server has one, which is used else.
    server: bool,
}

/// The list; forms for who governs.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(State(app): State<App>, viewer: Viewer) -> Result<Response, ApiError> {
    let credentials = app.store.vault().credentials(viewer.scope.org_id).await?;
    let has = |id: &str| credentials.iter().any(|c| c.name == id);
    let servers = app.providers.list();
    let server = |id: &str| servers.iter().any(|one| one.id == id && one.configured);
    let providers = own::providers().map(|id| Provider { id, own: has(id), server: server(id) });
    page::show(&Credentials {
        shell: viewer.shell("/app/credentials"),
        providers: providers.collect(),
        credentials: credentials.into_iter().map(with_kind).collect(),
        governs: viewer.governs(),
    })
}

/// With whether it is a provider's, for whose calls it is used.
fn with_kind(credential: Credential) -> (Credential, bool) {
    let provider = own::takes_key(&credential.name).is_some();
    (credential, provider)
}
