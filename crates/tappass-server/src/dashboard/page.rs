//! What every page has: the frame around it, its headers, and how errors look.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tappass_model::Role;

use super::{Viewer, assets};
use crate::error::ApiError;

/// Nothing from elsewhere, no inline script, no inline style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
                      base-uri 'none'";

/// One line of the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Where it leads.
    pub path: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// A symbol of `icons.svg`.
    pub icon: &'static str,
    /// Who sees it.
    pub least: Role,
}

const fn entry(path: &'static str, name: &'static str, icon: &'static str, least: Role) -> Entry {
    Entry { path, name, icon, least }
}

/// The navigation, in groups.
pub const NAVIGATION: [(&str, &[Entry]); 3] = [
    (
        "Watch",
        &[
            entry("/app", "Overview", "overview", Role::Auditor),
            entry("/app/readiness", "Readiness", "readiness", Role::Auditor),
            entry("/app/audit", "Audit trail", "audit", Role::Auditor),
            entry("/app/sessions", "Sessions", "sessions", Role::Auditor),
        ],
    ),
    (
        "Govern",
        &[
            entry("/app/approvals", "Approvals", "approvals", Role::OrgAdmin),
            entry("/app/agents", "Agents", "agents", Role::Auditor),
            entry("/app/pipelines", "Pipelines", "pipelines", Role::Auditor),
            entry("/app/tools", "Tools and MCP", "tools", Role::OrgAdmin),
        ],
    ),
    (
        "Organisation",
        &[
            entry("/app/credentials", "Credentials", "credentials", Role::Auditor),
            entry("/app/people", "People", "people", Role::Auditor),
            entry("/app/settings", "Settings", "settings", Role::Auditor),
            entry("/app/status", "Status", "status", Role::Member),
        ],
    ),
];

/// The frame around a page.
#[derive(Debug)]
pub struct Shell {
    /// The entry of the navigation that the page belongs to.
    pub at: &'static str,
    /// What the person may see.
    pub navigation: Vec<(&'static str, Vec<Entry>)>,
    /// The organisation's name.
    pub org_name: String,
    /// Who is signed in.
    pub person: String,
    /// As what.
    pub role: &'static str,
    /// Against forged requests.
    pub csrf: String,
    /// Approvals that wait.
    pub waiting: u64,
    /// The program's version.
    pub version: &'static str,
}

impl Shell {
    pub(super) fn of(viewer: &Viewer, at: &'static str) -> Self {
        let seen = |entries: &&[Entry]| -> Vec<Entry> {
            entries.iter().copied().filter(|entry| viewer.may(entry.least)).collect()
        };
        let groups = NAVIGATION.iter().map(|(name, entries)| (*name, seen(entries)));
        Self {
            at,
            navigation: groups.filter(|(_, entries)| !entries.is_empty()).collect(),
            org_name: viewer.org_name.clone(),
            person: viewer.scope.actor.clone(),
            role: viewer.scope.role().as_str(),
            csrf: viewer.csrf.clone(),
            waiting: viewer.waiting,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// `GET /`: who types the gateway's address into a browser wants the dashboard.
pub async fn home() -> Redirect {
    Redirect::to("/app")
}

/// A page, or a part of one that htmx puts in place.
///
/// # Errors
/// 500 when the template fails.
pub fn show(template: &impl Template) -> Result<Response, ApiError> {
    let html = template.render().map_err(ApiError::internal)?;
    Ok(html_with(StatusCode::OK, html))
}

fn html_with(status: StatusCode, html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // The same address gives a page to a browser and a part of it to htmx.
        (header::VARY, HeaderValue::from_static("hx-request")),
    ];
    (status, headers, html).into_response()
}

/// Whether a request wants a page, as browsers do that go to an address.
#[must_use]
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failure<'a> {
    status: u16,
    /// What goes on from here: the words of a link, and where it leads.
    onward: (&'a str, &'a str),
    title: &'a str,
    detail: &'a str,
    request_id: &'a str,
}

/// How an error looks where a page was asked for.
#[must_use]
pub fn failure(error: &ApiError, request_id: &str) -> Response {
    let title = match error.status().as_u16() {
        403 => "Not for your role",
        404 => "There is nothing here",
        500..=599 => "Something went wrong",
        _ => "That did not work",
    };
    failed(error, title, ("To the overview", "/app"), request_id)
}

/// How an error looks on the way to sign in.
#[must_use]
pub fn not_signed_in(error: &ApiError, request_id: &str) -> Response {
    let title = match error.status().as_u16() {
        409 => "That identity was not bound",
        500..=599 => "Signing in does not work just now",
        _ => "You are not signed in",
    };
    failed(error, title, ("Back to sign-in", "/app/sign-in"), request_id)
}

fn failed(error: &ApiError, title: &str, onward: (&str, &str), request_id: &str) -> Response {
    let status = error.status();
    let page = Failure { status: status.as_u16(), onward, title, detail: error.detail(), request_id };
    html_with(status, page.render().unwrap_or_else(|_| title.to_owned()))
}
