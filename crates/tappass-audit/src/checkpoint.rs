//! Checkpoints: signed statements of how many events an organisation's log has and what their tree's root is.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tappass_model::clock::rfc3339;
use uuid::Uuid;

use crate::{
    canonical,
    hash::{Hash, sha256},
};

/// What the signed object begins with, so that no other signature of the same key can pass for a checkpoint.
pub const FORMAT: &str = "tappass-checkpoint/1";

/// A signed checkpoint. `hash`, `public_key` and `signature` are not part of what is signed; `key_id` binds the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose log.
    pub org_id: Uuid,
    /// How many events: those numbered 1 to `size`.
    pub size: u64,
    /// The root of the tree over their hashes, hex.
    pub root: String,
    /// When it was signed, RFC 3339 in UTC with microseconds.
    pub time: String,
    /// The hash of the checkpoint before, hex; zeros for the first.
    pub previous: String,
    /// The first 32 hex digits of the public key's SHA-256.
    pub key_id: String,
    /// SHA-256 of what was signed, hex.
    pub hash: String,
    /// The signer's Ed25519 public key, base64.
    pub public_key: String,
    /// The Ed25519 signature, base64.
    pub signature: String,
}

impl Checkpoint {
    /// The text that was signed: the canonical form of the statement.
    #[must_use]
    pub fn statement(&self) -> String {
        canonical::to_string(&json!({
            "format": FORMAT,
            "key_id": self.key_id,
            "org_id": self.org_id.to_string(),
            "previous": self.previous,
            "root": self.root,
            "size": self.size,
            "time": self.time,
        }))
    }

    /// What is wrong with it by itself, if anything: its hash, its key's id or its signature.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), &'static str> {
        let statement = self.statement();
        if hex::encode(sha256(&[statement.as_bytes()])) != self.hash {
            return Err("the checkpoint's hash is not that of its statement");
        }
        let key = STANDARD.decode(&self.public_key).unwrap_or_default();
        if key_id(&key) != self.key_id {
            return Err("the checkpoint's key id is not that of its public key");
        }
        let signature = STANDARD.decode(&self.signature).unwrap_or_default();
        UnparsedPublicKey::new(&ED25519, key)
            .verify(statement.as_bytes(), &signature)
            .map_err(|_| "the checkpoint's signature does not verify")
    }
}

/// The id of a public key.
#[must_use]
pub fn key_id(public_key: &[u8]) -> String {
    hex::encode(&sha256(&[public_key])[..16])
}

/// The signing key.
pub struct Signer {
    pair: Ed25519KeyPair,
    public_key: String,
    key_id: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// The key that a seed of 32 secret random bytes stands for (RFC 8032 §5.1.5).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed");
        let public = pair.public_key().as_ref();
        let (public_key, key_id) = (STANDARD.encode(public), key_id(public));
        Self { pair, public_key, key_id }
    }

    /// The public key, base64 of 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The public key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Signs a log's state.
    #[must_use]
    pub fn seal(&self, org_id: Uuid, size: u64, root: &Hash, previous: &Hash, time: Timestamp) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            org_id,
            size,
            root: hex::encode(root),
            time: rfc3339(time),
            previous: hex::encode(previous),
            key_id: self.key_id.clone(),
            hash: String::new(),
            public_key: self.public_key.clone(),
            signature: String::new(),
        };
        let statement = checkpoint.statement();
        checkpoint.hash = hex::encode(sha256(&[statement.as_bytes()]));
        checkpoint.signature = STANDARD.encode(self.pair.sign(statement.as_bytes()));
        checkpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_bound_by_the_signature() {
        let time = "2026-11-22T09:30:00Z".parse().expect("a time");
        let good = Signer::from_seed(&[1; 32]).seal(Uuid::nil(), 3, &[2; 32], &[0; 32], time);
        assert_eq!(good.check(), Ok(()));
        let other = Signer::from_seed(&[9; 32]).seal(Uuid::nil(), 3, &[2; 32], &[0; 32], time);

        let tampered = |change: fn(&mut Checkpoint, &Checkpoint)| {
            let mut checkpoint = good.clone();
            change(&mut checkpoint, &other);
            // Whoever alters a statement also recomputes its hash.
            checkpoint.hash = hex::encode(sha256(&[checkpoint.statement().as_bytes()]));
            checkpoint.check()
        };
        assert!(tampered(|c, _| c.size = 2).is_err());
        assert!(tampered(|c, _| c.root = "00".repeat(32)).is_err());
        assert!(tampered(|c, _| c.time.clone_from(&"2026-11-23T09:30:00.000000Z".to_owned())).is_err());
        assert!(tampered(|c, _| c.previous = "11".repeat(32)).is_err());
        assert!(tampered(|c, _| c.org_id = Uuid::max()).is_err());
        assert!(tampered(|c, o| c.signature.clone_from(&o.signature)).is_err());
        assert!(tampered(|c, o| c.public_key.clone_from(&o.public_key)).is_err());
        assert!(tampered(|c, _| c.signature = "?".to_owned()).is_err());
    }

    #[test]
    fn the_key_is_that_of_rfc_8032_test_1() {
        let mut seed = [0; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed)
            .expect("hex");
        let public = STANDARD.decode(Signer::from_seed(&seed).public_key()).expect("base64");
        assert_eq!(hex::encode(public), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }
}
