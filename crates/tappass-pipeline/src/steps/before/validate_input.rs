//! Bounds what a request may look like, beyond what every request must be.
//! (Malformed JSON, duplicate keys, depth and encoding are refused before a call exists.)

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Exchange, Finding, OnDetection, Outcome};

use crate::step::{Category, Define, Meta, Phase, Pure};

/// # What it does
/// Checks a well-formed request against limits: how many messages and tools, how long one text, control characters
/// that no prompt needs, and parts that cannot be read: content blocks (of the messages dialect) of a kind that this
/// version does not know, token ids in place of the texts that are to be embedded. JSON that is malformed, nested too
/// deep, holds a key twice or numbers that 64 bits cannot hold never gets this far: it is refused with 422 in every
/// mode, so what is scanned is what is forwarded.
/// # Why
/// Oversized and oddly encoded input is how filters are flooded or slipped past.
/// # On a hit
/// Blocks. The message names the limit.
/// # Limits
/// The size of the whole body (5 MB) is the server's, not a step's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidateInput {
    /// Most messages in one request.
    pub max_messages: usize,
    /// Most tools on offer in one request.
    pub max_tools: usize,
    /// Longest single text, in bytes.
    pub max_text_bytes: usize,
    /// Whether control characters other than tab, line feed and carriage return are a hit.
    pub refuse_control_characters: bool,
}

impl Default for ValidateInput {
    fn default() -> Self {
        Self {
            max_messages: 1000,
            max_tools: 256,
            max_text_bytes: 2_000_000,
            refuse_control_characters: true,
        }
    }
}

impl Define for ValidateInput {
    const META: Meta = Meta {
        id: "validate_input",
        position: 100,
        phase: Phase::Before,
        category: Category::ClassifyAndPrepare,
        summary: "Bounds structure, sizes and encoding; what is scanned is what is forwarded",
        threats: &["LLM10", "ASI04"],
        on_detection: OnDetection::Block,
    };
}

impl Pure for ValidateInput {
    fn run(&self, x: &Exchange) -> Outcome {
        let request = &x.request;
        if request.messages > self.max_messages {
            let what = format!("{} messages; at most {} are allowed", request.messages, self.max_messages);
            return hit("TOO_MANY_MESSAGES", what, format!("`max_messages` of {}", request.messages));
        }
        if request.tools.len() > self.max_tools {
            let what =
                format!("{} tools on offer; at most {} are allowed", request.tools.len(), self.max_tools);
            return hit("TOO_MANY_TOOLS", what, format!("`max_tools` of {}", request.tools.len()));
        }
        if let Some(unread) = &request.unknown {
            let what = format!("`{}` {}", unread.place, unread.why);
            return hit("UNKNOWN_PART", what, unread.remedy.to_owned());
        }
        for segment in &request.segments {
            if segment.text.len() > self.max_text_bytes {
                let what = format!(
                    "the text at {} has {} bytes; at most {} are allowed",
                    segment.pointer,
                    segment.text.len(),
                    self.max_text_bytes
                );
                return hit("TEXT_TOO_LONG", what, format!("`max_text_bytes` of {}", segment.text.len()));
            }
            if self.refuse_control_characters && segment.text.bytes().any(is_control) {
                return hit(
                    "CONTROL_CHARACTER",
                    format!("the text at {} has a control character", segment.pointer),
                    "`refuse_control_characters: false`, or the text without it".to_owned(),
                );
            }
        }
        Outcome::pass()
    }
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0x7f
}

fn hit(kind: &'static str, message: String, remedy: String) -> Outcome {
    Outcome::hit(message, vec![Finding::about(ValidateInput::META.id, kind, String::new())]).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange;

    #[test]
    fn lets_an_ordinary_request_pass() {
        assert!(!ValidateInput::default().run(&exchange("Hello\tworld\r\n, é 😀")).detected);
    }

    #[test]
    fn catches_what_is_too_much() {
        let x = exchange("12345");
        let step = ValidateInput { max_text_bytes: 4, ..ValidateInput::default() };
        assert!(step.run(&x).message.contains("/messages/0/content has 5 bytes; at most 4"));
        let step = ValidateInput { max_messages: 0, ..ValidateInput::default() };
        assert!(step.run(&x).detected);
    }

    #[test]
    fn control_characters_are_a_hit_unless_switched_off() {
        let x = exchange("a\u{0}b");
        assert!(ValidateInput::default().run(&x).detected);
        let step = ValidateInput { refuse_control_characters: false, ..ValidateInput::default() };
        assert!(!step.run(&x).detected);
        assert!(ValidateInput::default().run(&exchange("\u{7f}")).detected);
    }
}
