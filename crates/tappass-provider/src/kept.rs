//! What a provider keeps of one agent's calls is no other agent's, though one key of the gateway's made them all.
//!
//! A name that the provider gives (of an answer, of a part of it) goes to the agent with a tag behind it: an HMAC-SHA256
//! (RFC 2104) over the name, the provider and whom it belongs to. It comes back with the tag, which is taken off again; a
//! name without the right one names nothing. So nothing needs to be stored, and replicas with the same key agree.

use std::sync::Arc;

use aws_lc_rs::hmac;
use futures_util::StreamExt;
use serde_json::Value;
use tappass_model::Dialect;

use crate::{ProviderError, ProviderReply, dialects};

/// What stands before a tag.
const MARK: &str = "_tp";
/// Bytes of a tag: half of the HMAC's, which is what RFC 2104 §5 asks for at least.
const TAG: usize = 16;

/// Whose a call is, with the key that makes tags.
#[derive(Clone)]
pub struct Owner {
    key: Arc<hmac::Key>,
    name: String,
}

/// What makes tags.
#[derive(Clone)]
pub struct Tagger(Arc<hmac::Key>);

impl Tagger {
    /// With a key of 32 bytes that all replicas have.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// For calls of this owner: any text that no other owner has.
    #[must_use]
    pub fn owner(&self, name: String) -> Owner {
        Owner { key: Arc::clone(&self.0), name }
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Owner {
    fn tag(&self, provider: &str, id: &str) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [&self.name, provider, id] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context
    }

    /// The name with its tag.
    fn bind(&self, provider: &str, id: &mut String) {
        let tag = self.tag(provider, id).sign();
        id.push_str(MARK);
        for byte in &tag.as_ref()[..TAG] {
            id.push_str(&format!("{byte:02x}"));
        }
    }

    /// The name without its tag; `None` where it is not this owner's.
    fn unbind<'a>(&self, provider: &str, id: &'a str) -> Option<&'a str> {
        let (name, rest) = id.split_at_checked(id.len().checked_sub(MARK.len() + 2 * TAG)?)?;
        let said = rest.strip_prefix(MARK)?;
        let tag = self.tag(provider, name).sign();
        let right: String = tag.as_ref()[..TAG].iter().map(|byte| format!("{byte:02x}")).collect();
        // In constant time: how much of a guess was right must not show.
        aws_lc_rs::constant_time::verify_slices_are_equal(right.as_bytes(), said.as_bytes()).ok()?;
        Some(name)
    }

    /// Takes the tags off what a request names.
    ///
    /// # Errors
    /// [`ProviderError::NotKept`]: it names something that is not this owner's, or nothing.
    pub(crate) fn take(
        &self,
        provider: &str,
        dialect: Dialect,
        body: &mut Value,
    ) -> Result<(), ProviderError> {
        for kept in dialects::of(dialect).names_kept(body) {
            match self.unbind(provider, kept.id) {
                Some(name) => *kept.id = name.to_owned(),
                None if kept.alone => return Err(ProviderError::NotKept),
                None => {}
            }
        }
        Ok(())
    }

    /// Puts tags behind the names that an answer gives.
    pub(crate) fn give(self, provider: &str, dialect: Dialect, reply: ProviderReply) -> ProviderReply {
        let shape = dialects::of(dialect);
        let provider = provider.to_owned();
        let bind = move |told: &mut Value| {
            shape.gives_names(told).into_iter().for_each(|id| self.bind(&provider, id));
        };
        match reply {
            ProviderReply::Whole(mut answer) => {
                bind(&mut answer);
                ProviderReply::Whole(answer)
            }
            ProviderReply::Stream(events) => ProviderReply::Stream(Box::pin(events.map(move |event| {
                let mut event = event?;
                bind(&mut event);
                Ok(event)
            }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_its_owners_at_its_provider_only() {
        let tagger = Tagger::new(&[7; 32]);
        let (ours, theirs) = (tagger.owner("a".into()), tagger.owner("b".into()));
        let mut id = "resp_1".to_owned();
        ours.bind("openai", &mut id);
        assert!(id.starts_with("resp_1_tp") && id.len() == 9 + 32, "{id}");
        assert_eq!(ours.unbind("openai", &id), Some("resp_1"));
        assert_eq!(
            Tagger::new(&[7; 32]).owner("a".into()).unbind("openai", &id),
            Some("resp_1"),
            "another replica"
        );
        for (owner, provider) in [(&theirs, "openai"), (&ours, "azure")] {
            assert_eq!(owner.unbind(provider, &id), None);
        }
        assert_eq!(Tagger::new(&[8; 32]).owner("a".into()).unbind("openai", &id), None);
        let other = id.replace("resp_1", "resp_2");
        for not in [other.as_str(), "resp_1", "", "é", &"é".repeat(40), &id[1..], &id.to_uppercase()] {
            assert_eq!(ours.unbind("openai", not), None, "{not}");
        }
    }

    #[test]
    fn what_stands_for_itself_must_be_ones_own() {
        let (tagger, dialect) = (Tagger::new(&[7; 32]), Dialect::OpenAiResponses);
        let owner = tagger.owner("a".into());
        let mut answer = json!({"id": "resp_1", "output": [{"type": "message", "id": "msg_1"}]});
        let ProviderReply::Whole(given) =
            owner.clone().give("p", dialect, ProviderReply::Whole(answer.take()))
        else {
            unreachable!("a whole answer")
        };
        let mut asked = json!({"previous_response_id": given["id"], "input": [
            {"type": "item_reference", "id": given["output"][0]["id"]}, {"type": "reasoning", "id": "rs_made_up"}]});
        let mut again = asked.clone();
        assert_eq!(owner.take("p", dialect, &mut asked), Ok(()));
        assert_eq!(
            asked,
            json!({"previous_response_id": "resp_1", "input": [
            {"type": "item_reference", "id": "msg_1"}, {"type": "reasoning", "id": "rs_made_up"}]})
        );
        let error = tagger.owner("b".into()).take("p", dialect, &mut again).expect_err("another's");
        assert!(matches!(error, ProviderError::NotKept), "{error:?}");
        let mut bare = json!({"input": [{"type": "item_reference", "id": "msg_1"}]});
        assert!(owner.take("p", dialect, &mut bare).is_err());
    }
}
