//! A stream's way through the gateway: what a dialect does with its events, and what it asks of the gateway.

use serde_json::Value;
use tappass_model::{Answer, Origin};

/// One text that grows from event to event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel {
    /// The index of the choice, or of the content block; 0 for texts outside of them.
    pub choice: u64,
    /// Which of its texts.
    pub kind: ChannelKind,
}

/// Which text of a choice or a block.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    /// The model's visible reasoning.
    Reasoning,
    /// What it says.
    Content,
    /// Why it does not.
    Refusal,
    /// The arguments of a tool call, by the call's `index`.
    ToolArguments(u64),
    /// Any other string, by its pointer in the event: what no version of the dialect knows is scanned all the same.
    Other(String),
}

impl ChannelKind {
    /// Who speaks there.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        match self {
            Self::Reasoning => Origin::Reasoning,
            Self::ToolArguments(_) => Origin::ToolArguments,
            Self::Content | Self::Refusal | Self::Other(_) => Origin::Answer,
        }
    }
}

/// A text stopped the stream; who judged it knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Who judges the texts of a stream.
pub trait Lanes {
    /// A piece of a text; what may go out by now, of it and of what waited.
    ///
    /// # Errors
    /// [`Stopped`].
    fn push(&mut self, channel: &Channel, piece: &str) -> Result<String, Stopped>;

    /// The end of a text; what still waited. Nothing for a text that never began or has ended.
    ///
    /// # Errors
    /// [`Stopped`].
    fn finish(&mut self, channel: &Channel) -> Result<String, Stopped>;

    /// All that may go out of a text that waited to be sent whole, in its final form. In `json`, the text is JSON.
    fn whole(&mut self, channel: &Channel, json: bool) -> String;

    /// A part that this version cannot read, named.
    ///
    /// # Errors
    /// [`Stopped`].
    fn unknown(&mut self, what: &str) -> Result<(), Stopped>;
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wants {
    /// A hit may change or stop the text while it streams. If not, text never waits.
    pub holds_text: bool,
    /// Tool calls wait for the end: an agent would run them.
    pub holds_tools: bool,
    /// Nothing goes out before the end.
    pub holds_all: bool,
    /// The client asked for the event with the usage.
    pub usage: bool,
}

/// Takes the events of one answer and gives back those that may go out.
pub trait Flow: Send {
    /// One event in; those that may go out by now.
    ///
    /// # Errors
    /// [`Stopped`]: nothing of this event may go out.
    fn push(&mut self, event: Value, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped>;

    /// The end of the provider's stream: the events that waited for it.
    ///
    /// # Errors
    /// [`Stopped`] when the last piece of text is a hit that stops the answer.
    fn finish(&mut self, lanes: &mut dyn Lanes) -> Result<Vec<Value>, Stopped>;

    /// The answer as the provider sent it, as far as it came.
    fn take_answer(&mut self) -> Answer;

    /// What ends a stream that was stopped, after what has gone out. Never empty.
    fn refused(&self) -> Vec<Value>;

    /// An event without content, for what the gateway says where the provider's stream had no last one.
    fn envelope(&self) -> Value;
}
