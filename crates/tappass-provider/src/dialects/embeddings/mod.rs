//! OpenAI's embeddings (`POST /v1/embeddings`): texts in, vectors out.
//!
//! There is no conversation, nothing streams, and an answer says nothing. Vectors of two models cannot be compared, so
//! no other model's answer can stand for the one asked for, and no way leads through the chat dialect.

mod check;
mod texts;

use serde_json::Value;
use tappass_model::{Answer, Dialect, ModelRequest};

use super::{FromChat, History, RequestError, Shape, Voice, chat::Chat};
use crate::ProviderCall;

pub(crate) use check::is_answer;

/// The dialect. Errors are told as in chat.
#[derive(Debug, Clone, Copy)]
pub struct Embeddings;

impl Shape for Embeddings {
    fn path(&self) -> &'static str {
        "/embeddings"
    }

    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError> {
        let (model, unknown) = check::request(&body)?;
        Ok(ModelRequest {
            dialect: Dialect::OpenAiEmbeddings,
            model,
            stream: false,
            bytes,
            segments: texts::request(&body),
            tools: Vec::new(),
            provider_tools: Vec::new(),
            messages: 0,
            unknown,
            body,
        })
    }

    fn read_answer(&self, body: &Value) -> Answer {
        texts::answer(body)
    }

    fn converses(&self) -> bool {
        false
    }

    fn answers_in_words(&self) -> bool {
        false
    }

    fn interchangeable(&self) -> bool {
        false
    }

    fn asked<'a>(&self, body: &'a Value) -> &'a Value {
        &body["input"]
    }

    fn history(&self, _: &Value) -> History {
        History::default()
    }

    fn remove_tools(&self, _: &mut Value, _: &dyn Fn(&str) -> bool) {}

    fn ceiling(&self, _: &Value, _: u64) -> u64 {
        0
    }

    fn voice(&self) -> &'static dyn Voice {
        &Chat
    }

    fn to_chat(&self, _: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String> {
        Err("embeddings".to_owned())
    }
}
