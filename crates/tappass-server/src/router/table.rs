//! The table of contents of the HTTP surface. From it come the router, the authorisation, the OpenAPI document
//! and the tests that walk every route.

use axum::{handler::Handler, routing};
use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use tappass_model::{Dialect, Role};

use crate::{
    call::verdict::Decision,
    error::ErrorShape,
    params::{ListQuery, Listed},
    routes::{
        agents, allowlist, approvals, audit, auth, debug, docs, explain, follow, govern, health, hooks,
        models, my_approvals, pipelines, policies, providers, sessions, status,
    },
    state::App,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Anyone, at any rate, even when the server is overloaded: the health routes.
    Open,
    /// Anyone, at a limited rate for each address.
    Public,
    /// An agent with its key.
    Agent,
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

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route, in the order of the documentation.
#[must_use]
pub fn routes() -> Vec<Route> {
    [
        health_routes(),
        model_routes(),
        govern_routes(),
        session_routes(),
        auth_routes(),
        agent_routes(),
        pipeline_routes(),
        approval_routes(),
        super::mcp_table::routes(),
        audit_routes(),
        docs_routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn health_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(GET, "/health", Auth::Open, health::health, "Version, storage, uptime")
            .gives::<health::Health>(ok),
        Route::new(GET, "/health/live", Auth::Open, health::live, "Whether the process answers")
            .gives::<health::Live>(ok),
        Route::new(
            GET,
            "/health/ready",
            Auth::Open,
            health::ready,
            "Whether it can do its work, part by part",
        )
        .gives::<health::Ready>(ok),
        Route::new(GET, "/health/startup", Auth::Open, health::startup, "503 until ready the first time")
            .gives::<health::Ready>(ok),
        Route::new(GET, "/metrics", ADMIN, health::prometheus, "Metrics as Prometheus reads them"),
        Route::new(GET, "/admin/metrics", ADMIN, health::metrics, "What each step costs and finds")
            .gives::<crate::metrics::Report>(ok),
        Route::new(GET, "/admin/status", MEMBER, status::status, "How everything is, and what mends it")
            .gives::<status::Status>(ok),
    ]
}

fn model_routes() -> Vec<Route> {
    let governed = |route: Route, dialect| {
        route.takes::<serde_json::Value>().gives::<serde_json::Value>(StatusCode::OK).speaks(dialect)
    };
    vec![
        governed(
            Route::new(
                POST,
                "/chat/completions",
                Auth::Agent,
                models::completions,
                "OpenAI's chat, governed; streamed when asked",
            ),
            Dialect::OpenAiChat,
        ),
        governed(
            Route::new(
                POST,
                "/responses",
                Auth::Agent,
                models::responses,
                "OpenAI's responses, governed; streamed when asked",
            ),
            Dialect::OpenAiResponses,
        ),
        governed(
            Route::new(
                POST,
                "/embeddings",
                Auth::Agent,
                models::embeddings,
                "OpenAI's embeddings, governed: vectors of texts",
            ),
            Dialect::OpenAiEmbeddings,
        ),
        governed(
            Route::new(
                POST,
                "/messages",
                Auth::Agent,
                models::messages,
                "Anthropic's messages, governed; streamed when asked",
            ),
            Dialect::AnthropicMessages,
        ),
        governed(
            Route::new(
                POST,
                "/messages/count_tokens",
                Auth::Agent,
                models::count_tokens,
                "How many tokens a message has, governed as the message would be",
            ),
            Dialect::AnthropicTokens,
        ),
        Route::new(GET, "/models", Auth::Agent, models::models, "The models an agent may name")
            .speaks(Dialect::OpenAiChat),
    ]
}

fn govern_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            POST,
            "/govern",
            Auth::Agent,
            govern::ask,
            "Whether the agent may make a tool call of its own; 200 with the outcome, whatever it is",
        )
        .takes::<govern::Question>()
        .gives::<Decision>(ok),
        Route::new(
            POST,
            "/govern/execution",
            Auth::Agent,
            govern::report,
            "Reports what a tool returned; it is scanned, and masked where it must be",
        )
        .takes::<govern::Execution>()
        .gives::<Decision>(ok),
        Route::new(
            POST,
            "/hooks",
            Auth::Agent,
            hooks::one,
            "An event of a coding agent's hook, answered as that agent's hooks answer",
        )
        .asks::<hooks::HookQuery>()
        .takes::<serde_json::Value>()
        .gives::<serde_json::Value>(ok),
        Route::new(
            POST,
            "/hooks/batch",
            Auth::Agent,
            hooks::batch,
            "Several of them, each answered by itself",
        )
        .asks::<hooks::HookQuery>()
        .takes::<Vec<serde_json::Value>>()
        .gives::<hooks::Answers>(ok),
    ]
}

