//! Images, sound and files in a request: where they are, what they say they are, and their bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// Anything else.
    File,
}

/// Where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// In the request, in base64.
    Inline(&'a str),
    /// The provider fetches them.
    Url(&'a str),
    /// The provider has them under an id.
    Id,
}

/// One medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium<'a> {
    /// What it is.
    pub kind: Kind,
    /// What it says it is: a media type in lower case (`image/png`); empty where it says nothing.
    pub stated: String,
    /// Where its bytes are.
    pub source: Source<'a>,
}

impl Medium<'_> {
    /// How many bytes it has, where they are in the request.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        match self.source {
            Source::Inline(payload) => Some(payload.trim_end_matches('=').len() * 3 / 4),
            _ => None,
        }
    }

    /// Its bytes; `None` where they are not in the request. What is not base64 gives no bytes, as an error.
    ///
    /// # Errors
    /// It is not base64.
    pub fn bytes(&self) -> Option<Result<Vec<u8>, base64::DecodeError>> {
        let Source::Inline(payload) = self.source else { return None };
        Some(STANDARD.decode(payload.trim()))
    }
}

/// Every medium of a request, in its order.
#[must_use]
pub fn media(body: &Value) -> Vec<Medium<'_>> {
    let mut found = Vec::new();
    walk(&body["messages"], &mut found);
    // Some models embed pictures too.
    walk(&body["input"], &mut found);
    // What MCP servers and their clients say.
    walk(&body["said"], &mut found);
    found
}

fn walk<'a>(whole: &'a Value, found: &mut Vec<Medium<'a>>) {
    match whole {
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Object(object) => {
            for (key, value) in object {
                match key.as_str() {
                    "image_url" | "video_url" => {
                        let kind = if key == "image_url" { Kind::Image } else { Kind::File };
                        let url = value.as_str().or_else(|| value["url"].as_str());
                        found.extend(url.map(|url| from_url(url, kind)));
                    }
                    "input_audio" => {
                        let format = value["format"].as_str().unwrap_or_default();
                        found.extend(value["data"].as_str().map(|data| Medium {
                            kind: Kind::Audio,
                            stated: format!("audio/{}", format.to_ascii_lowercase()),
                            source: Source::Inline(data),
                        }));
                    }
                    "file" if value.is_object() => found.extend(from_file(value)),
                    "source" if value["type"].is_string() => from_source(object, value, found),
                    "file_data" if value.is_string() => found.extend(from_file(whole)),
                    "file_url" => found.extend(value.as_str().map(|url| from_url(url, Kind::File))),
                    "file_id" if value.is_string() => {
                        let kind = match object.get("type").and_then(Value::as_str) {
                            Some("container_upload" | "input_file") => Kind::File,
                            Some("input_image") => Kind::Image,
                            _ => continue,
                        };
                        found.push(Medium { kind, stated: String::new(), source: Source::Id });
                    }
                    "data" | "blob" if object.get("mimeType").is_some_and(Value::is_string) => {
                        found.extend(from_mcp(object, value));
                    }
                    _ => walk(value, found),
                }
            }
        }
        // Where no part of the dialect says so, a data URL is a medium all the same.
        Value::String(text) if is_base64_url(text) => found.push(from_url(text, Kind::File)),
        _ => {}
    }
}

/// A content block of the Model Context Protocol, or the contents of a resource, with its bytes in base64.
fn from_mcp<'a>(block: &Map<String, Value>, payload: &'a Value) -> Option<Medium<'a>> {
    let stated = block.get("mimeType")?.as_str()?.trim().to_ascii_lowercase();
    let kind = match stated.split('/').next() {
        Some("image") => Kind::Image,
        Some("audio") => Kind::Audio,
        _ => Kind::File,
    };
    Some(Medium { kind, stated, source: Source::Inline(payload.as_str()?) })
}

/// The source of a content block of the messages dialect: base64, an address, the id of a file, or text.
fn from_source<'a>(block: &Map<String, Value>, source: &'a Value, found: &mut Vec<Medium<'a>>) {
    let picture = block.get("type").is_some_and(|kind| kind == "image");
    let kind = if picture { Kind::Image } else { Kind::File };
    let text = |key: &str| source[key].as_str();
    match text("type").unwrap_or_default() {
        "base64" => found.extend(text("data").map(|data| {
            let stated = text("media_type").unwrap_or_default().trim().to_ascii_lowercase();
            let kind = match stated.split('/').next() {
                Some("image") => Kind::Image,
                Some("audio") => Kind::Audio,
                _ => kind,
            };
            Medium { kind, stated, source: Source::Inline(data) }
        })),
        "url" => found.extend(text("url").map(|url| from_url(url, kind))),
        "file" => found.push(Medium { kind, stated: String::new(), source: Source::Id }),
        _ => walk(source, found),
    }
}

fn from_file(file: &Value) -> Option<Medium<'_>> {
    let stated = || {
        let name = file["filename"].as_str().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
        match extension.as_str() {
            "pdf" => "application/pdf".to_owned(),
            "txt" | "md" | "csv" => "text/plain".to_owned(),
            other => format!("application/{other}"),
        }
    };
    match (file["file_data"].as_str(), file["file_id"].as_str()) {
        (Some(data), _) if is_data_url(data) => Some(from_url(data, Kind::File)),
        (Some(data), _) => Some(Medium { kind: Kind::File, stated: stated(), source: Source::Inline(data) }),
        (None, Some(_)) => Some(Medium { kind: Kind::File, stated: String::new(), source: Source::Id }),
        (None, None) => None,
    }
}

