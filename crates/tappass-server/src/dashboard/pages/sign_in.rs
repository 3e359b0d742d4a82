//! `/app/sign-in`

use askama::Template;
use axum::{extract::State, response::Response};
use serde::Deserialize;

use crate::{
    dashboard::{assets, format, page},
    error::ApiError,
    params::Params,
    sso::Issuing,
    state::App,
};

/// Its query.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Where to go afterwards.
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    next: String,
    ways: Vec<Way>,
}

/// Another issuer at which one can sign in.
pub(super) struct Way {
    pub name: String,
    pub id: &'static str,
}

/// The form.
///
/// # Errors
/// 500 when the template fails.
pub async fn show(State(app): State<App>, Params(query): Params<Query>) -> Result<Response, ApiError> {
    let next = inside(query.next.as_deref());
    page::show(&SignIn { ways: ways(&app), next })
}

/// The issuers that are configured.
fn ways(app: &App) -> Vec<Way> {
    let way = |one: &Issuing| Way { name: one.issuer().name.clone(), id: one.issuer().provider.id() };
    app.sso.configured().map(way).collect()
}

/// Only a page of the dashboard: an address that somebody else made must not lead elsewhere.
fn inside(next: Option<&str>) -> String {
    let ours = |path: &&str| {
        path.strip_prefix("/app").is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            && !path.contains(['\\', '{', '}'])
            && path.bytes().all(|b| b.is_ascii_graphic())
    };
    next.filter(ours).unwrap_or("/app").to_owned()
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(inside(Some("/app/audit?action=block")), "/app/audit?action=block");
        for other in [
            "//evil.example",
            "https://evil.example",
            "/apps",
            "/app\\@evil",
            "/auth/logout",
            "javascript:alert(1)",
        ] {
            assert_eq!(inside(Some(other)), "/app", "{other}");
        }
        assert_eq!(inside(None), "/app");
    }
}
