//! The texts of a stream's items as they go out. What a delta has said in part, later events say whole; they say what has
//! gone out, and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;
use tappass_model::{Origin, Segment};

use super::items::arguments_at;
use crate::dialects::{Channel, ChannelKind, Lanes, Stopped, place};

/// One text.
struct Text {
    channel: Channel,
    out: String,
    ended: bool,
    /// It has come in pieces.
    streamed: bool,
}

/// What was left of a text when it ended: its place, its kind, and the rest.
pub type Late = (String, ChannelKind, String);

/// The texts, by the item and the place in it.
#[derive(Default)]
pub struct Judged(BTreeMap<(u64, String), Text>);

impl Judged {
    /// A piece of a text; what may go out by now.
    pub fn push(
        &mut self,
        item: u64,
        at: &str,
        kind: ChannelKind,
        piece: &str,
        lanes: &mut dyn Lanes,
    ) -> Result<String, Stopped> {
        let text = self.text(item, at, kind);
        text.streamed = true;
        let ready = lanes.push(&text.channel, piece)?;
        text.out.push_str(&ready);
        Ok(ready)
    }

    /// The end of a text that came in pieces; what still waited. `None` for one that did not.
    pub fn end(&mut self, item: u64, at: &str, lanes: &mut dyn Lanes) -> Result<Option<String>, Stopped> {
        let Some(text) = self.0.get_mut(&(item, at.to_owned())) else { return Ok(None) };
        if std::mem::replace(&mut text.ended, true) {
            return Ok(Some(String::new()));
        }
        let rest = lanes.finish(&text.channel)?;
        text.out.push_str(&rest);
        Ok(Some(rest))
    }

    /// What of a text has gone out.
    pub fn out(&self, item: u64, at: &str) -> Option<&str> {
        self.0.get(&(item, at.to_owned())).map(|text| text.out.as_str())
    }

    /// The texts of an item that came in pieces, each with its place.
    pub fn of_item(&self, item: u64) -> impl Iterator<Item = (&str, &str)> {
        let of = self.0.range((item, String::new())..(item + 1, String::new()));
        of.filter(|(_, text)| text.streamed).map(|((_, at), text)| (at.as_str(), text.out.as_str()))
    }

    /// Writes what has gone out over the texts of `value`, an item or a part of one that begins at `prefix`. A text that did
    /// not come in pieces is judged as it stands. What was left of texts that end by this comes back.
    pub fn settle(
        &mut self,
        item: u64,
        prefix: &str,
        value: &mut Value,
        segments: Vec<Segment>,
        lanes: &mut dyn Lanes,
    ) -> Result<Vec<Late>, Stopped> {
        let mut late = Vec::new();
        let whole = arguments_at(value);
        for Segment { origin, pointer, text } in segments {
            let at = format!("{prefix}{pointer}");
            let key = (item, at.clone());
            if self.0.contains_key(&key) {
                let rest = self.end(item, &at, lanes)?.unwrap_or_default();
                if !rest.is_empty() {
                    late.push((at.clone(), self.0[&key].channel.kind.clone(), rest));
                }
            } else {
                let is_whole = origin == Origin::ToolArguments && whole == pointer.strip_prefix('/');
                self.judge(item, &at, &text, is_whole, lanes)?;
            }
            let out = &self.0[&key].out;
            if *out != text {
                place::set_text(value, &pointer, out.clone());
            }
        }
        Ok(late)
    }

    /// Judges a text that came in one piece. The arguments of a call are judged as such.
    fn judge(
        &mut self,
        item: u64,
        at: &str,
        said: &str,
        arguments: bool,
        lanes: &mut dyn Lanes,
    ) -> Result<(), Stopped> {
        let kind = if arguments { ChannelKind::ToolArguments(0) } else { ChannelKind::Other(at.to_owned()) };
        let text = self.text(item, at, kind);
        text.ended = true;
        text.out = lanes.push(&text.channel, said)? + &lanes.finish(&text.channel)?;
        if arguments {
            text.out = lanes.whole(&text.channel, !matches!(at, "/input" | "/code"));
        }
        Ok(())
    }

    fn text(&mut self, item: u64, at: &str, kind: ChannelKind) -> &mut Text {
        // A number of its own for each text, so that no two are taken for one.
        let choice = self.0.len() as u64;
        self.0.entry((item, at.to_owned())).or_insert_with(|| Text {
            channel: Channel { choice, kind },
            out: String::new(),
            ended: false,
            streamed: false,
        })
    }
}
