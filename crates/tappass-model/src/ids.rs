//! Where identifiers come from. Injected, so that tests can tell which ids they get.

use uuid::Uuid;

/// A source of identifiers: UUIDv7 (RFC 9562), so that ids sort by the time they were made.
pub trait Ids: Send + Sync + 'static {
    /// A new identifier, never given before.
    fn uuid(&self) -> Uuid;
}

/// The source for real use.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
