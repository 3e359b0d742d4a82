//! MCP servers behind the gateway: agents speak MCP over Streamable HTTP with `/mcp/{server}`, and every message of both
//! directions is governed before it goes on.

pub mod execute;
pub mod govern;
pub mod inward;
pub mod link;
pub mod methods;
pub mod outward;
pub mod pins;
pub mod stream;
pub mod transport;
pub mod upstream;

use std::sync::Arc;

use tappass_identity::{
    SealError, Sealer, Zeroizing,
    vault::{Vault, VaultError},
};
use tappass_store::{McpServer, Store};
use uuid::Uuid;

use crate::egress::Egress;

/// What the gateway needs for MCP servers.
pub struct Mcp {
    store: Store,
    /// Seals what servers say, and the ids of sessions with them.
    sealer: Sealer,
    /// Seals their credentials.
    vault: Arc<Vault>,
    /// The way to their addresses.
    pub egress: Egress,
}

impl Mcp {
    /// Over a database, with what seals credentials and definitions.
    #[must_use]
    pub fn new(store: Store, sealer: Sealer, vault: Arc<Vault>, egress: Egress) -> Self {
        Self { store, sealer, vault, egress }
    }

    /// Seals a server's credential: it opens for this server only.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn seal_credential(
        &self,
        org_id: Uuid,
        server: &str,
        value: &str,
    ) -> Result<String, VaultError> {
        self.vault.seal(org_id, &place(server), value).await
    }

    /// A server's credential: its header and its value. `None` where it has none.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn credential(
        &self,
        server: &McpServer,
    ) -> Result<Option<(String, Zeroizing<String>)>, VaultError> {
        let (Some(header), Some(sealed)) = (&server.settings.header, &server.credential) else {
            return Ok(None);
        };
        Ok(Some((header.clone(), self.opened(server.org_id, &server.name, sealed).await?)))
    }

    /// Seals an organisation's credentials anew with its newest data key; gives how many.
    ///
    /// # Errors
    /// [`VaultError`]; the rest is left as it is.
    pub async fn reseal(&self, org_id: Uuid) -> Result<usize, VaultError> {
        let mut resealed = 0;
        for (server, sealed) in self.store.mcp_servers().credentials(org_id).await? {
            let opened = self.opened(org_id, &server, &sealed).await?;
            let anew = self.vault.seal(org_id, &place(&server), &opened).await?;
            resealed += usize::from(self.store.vault().reseal_mcp(org_id, &server, &sealed, &anew).await?);
        }
        Ok(resealed)
    }

    async fn opened(
        &self,
        org_id: Uuid,
        server: &str,
        sealed: &str,
    ) -> Result<Zeroizing<String>, VaultError> {
        if Vault::is_sealed(sealed) {
            return self.vault.open(org_id, &place(server), sealed).await;
        }
        // As it was sealed before there was a vault.
        let opened = self.sealer.open(&format!("mcp credential:{org_id}:{server}"), sealed)?;
        String::from_utf8(opened).map(Zeroizing::new).map_err(|_| SealError.into())
    }
}

fn place(server: &str) -> String {
    format!("mcp credential:{server}")
}
