//! The dialects that agents speak.

use http::{Method, StatusCode};
use tappass_model::Dialect;

use crate::{
    router::table::{Auth, Route},
    routes::models,
};

/// Its lines.
pub fn routes() -> Vec<Route> {
    let governed = |route: Route, dialect| {
        route.takes::<serde_json::Value>().gives::<serde_json::Value>(StatusCode::OK).speaks(dialect)
    };
    vec![
        governed(
            Route::new(
                Method::POST,
                "/chat/completions",
                Auth::Agent,
                models::completions,
                "OpenAI's chat, governed; streamed when asked",
            ),
            Dialect::OpenAiChat,
        ),
        governed(
            Route::new(
                Method::POST,
                "/responses",
                Auth::Agent,
                models::responses,
                "OpenAI's responses, governed; streamed when asked",
            ),
            Dialect::OpenAiResponses,
        ),
        governed(
            Route::new(
                Method::POST,
                "/embeddings",
                Auth::Agent,
                models::embeddings,
                "OpenAI's embeddings, governed: vectors of texts",
            ),
            Dialect::OpenAiEmbeddings,
        ),
        governed(
            Route::new(
                Method::POST,
                "/messages",
                Auth::Agent,
                models::messages,
                "Anthropic's messages, governed; streamed when asked",
            ),
            Dialect::AnthropicMessages,
        ),
        governed(
            Route::new(
                Method::POST,
                "/messages/count_tokens",
                Auth::Agent,
                models::count_tokens,
                "How many tokens a message has, governed as the message would be",
            ),
            Dialect::AnthropicTokens,
        ),
        Route::new(Method::GET, "/models", Auth::Agent, models::models, "The models an agent may name")
            .speaks(Dialect::OpenAiChat),
    ]
}
