//! Holds images, sound and files against what the organisation allows: type, size, number, source.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Finding, OnDetection, Outcome};

use super::shared::glob;
use crate::{
    media::{Kind, Medium, Source, media, public_host},
    step::{Category, Define, Meta, Phase, Pure},
};

/// What is allowed of one kind of medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MediaRule {
    /// Media types, with `*` for any part (`image/*`); empty: none is allowed.
    pub types: Vec<String>,
    /// Most bytes of one, where they are in the request.
    pub max_bytes: usize,
    /// Most of them in a request.
    pub max_count: usize,
}

impl MediaRule {
    fn new(types: &[&str], max_bytes: usize, max_count: usize) -> Self {
        Self { types: types.iter().map(ToString::to_string).collect(), max_bytes, max_count }
    }
}

/// Where media may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MediaSource {
    /// In the request itself.
    Data,
    /// An `https` address that the provider fetches.
    Https,
    /// A file that the provider has already.
    Id,
}

/// # What it does
/// Looks at every image, sound and file of the conversation: its media type, its size, how many there are, and where
/// it comes from. An address must be `https`, lead to a public name, and to one of `hosts` where some are set.
/// # Why
/// Media are the part of a prompt that text detectors do not read, and an address in a prompt is fetched by somebody
/// else's server: with what stands in it, from inside their network.
/// # On a hit
/// Blocks unless configured otherwise, and says which rule was broken. `redact` only records.
/// # Limits
/// Believes the stated type: `inspect_images` looks inside. Does not fetch addresses, so what they serve is not known.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectMultimodal {
    /// What is allowed of images.
    pub images: MediaRule,
    /// What is allowed of sound.
    pub audio: MediaRule,
    /// What is allowed of files.
    pub files: MediaRule,
    /// Where media may come from.
    pub sources: Vec<MediaSource>,
    /// Hosts that addresses may lead to, by name or glob; empty: any public host.
    pub hosts: Vec<String>,
}

impl Default for DetectMultimodal {
    fn default() -> Self {
        const MB: usize = 1024 * 1024;
        Self {
            images: MediaRule::new(&["image/png", "image/jpeg", "image/webp", "image/gif"], 4 * MB, 20),
            audio: MediaRule::new(&["audio/wav", "audio/mp3", "audio/mpeg"], 4 * MB, 4),
            files: MediaRule::new(&["application/pdf", "text/plain"], 4 * MB, 10),
            sources: vec![MediaSource::Data, MediaSource::Https, MediaSource::Id],
            hosts: Vec::new(),
        }
    }
}

impl Define for DetectMultimodal {
    const META: Meta = Meta {
        id: "detect_multimodal",
        position: 350,
        phase: Phase::Before,
        category: Category::ThreatDetection,
        summary: "Images, audio and files against policy: type, size, number, source",
        threats: &["LLM01", "LLM02", "AML.T0051"],
        on_detection: OnDetection::Block,
    };
}

impl DetectMultimodal {
    fn rule(&self, kind: Kind) -> (&MediaRule, &'static str) {
        match kind {
            Kind::Image => (&self.images, "image"),
            Kind::Audio => (&self.audio, "audio"),
            Kind::File => (&self.files, "file"),
        }
    }

    /// What one medium breaks.
    fn breaks(&self, medium: &Medium<'_>) -> Option<(&'static str, String)> {
        let (rule, name) = self.rule(medium.kind);
        let source = match medium.source {
            Source::Inline(_) => MediaSource::Data,
            Source::Url(_) => MediaSource::Https,
            Source::Id => MediaSource::Id,
        };
        if rule.types.is_empty() {
            return Some(("MEDIA_NOT_ALLOWED", name.to_owned()));
        }
        if !self.sources.contains(&source) {
            return Some(("MEDIA_SOURCE", format!("{name} by {}", source.as_str())));
        }
        if let Source::Url(url) = medium.source {
            match public_host(url) {
                Err(why) => return Some(("MEDIA_ADDRESS", why.to_owned())),
                Ok(host) if !self.hosts.is_empty() && !self.hosts.iter().any(|g| glob(g, &host)) => {
                    return Some(("MEDIA_HOST", "a host that is not on the list".to_owned()));
                }
                Ok(_) => {}
            }
        }
        if matches!(medium.source, Source::Inline(_)) && !rule.types.iter().any(|t| glob(t, &medium.stated)) {
            let stated: String = medium.stated.chars().filter(char::is_ascii_graphic).take(40).collect();
            return Some(("MEDIA_TYPE", format!("{name} of type `{stated}`")));
        }
        let size = medium.size().filter(|size| *size > rule.max_bytes)?;
        Some(("MEDIA_SIZE", format!("{name} of {size} bytes")))
    }
}

