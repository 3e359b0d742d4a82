//! Pure functions from text to findings: normalise, scan once, validate. No I/O.
//!
//! A text is folded ([`normalise`]: disguises fall away, positions lead back), then each family's rules run over it as one
//! automaton ([`ruleset`]) and its other detectors beside them ([`detector`]); candidates are validated (checksums, context,
//! entropy), and overlaps within a family resolved ([`resolve`]). [`families`] lists what there is.
//! Whole texts and streams ([`StreamScan`]) go through the same code, so their findings are the same. No match is
//! longer than 4 KiB, so the cost is linear in the text and what a stream holds back is bounded.
//!
//! Not covered: encoded layers (base64, hex, percent-encoding) are not opened.

mod code;
mod custom;
mod detector;
mod exfil;
mod families;
mod image;
mod infra;
mod injection;
mod marking;
mod normalise;
mod original;
mod pii;
mod resolve;
mod rule;
mod ruleset;
mod sample;
mod scanner;
mod score;
mod secrets;
mod shell;
mod stream;
mod tool_poison;
mod unicode;
mod utf8;

pub use custom::{CUSTOM_LONGEST, CustomPattern, PatternError};
pub use image::{ImageFormat, Inspection, inspect_image};
pub use injection::injection_score;
pub use pii::{NameEvidence, name_evidence, name_features};
pub use sample::{min_classification, placeholder, sample};
pub use scanner::Scanner;
pub use score::family_score;
pub use stream::{Ready, StreamScan};
pub use utf8::{Utf8Buffer, Utf8Error};
