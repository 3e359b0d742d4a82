//! The OpenAPI 3.1 document of a route table.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use tappass_model::{Dialect, Role};

use super::table::{Auth, Route, SchemaFn};
use crate::{cookies::Cookie, error::ErrorShape};

/// The document as JSON.
#[must_use]
pub fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in routes.iter().filter(|route| route.shape != ErrorShape::Page) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut schemas);
    }
    let mut components: Map<String, Value> = schemas.take_definitions(true);
    components.insert("Problem".to_owned(), problem());
    components.insert("OpenAiError".to_owned(), openai_error());
    components.insert("AnthropicError".to_owned(), anthropic_error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TapPass",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A leading /v1 may stand before every path, also twice.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "agent_key": {"type": "http", "scheme": "bearer", "description": "An agent's key, tp_…"},
                "agent_key_header": {"type": "apiKey", "in": "header", "name": "x-api-key",
                    "description": "An agent's key, tp_…, as Anthropic's clients send it"},
                "session": {"type": "http", "scheme": "bearer", "description": "A session's token, a personal token (tp_pat_…), or the admin key"},
                "session_cookie": {"type": "apiKey", "in": "cookie", "name": Cookie::Session.name(false),
                    "description": "A browser's session; with an https base URL the name begins with __Host-. What changes \
                        something also needs our own origin and the header x-csrf-token"},
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut op = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": who(route.auth),
        "security": match route.auth {
            Auth::Open | Auth::Public => json!([]),
            Auth::Agent => json!([{"agent_key": []}, {"agent_key_header": []}]),
            Auth::Own | Auth::Person(_) => json!([{"session": []}, {"session_cookie": []}]),
        },
    });
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(route.query.map(|query| query_parameters(query, schemas)).unwrap_or_default());
    if !parameters.is_empty() {
        op["parameters"] = Value::from(parameters);
    }
    if let Some(body) = route.body {
        let content = json!({"application/json": {"schema": body(schemas)}});
        op["requestBody"] = json!({"required": true, "content": content});
    }
    let (status, answer) = route.success;
    let mut success = json!({"description": status.canonical_reason().unwrap_or("Success")});
    if let Some(answer) = answer {
        success["content"] = json!({"application/json": {"schema": answer(schemas)}});
    }
    let (kind, name) = match route.shape {
        ErrorShape::Problem | ErrorShape::Page | ErrorShape::SignIn => {
            ("application/problem+json", "Problem")
        }
        ErrorShape::Of(
            Dialect::OpenAiChat
            | Dialect::OpenAiResponses
            | Dialect::OpenAiEmbeddings
            | Dialect::ToolCall
            | Dialect::ToolResult
            | Dialect::Prompt
            | Dialect::McpCall
            | Dialect::McpMessage,
        ) => ("application/json", "OpenAiError"),
        ErrorShape::Of(Dialect::AnthropicMessages | Dialect::AnthropicTokens) => {
            ("application/json", "AnthropicError")
        }
    };
    let failure = json!({
        "description": "What went wrong",
        "content": {kind: {"schema": {"$ref": format!("#/components/schemas/{name}")}}},
    });
    op["responses"] = json!({status.as_str(): success, "default": failure});
    op
}

/// The properties of an object's schema, each as a parameter.
fn query_parameters(query: SchemaFn, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let schema = query(schemas).to_value();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties
        .into_iter()
        .map(|(name, mut schema)| {
            let description = schema.as_object_mut().and_then(|s| s.remove("description"));
            json!({"name": name, "in": "query", "description": description.unwrap_or_default(), "schema": schema})
        })
        .map(|mut parameter| {
            if parameter["description"].is_null() {
                parameter["description"] = json!("");
            }
            parameter
        })
        .collect()
}

/// `get_agents_agent_keys`: stable as long as the route is.
fn operation_id(route: &Route) -> String {
    let path: String = route.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let words: Vec<&str> = path.split('_').filter(|w| !w.is_empty()).collect();
    format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_"))
}

const fn who(auth: Auth) -> &'static str {
    match auth {
        Auth::Open | Auth::Public => "For anyone.",
        Auth::Agent => "For agents.",
        Auth::Own => "For people, with a session of their own: no personal token.",
        Auth::Person(Role::Member) => "For members of the organisation.",
        Auth::Person(Role::Auditor) => "For auditors and above.",
        Auth::Person(Role::Developer) => "For developers and above.",
        Auth::Person(Role::OrgAdmin) => "For the organisation's admins.",
        Auth::Person(Role::PlatformAdmin) => "For the platform's admins: the admin key.",
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": {"type": "string", "description": "urn:tappass:error:<code>"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong and what to do, for people"},
            "code": {"type": "string", "description": "What is wrong, for programs; stable"},
            "request_id": {"type": "string", "description": "The x-request-id of this answer"},
        },
    })
}

fn openai_error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": ["string", "null"]},
                "param": {"type": ["string", "null"]},
            },
        }},
    })
}

fn anthropic_error() -> Value {
    json!({
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {
                    "type": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    })
}
