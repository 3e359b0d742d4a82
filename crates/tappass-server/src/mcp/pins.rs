//! Definitions of tools, pinned as they were first seen. One that changes puts its tool into quarantine until an admin
//! has approved the new text: nobody but the model reads it, and it may have been approved for what it said before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tappass_pipeline::definitions::{canonical, sha256};
use tappass_store::{McpDefinition, McpServer, McpTool, StoreError};
use uuid::Uuid;

use super::Mcp;

/// Most tools of a server that are pinned. What is beyond them is not offered.
pub const MOST: usize = 1000;
/// Most differences that are shown.
const SHOWN: usize = 100;

/// A place where two definitions differ.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Difference {
    /// Where, as a JSON Pointer.
    pub at: String,
    /// What stood there; null where nothing did.
    pub was: Value,
    /// What stands there now; null where nothing does.
    pub now: Value,
}

/// Where two definitions differ, in the order of the old one's members.
#[must_use]
pub fn differences(was: &Value, now: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", was, now, &mut found);
    found.truncate(SHOWN);
    found
}

fn walk(at: &str, was: &Value, now: &Value, found: &mut Vec<Difference>) {
    match (was, now) {
        _ if was == now || found.len() >= SHOWN => {}
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                walk(&at, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), found);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                let of = |items: &[Value]| items.get(i).cloned().unwrap_or_default();
                walk(&format!("{at}/{i}"), &of(a), &of(b), found);
            }
        }
        _ => found.push(Difference { at: at.to_owned(), was: was.clone(), now: now.clone() }),
    }
}

impl Mcp {
    /// Holds what a server tells of its tools against what is pinned, and pins what is new. Gives the tools in quarantine
    /// among them, and those that there is no room for.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn pin(
        &self,
        server: &McpServer,
        told: &[(&str, &Value)],
        now: Timestamp,
    ) -> Result<BTreeMap<String, Option<McpTool>>, StoreError> {
        let servers = self.store.mcp_servers();
        let known = servers.tools(server.org_id, &server.name).await?;
        let mut known: BTreeMap<String, McpTool> = known.into_iter().map(|t| (t.tool.clone(), t)).collect();
        let mut apart = BTreeMap::new();
        for (tool, definition) in told {
            let text = canonical(definition);
            let hash = sha256(&text);
            let as_known = known.get(*tool).is_some_and(|t| match &t.changed {
                None => t.pinned.hash == hash,
                Some(changed) => changed.hash == hash,
            });
            if !as_known {
                if known.len() >= MOST && !known.contains_key(*tool) {
                    apart.insert((*tool).to_owned(), None);
                    continue;
                }
                let Ok(sealed) = self.sealer.seal(&place(server.org_id, &server.name, tool), text.as_bytes())
                else {
                    apart.insert((*tool).to_owned(), None);
                    continue;
                };
                let seen = McpDefinition { hash, sealed };
                // Removed in this very moment: nothing of it is offered any more.
                match servers.saw(server.org_id, &server.name, tool, &seen, now).await? {
                    Some(pin) => known.insert((*tool).to_owned(), pin),
                    None => apart.insert((*tool).to_owned(), None).flatten(),
                };
            }
            if let Some(pin) = known.get(*tool).filter(|pin| pin.changed.is_some()) {
                apart.insert((*tool).to_owned(), Some(pin.clone()));
            }
        }
        Ok(apart)
    }

    /// A definition's text as a value; null where it cannot be opened.
    #[must_use]
    pub fn definition(&self, org_id: Uuid, server: &str, tool: &str, definition: &McpDefinition) -> Value {
        match self.sealer.open(&place(org_id, server, tool), &definition.sealed) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(error) => {
                tracing::error!(server, tool, %error, "a pinned definition cannot be opened");
                Value::Null
            }
        }
    }
}

fn place(org_id: Uuid, server: &str, tool: &str) -> String {
    format!("mcp definition:{org_id}:{server}:{tool}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_difference_has_its_place() {
        let was = json!({"name": "read", "d": "Reads.", "s": {"a/b": [1, 2], "gone": true}});
        let now = json!({"name": "read", "d": "Reads all.", "s": {"a/b": [1, 3, 4]}, "new": "x"});
        let told: Vec<(String, Value, Value)> =
            differences(&was, &now).into_iter().map(|d| (d.at, d.was, d.now)).collect();
        let at = |at: &str, was: Value, now: Value| (at.to_owned(), was, now);
        assert_eq!(
            told,
            [
                at("/d", json!("Reads."), json!("Reads all.")),
                at("/s/a~1b/1", json!(2), json!(3)),
                at("/s/a~1b/2", json!(null), json!(4)),
                at("/s/gone", json!(true), json!(null)),
                at("/new", json!(null), json!("x")),
            ]
        );
        assert_eq!(differences(&was, &was), []);
    }
}