fn session_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(POST, "/sessions", Auth::Agent, sessions::create, "Makes a session of the agent's own")
            .takes::<sessions::NewSession>()
            .gives::<sessions::Created>(StatusCode::CREATED),
        Route::new(
            PATCH,
            "/sessions/{session}",
            Auth::Agent,
            sessions::change,
            "Names it, says something of it, ends it",
        )
        .takes::<sessions::SessionChange>()
        .gives::<sessions::SessionView>(ok),
        Route::new(GET, "/sessions", AUDITOR, sessions::list, "Sessions that agents made, the newest first")
            .asks::<ListQuery>()
            .gives::<Listed<sessions::SessionView>>(ok),
        Route::new(
            GET,
            "/sessions/{session}",
            AUDITOR,
            sessions::show,
            "One of them, with what is remembered of it",
        )
        .gives::<sessions::SessionDetail>(ok),
    ]
}

fn auth_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(POST, "/auth/signup", Auth::Public, auth::signup, "Makes an account and its organisation")
            .takes::<auth::Signup>()
            .gives::<auth::Session>(StatusCode::CREATED),
        Route::new(POST, "/auth/login", Auth::Public, auth::login, "Begins a session")
            .takes::<auth::Login>()
            .gives::<auth::Session>(ok),
        Route::new(POST, "/auth/logout", MEMBER, auth::logout, "Ends the session")
            .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(POST, "/auth/refresh", MEMBER, auth::refresh, "A new session for the one in use")
            .gives::<auth::Session>(ok),
        Route::new(GET, "/auth/me", MEMBER, auth::me, "Who you are").gives::<auth::Me>(ok),
    ]
}

fn agent_routes() -> Vec<Route> {
    let (ok, created, none) = (StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT);
    vec![
        Route::new(
            POST,
            "/agents/register",
            DEVELOPER,
            agents::register,
            "Registers an agent; its key is shown once",
        )
        .takes::<agents::Register>()
        .gives::<agents::Registered>(created),
        Route::new(POST, "/admin/agents", DEVELOPER, agents::register, "The same as /agents/register")
            .takes::<agents::Register>()
            .gives::<agents::Registered>(created),
        Route::new(GET, "/agents", AUDITOR, agents::list, "Lists the agents")
            .asks::<ListQuery>()
            .gives::<Listed<agents::AgentView>>(ok),
        Route::new(
            GET,
            "/agents/{agent}",
            AUDITOR,
            agents::show,
            "One agent, by its id or its UUID, with its keys",
        )
        .gives::<agents::AgentDetail>(ok),
        Route::new(PATCH, "/agents/{agent}", ORG_ADMIN, agents::change, "Changes what is set for an agent")
            .takes::<agents::AgentChange>()
            .gives::<agents::AgentView>(ok),
        Route::new(DELETE, "/agents/{agent}", ORG_ADMIN, agents::remove, "Removes an agent and its keys")
            .gives_nothing(none),
        Route::new(PUT, "/agents/{agent}/pipeline", ORG_ADMIN, agents::assign, "Assigns a pipeline")
            .takes::<agents::Assign>()
            .gives::<agents::AgentView>(ok),
        Route::new(
            POST,
            "/agents/{agent}/suspend",
            DEVELOPER,
            agents::suspend,
            "Refuses an agent's calls from now on",
        )
        .gives::<agents::AgentView>(ok),
        Route::new(
            POST,
            "/agents/{agent}/reactivate",
            ORG_ADMIN,
            agents::reactivate,
            "Lets an agent call again",
        )
        .gives::<agents::AgentView>(ok),
        Route::new(POST, "/agents/{agent}/keys", DEVELOPER, agents::add_key, "Makes a key; it is shown once")
            .gives::<agents::NewKey>(created),
        Route::new(
            DELETE,
            "/agents/{agent}/keys/{key}",
            DEVELOPER,
            agents::revoke_key,
            "Revokes a key at once",
        )
        .gives_nothing(none),
    ]
}