/// Whether a text is a data URL and not one that only begins like one.
fn is_base64_url(text: &str) -> bool {
    let head = text.split_once(',').map_or("", |(head, _)| head);
    is_data_url(text)
        && head.contains('/')
        && !head.contains(' ')
        && head.to_ascii_lowercase().ends_with(";base64")
}

/// `data:` in any case: RFC 3986 §3.1.
fn is_data_url(text: &str) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn from_url(url: &str, kind: Kind) -> Medium<'_> {
    if !is_data_url(url) {
        return Medium { kind, stated: String::new(), source: Source::Url(url) };
    }
    let (head, payload) = url[5..].split_once(',').unwrap_or((&url[5..], ""));
    let stated = head.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = match stated.split('/').next() {
        Some("image") => Kind::Image,
        Some("audio") => Kind::Audio,
        _ => kind,
    };
    Medium { kind, stated, source: Source::Inline(payload) }
}

/// The host of an address that may be fetched: `https`, no user, a public name. In lower case.
///
/// # Errors
/// What is wrong with it.
pub fn public_host(url: &str) -> Result<String, &'static str> {
    let scheme = url.get(..8).filter(|s| s.eq_ignore_ascii_case("https://"));
    let rest = &url[scheme.ok_or("not https")?.len()..];
    if url.contains(['\\', ' ']) || url.chars().any(char::is_control) {
        return Err("malformed");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("with a user name");
    }
    if authority.contains(['[', '%']) {
        return Err("not a name");
    }
    let host = authority.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let last = host.rsplit('.').next().unwrap_or_default();
    // `1.2.3.4`, `0x7f.1` and `2130706433` are addresses, whatever they look like.
    if last.is_empty() || last.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("not a name");
    }
    if !host.contains('.') || ["local", "internal", "localhost", "lan", "home", "corp"].contains(&last) {
        return Err("an internal name");
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_every_kind_of_medium() {
        let body = json!({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://x.io/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "AAA=", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.PDF", "file_data": "AA=="}},
            {"type": "file", "file": {"file_id": "f-1"}},
            {"type": "novel", "novel": {"x": ["DATA:application/zip;base64,AAAA"]}}]}]});
        let seen: Vec<(Kind, String, Option<usize>)> =
            media(&body).iter().map(|m| (m.kind, m.stated.clone(), m.size())).collect();
        assert_eq!(
            seen,
            [
                (Kind::Image, "image/png".into(), Some(3)),
                (Kind::Image, String::new(), None),
                (Kind::Audio, "audio/wav".into(), Some(2)),
                (Kind::File, "application/pdf".into(), Some(1)),
                (Kind::File, String::new(), None),
                (Kind::File, "application/zip".into(), Some(3)),
            ]
        );
        let body = json!({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/PNG", "data": "AAAA"}},
            {"type": "document", "source": {"type": "url", "url": "https://x.io/a.pdf"}},
            {"type": "image", "source": {"type": "file", "file_id": "f-1"}},
            {"type": "container_upload", "file_id": "f-2"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
            {"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "document", "source": {"type": "content", "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://x.io/b.png"}}]}}]}]}]});
        let seen: Vec<(Kind, bool)> =
            media(&body).iter().map(|m| (m.kind, matches!(m.source, Source::Inline(_)))).collect();
        assert_eq!(
            seen,
            [
                (Kind::Image, true),
                (Kind::File, false),
                (Kind::Image, false),
                (Kind::File, false),
                (Kind::Image, false)
            ]
        );
        let body = json!({"input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            {"type": "input_image", "file_id": "f-1"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
            {"type": "input_file", "file_url": "https://x.io/a.pdf"},
            {"type": "input_file", "file_id": "f-2"}]}]});
        let seen: Vec<(Kind, bool)> =
            media(&body).iter().map(|m| (m.kind, matches!(m.source, Source::Inline(_)))).collect();
        assert_eq!(
            seen,
            [
                (Kind::Image, true),
                (Kind::Image, false),
                (Kind::File, true),
                (Kind::File, false),
                (Kind::File, false)
            ]
        );
        assert!(media(&json!({"messages": [{"content": "data: a word, no medium"}]})).is_empty());
        let broken = json!({"messages": [{"content": "data:image/png;base64,?"}]});
        assert!(media(&broken)[0].bytes().is_some_and(|b| b.is_err()));
        assert!(media(&json!({})).is_empty());
    }

    #[test]
    fn only_public_names_over_https_are_fetched() {
        assert_eq!(public_host("HTTPS://CDN.Example.com:443/a?b#c"), Ok("cdn.example.com".into()));
        for bad in [
            "http://example.com/a",
            "https://user@example.com/",
            "https://169.254.169.254/latest",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://[::1]/",
            "https://localhost/",
            "https://metadata.google.internal/",
            "https://example.com\\@evil.io/",
            "https:///a",
            "file:///etc/passwd",
        ] {
            assert!(public_host(bad).is_err(), "{bad}");
        }
    }
}
