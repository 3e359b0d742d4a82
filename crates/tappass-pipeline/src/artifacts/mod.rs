//! What an answer brings that somebody may run: code, commands, files, and the packages they ask for.

mod code;
mod files;
mod names;

pub use code::{Code, code, wanted};
pub use files::{embedded, type_of};
pub use names::{Verdict, judge, load};