fn pipeline_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(GET, "/pipelines", MEMBER, pipelines::list, "Lists presets and pipelines")
            .asks::<ListQuery>()
            .gives::<Listed<pipelines::PipelineSummary>>(ok),
        Route::new(GET, "/pipelines/{name}", MEMBER, pipelines::show, "What a pipeline does, step by step")
            .gives::<pipelines::PipelineView>(ok),
        Route::new(
            PUT,
            "/pipelines/{name}",
            ORG_ADMIN,
            pipelines::put,
            "Writes a pipeline: a preset with overrides, YAML or JSON",
        )
        .takes::<pipelines::PipelineFile>()
        .gives::<pipelines::PipelineView>(ok),
        Route::new(
            GET,
            "/policies",
            AUDITOR,
            policies::list,
            "The four questions, the shipped policies and the own",
        )
        .gives::<Listed<policies::PolicyView>>(ok),
        Route::new(GET, "/policies/{question}", AUDITOR, policies::show, "One question's policies")
            .gives::<policies::PolicyView>(ok),
        Route::new(
            PUT,
            "/policies/{question}",
            ORG_ADMIN,
            policies::put,
            "Writes the organisation's policy; it tightens, never loosens",
        )
        .takes::<policies::PolicyText>()
        .gives::<policies::PolicyView>(ok),
        Route::new(
            DELETE,
            "/policies/{question}",
            ORG_ADMIN,
            policies::remove,
            "Takes the organisation's policy back",
        )
        .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(
            POST,
            "/pipelines/import",
            ORG_ADMIN,
            pipelines::import,
            "Writes a pipeline; its name stands in the query or in the text",
        )
        .asks::<pipelines::ImportQuery>()
        .takes::<pipelines::PipelineFile>()
        .gives::<pipelines::PipelineView>(ok),
        Route::new(GET, "/pipelines/{name}/export", MEMBER, pipelines::export, "A pipeline's text, as YAML"),
        Route::new(GET, "/allowlist", MEMBER, allowlist::show, "What the organisation never counts as a hit")
            .gives::<allowlist::ListView>(ok),
        Route::new(PUT, "/allowlist", ORG_ADMIN, allowlist::put, "Replaces the whole list")
            .takes::<allowlist::NewList>()
            .gives::<allowlist::ListView>(ok),
        Route::new(POST, "/allowlist", ORG_ADMIN, allowlist::add, "Adds an entry; effective at once")
            .takes::<tappass_detect::AllowEntry>()
            .gives::<allowlist::EntryView>(StatusCode::CREATED),
        Route::new(DELETE, "/allowlist/{entry}", ORG_ADMIN, allowlist::remove, "Removes an entry")
            .gives_nothing(StatusCode::NO_CONTENT),
        Route::new(GET, "/api/providers", MEMBER, providers::list, "Where calls can go"),
    ]
}

