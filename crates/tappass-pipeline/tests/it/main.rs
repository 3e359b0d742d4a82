//! The pipeline as its users see it: the registry's guards, the runner, streams, generated pages.

mod common;
mod embeddings;
mod generated;
mod guards;
mod messages;
mod packs;
mod responses;
mod runner;
mod schema;
mod streaming;
mod tokens;
