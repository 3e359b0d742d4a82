//! The table of contents of the HTTP surface. From it come the router, the authorisation, the OpenAPI document
//! and the tests that walk every route.

use axum::{handler::Handler, routing};
use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use tappass_model::{Dialect, Role};

use super::tables::{
    agents, app, approvals, audit, auth, credentials, docs, govern, health, insight, mcp, models, payloads,
    people, pipelines, sessions, sso, tokens,
};
use crate::{error::ErrorShape, state::App};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anyone, at any rate, even when the server is overloaded: the health routes.
    Open,
    /// Anyone, at a limited rate for each address.
    Public,
    /// An agent with its key.
    Agent,
    /// A person with a session of their own, for what belongs to their account: neither a personal token nor the admin
    /// key. Also who still lacks the second factor that their organisation wants.
    Own,
    /// A person with at least this role in the organisation they act in; the holder of the admin key.
    Person(Role),
}

/// Persons who run the platform, and the admin key.
pub const ADMIN: Auth = Auth::Person(Role::PlatformAdmin);
/// Persons who govern an organisation.
pub const ORG_ADMIN: Auth = Auth::Person(Role::OrgAdmin);
/// Persons who register and run agents.
pub const DEVELOPER: Auth = Auth::Person(Role::Developer);
/// Persons who read all.
pub const AUDITOR: Auth = Auth::Person(Role::Auditor);
/// Any person of the organisation.
pub const MEMBER: Auth = Auth::Person(Role::Member);

/// Adds a type's schema to the document's components and refers to it.
pub type SchemaFn = fn(&mut SchemaGenerator) -> Schema;

/// One line of the table.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{names}`, without `/v1`.
    pub path: &'static str,
    /// Who may use it.
    pub auth: Auth,
    /// What it does, in half a sentence.
    pub summary: &'static str,
    /// The request's body.
    pub body: Option<SchemaFn>,
    /// The query's parameters.
    pub query: Option<SchemaFn>,
    /// Status and body of success.
    pub success: (StatusCode, Option<SchemaFn>),
    /// The shape of its errors.
    pub shape: ErrorShape,
    pub(crate) handler: routing::MethodRouter<App>,
}

impl Route {
    /// A line; the answer is 200 without a described body unless said otherwise.
    pub fn new<H, T>(
        method: Method,
        path: &'static str,
        auth: Auth,
        handler: H,
        summary: &'static str,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let filter = routing::MethodFilter::try_from(method.clone()).unwrap_or(routing::MethodFilter::GET);
        Self {
            method,
            path,
            auth,
            summary,
            body: None,
            query: None,
            success: (StatusCode::OK, None),
            shape: ErrorShape::Problem,
            handler: routing::on(filter, handler),
        }
    }

    /// A page of the dashboard.
    pub fn page<H, T>(path: &'static str, auth: Auth, handler: H, summary: &'static str) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self { shape: ErrorShape::Page, ..Self::new(Method::GET, path, auth, handler, summary) }
    }

    /// With a JSON body.
    #[must_use]
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// With query parameters.
    #[must_use]
    pub fn asks<T: JsonSchema>(mut self) -> Self {
        self.query = Some(SchemaGenerator::root_schema_for::<T>);
        self
    }

    /// With this answer on success.
    #[must_use]
    pub fn gives<T: JsonSchema>(mut self, status: StatusCode) -> Self {
        self.success = (status, Some(SchemaGenerator::subschema_for::<T>));
        self
    }

    /// With a success that has no body.
    #[must_use]
    pub const fn gives_nothing(mut self, status: StatusCode) -> Self {
        self.success = (status, None);
        self
    }

    /// With errors as clients of this dialect read them.
    #[must_use]
    pub const fn speaks(mut self, dialect: Dialect) -> Self {
        self.shape = ErrorShape::Of(dialect);
        self
    }
}

/// Every route, in the order of the documentation.
#[must_use]
pub fn routes() -> Vec<Route> {
    [
        health::routes(),
        models::routes(),
        govern::routes(),
        sessions::routes(),
        auth::routes(),
        sso::routes(),
        people::routes(),
        agents::routes(),
        tokens::routes(),
        credentials::routes(),
        pipelines::routes(),
        payloads::routes(),
        approvals::routes(),
        mcp::routes(),
        audit::routes(),
        insight::routes(),
        docs::routes(),
        app::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
