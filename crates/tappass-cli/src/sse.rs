//! Server-sent events as the command line reads them (WHATWG HTML §9.2).

use std::io;

use futures_util::TryStreamExt as _;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio_util::io::StreamReader;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its id, to go on from.
    pub id: Option<String>,
    /// Its data; lines are joined by a line break.
    pub data: String,
}

/// The events of an answer, one by one.
pub struct Events<R>(R);

/// The events of an answer's body.
pub fn events(response: reqwest::Response) -> Events<impl AsyncBufRead + Unpin> {
    Events(StreamReader::new(Box::pin(response.bytes_stream().map_err(io::Error::other))))
}

impl<R: AsyncBufRead + Unpin> Events<R> {
    /// The next event that carries data; `None` at the end. Comments and what is cut off are passed over.
    ///
    /// # Errors
    /// The connection broke, or it is not text.
    pub async fn next(&mut self) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        let mut data: Vec<String> = Vec::new();
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let text = line.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                if !data.is_empty() {
                    message.data = data.join("\n");
                    return Ok(Some(message));
                }
                continue;
            }
            let (field, value) = text.split_once(':').unwrap_or((text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => data.push(value.to_owned()),
                "id" => message.id = Some(value.to_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &str) -> Vec<(Option<String>, String)> {
        let mut events = Events(text.as_bytes());
        let mut found = Vec::new();
        while let Some(message) = events.next().await.expect("reads") {
            found.push((message.id, message.data));
        }
        found
    }

    #[tokio::test]
    async fn events_comments_and_line_ends() {
        let text =
            ": keep-alive\n\nid: 7\ndata: {\"a\":1}\n\r\nevent: x\r\ndata:b\r\ndata: c\r\n\r\ndata: cut off";
        let expected = [(Some("7".to_owned()), "{\"a\":1}".to_owned()), (None, "b\nc".to_owned())];
        assert_eq!(all(text).await, expected);
        assert_eq!(all("").await, []);
    }
}