impl MediaSource {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Https => "https",
            Self::Id => "id",
        }
    }
}

impl Pure for DetectMultimodal {
    fn run(&self, x: &Exchange) -> Outcome {
        let media = media(&x.request.body);
        if media.is_empty() {
            return Outcome::pass();
        }
        let mut broken: Vec<(&'static str, String)> = media.iter().filter_map(|m| self.breaks(m)).collect();
        for kind in [Kind::Image, Kind::Audio, Kind::File] {
            let (rule, name) = self.rule(kind);
            let count = media.iter().filter(|m| m.kind == kind).count();
            if count > rule.max_count {
                broken.push(("MEDIA_COUNT", format!("{count} × {name}")));
            }
        }
        if broken.is_empty() {
            return Outcome::pass_with(format!("{} × media, as allowed", media.len()));
        }
        let what: Vec<String> = broken.iter().map(|(kind, why)| format!("{kind} ({why})")).collect();
        let findings =
            broken.into_iter().map(|(kind, why)| Finding::about(Self::META.id, kind, why)).collect();
        Outcome::hit(format!("media outside the policy: {}", what.join(", ")), findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;
    use serde_json::{Value, json};

    fn with(parts: &Value) -> Exchange {
        let mut x = exchange("look");
        x.request.body["messages"][0]["content"] = parts.clone();
        x
    }

    fn image(url: &str) -> Exchange {
        with(&json!([{"type": "image_url", "image_url": {"url": url}}]))
    }

    fn kinds(outcome: &Outcome) -> Vec<&str> {
        outcome.findings.iter().map(|f| f.kind.as_ref()).collect()
    }

    #[test]
    fn lets_text_and_allowed_media_pass() {
        let step = DetectMultimodal::default();
        assert_eq!(step.run(&exchange("just text")), Outcome::pass());
        for url in ["data:image/png;base64,AAAA", "https://cdn.example.com/a.png"] {
            assert!(!step.run(&image(url)).detected, "{url}");
        }
    }

    #[test]
    fn catches_types_sizes_sources_and_addresses() {
        let step = DetectMultimodal::default();
        for (url, kind) in [
            ("data:image/svg+xml;base64,AAAA".to_owned(), "MEDIA_TYPE"),
            (format!("data:image/png;base64,{}", "A".repeat(6_000_000)), "MEDIA_SIZE"),
            ("https://169.254.169.254/latest".to_owned(), "MEDIA_ADDRESS"),
            ("http://example.com/a.png".to_owned(), "MEDIA_ADDRESS"),
        ] {
            let outcome = step.run(&image(&url));
            assert_eq!(kinds(&outcome), [kind]);
            assert!(!outcome.message.contains("169."), "no content in the message");
        }
        let own = DetectMultimodal { hosts: vec!["*.acme.eu".into()], ..DetectMultimodal::default() };
        assert!(!own.run(&image("https://cdn.acme.eu/a.png")).detected);
        assert_eq!(kinds(&own.run(&image("https://acme.eu.evil.io/a.png"))), ["MEDIA_HOST"]);
        let inline = DetectMultimodal { sources: vec![MediaSource::Data], ..DetectMultimodal::default() };
        assert_eq!(kinds(&inline.run(&image("https://cdn.acme.eu/a.png"))), ["MEDIA_SOURCE"]);
    }

    #[test]
    fn an_empty_list_of_types_allows_none_and_counts_are_kept() {
        let mut step = DetectMultimodal::default();
        step.audio.types.clear();
        step.images.max_count = 1;
        let part = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
        let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}});
        assert_eq!(
            kinds(&step.run(&with(&json!([part, part, sound])))),
            ["MEDIA_NOT_ALLOWED", "MEDIA_COUNT"]
        );
    }
}
