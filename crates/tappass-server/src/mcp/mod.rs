//! MCP servers behind the gateway: agents speak MCP over Streamable HTTP with `/mcp/{server}`, and every message of both
//! directions is governed before it goes on.

pub mod execute;
pub mod govern;
pub mod inward;
pub mod link;
pub mod message;
pub mod methods;
pub mod outward;
pub mod pins;
pub mod stream;
pub mod transport;
pub mod upstream;

use tappass_identity::Sealer;
use tappass_store::{McpServer, Store};
use uuid::Uuid;

use crate::egress::Egress;

/// What the gateway needs for MCP servers.
pub struct Mcp {
    store: Store,
    sealer: Sealer,
    /// The way to their addresses.
    pub egress: Egress,
}

impl Mcp {
    /// Over a database, with what seals credentials and definitions.
    #[must_use]
    pub fn new(store: Store, sealer: Sealer, egress: Egress) -> Self {
        Self { store, sealer, egress }
    }

    /// Seals a server's credential: it opens for this server only.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn seal_credential(&self, org_id: Uuid, server: &str, value: &str) -> Result<String, String> {
        let place = format!("mcp credential:{org_id}:{server}");
        self.sealer.seal(&place, value.as_bytes()).map_err(|e| e.to_string())
    }

    /// A server's credential: its header and its value. `None` where it has none.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn credential(&self, server: &McpServer) -> Result<Option<(String, String)>, String> {
        let (Some(header), Some(sealed)) = (&server.settings.header, &server.credential) else {
            return Ok(None);
        };
        let place = format!("mcp credential:{}:{}", server.org_id, server.name);
        let opened = self.sealer.open(&place, sealed).map_err(|e| e.to_string())?;
        let value = String::from_utf8(opened).map_err(|e| e.to_string())?;
        Ok(Some((header.clone(), value)))
    }
}