fn approval_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(
            GET,
            "/me/approvals",
            Auth::Agent,
            my_approvals::list,
            "What waits for people, of this agent",
        )
        .asks::<approvals::ApprovalQuery>()
        .gives::<Listed<approvals::ApprovalView>>(ok),
        Route::new(
            GET,
            "/me/approvals/{approval}",
            Auth::Agent,
            my_approvals::show,
            "One of the agent's approvals",
        )
        .gives::<approvals::ApprovalView>(ok),
        Route::new(
            GET,
            "/me/approvals/{approval}/wait",
            Auth::Agent,
            my_approvals::wait,
            "Answers when it is decided; 408 while it waits",
        )
        .asks::<my_approvals::WaitQuery>()
        .gives::<approvals::ApprovalView>(ok),
        Route::new(
            POST,
            "/me/approvals/{approval}/cancel",
            Auth::Agent,
            my_approvals::cancel,
            "Takes a question back",
        )
        .gives::<approvals::ApprovalView>(ok),
        Route::new(
            POST,
            "/me/approvals/{approval}/resume",
            Auth::Agent,
            my_approvals::resume,
            "Sends the stored call, once, and answers as its route would",
        )
        .gives::<serde_json::Value>(ok)
        .speaks(Dialect::OpenAiChat),
        Route::new(
            GET,
            "/admin/approvals",
            ORG_ADMIN,
            approvals::list,
            "What waits for people, the newest first",
        )
        .asks::<approvals::ApprovalQuery>()
        .gives::<Listed<approvals::Question>>(ok),
        Route::new(
            GET,
            "/admin/approvals/{approval}",
            ORG_ADMIN,
            approvals::show,
            "A question with all that was asked",
        )
        .gives::<approvals::WholeQuestion>(ok),
        Route::new(
            POST,
            "/admin/approvals/{approval}/decide",
            ORG_ADMIN,
            approvals::decide,
            "Approves or denies, once",
        )
        .takes::<approvals::Decide>()
        .gives::<approvals::WholeQuestion>(ok),
    ]
}

fn audit_routes() -> Vec<Route> {
    let ok = StatusCode::OK;
    vec![
        Route::new(GET, "/audit", AUDITOR, audit::list, "Events, the newest first")
            .asks::<audit::AuditQuery>()
            .gives::<Listed<serde_json::Value>>(ok),
        Route::new(GET, "/audit/verify", AUDITOR, audit::verify, "Whether the log is whole and unaltered")
            .asks::<audit::VerifyQuery>()
            .gives::<audit::Verdict>(ok),
        Route::new(GET, "/audit/export", AUDITOR, audit::export, "The whole log, to be verified elsewhere"),
        Route::new(
            GET,
            "/audit/stream",
            AUDITOR,
            follow::stream,
            "Events as they come, resumable by Last-Event-ID",
        )
        .asks::<audit::AuditQuery>(),
        Route::new(GET, "/admin/debug", ORG_ADMIN, debug::list, "Traces kept for support, without any text")
            .asks::<debug::DebugQuery>()
            .gives::<Listed<serde_json::Value>>(ok),
        Route::new(POST, "/audit/checkpoint", AUDITOR, audit::checkpoint, "Signs the log as it is now"),
        Route::new(GET, "/audit/{event}", AUDITOR, audit::show, "One event"),
        Route::new(
            GET,
            "/audit/{event}/explain",
            AUDITOR,
            explain::explain,
            "Why a call was decided as it was, as recorded with it",
        )
        .gives::<explain::Explanation>(ok),
    ]
}

fn docs_routes() -> Vec<Route> {
    vec![
        Route::new(GET, "/openapi.json", Auth::Public, docs::openapi, "This document"),
        Route::new(
            GET,
            "/schemas/pipeline.json",
            Auth::Public,
            docs::pipeline_schema,
            "The JSON Schema of pipelines' texts, for editors",
        ),
        Route::new(GET, "/api-docs", Auth::Public, docs::page, "This document, for people"),
    ]
}
