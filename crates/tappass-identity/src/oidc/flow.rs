//! What is kept between asking an issuer and its answer. Nothing of it is kept here: it travels sealed in a cookie of
//! the browser that began, so that any replica can end what another began, and no other browser can.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{CommandLine, Provider};
use crate::{SealError, Sealer, tokens};

/// How long somebody may take to sign in at the issuer, in seconds.
pub const FLOW_LIFE: i64 = 600;
/// What is sealed for a flow opens as nothing else.
const PLACE: &str = "sign-in under way, v1";

/// What is to be done when the issuer has vouched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purpose {
    /// A path of ours to go to at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Make an organisation of this name, for somebody without an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_name: Option<String>,
    /// Bind who is vouched for to this account, whose session began the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Uuid>,
    /// The session is for this program, and not for the browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<CommandLine>,
}

/// A sign-in under way.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flow {
    provider: Provider,
    state: String,
    nonce: String,
    verifier: String,
    ends: i64,
    purpose: Purpose,
}

/// Without its secrets.
impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Why a flow cannot be ended: it was begun elsewhere, or too long ago, or is none of ours. Which is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this sign-in was not begun in this browser, or took too long")]
pub struct FlowError;

impl Flow {
    /// Begins one.
    #[must_use]
    pub fn begin(provider: Provider, purpose: Purpose, now: Timestamp) -> Self {
        let ends = now.as_second() + FLOW_LIFE;
        Self { provider, state: random(), nonce: random(), verifier: random(), ends, purpose }
    }

    /// What comes back with the answer, and shows that it is the answer to this.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// What comes back inside the token.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// What shows at the end that who ends is who began (RFC 7636).
    #[must_use]
    pub fn verifier(&self) -> &str {
        &self.verifier
    }

    /// The S256 challenge of [`Flow::verifier`].
    #[must_use]
    pub fn challenge(&self) -> String {
        challenge_of(&self.verifier)
    }

    /// What is to be done at the end.
    #[must_use]
    pub const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Sealed, for a cookie.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn seal(&self, sealer: &Sealer) -> Result<String, SealError> {
        sealer.seal(PLACE, &serde_json::to_vec(self).map_err(|_| SealError)?)
    }

    /// The flow of a cookie, if it is with this provider, has this state and is not over.
    ///
    /// # Errors
    /// [`FlowError`]
    pub fn open(
        sealed: &str,
        sealer: &Sealer,
        provider: Provider,
        state: &str,
        now: Timestamp,
    ) -> Result<Self, FlowError> {
        let bytes = sealer.open(PLACE, sealed).map_err(|_| FlowError)?;
        let flow: Self = serde_json::from_slice(&bytes).map_err(|_| FlowError)?;
        let same: bool = flow.state.as_bytes().ct_eq(state.as_bytes()).into();
        if flow.provider == provider && same && now.as_second() < flow.ends {
            Ok(flow)
        } else {
            Err(FlowError)
        }
    }
}

/// The S256 challenge of a verifier (RFC 7636).
pub(super) fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()))
}

/// 256 bits in 43 characters.
pub(super) fn random() -> String {
    let mut bytes = [0; 32];
    tokens::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_ends_where_and_when_it_may() {
        let (sealer, now) = (Sealer::new(&[7; 32]).expect("a key"), Timestamp::UNIX_EPOCH);
        let purpose = Purpose { next: Some("/x".to_owned()), ..Purpose::default() };
        let flow = Flow::begin(Provider::Oidc, purpose.clone(), now);
        let sealed = flow.seal(&sealer).expect("seals");
        assert!(!sealed.contains(flow.verifier()));
        let open = |sealed: &str, provider, state: &str, after: i64| {
            let now = Timestamp::from_second(after).expect("a time");
            Flow::open(sealed, &sealer, provider, state, now)
        };
        let opened = open(&sealed, Provider::Oidc, flow.state(), FLOW_LIFE - 1).expect("opens");
        assert_eq!((opened.verifier(), opened.purpose()), (flow.verifier(), &purpose));
        assert!(open(&sealed, Provider::Google, flow.state(), 1).is_err(), "another issuer's answer");
        assert!(open(&sealed, Provider::Oidc, "else", 1).is_err());
        assert!(open(&sealed, Provider::Oidc, flow.state(), FLOW_LIFE).is_err(), "over");
        assert!(open("", Provider::Oidc, flow.state(), 1).is_err());
        let other = sealer.seal("elsewhere", b"{}").expect("seals");
        assert!(open(&other, Provider::Oidc, flow.state(), 1).is_err());
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let mut flow = Flow::begin(Provider::Oidc, Purpose::default(), Timestamp::UNIX_EPOCH);
        flow.verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        assert_eq!(flow.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let other = Flow::begin(Provider::Oidc, Purpose::default(), Timestamp::UNIX_EPOCH);
        assert!(other.state() != flow.state() && other.state() != other.nonce());
        assert!(!format!("{other:?}").contains(other.verifier()));
    }
}
