//! Pure functions from text to findings: normalise, scan once, validate. No I/O.
//!
//! A text is folded ([`normalise`]: disguises fall away, positions lead back), and scanned once for all families: one
//! search finds the literals that rules need ([`anchor`], [`gate`]); where one was found, or where the first two bytes fit a
//! rule without literals, the rule is walked ([`walks`], [`group`]); what it matches is validated (checksums, context,
//! entropy). Other detectors stand beside the rules ([`detector`]), and overlaps within a family are resolved ([`resolve`]).
//! [`families`] lists what there is. Whole texts and streams ([`StreamScan`]) go through the same code, so their findings
//! are the same. No match is longer than 4 KiB, so the cost is linear in the text and what a stream holds back is bounded.
//!
//! What base64, hexadecimal and percent-encoding hide is opened and scanned too ([`layers`]).

mod allow;
mod anchor;
mod business;
mod classify;
mod code;
mod compile;
mod custom;
mod detector;
mod effort;
mod escalation;
mod exfil;
mod families;
mod gate;
mod group;
mod head;
mod hostile;
mod image;
mod infra;
mod injection;
mod layers;
mod marking;
mod memory;
mod normalise;
mod original;
mod pattern;
mod pii;
mod resolve;
mod rule;
mod safety;
mod sample;
mod scanner;
mod score;
mod scored;
mod secrets;
mod shell;
mod stream;
mod tool_poison;
mod unicode;
mod utf8;
mod walks;

pub use allow::{AllowEntry, AllowError, Allowlist, Around, Undecided};
pub use classify::{Classified, classify};
pub use custom::{CUSTOM_LONGEST, CustomPattern, PatternError};
pub use hostile::hostile_units;
pub use image::{ImageFormat, Inspection, inspect_image};
pub use injection::{injection_features, injection_score, is_model_verdict};
pub use pii::{NameEvidence, name_evidence, name_features};
pub use safety::CATEGORIES as SAFETY_CATEGORIES;
pub use sample::{min_classification, placeholder, sample};
pub use scanner::Scanner;
pub use score::family_score;
pub use scored::score_row;
pub use stream::{Ready, StreamScan};
pub use utf8::{Utf8Buffer, Utf8Error};
