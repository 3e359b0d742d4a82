//! Between the shapes that callers speak and the gateway's vocabulary.

pub mod chat;
