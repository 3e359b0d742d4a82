//! `/app/status`: the checks of `tappass status`, with what mends each.

use askama::Template;
use axum::{extract::State, response::Response};

use crate::{
    caller::Caller,
    dashboard::{
        Viewer, assets, format,
        page::{self, Shell},
    },
    error::ApiError,
    routes::status::{CheckState, Status, status_of},
    state::App,
};

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    shell: Shell,
    status: Status,
}

/// The checks.
///
/// # Errors
/// 500 when the template fails.
pub async fn show(State(app): State<App>, caller: Caller, viewer: Viewer) -> Result<Response, ApiError> {
    let status = status_of(&app, &caller, Ok(&viewer.scope)).await;
    page::show(&StatusPage { shell: viewer.shell("/app/status"), status })
}
