//! The organisations' allowlists, ready for calls.

use tappass_detect::{AllowEntry, Allowlist};
use tappass_store::Store;

use crate::documents::Documents;

/// The name of the document in the store.
pub const SETTING: &str = "allowlist";

/// The lists, as they are asked for.
pub type Allowlists = Documents<Allowlist>;

/// `shared`: other replicas write to the store too.
#[must_use]
pub fn allowlists(store: Store, shared: bool) -> Allowlists {
    Documents::new(store, SETTING, parse, shared)
}

fn parse(body: &str) -> Result<Allowlist, String> {
    let entries: Vec<AllowEntry> = serde_json::from_str(body).map_err(|e| e.to_string())?;
    Allowlist::new(entries).map_err(|e| e.to_string())
}
