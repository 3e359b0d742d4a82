//! The dialects that callers speak: one folder each, one [`Shape`] each, and a [`Voice`] where answers are told in a way
//! of its own.
//!
//! A dialect knows how its bodies are read, held back and answered; what is looked for in them is the pipeline's
//! business, and which provider is called the router's. A new dialect is a folder here, a variant of
//! [`Dialect`] and a line in [`of`]. Where the provider does not speak the caller's dialect, [`Shape::to_chat`]
//! goes by way of the chat dialect, which every provider speaks.

pub mod chat;
pub mod check;
pub mod embeddings;
pub mod flow;
pub mod frame;
pub mod mcp;
pub mod messages;
pub mod place;
pub mod responses;
pub mod tool;
pub mod tools;
pub mod walk;

use bytes::Bytes;
use serde_json::{Map, Value};
use tappass_model::{Answer, Dialect, ModelRequest};

use crate::ProviderCall;

pub use check::RequestError;
pub use flow::{Channel, ChannelKind, Flow, Lanes, Stopped, Wants};
pub use frame::Ids;
pub use tools::{History, PastCall, definition_at, definitions};

/// What the gateway must know of a dialect.
pub trait Shape: Send + Sync {
    /// The route that speaks it, without `/v1`.
    fn path(&self) -> &'static str;

    /// Reads a request: checks what it must have, and collects every text that would leave with it.
    ///
    /// # Errors
    /// [`RequestError`]: what is wrong, where, and what would be right.
    fn read_request(&self, body: Value, bytes: usize) -> Result<ModelRequest, RequestError>;

    /// Reads a whole answer. `provider` and `matches` are left for the caller to fill.
    fn read_answer(&self, body: &Value) -> Answer;

    /// Whether a stream's client asked for an event with nothing but the usage.
    fn wants_usage(&self, body: &Value) -> bool {
        let _ = body;
        true
    }

    /// Whether requests are a conversation, in which tools can be offered and called.
    fn converses(&self) -> bool {
        true
    }

    /// Whether answers say something, or call tools.
    fn answers_in_words(&self) -> bool {
        true
    }

    /// Whether another model's answer can stand for the one asked for.
    fn interchangeable(&self) -> bool {
        true
    }

    /// What is asked now: of a conversation, its last message; what the system adds to it is not what is asked.
    fn asked<'a>(&self, body: &'a Value) -> &'a Value {
        let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let said = messages.iter().rev().find(|message| message["role"] != "system");
        said.or(messages.last()).unwrap_or(&Value::Null)
    }

    /// What a request tells of the conversation before it.
    fn history(&self, body: &Value) -> History;

    /// Takes tools away from a request. A choice that asks for one of them is left to the model; where no tool
    /// remains, what speaks of tools goes too (providers refuse it otherwise).
    fn remove_tools(&self, body: &mut Value, removed: &dyn Fn(&str) -> bool);

    /// Most tokens that the answer may have, all choices together; a choice has `unsaid` where the request does not say.
    fn ceiling(&self, body: &Value, unsaid: u64) -> u64;

    /// Whether the model's reasoning is signed, so that no text of it can be changed: a mask there refuses instead.
    fn seals_reasoning(&self) -> bool {
        false
    }

    /// Headers of the caller that a provider of this dialect gets too.
    fn passes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What a request names of that the provider keeps: earlier answers, and parts of them.
    fn names_kept<'a>(&self, request: &'a mut Value) -> Vec<Kept<'a>> {
        let _ = request;
        Vec::new()
    }

    /// The names that an answer, or an event of it, gives to what the provider keeps.
    fn gives_names<'a>(&self, told: &'a mut Value) -> Vec<&'a mut String> {
        let _ = told;
        Vec::new()
    }

    /// How answers are told; a dialect that belongs to another has that one's.
    fn voice(&self) -> &'static dyn Voice;

    /// The call in the chat dialect, and the way back.
    ///
    /// # Errors
    /// What the chat dialect cannot do, by name.
    fn to_chat(&self, call: ProviderCall) -> Result<(ProviderCall, Box<dyn FromChat>), String>;
}

/// How answers are told to clients of a dialect: events, and errors.
pub trait Voice: Send + Sync {
    /// Governs the events of one streamed answer.
    fn flow(&self, wants: Wants) -> Box<dyn Flow>;

    /// One event of a stream as it is written. `ids` is what the gateway tells of every call.
    fn frame(&self, event: Value, ids: &Ids) -> Bytes;

    /// What follows the last event.
    fn end(&self) -> Option<&'static [u8]> {
        None
    }

    /// The members of a body that tell an error to clients of this dialect.
    fn error(&self, failure: &Failure<'_>) -> Map<String, Value>;
}

/// The way back from the chat dialect.
pub trait FromChat: Send {
    /// A whole answer.
    fn whole(&self, answer: &Value) -> Value;
    /// The events that one chunk of a stream makes.
    fn chunk(&mut self, chunk: &Value) -> Vec<Value>;
    /// The events after the last chunk.
    fn end(&mut self) -> Vec<Value>;
}

/// The name of something that a provider keeps.
#[derive(Debug)]
pub struct Kept<'a> {
    /// The name.
    pub id: &'a mut String,
    /// It stands for the thing, which is not sent along.
    pub alone: bool,
}

/// An error that is to be told.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The HTTP status it has, or would have outside a stream.
    pub status: u16,
    /// For programs.
    pub code: &'a str,
    /// A type for dialects that do not have one for each status.
    pub kind: &'a str,
    /// For people.
    pub message: &'a str,
    /// What else belongs to it.
    pub more: &'a [(&'a str, &'a str)],
    /// The provider's own error object, where there is one.
    pub theirs: Option<&'a Value>,
}

/// What names something: a number or a single word. Anything longer is a text, whatever it is called.
fn name(value: &Value) -> Option<&Value> {
    let is_name = match value {
        Value::String(text) => !walk::is_phrase(text),
        Value::Number(_) => true,
        _ => false,
    };
    is_name.then_some(value)
}

/// The shape of a dialect.
#[must_use]
pub fn of(dialect: Dialect) -> &'static dyn Shape {
    match dialect {
        Dialect::OpenAiChat => &chat::Chat,
        Dialect::OpenAiResponses => &responses::Responses,
        Dialect::OpenAiEmbeddings => &embeddings::Embeddings,
        Dialect::AnthropicMessages => &messages::Messages,
        Dialect::AnthropicTokens => &messages::Tokens,
        Dialect::ToolCall => &tool::Calls,
        Dialect::ToolResult => &tool::Results,
        Dialect::Prompt => &tool::Prompts,
        Dialect::McpCall => &mcp::Calls,
        Dialect::McpMessage => &mcp::Messages,
    }
}
